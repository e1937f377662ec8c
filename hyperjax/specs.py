"""What an agent must know of its environment, checked once and hashable."""

import math
from typing import Any, NamedTuple

import dm_env
from dm_env import specs
import jax
import jax.numpy as jnp
import numpy as np


class ObservationSpec(NamedTuple):
  """Shape and type of one observation.

  Attributes:
    shape: without any leading axes.
    dtype: name of the NumPy dtype.
    num_values: for a single category, how many there are; else None. Category
      i stands for the one-hot vector e_i, and any number outside
      0..num_values-1 for the zero vector.
  """

  shape: tuple[int, ...]
  dtype: str
  num_values: int | None

  @property
  def num_inputs(self) -> int:
    """Width of the observation as a vector."""
    return self.num_values or math.prod(self.shape)

  def zeros(self) -> jax.Array:
    """An observation to initialise networks and replay with."""
    return jnp.zeros(self.shape, self.dtype)

  def check(self, observation: Any, num_leading: int = 1):
    """Raises ValueError if a batch of observations does not fit this spec.

    Args:
      observation: an array with `num_leading` leading axes.
      num_leading: how many axes precede the observation's own.
    """
    shape = jnp.shape(observation)
    if len(shape) < num_leading or shape[num_leading:] != self.shape:
      raise ValueError(
          f'expected observations of shape {self.shape} behind {num_leading} '
          f'leading axes, got an array of shape {shape}')
    is_integer = np.issubdtype(jnp.result_type(observation), np.integer)
    if self.num_values is not None and not is_integer:
      raise ValueError(
          f'expected a category of 0..{self.num_values - 1} as an integer, got '
          f'{jnp.result_type(observation)}')


def observation_spec(spec: Any) -> ObservationSpec:
  """The hashable form of a dm_env observation spec.

  Args:
    spec: a `dm_env.specs.Array` or a subclass, or an `ObservationSpec`.

  Raises:
    ValueError: if the observation is not one single array of numbers.
  """
  if isinstance(spec, ObservationSpec):
    return spec
  if not isinstance(spec, specs.Array):
    raise ValueError(
        f'expected an observation spec of one array (dm_env.specs.Array), '
        f'got {spec!r}')
  # JAX keeps numbers in 32 bits unless it is told otherwise.
  dtype = np.dtype(jax.dtypes.canonicalize_dtype(spec.dtype))
  if isinstance(spec, specs.DiscreteArray):
    return ObservationSpec(spec.shape, dtype.name, int(spec.num_values))
  if not (np.issubdtype(dtype, np.number) or dtype == np.bool_):
    raise ValueError(f'expected an observation spec of numbers, got {spec!r}')
  return ObservationSpec(spec.shape, dtype.name, None)


def num_actions(spec: Any) -> int:
  """The number of actions of a dm_env action spec.

  Args:
    spec: a scalar `dm_env.specs.DiscreteArray`, or the number itself.

  Raises:
    ValueError: if the actions are not discrete, or there are none.
  """
  if isinstance(spec, specs.DiscreteArray) and not spec.shape:
    return int(spec.num_values)
  if isinstance(spec, (int, np.integer)) and not isinstance(spec, bool):
    if spec < 1:
      raise ValueError(f'expected at least one action, got {spec}')
    return int(spec)
  raise ValueError(
      'expected a discrete action spec (a scalar dm_env.specs.DiscreteArray) '
      f'or a number of actions, got {spec!r}')


def of_environment(environment: dm_env.Environment) -> tuple[
    ObservationSpec, int]:
  """Observation spec and number of actions of an environment.

  Raises:
    ValueError: as `observation_spec` and `num_actions` do.
  """
  return (observation_spec(environment.observation_spec()),
          num_actions(environment.action_spec()))
