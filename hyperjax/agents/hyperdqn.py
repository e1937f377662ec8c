"""HyperDQN: an earlier last-layer hypermodel.

Li, Li, Yang, Bao, Zhang, Wang and Luo, "HyperDQN: a randomized exploration
method for deep reinforcement learning", ICLR 2022. It differs from HyperAgent
(`hyperjax.agents.hyperagent`) in three places:

  the hypermodel generates the output's bias too;
  one set of indices is shared by all transitions of a batch;
  the target of an index is taken at that same index.

The target is perturbed by sigma xi^T z as in HyperAgent.
"""

import dataclasses
from typing import Any

from flax import linen as nn

from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import perturbation
from hyperjax import specs
from hyperjax.agents import td


@dataclasses.dataclass(frozen=True, kw_only=True)
class HyperDQNConfig(td.TDConfig):
  """Settings of HyperDQN; what is new beside `TDConfig`.

  The defaults are those for DeepSea in the authors' code (liziniu/HyperDQN at
  c197f880, `scripts/hyper_dqn/run_deepsea.sh`): plain DQN targets, an index of
  dimension 2, 20 indices for each update.

  Attributes:
    index_dim: M.
    num_index_samples: indices z for each update.
    prior_scale: of the fixed prior; 0 leaves it out.
    prior_std: length of each row of the prior's factors.
    perturbation_scale: sigma, in units of reward.
  """

  index_dim: int = 2
  num_index_samples: int = 20
  prior_scale: float = 10.
  prior_std: float = 1.
  perturbation_scale: float = 0.
  double: bool = False
  replay_capacity: int = 200_000

  def __post_init__(self):
    super().__post_init__()
    self.check_at_least('index_dim', 1, self.index_dim)
    self.check_at_least('num_index_samples', 1, self.num_index_samples)
    for name in ('prior_scale', 'prior_std', 'perturbation_scale'):
      self.check_at_least(name, 0., getattr(self, name))


class HyperDQN(td.TDAgent):
  """HyperDQN, see the module."""

  def __init__(
      self,
      observation_spec: Any,
      num_actions: Any,
      config: HyperDQNConfig = HyperDQNConfig(),
  ):
    """Composes the agent; arguments and errors as in `HyperAgent`."""
    spec = specs.observation_spec(observation_spec)
    num_actions = specs.num_actions(num_actions)
    index = index_lib.Gaussian(config.index_dim)

    def hypermodel(factor_init):
      return nn.Sequential((
          config.torso(config.hidden_sizes, spec),
          networks.HypermodelHead(
              num_actions, index.dim,
              mean_init=networks.sphere_init(config.prior_std),
              factor_init=factor_init, bias=True)))

    prior = None
    if config.prior_scale > 0.:
      prior = hypermodel(networks.factor_sphere_init(config.prior_std))
    network = networks.AffineValue(
        hypermodel(networks.factor_xavier_init()), prior,
        prior_scale=config.prior_scale)
    super().__init__(
        observation_spec=spec,
        num_actions=num_actions,
        config=config,
        network=network,
        index=index,
        loss=losses.SampledTD(
            network, index,
            perturbation.Perturbation(
                index_lib.Sphere(index.dim), config.perturbation_scale),
            config.double, losses.SharedIndices(config.num_index_samples),
            tied=True),
        optimizer=td.adam(config))
