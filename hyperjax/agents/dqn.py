"""DQN and Double DQN.

Mnih et al., "Human-level control through deep reinforcement learning", Nature
2015; van Hasselt, Guez and Silver, "Deep reinforcement learning with double
Q-learning", AAAI 2016. The value function is Q(s, a), without an index, and the
loss

  (r + gamma Q-(s', a*) - Q(s, a))^2,

where a* is greedy for Q (Double DQN, the default) or for Q- (DQN). Acting is
epsilon-greedy. In the terms of this library: the index has dimension 0.
"""

import dataclasses

from flax import linen as nn
import optax

from hyperjax import acting as acting_lib
from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import regularizers
from hyperjax.agents import config as config_lib
from hyperjax.agents import td


@dataclasses.dataclass(frozen=True, kw_only=True)
class DQNConfig(config_lib.TDConfig):
  """Settings of DQN, in addition to those of `TDConfig`.

  The defaults are those of bsuite's DQN (google-deepmind/bsuite at effafc01,
  `bsuite/baselines/jax/dqn`) with Double DQN's target, except for the initial
  weights and the first `warmup_steps` actions, which are random here.

  Attributes:
    acting: policy, epsilon-greedy or another one.
    scale: factor of the network's output.
    gradient_penalty: coefficient of `regularizers.GradientPenalty`.
  """

  acting: acting_lib.Acting = acting_lib.EpsilonGreedy(epsilon=0.05)
  scale: float = 1.
  gradient_penalty: float = 0.
  batch_size: int = 32
  adam_epsilon: float = 1e-8
  max_gradient_norm: float | None = None
  replay_capacity: int = 10_000
  warmup_steps: int = 100

  def __post_init__(self):
    super().__post_init__()
    checks.fields(
        self, acting=checks.component(acting_lib.Acting, 'a policy'),
        scale=checks.NONNEGATIVE, gradient_penalty=checks.NONNEGATIVE)


@dataclasses.dataclass(frozen=True)
class DQN(td.TDAgent):
  """(Double) DQN; see the module."""

  config: DQNConfig = DQNConfig()

  def make_optimizer(self) -> optax.GradientTransformationExtraArgs:
    """Returns the optimiser: Adam with the settings of the config."""
    return config_lib.adam(self.config)

  def make_components(self) -> td.Components:
    """See `TDAgent`."""
    config = self.config
    index = index_lib.NoIndex()
    network = networks.AffineValue(nn.Sequential((
        config.torso(config.hidden_sizes, self.observation_spec),
        networks.LinearHead(self.num_actions))), scale=config.scale)
    loss = losses.ExactTD(network, index, config.double)
    if config.gradient_penalty > 0.:
      loss = regularizers.GradientPenalty(
          loss, network, index, config.gradient_penalty)
    return td.Components(
        network=network, index=index, loss=loss,
        optimizer=self.make_optimizer(), target=config.target,
        acting=config.acting)
