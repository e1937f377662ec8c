"""Updates of the target network."""

import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int
import optax


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
    if self.period < 1:
      raise ValueError(
          f'the period of the target network must be at least 1, got '
          f'{self.period}')

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
    if not 0. < self.step_size <= 1.:
      raise ValueError(
          f'the step size of the target network must be in (0, 1], got '
          f'{self.step_size}')

  def __call__(self, params, target_params, steps) -> optax.Params:
    """See `Target`."""
    step_size = jnp.where(steps == 0, 1., self.step_size)
    return jax.tree.map(
        lambda new, old: (old + step_size * (new - old)).astype(old.dtype),
        params, target_params)
