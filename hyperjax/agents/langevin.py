"""DQN whose posterior sample is the parameters themselves: Langevin dynamics.

Ishfaq et al., "Provable and practical: efficient exploration in reinforcement
learning via Langevin Monte Carlo", ICLR 2024 (Adam LMCDQN); Dwaracherla and Van
Roy, "Langevin DQN", 2020. The value function and the loss are those of (Double)
DQN, and acting is greedy; the optimiser adds noise to every step, so that the
parameters wander over a posterior instead of settling
(`hyperjax.optimizers.adam_lmc` and `langevin_adam`).
"""

import dataclasses
from typing import Any

from hyperjax import optimizers
from hyperjax.agents import dqn


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamLMCDQNConfig(dqn.DQNConfig):
  """Settings of Adam LMCDQN; what is new beside `DQNConfig`.

  The noise is larger than what the authors search on Atari (hmishfaq/LMC-LSVI,
  `atari8_lmc.json`: learning rate 1e-4, noise 1e-8 to 1e-6, a 0.01 to 1), and
  so is the learning rate, 1e-3 as for the other agents on DeepSea.

  Attributes:
    noise_scale: of the Langevin noise, the root of the temperature.
    adam_factor: a, weight of the adaptive drift.
  """

  noise_scale: float = 1e-4
  adam_factor: float = 1.
  epsilon: float = 0.
  batch_size: int = 128
  min_replay_size: int = 128

  def __post_init__(self):
    super().__post_init__()
    self.check_at_least('noise_scale', 0., self.noise_scale)
    self.check_at_least('adam_factor', 0., self.adam_factor)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LangevinAdamConfig(dqn.DQNConfig):
  """Settings of Langevin Adam; what is new beside `DQNConfig`.

  Attributes:
    noise_scale: of the Langevin noise, the root of the temperature.
  """

  noise_scale: float = 1e-4
  epsilon: float = 0.
  batch_size: int = 128
  min_replay_size: int = 128

  def __post_init__(self):
    super().__post_init__()
    self.check_at_least('noise_scale', 0., self.noise_scale)


class AdamLMCDQN(dqn.DQN):
  """DQN with Adam SGLD, see the module."""

  def __init__(
      self,
      observation_spec: Any,
      num_actions: Any,
      config: AdamLMCDQNConfig = AdamLMCDQNConfig(),
  ):
    """Composes the agent; arguments and errors as in `HyperAgent`."""
    super().__init__(
        observation_spec, num_actions, config,
        optimizer=optimizers.clipped(
            optimizers.adam_lmc(
                config.learning_rate, config.noise_scale, config.adam_factor,
                config.adam_epsilon),
            config.max_gradient_norm))


class LangevinAdam(dqn.DQN):
  """DQN with Adam and preconditioned noise, see the module."""

  def __init__(
      self,
      observation_spec: Any,
      num_actions: Any,
      config: LangevinAdamConfig = LangevinAdamConfig(),
  ):
    """Composes the agent; arguments and errors as in `HyperAgent`."""
    super().__init__(
        observation_spec, num_actions, config,
        optimizer=optimizers.clipped(
            optimizers.langevin_adam(
                config.learning_rate, config.noise_scale, config.adam_epsilon),
            config.max_gradient_norm))
