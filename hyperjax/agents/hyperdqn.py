"""HyperDQN: an earlier last-layer hypermodel.

Li, Li, Yang, Bao, Zhang, Wang and Luo, "HyperDQN: a randomized exploration
method for deep reinforcement learning", ICLR 2022. HyperDQN differs from
HyperAgent (`hyperjax.agents.hyperagent`) in three respects:

  the hypermodel also generates the output bias;
  all transitions of a batch share one set of indices;
  the target of an index is computed at the same index, z' = z.

The target is perturbed by sigma xi^T z, as in HyperAgent.
"""

import dataclasses

from flax import linen as nn

from hyperjax import checks
from hyperjax import data_noise
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax.agents import config as config_lib
from hyperjax.agents import td


@dataclasses.dataclass(frozen=True, kw_only=True)
class HyperDQNConfig(config_lib.TDConfig):
  """Settings of HyperDQN, in addition to those of `TDConfig`.

  The defaults are those of the authors' code on DeepSea (liziniu/HyperDQN at
  c197f880, `scripts/hyper_dqn/run_deepsea.sh`): an index of dimension 2 on the
  unit sphere; 20 indices and 20 batches of 128 transitions per update, every
  index with every transition; Double DQN's targets (the code ignores the
  script's `double_q=0`). Only the first `warmup_steps` actions differ: they are
  random here, as for every agent.

  Attributes:
    index_dim: M.
    num_index_samples: K, number of indices z per update.
    prior_scale: factor of the fixed prior, another such network with its
      initial weights; 0 for no prior.
    noise: sigma * xi, in units of reward.
  """

  index_dim: int = 2
  num_index_samples: int = 20
  prior_scale: float = 10.
  noise: data_noise.DataNoise = data_noise.Perturbation()
  adam_epsilon: float = 1e-8
  max_gradient_norm: float | None = None
  batch_size: int = 2560
  replay_capacity: int = 200_000

  def __post_init__(self):
    super().__post_init__()
    checks.fields(
        self,
        index_dim=checks.COUNT,
        num_index_samples=checks.COUNT,
        prior_scale=checks.NONNEGATIVE,
        noise=checks.component(data_noise.DataNoise))


@dataclasses.dataclass(frozen=True)
class HyperDQN(td.TDAgent):
  """HyperDQN; see the module."""

  config: HyperDQNConfig = HyperDQNConfig()

  def make_components(self) -> td.Components:
    """See `TDAgent`."""
    config = self.config
    index = index_lib.Sphere(config.index_dim)

    def hypermodel():
      truncated = networks.initializers.truncated
      return nn.Sequential((
          config.torso(config.hidden_sizes, self.observation_spec,
                       kernel_init=truncated()),
          networks.HypermodelHead(
              self.num_actions, index.dim, mean_init=nn.initializers.zeros,
              factor_init=truncated(num_batch_axes=1), bias=True)))

    network = networks.AffineValue(
        hypermodel(), hypermodel() if config.prior_scale > 0. else None,
        prior_scale=config.prior_scale)
    return td.Components(
        network=network,
        index=index,
        loss=losses.SampledTD(
            network, index, config.double,
            losses.Shared(config.num_index_samples), config.noise),
        optimizer=config_lib.adam(config),
        target=config.target)
