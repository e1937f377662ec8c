"""Schedules: numbers that change with the number of steps.

A schedule is a function of the number of steps so far, int32 []. These are
frozen dataclasses, so that agents that have one are equal, hashable and can be
pickled; any other function of that kind works too, such as optax makes.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import checks

Schedule = Callable[[Array], Array]


@dataclasses.dataclass(frozen=True)
class Linear:
  """A line from one value to another, which then stays.

  Attributes:
    start: value at step 0.
    end: value from step `num_steps` on.
    num_steps: length of the line in steps, at least 1.
  """

  start: float
  end: float
  num_steps: int

  def __post_init__(self):
    checks.fields(self, 'a schedule', start=checks.real(), end=checks.real(),
                  num_steps=checks.COUNT)

  def _fraction(self, steps: Int[Array, '']) -> Float[Array, '']:
    """Returns the part of the way that is done, in [0, 1]."""
    return jnp.clip(steps / self.num_steps, 0., 1.).astype(jnp.float32)

  def __call__(self, steps: Int[Array, '']) -> Float[Array, '']:
    """Returns the value after a number of steps, float32 []."""
    return self.start + (self.end - self.start) * self._fraction(steps)


@dataclasses.dataclass(frozen=True)
class Cosine(Linear):
  """Half a period of a cosine from one value to another, which then stays."""

  def __call__(self, steps: Int[Array, '']) -> Float[Array, '']:
    """Returns the value after a number of steps, float32 []."""
    done = 0.5 * (1. - jnp.cos(jnp.pi * self._fraction(steps)))
    return self.start + (self.end - self.start) * done.astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class Geometric(Linear):
  """A geometric sequence from one value to another, which then stays.

    start (end / start)^(steps / num_steps)

  Attributes:
    start: value at step 0, positive.
    end: value from step `num_steps` on, positive.
    num_steps: length of the sequence in steps, at least 1.
  """

  def __post_init__(self):
    super().__post_init__()
    checks.fields(
        self, 'a schedule', start=checks.positive, end=checks.positive)

  def __call__(self, steps: Int[Array, '']) -> Float[Array, '']:
    """Returns the value after a number of steps, float32 []."""
    return self.start * (self.end / self.start)**self._fraction(steps)


@dataclasses.dataclass(frozen=True)
class GeometricHorizon(Linear):
  """Discounts gamma whose horizon 1 / (1 - gamma) is a geometric sequence.

  Attributes:
    start: gamma at step 0, in [0, 1).
    end: gamma from step `num_steps` on, in [0, 1).
    num_steps: length of the sequence in steps, at least 1.
  """

  def __post_init__(self):
    super().__post_init__()
    checks.fields(
        self, 'a schedule', start=checks.FRACTION, end=checks.FRACTION)
    for name in ('start', 'end'):
      if getattr(self, name) == 1.:
        raise ValueError(
            f'{name} of a schedule must be below 1, since the horizon is '
            f'finite, got {getattr(self, name)}')

  def __call__(self, steps: Int[Array, '']) -> Float[Array, '']:
    """Returns the value after a number of steps, float32 []."""
    first, last = 1. - self.start, 1. - self.end
    return 1. - first * (last / first)**self._fraction(steps)


@dataclasses.dataclass(frozen=True)
class Delayed:
  """A schedule that keeps its first value for a while.

  Attributes:
    schedule: schedule that begins after the delay.
    num_steps: delay in steps, at least 1.
  """

  schedule: Schedule
  num_steps: int

  def __post_init__(self):
    checks.fields(self, 'a schedule', schedule=checks.function,
                  num_steps=checks.COUNT)

  def __call__(self, steps: Int[Array, '']) -> Float[Array, '']:
    """Returns the value after a number of steps, float32 []."""
    return self.schedule(jnp.maximum(steps - self.num_steps, 0))


def check_fraction(name: str, value: Any) -> Any:
  """Checks a number in [0, 1], or a schedule of such numbers.

  A schedule's values are checked at some numbers of steps.
  """
  schedule = value
  if not callable(value):
    return checks.FRACTION(name, value)
  for step, found in samples(schedule).items():
    checks.FRACTION(f'{name} at step {step}', found)
  return value


def samples(schedule: Schedule) -> dict[int, float]:
  """Returns values of a schedule by the number of steps, for checks of it.

  Those of this module rise or fall from one end to the other, so their ends
  are enough. They are had without JAX, whose devices a config must not claim.

  Args:
    schedule: schedule of this module, or any function of that kind.
  """
  if isinstance(schedule, Linear):
    return {0: schedule.start, schedule.num_steps: schedule.end}
  if isinstance(schedule, Delayed):
    return {schedule.num_steps + steps: value
            for steps, value in samples(schedule.schedule).items()}
  with jax.ensure_compile_time_eval():  # Also where a program is traced.
    # A schedule may leave its range only after many steps.
    return {steps: float(schedule(jnp.asarray(steps, jnp.int32)))
            for steps in (0, 1, 10, 10**3, 10**5, 10**7, 2**31 - 1)}
