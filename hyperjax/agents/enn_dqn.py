"""ENN-DQN: Q-learning with an epinet.

Osband et al., "Approximate Thompson sampling via epistemic neural networks",
UAI 2023. The value function is a base network plus an epinet on its features
and the index, with a fixed prior epinet (`hyperjax.networks.EpinetValue`); an
actor keeps one Gaussian index for an episode. The loss is HyperAgent's,

  E_z (r + gamma Q-(s', a*; z') - Q(s, a; z))^2,

sampled, since Q is not affine in z. With another torso than `MLPTorso`, as on
frames, the epinet sees the torso's features alone.
"""

import dataclasses
from typing import Any

from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
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
    shared_indices: whether all transitions of a batch have the same indices.
    tied: whether the target of an index is taken at that same index, or at a
      z' of its own for each transition.
    epinet_size: width of the epinet's hidden layer.
    prior_scale: of the prior epinet.
    resample_probability: of a new acting index before each step within an
      episode.
  """

  index_dim: int = 4
  num_index_samples: int = 20
  shared_indices: bool = False
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

  @classmethod
  def enn_acme(cls, **overrides: Any) -> 'ENNDQNConfig':
    """The epinet authors' own settings for bsuite.

    google-deepmind/enn_acme at 4680812b, `experiments/bsuite/run.py`: plain
    Q-learning whose indices are shared over the batch and with the target.
    Here the first `min_replay_size` actions are random, and rewards are not
    clipped to [-1, 1], which makes a difference where DeepSea is stochastic.
    They divide the prior's scale by the spread of a random linear function of
    the observations, from a file that is not in their repository; here it is 1.

    Args:
      **overrides: fields to set otherwise.
    """
    return cls(**{
        'index_dim': 2,
        'num_index_samples': 20,
        'shared_indices': True,
        'tied': True,
        'double': False,
        'hidden_sizes': (50, 50),
        'epinet_size': 50,
        'prior_scale': 1.,
        'resample_probability': 0.,
        'batch_size': 128,
        'target_period': 4,
        'replay_capacity': 10_000,
        'min_replay_size': 128,
        'learning_rate': 1e-3,
        'adam_epsilon': 1e-8,
        'max_gradient_norm': None,
        **overrides})


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
        config.torso, config.epinet_size, prior_scale=config.prior_scale)
    indices = (losses.SharedIndices if config.shared_indices
               else losses.FreshIndices)
    super().__init__(
        observation_spec=spec,
        num_actions=num_actions,
        config=config,
        network=network,
        index=index,
        loss=losses.SampledTD(
            network, index, perturbation.Perturbation(index, 0.),
            config.double, indices(config.num_index_samples),
            tied=config.tied),
        optimizer=td.adam(config),
        resample_probability=config.resample_probability)
