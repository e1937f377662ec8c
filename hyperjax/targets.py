"""Updates of the target network."""

import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int
import optax

from hyperjax import checks


@runtime_checkable
class Target(Protocol):
  """Computes the target network's weights before each update."""

  def __call__(
      self, params: optax.Params, target_params: optax.Params,
      steps: Int[Array, ''],
  ) -> optax.Params:
    """Returns the target network's weights.

    Args:
      params: trained weights of the online network after `steps` updates.
      target_params: current weights of the target network.
      steps: number of updates, int32 [].
    """
    ...


@dataclasses.dataclass(frozen=True)
class Periodic:
  """Copies the online network every `period` updates.

  Attributes:
    period: number of updates between two copies, at least 1.
  """

  period: int = 4

  def __post_init__(self):
    checks.fields(self, 'the target network', period=checks.COUNT)

  def __call__(self, params, target_params, steps) -> optax.Params:
    """See `Target`."""
    return optax.periodic_update(params, target_params, steps, self.period)


@dataclasses.dataclass(frozen=True)
class MovingAverage:
  """Exponential moving average of the online network.

    target <- target + step_size (online - target)

  Before the first update the target is the online network.

  Attributes:
    step_size: weight of the online network, in (0, 1]; 1 copies the online
      network at every update.
  """

  step_size: float = 0.005

  def __post_init__(self):
    for check in (checks.positive, checks.FRACTION):
      checks.fields(self, 'the target network', step_size=check)

  def __call__(self, params, target_params, steps) -> optax.Params:
    """See `Target`."""
    step_size = jnp.where(steps == 0, 1., self.step_size)
    return jax.tree.map(
        lambda new, old: (old + step_size * (new - old)).astype(old.dtype),
        params, target_params)
