"""Settings that the algorithms share."""

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

from flax import linen as nn
import optax

from hyperjax import augment
from hyperjax import checks
from hyperjax import networks
from hyperjax import optimizers
from hyperjax import resets as resets_lib
from hyperjax import schedules
from hyperjax import specs
from hyperjax import targets
from hyperjax.replay import returns
from hyperjax.replay import samplers


@dataclasses.dataclass(frozen=True, kw_only=True)
class TDConfig:
  """Settings that every agent of this package has.

  Attributes:
    torso: class of the torso, constructed with `hidden_sizes` and the spec of
      the observation, and by some agents with the keywords `kernel_init`,
      `bias_init` or `activation` of `networks.MLPTorso`.
    hidden_sizes: widths of the torso's dense layers.
    discount: gamma per step, in [0, 1], or a schedule of it: a function of the
      number of updates since the newest reset.
    reward_scaling: whether rewards are divided by their scale, which is
      measured (see `hyperjax.reward_scale`). Loops and adapters do so; a loop
      without a trainer has to do it itself.
    n_step: n, number of steps of a return, or such a schedule of it.
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
    sequence_length: K, number of steps after each transition's s that a batch
      has in its `sequences`; 0 for none.
    augmentation: random change of each observation of a batch; None for none.
    resets: when and how weights begin anew (see `hyperjax.resets`); None for
      never.

  Raises:
    ValueError: if a setting is invalid.
  """

  torso: Callable[..., nn.Module] = networks.MLPTorso
  hidden_sizes: Sequence[int] = (64, 64)
  discount: float | schedules.Schedule = 0.99
  reward_scaling: bool = False
  n_step: int | schedules.Linear = 1
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
  sequence_length: int = 0
  augmentation: augment.Augmentation | None = None
  resets: resets_lib.Resets | None = None

  def __post_init__(self):
    checks.fields(
        self,
        torso=_torso_class,
        hidden_sizes=checks.widths(1),
        discount=schedules.check_fraction,
        reward_scaling=checks.flag,
        n_step=returns.check_n_step,
        double=checks.flag,
        learning_rate=checks.positive,
        # Zero would divide 0 by 0 at weights without a gradient so far.
        adam_epsilon=checks.positive,
        max_gradient_norm=checks.optional(checks.positive),
        target=checks.component(targets.Target),
        batch_size=checks.COUNT,
        replay_capacity=checks.integer(1, maximum=2**63 - 1),
        sampler=checks.component(samplers.Sampler),
        warmup_steps=checks.COUNT,
        update_period=checks.COUNT,
        updates_per_period=checks.COUNT,
        lazy_adam=checks.flag,
        sequence_length=checks.integer(0),
        augmentation=checks.optional(checks.component(augment.Augmentation)),
        resets=checks.optional(checks.component(resets_lib.Resets)))
    for name in ('batch_size', 'warmup_steps'):
      if getattr(self, name) > self.replay_capacity:
        raise ValueError(
            f'{name} must be at most replay_capacity, {self.replay_capacity}, '
            f'got {getattr(self, name)}')
    if self.lazy_adam and self.sequence_length:
      raise ValueError(
          f'sequence_length must be 0 with lazy_adam, which reads the rows of '
          f's and s\' alone, got {self.sequence_length}')
    if self.resets is not None:
      self.resets.check(self.updates_per_period, None)


def _torso_class(name: str, value: Any) -> Any:
  """Checks what makes a torso from widths and a spec."""
  if isinstance(value, nn.Module):
    raise ValueError(
        f'{name} must be a class, or a function that makes a torso, got the '
        f'torso {value!r}')
  return checks.function(name, value)


def split_torso(
    config: TDConfig, spec: specs.ObservationSpec, **options: Any,
) -> tuple[nn.Module, int]:
  """Returns the torso of all widths but the last, and the last.

  Args:
    config: of the agent.
    spec: spec of the observations.
    **options: of the torso.

  Raises:
    ValueError: if dense layers alone would be a torso without any.
  """
  *sizes, last = config.hidden_sizes
  dense = isinstance(config.torso, type) and issubclass(
      config.torso, networks.MLPTorso)
  if dense and not sizes:
    raise ValueError(
        f'hidden_sizes must have at least two layers, of which the last is not '
        f'the torso\'s, got {config.hidden_sizes}')
  return config.torso(tuple(sizes), spec, **options), last


def adam(
    config: TDConfig, weight_decay: float = 0.,
) -> optax.GradientTransformationExtraArgs:
  """Returns Adam with the settings of an agent.

  Args:
    config: of the agent.
    weight_decay: see `optimizers.adam`.
  """
  return optimizers.clipped(
      optimizers.adam(config.learning_rate, config.adam_epsilon,
                      weight_decay),
      config.max_gradient_norm)
