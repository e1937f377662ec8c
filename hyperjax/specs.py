"""Specs of observations and actions, checked once and hashable."""

import math
from typing import Any, NamedTuple

from dm_env import specs
import jax
import jax.numpy as jnp
import numpy as np

from hyperjax import arrays
from hyperjax import checks
from hyperjax import spaces

Bound = float | tuple[float, ...] | None


class _Bounds(tuple):
  """A tuple that computes its hash once.

  Specs are static arguments of compiled functions, which hash them at every
  call, and an image has tens of thousands of bounds.
  """

  def __hash__(self):
    if not hasattr(self, '_hash'):
      self._hash = super().__hash__()
    return self._hash


class ObservationSpec(NamedTuple):
  """Shape, dtype and range of one observation.

  Attributes:
    shape: shape without leading axes.
    dtype: name of the NumPy dtype.
    num_values: number of categories, for an observation that is a single
      category; else None. Category i stands for the one-hot vector e_i, and a
      number outside 0..num_values-1 for the zero vector.
    minimum: smallest value, one number or one per entry of the flattened
      observation; None if unknown.
    maximum: largest value, in the form of `minimum`; None if unknown.
  """

  shape: tuple[int, ...]
  dtype: str
  num_values: int | None = None
  minimum: Bound = None
  maximum: Bound = None

  @property
  def num_inputs(self) -> int:
    """Number of entries of the observation as a vector."""
    return self.num_values or math.prod(self.shape)

  def zeros(self) -> jax.Array:
    """Returns an observation of zeros, to initialise networks and replays."""
    return jnp.zeros(self.shape, self.dtype)

  def check(self, observation: Any, num_leading: int = 1):
    """Checks that a batch of observations fits this spec.

    The check uses only the shape and the kind of number, so that it accepts
    traced arrays.

    Args:
      observation: array with `num_leading` leading axes.
      num_leading: number of axes before the observation's own.

    Raises:
      ValueError: if the shape or the kind of number differs.
    """
    shape = jnp.shape(observation)
    if len(shape) < num_leading or shape[num_leading:] != self.shape:
      raise ValueError(
          f'expected observations of shape {self.shape} after {num_leading} '
          f'leading axes, got an array of shape {shape}')
    try:
      # An array's own type, which JAX may take for a narrower one.
      dtype = (observation.dtype if hasattr(observation, 'dtype')
               else jnp.result_type(observation))
    except TypeError as error:
      raise ValueError(
          f'expected observations of type {self.dtype}, got {observation!r}'
      ) from error
    if _kind(dtype) != _kind(self.dtype):
      category = '' if self.num_values is None else (
          f', a category of 0..{self.num_values - 1}')
      raise ValueError(
          f'expected observations of type {self.dtype}{category}, got {dtype}')

  def convert(self, observation: Any, num_leading: int = 0) -> np.ndarray:
    """Returns an observation of an environment as an array of this spec.

    Floating-point numbers may be rounded.

    Args:
      observation: numbers in an array or a (nested) list.
      num_leading: number of axes before the observation's own.

    Raises:
      ValueError: if the shape or the kind of number differs, or if a number is
        not finite or does not fit the dtype.
    """
    array = np.asarray(observation)
    if not num_leading and (
        array.dtype == self.dtype and array.shape == self.shape):
      # The usual case, fast because it occurs at every step.
      if array.dtype.kind in 'biu' or np.isfinite(array).all():
        return array
    self.check(array, num_leading)
    if _kind(array.dtype) == 'f' and not np.all(np.isfinite(array)):
      raise ValueError(
          f'expected a finite observation, got '
          f'{array[~np.isfinite(array)].ravel()[0]}')
    return arrays.cast(array, self.dtype)


def _cached(bound: Bound) -> Bound:
  return _Bounds(bound) if type(bound) is tuple else bound


def _kind(dtype: Any) -> str:
  kind = np.dtype(dtype).kind if not jax.dtypes.issubdtype(
      dtype, jnp.bfloat16) else 'f'
  return 'i' if kind == 'u' else kind


def check_spec(name: str, spec: Any) -> ObservationSpec:
  """Checks that a value is a valid `ObservationSpec`; see `checks`.

  Raises:
    ValueError: if it is of another kind, or a field is invalid.
  """
  if not isinstance(spec, ObservationSpec):
    raise ValueError(f'{name} must be an ObservationSpec, got {spec!r}')
  if not isinstance(spec.shape, tuple):
    raise ValueError(f'shape of {name} must be a tuple, got {spec.shape!r}')
  shape = tuple(checks.integer(0)(f'shape of {name}', n) for n in spec.shape)
  try:
    if spec.dtype is None:
      raise TypeError('NumPy would take None for float64')
    dtype = jnp.dtype(spec.dtype)
  except TypeError as error:
    raise ValueError(
        f'dtype of {name} must be the name of a dtype, got {spec.dtype!r}'
    ) from error
  num_values = checks.optional(checks.COUNT)(
      f'num_values of {name}', spec.num_values)
  if num_values is not None and (shape or _kind(dtype) != 'i'):
    raise ValueError(
        f'a category must be one integer, got {name} of shape {shape} and '
        f'type {dtype.name} with num_values {num_values}')
  if tuple in (type(spec.minimum), type(spec.maximum)):
    spec = spec._replace(
        minimum=_cached(spec.minimum), maximum=_cached(spec.maximum))
  checked = spec._replace(
      shape=shape, dtype=dtype.name, num_values=num_values)
  try:
    hash(checked)
  except TypeError as error:
    raise ValueError(
        f'minimum and maximum of {name} must be numbers or tuples of them, got '
        f'{spec!r}') from error
  return spec if checked == spec else checked


def observation_spec(spec: Any) -> ObservationSpec:
  """Returns the hashable form of an observation spec.

  Args:
    spec: `dm_env.specs.Array` or a subclass, an `ObservationSpec`, or a space
      of gymnasium. A Dict or Tuple space stands for the vector that
      `hyperjax.spaces.observation` makes of its observations.

  Raises:
    ValueError: if the observation is not one array of numbers, or an empty one.
  """
  if spaces.is_space(spec):
    spec = spaces.observation_spec(spec)
  if not isinstance(spec, ObservationSpec):
    spec = _from_dm_env(spec)
  spec = check_spec('an observation spec', spec)
  if not math.prod(spec.shape):
    raise ValueError(
        f'expected observations of at least one number, got the shape '
        f'{spec.shape}')
  return spec


def _from_dm_env(spec: Any) -> ObservationSpec:
  if not isinstance(spec, specs.Array):
    raise ValueError(
        f'expected an observation spec of one array (dm_env.specs.Array; '
        f'several are made one by environments.FlatObservation) or a space of '
        f'gymnasium, got {spec!r}')
  # Without jax_enable_x64, JAX keeps numbers in 32 bits.
  dtype = np.dtype(jax.dtypes.canonicalize_dtype(spec.dtype))
  if isinstance(spec, specs.DiscreteArray):
    return ObservationSpec(spec.shape, dtype.name, int(spec.num_values))
  if not (np.issubdtype(dtype, np.number) or dtype == np.bool_):
    raise ValueError(f'expected an observation spec of numbers, got {spec!r}')
  if isinstance(spec, specs.BoundedArray):
    return ObservationSpec(
        spec.shape, dtype.name, None, _bound(spec.minimum, spec.shape),
        _bound(spec.maximum, spec.shape))
  return ObservationSpec(spec.shape, dtype.name)


def _bound(bound: np.ndarray, shape: tuple[int, ...]) -> Bound:
  """Returns a bound as one number if its entries are equal, else as a tuple."""
  values = np.broadcast_to(bound, shape).astype(float).ravel()
  if not values.size:
    return None
  return float(values[0]) if (values == values[0]).all() else _Bounds(
      values.tolist())


def num_actions(spec: Any) -> int:
  """Returns the number of actions of an action spec.

  Args:
    spec: scalar `dm_env.specs.DiscreteArray`, scalar
      `dm_env.specs.BoundedArray` of integers from 0, Discrete space of
      gymnasium, or the number of actions itself.

  Raises:
    ValueError: if the actions are not discrete, or there are none.
  """
  if spaces.is_space(spec):
    return spaces.num_actions(spec)
  if isinstance(spec, specs.DiscreteArray) and not spec.shape:
    return int(spec.num_values)
  if (isinstance(spec, specs.BoundedArray) and not spec.shape
      and np.issubdtype(spec.dtype, np.integer) and spec.minimum == 0):
    return int(spec.maximum) + 1
  if isinstance(spec, (int, np.integer)) and not isinstance(spec, bool):
    if spec < 1:
      raise ValueError(f'expected at least one action, got {spec}')
    return int(spec)
  raise ValueError(
      'expected a discrete action spec (a scalar dm_env.specs.DiscreteArray, '
      'or integers from 0 to a maximum) or a number of actions, got '
      f'{spec!r}')


def of_environment(environment: Any) -> tuple[ObservationSpec, int]:
  """Returns the observation spec and number of actions of an environment.

  Args:
    environment: of dm_env, or any other with its methods `observation_spec` and
      `action_spec`, as those of this library have them.

  Raises:
    ValueError: if `observation_spec` or `num_actions` raises it.
  """
  return (observation_spec(environment.observation_spec()),
          num_actions(environment.action_spec()))
