"""DQN with Langevin dynamics: the parameters are a posterior sample.

Ishfaq et al., "Provable and practical: efficient exploration in reinforcement
learning via Langevin Monte Carlo", ICLR 2024 (Adam LMCDQN); Dwaracherla and Van
Roy, "Langevin DQN", 2020. The value function and the loss are those of (Double)
DQN, and acting is greedy. The optimiser adds noise to every step, so that the
parameters move over a posterior instead of converging
(`hyperjax.optimizers.adam_lmc` and `langevin_adam`).
"""

import dataclasses

import optax

from hyperjax import acting as acting_lib
from hyperjax import checks
from hyperjax import optimizers
from hyperjax.agents import dqn


@dataclasses.dataclass(frozen=True, kw_only=True)
class LangevinAdamConfig(dqn.DQNConfig):
  """Settings of Langevin Adam, in addition to those of `DQNConfig`.

  Attributes:
    noise_scale: root of the temperature of the Langevin noise.
  """

  noise_scale: float = 1e-4
  acting: acting_lib.Acting = acting_lib.EpsilonGreedy(epsilon=0.)
  batch_size: int = 128
  warmup_steps: int = 128

  def __post_init__(self):
    super().__post_init__()
    checks.fields(self, noise_scale=checks.NONNEGATIVE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamLMCDQNConfig(LangevinAdamConfig):
  """Settings of Adam LMCDQN, in addition to those of `LangevinAdamConfig`.

  The noise is larger than the values that the authors search on Atari
  (hmishfaq/LMC-LSVI, `atari8_lmc.json`: learning rate 1e-4, noise 1e-8 to 1e-6,
  a 0.01 to 1), and so is the learning rate, 1e-3 as for the other agents on
  DeepSea.

  Attributes:
    adam_factor: a, weight of the adaptive drift.
  """

  adam_factor: float = 1.

  def __post_init__(self):
    super().__post_init__()
    checks.fields(self, adam_factor=checks.NONNEGATIVE)


@dataclasses.dataclass(frozen=True)
class AdamLMCDQN(dqn.DQN):
  """DQN with Adam SGLD; see the module."""

  config: AdamLMCDQNConfig = AdamLMCDQNConfig()

  def make_optimizer(self) -> optax.GradientTransformationExtraArgs:
    """Returns Adam SGLD with the settings of the config."""
    config = self.config
    return optimizers.clipped(
        optimizers.adam_lmc(
            config.learning_rate, config.noise_scale, config.adam_factor,
            config.adam_epsilon),
        config.max_gradient_norm)


@dataclasses.dataclass(frozen=True)
class LangevinAdam(dqn.DQN):
  """DQN with Adam and preconditioned noise; see the module."""

  config: LangevinAdamConfig = LangevinAdamConfig()

  def make_optimizer(self) -> optax.GradientTransformationExtraArgs:
    """Returns Adam with preconditioned noise and the settings of the config."""
    config = self.config
    return optimizers.clipped(
        optimizers.langevin_adam(
            config.learning_rate, config.noise_scale, config.adam_epsilon),
        config.max_gradient_norm)
