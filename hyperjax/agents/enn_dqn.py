"""ENN-DQN: Q-learning with an epinet.

Osband et al., "Approximate Thompson sampling via epistemic neural networks",
UAI 2023. The value function is a base network plus an epinet on its features
and the index, with a fixed prior epinet (`hyperjax.networks.EpinetValue`); an
actor keeps one Gaussian index for an episode. The loss is HyperAgent's,

  E_z (r + gamma Q-(s', a*; z') - Q(s, a; z))^2,

sampled, since Q is not affine in z.
"""

import dataclasses
from typing import Any

from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import optimizers
from hyperjax import perturbation
from hyperjax import specs
from hyperjax.agents import td


@dataclasses.dataclass(frozen=True, kw_only=True)
class ENNDQNConfig(td.TDConfig):
  """Settings of ENN-DQN; what is new beside `TDConfig`.

  The defaults are those that the authors of HyperAgent compare with on DeepSea
  (szrlee/HyperAgent at 014902c, `hyperagent/scripts/enndqn/run_deepsea.py`).

  Attributes:
    index_dim: M.
    num_index_samples: indices K for each transition in the loss.
    tied: whether the target of an index is taken at that same index, as in
      google-deepmind/enn_acme, or at a z' of its own for each transition.
    epinet_size: width of the epinet's hidden layer.
    prior_scale: of the prior epinet.
    resample_probability: of a new acting index before each step within an
      episode.
  """

  index_dim: int = 4
  num_index_samples: int = 20
  tied: bool = False
  epinet_size: int = 50
  prior_scale: float = 1.
  resample_probability: float = 0.01

  def __post_init__(self):
    super().__post_init__()
    for name in ('index_dim', 'num_index_samples', 'epinet_size'):
      self.check_at_least(name, 1, getattr(self, name))
    self.check_at_least('prior_scale', 0., self.prior_scale)
    self.check_within(
        'resample_probability', 0., 1., self.resample_probability)


class ENNDQN(td.TDAgent):
  """ENN-DQN, see the module."""

  def __init__(
      self,
      observation_spec: Any,
      num_actions: Any,
      config: ENNDQNConfig = ENNDQNConfig(),
  ):
    """Composes the agent; arguments and errors as in `HyperAgent`."""
    spec = specs.observation_spec(observation_spec)
    num_actions = specs.num_actions(num_actions)
    index = index_lib.Gaussian(config.index_dim)
    network = networks.EpinetValue(
        num_actions, config.index_dim, spec, config.hidden_sizes,
        config.epinet_size, prior_scale=config.prior_scale)
    super().__init__(
        observation_spec=spec,
        num_actions=num_actions,
        config=config,
        network=network,
        index=index,
        loss=losses.SampledTD(
            network, index, perturbation.Perturbation(index, 0.),
            config.double, losses.FreshIndices(config.num_index_samples),
            tied=config.tied),
        optimizer=optimizers.adam(
            config.learning_rate, config.adam_epsilon,
            config.max_gradient_norm),
        resample_probability=config.resample_probability)
