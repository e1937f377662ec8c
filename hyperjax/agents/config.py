"""Settings that the algorithms share."""

from collections.abc import Callable, Sequence
import dataclasses

from flax import linen as nn
import optax

from hyperjax import networks
from hyperjax import optimizers
from hyperjax import targets
from hyperjax.replay import samplers


@dataclasses.dataclass(frozen=True, kw_only=True)
class TDConfig:
  """Settings that every agent of this package has.

  Attributes:
    torso: class of the torso, constructed with `hidden_sizes` and the spec of
      the observation, and by some agents with the keywords `kernel_init`,
      `bias_init` or `activation` of `networks.MLPTorso`.
    hidden_sizes: widths of the torso's dense layers.
    discount: gamma per step, in [0, 1].
    n_step: n, number of steps of a return.
    double: whether the online network selects the action of the target.
    learning_rate: step size of Adam.
    adam_epsilon: number added to the root of Adam's second moment; positive.
    max_gradient_norm: largest global norm of a gradient, to which larger ones
      are scaled down; None for no limit.
    target: update of the target network.
    batch_size: B, number of transitions in an update.
    replay_capacity: number of transitions kept; the oldest are overwritten.
    sampler: distribution of the transitions drawn from the replay.
    warmup_steps: number of environment steps before the first update, counted
      over all environments of an agent. Their actions are uniformly random.
    update_period: number of environment steps between two rounds of updates,
      counted over all environments of an agent; rounded down to a multiple of
      their number, but at least one step of each.
    updates_per_period: number of updates in each round.
    lazy_adam: whether updates are lazy: they leave unchanged the rows of the
      first layer that the batch does not read, if observations are categories
      (see `hyperjax.lazy_adam`).

  Raises:
    ValueError: if a setting is invalid.
  """

  torso: Callable[..., nn.Module] = networks.MLPTorso
  hidden_sizes: Sequence[int] = (64, 64)
  discount: float = 0.99
  n_step: int = 1
  double: bool = True
  learning_rate: float = 1e-3
  adam_epsilon: float = 1.5e-4
  max_gradient_norm: float | None = 10.
  target: targets.Target = targets.Periodic(4)
  batch_size: int = 128
  replay_capacity: int = 1_000_000
  sampler: samplers.Sampler = samplers.Uniform()
  warmup_steps: int = 128
  update_period: int = 1
  updates_per_period: int = 1
  lazy_adam: bool = False

  def __post_init__(self):
    # A config must be hashable, and a list is not.
    object.__setattr__(self, 'hidden_sizes', tuple(self.hidden_sizes))
    self.check_at_least('hidden_sizes', 1, *self.hidden_sizes)
    if not self.hidden_sizes:
      raise ValueError('hidden_sizes must name at least one layer, got ()')
    self.check_within('discount', 0., 1., self.discount)
    self.check_at_least('learning_rate', 0., self.learning_rate)
    # Zero would divide 0 by 0 at weights without a gradient so far.
    if not 0. < self.adam_epsilon < float('inf'):
      raise ValueError(
          f'adam_epsilon must be positive and finite, got {self.adam_epsilon}')
    if self.max_gradient_norm is not None and not self.max_gradient_norm > 0.:
      raise ValueError(
          f'max_gradient_norm must be positive or None, '
          f'got {self.max_gradient_norm}')
    for name in ('batch_size', 'replay_capacity', 'warmup_steps',
                 'update_period', 'updates_per_period', 'n_step'):
      self.check_at_least(name, 1, getattr(self, name))
    for name in ('batch_size', 'warmup_steps'):
      if getattr(self, name) > self.replay_capacity:
        raise ValueError(
            f'{name} must be at most replay_capacity, {self.replay_capacity}, '
            f'got {getattr(self, name)}')

  @staticmethod
  def check_at_least(name: str, minimum: float, *values: float):
    """Raises ValueError if a value is below the minimum or not finite."""
    for value in values:
      if value == float('inf'):
        raise ValueError(f'{name} must be finite, got {value}')
      if not value >= minimum:  # Also refuses a NaN.
        raise ValueError(f'{name} must be at least {minimum}, got {value}')

  @staticmethod
  def check_within(name: str, low: float, high: float, value: float):
    """Raises ValueError if a value is outside [low, high]."""
    if not low <= value <= high:
      raise ValueError(
          f'{name} must be between {low} and {high}, got {value}')


def adam(config: TDConfig) -> optax.GradientTransformationExtraArgs:
  """Returns Adam with the settings of an agent."""
  return optimizers.clipped(
      optimizers.adam(config.learning_rate, config.adam_epsilon),
      config.max_gradient_norm)
