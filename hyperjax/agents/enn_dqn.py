"""ENN-DQN: Q-learning with an epinet.

Osband et al., "Approximate Thompson sampling via epistemic neural networks",
UAI 2023. The value function is a base network plus an epinet on its features
and the index, with a fixed prior epinet (`hyperjax.networks.EpinetValue`). The
actor keeps one Gaussian index for an episode. The loss is that of HyperAgent,

  E_z (r + gamma Q-(s', a*; z') - Q(s, a; z))^2,

with the expectation sampled, since Q is not affine in z. With another torso
than `MLPTorso`, as on frames, the epinet sees only the features of the torso.
"""

import dataclasses

from hyperjax import acting as acting_lib
from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax.agents import config as config_lib
from hyperjax.agents import td


@dataclasses.dataclass(frozen=True, kw_only=True)
class ENNDQNConfig(config_lib.TDConfig):
  """Settings of ENN-DQN, in addition to those of `TDConfig`.

  The defaults are those of the authors of HyperAgent for their comparison on
  DeepSea (szrlee/HyperAgent at 014902c,
  `hyperagent/scripts/enndqn/run_deepsea.py`).

  Attributes:
    index_dim: M.
    pairs: pairs of indices of a transition and its target in the loss.
    epinet_size: width of the epinet's hidden layer.
    prior_scale: factor of the prior epinet.
    acting: policy, with the probability of a new index.
  """

  index_dim: int = 4
  pairs: losses.Pairs = losses.Independent(20)
  epinet_size: int = 50
  prior_scale: float = 1.
  acting: acting_lib.Acting = acting_lib.Thompson(resample_probability=0.01)

  def __post_init__(self):
    super().__post_init__()
    checks.fields(
        self,
        index_dim=checks.COUNT,
        pairs=checks.component(losses.Pairs),
        epinet_size=checks.COUNT,
        prior_scale=checks.NONNEGATIVE,
        acting=checks.component(acting_lib.Acting, 'a policy'))


@dataclasses.dataclass(frozen=True)
class ENNDQN(td.TDAgent):
  """ENN-DQN; see the module."""

  config: ENNDQNConfig = ENNDQNConfig()

  def make_components(self) -> td.Components:
    """See `TDAgent`."""
    config = self.config
    index = index_lib.Gaussian(config.index_dim)
    network = networks.EpinetValue(
        self.num_actions, config.index_dim, self.observation_spec,
        config.hidden_sizes, config.torso, config.epinet_size,
        prior_scale=config.prior_scale)
    return td.Components(
        network=network,
        index=index,
        loss=losses.SampledTD(network, index, config.double, config.pairs),
        optimizer=config_lib.adam(config),
        target=config.target,
        acting=config.acting)
