"""DQN and Double DQN.

Mnih et al., "Human-level control through deep reinforcement learning", Nature
2015; van Hasselt, Guez and Silver, "Deep reinforcement learning with double
Q-learning", AAAI 2016. The value function is plain, Q(s, a); the loss is

  (r + gamma Q-(s', a*) - Q(s, a))^2,

where a* is greedy for Q (double, the default) or for Q- (as in 2015); acting
is epsilon-greedy. In the terms of this library: the index has dimension 0.
"""

import dataclasses
from typing import Any

from flax import linen as nn
import optax

from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import perturbation
from hyperjax import specs
from hyperjax.agents import td


@dataclasses.dataclass(frozen=True, kw_only=True)
class DQNConfig(td.TDConfig):
  """Settings of DQN; what is new beside `TDConfig`.

  The defaults are those of bsuite's DQN (google-deepmind/bsuite at effafc01,
  `bsuite/baselines/jax/dqn`), but for the initial weights and the first
  `min_replay_size` actions, which are random here, with Double DQN's target
  added.

  Attributes:
    epsilon: probability of a uniformly random action.
    scale: of the network's output.
    gradient_penalty: coefficient of `losses.GradientPenalty`.
  """

  epsilon: float = 0.05
  scale: float = 1.
  gradient_penalty: float = 0.
  batch_size: int = 32
  adam_epsilon: float = 1e-8
  max_gradient_norm: float | None = None
  replay_capacity: int = 10_000
  min_replay_size: int = 100

  def __post_init__(self):
    super().__post_init__()
    self.check_within('epsilon', 0., 1., self.epsilon)
    self.check_at_least('gradient_penalty', 0., self.gradient_penalty)

  @classmethod
  def like_hyperagent_atari(cls, **overrides: Any) -> 'DQNConfig':
    """HyperAgent's published Atari settings without the hypermodel.

    The comparison DDQN(ours) of the HyperAgent paper, whose own settings are
    not published. No prior, epsilon-greedy exploration with the epsilon of this
    class, and no ridge, which is on the weights that a hypermodel generates.
    """
    return cls(**{
        'scale': 0.1,
        'gradient_penalty': 0.01,
        'torso': networks.HyperAgentTorso,
        'hidden_sizes': (256,),
        'n_step': 5,
        'learning_rate': 1e-4,
        'adam_epsilon': 1.5e-4,
        'max_gradient_norm': 10.,
        'batch_size': 32,
        'target_period': 5,
        'replay_capacity': 100_000,
        'min_replay_size': 2000,
        **overrides})

  @classmethod
  def atari_cpu(cls, **overrides: Any) -> 'DQNConfig':
    """The same for a few CPU cores, as `HyperAgentConfig.atari_cpu`."""
    return cls.like_hyperagent_atari(**{
        'gradient_penalty': 0.,
        'torso': networks.SmallHyperAgentTorso,
        **overrides})


class DQN(td.TDAgent):
  """(Double) DQN, see the module."""

  def __init__(
      self,
      observation_spec: Any,
      num_actions: Any,
      config: DQNConfig = DQNConfig(),
      optimizer: optax.GradientTransformation | None = None,
  ):
    """Composes the agent; arguments and errors as in `HyperAgent`.

    Args:
      observation_spec: as in `HyperAgent`.
      num_actions: as in `HyperAgent`.
      config: see `DQNConfig`.
      optimizer: in the place of Adam with the config's settings.
    """
    spec = specs.observation_spec(observation_spec)
    num_actions = specs.num_actions(num_actions)
    index = index_lib.NoIndex()
    network = networks.AffineValue(nn.Sequential((
        config.torso(config.hidden_sizes, spec),
        networks.LinearHead(num_actions))), scale=config.scale)
    loss = losses.ExactTD(
        network, index, perturbation.Perturbation(index, 0.), config.double)
    if config.gradient_penalty > 0.:
      loss = losses.GradientPenalty(
          loss, network, index, config.gradient_penalty)
    super().__init__(
        observation_spec=spec,
        num_actions=num_actions,
        config=config,
        network=network,
        index=index,
        loss=loss,
        optimizer=(td.adam(config) if optimizer is None
                   else optax.with_extra_args_support(optimizer)),
        epsilon=config.epsilon)
