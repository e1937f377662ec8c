"""Spaces of gymnasium, and nested specs, as specs of one array.

Several arrays become one vector, float32, by one rule, for spaces as for nested
specs of dm_env:

- The entries of a dictionary follow each other in the order of their names, the
  entries of a tuple in their own order, both at any depth.
- An array is read row by row, its numbers rounded to float32.
- A category (`Discrete`, `DiscreteArray`) becomes its one-hot vector.

A single array or category stays as it is. The package gymnasium is not needed:
whoever has a space has imported it.
"""

from collections.abc import Iterable, Mapping, Sequence
import math
import sys
from typing import Any

from dm_env import specs
import jax
import numpy as np

from hyperjax import arrays

_INT32_MAX = np.iinfo(np.int32).max
# The kinds of numbers that may stand for those of a dtype, by its kind. Only
# floating-point numbers may be rounded.
_KINDS = {'b': 'b', 'i': 'biu', 'u': 'biu', 'f': 'biuf'}


def is_space(x: Any) -> bool:
  """Returns whether something is a space of gymnasium."""
  gymnasium = sys.modules.get('gymnasium')
  return isinstance(x, getattr(gymnasium, 'Space', ()))


def observation_spec(space: Any, name: str = 'observation') -> specs.Array:
  """Returns the spec of the observations that `observation` makes of a space's.

  Args:
    space: `gymnasium.spaces` Box, Discrete or MultiBinary, or Dict or Tuple of
      these. The values of a Discrete space are shifted to begin at 0.
    name: name of the spec.

  Raises:
    ValueError: if the space is, or has in it, another kind of space.
  """
  return flat_spec(nested_spec(space), name)


def nested_spec(space: Any) -> Any:
  """Returns a space as the spec or nested specs that `flatten` takes.

  Raises:
    ValueError: see `observation_spec`.
  """
  return _nested_spec(space, space)


def observation(space: Any, value: Any) -> np.ndarray:
  """Returns an observation of a space as an array of `observation_spec`.

  What calls it at every step is faster with the `nested_spec` made once.

  Raises:
    ValueError: see `flatten`; or if a category is none of its space's.
  """
  return flatten(nested_spec(space), from_zero(space, value))


def from_zero(space: Any, value: Any) -> Any:
  """Returns an observation whose categories begin at 0.

  Args:
    space: see `observation_spec`.
    value: observation, or for a single array any number of them.

  Raises:
    ValueError: if names or a length differ from those of the space, or a
      category is none of its space's.
  """
  if _is(space, 'Dict'):
    _check_names(space.spaces, value)
    return {key: from_zero(x, value[key]) for key, x in space.spaces.items()}
  if _is(space, 'Tuple'):
    _check_length(space.spaces, value)
    return tuple(
        from_zero(x, v) for x, v in zip(space.spaces, value, strict=True))
  if not _is(space, 'Discrete'):
    return value
  array = np.asarray(value)
  if array.dtype.kind not in 'biu' or np.any(
      (array < space.start) | (array >= space.start + space.n)):
    raise ValueError(f'expected an observation of {space}, got {value!r}')
  return np.asarray(array - space.start, np.int32)


def num_actions(space: Any) -> int:
  """Returns the number of actions of a `gymnasium.spaces.Discrete`.

  Action 0 of an agent is the `start` of the space.

  Raises:
    ValueError: if the space is of another kind.
  """
  if not _is(space, 'Discrete'):
    raise ValueError(f'expected an action space of Discrete, got {space}')
  return int(space.n)


def flat_spec(spec: Any, name: str = 'observation') -> specs.Array:
  """Returns the spec of the vector that `flatten` makes; see the module.

  Args:
    spec: dm_env spec of numbers, or a (nested) dictionary or tuple of such.
    name: name of the spec.

  Raises:
    ValueError: if there is anything else in it, or nothing at all.
  """
  if isinstance(spec, specs.Array):
    return _check_numbers(spec)
  lows, highs = [], []
  for part in _leaves(spec):
    size = math.prod(_check_numbers(part).shape)
    low, high = -np.inf, np.inf
    if isinstance(part, specs.DiscreteArray):
      low, high, size = 0., 1., int(part.num_values)
    elif isinstance(part, specs.BoundedArray):
      low, high = (np.broadcast_to(x, part.shape).ravel()
                   for x in (part.minimum, part.maximum))
    elif part.dtype == np.bool_:
      low, high = 0., 1.
    lows.append(np.broadcast_to(np.asarray(low, np.float32), size))
    highs.append(np.broadcast_to(np.asarray(high, np.float32), size))
  if not lows:
    raise ValueError(f'expected at least one observation spec, got {spec!r}')
  low, high = np.concatenate(lows), np.concatenate(highs)
  if np.all(np.isfinite(low)) and np.all(np.isfinite(high)):
    return specs.BoundedArray(low.shape, np.float32, low, high, name)
  return specs.Array(low.shape, np.float32, name)


def flatten(spec: Any, value: Any) -> np.ndarray:
  """Returns an observation as an array of `flat_spec`; see the module.

  Args:
    spec: see `flat_spec`.
    value: observation: for each dictionary of the spec one with the same names,
      for each tuple a sequence of the same length.

  Raises:
    ValueError: if names or a length differ, or `convert` raises it.
  """
  if isinstance(spec, specs.Array):
    return convert(spec, value)
  return np.concatenate([
      _vector(part, x) for part, x in zip(
          _leaves(spec), _leaves(spec, value), strict=True)])


def convert(
    spec: specs.Array, value: Any, leading: tuple[int, ...] = ()) -> np.ndarray:
  """Returns an observation as an array of the shape and dtype of its spec.

  Integers may stand for floating-point numbers, which may be rounded. Bounds
  are not checked, nor whether numbers are finite.

  Args:
    spec: dm_env spec of numbers.
    value: numbers in an array or a (nested) list.
    leading: lengths of the axes before those of the spec.

  Raises:
    ValueError: if the shape or the kind of number differs, a number does not
      fit the dtype, or a category is none of the spec's.
  """
  _check_numbers(spec)
  array = np.asarray(value)
  if array.shape != (*leading, *spec.shape):
    raise ValueError(
        f'expected an observation of {spec!r}'
        f'{f" after the axes {leading}" if leading else ""}, got the shape '
        f'{array.shape}')
  is_category = isinstance(spec, specs.DiscreteArray)
  if array.dtype != spec.dtype:
    kind = array.dtype.kind
    if jax.dtypes.issubdtype(array.dtype, np.floating):
      kind = 'f'  # Such as bfloat16, which NumPy does not know.
    if kind not in ('iu' if is_category else _KINDS[spec.dtype.kind]):
      raise ValueError(
          f'expected an observation of {spec!r}, got {array.dtype} with the '
          f'value {value!r}')
    array = arrays.cast(array, spec.dtype)
  if is_category and np.any((array < 0) | (array >= spec.num_values)):
    raise ValueError(
        f'expected a category of 0..{spec.num_values - 1}, got {array}')
  return array


def _is(space: Any, *kinds: str) -> bool:
  """Returns whether a space is of one of some kinds of `gymnasium.spaces`."""
  gymnasium = sys.modules.get('gymnasium')
  return gymnasium is not None and isinstance(
      space, tuple(getattr(gymnasium.spaces, kind) for kind in kinds))


def _nested_spec(space: Any, whole: Any) -> Any:
  """Returns the spec of a space, or a tree of those of a Dict or Tuple."""
  if _is(space, 'Dict'):
    return {key: _nested_spec(x, whole) for key, x in space.spaces.items()}
  if _is(space, 'Tuple'):
    return tuple(_nested_spec(x, whole) for x in space.spaces)
  if _is(space, 'Discrete'):
    if space.n > _INT32_MAX:
      raise ValueError(
          f'expected a Discrete space of at most {_INT32_MAX} observations, '
          f'got {space}')
    return specs.DiscreteArray(int(space.n), np.int32, 'observation')
  if _is(space, 'MultiBinary'):
    return specs.BoundedArray(space.shape, space.dtype, 0, 1, 'observation')
  if _is(space, 'Box'):
    if space.is_bounded():
      return specs.BoundedArray(
          space.shape, space.dtype, space.low, space.high, 'observation')
    return specs.Array(space.shape, space.dtype, 'observation')
  raise ValueError(
      f'expected an observation space of Box, Discrete or MultiBinary, or a '
      f'Dict or Tuple of these, got {space}'
      + ('' if space is whole else f' in {whole}'))


def _leaves(spec: Any, *values: Any) -> list[Any]:
  """Returns the arrays' specs in order, or the values in their places."""
  value = values[0] if values else spec
  if isinstance(spec, Mapping):
    _check_names(spec, value)
    return [leaf for key in _sorted(spec)
            for leaf in _leaves(spec[key], value[key])]
  if isinstance(spec, (tuple, list)):
    _check_length(spec, value)
    return [leaf for part, v in zip(spec, value, strict=True)
            for leaf in _leaves(part, v)]
  return [value]


def _check_names(expected: Mapping[Any, Any], value: Any):
  if not isinstance(value, Mapping) or set(value) != set(expected):
    # The names that came may be of kinds that have no order.
    found = (sorted(value, key=repr) if isinstance(value, Mapping)
             else repr(value))
    raise ValueError(
        f'expected an observation with the names {_sorted(expected)}, got '
        f'{found}')


def _sorted(names: Iterable[Any]) -> list[Any]:
  try:
    return sorted(names)
  except TypeError as error:
    raise ValueError(
        f'expected names of one kind, which have an order, got {list(names)}'
    ) from error


def _check_length(expected: Sequence[Any], value: Any):
  # Gymnasium takes arrays for tuples too; one without axes has no length.
  if not isinstance(value, (tuple, list, np.ndarray)) or (
      not np.iterable(value) or len(value) != len(expected)):
    raise ValueError(
        f'expected an observation of {len(expected)} entries, got {value!r}')


def _check_numbers(spec: Any) -> specs.Array:
  if not isinstance(spec, specs.Array) or spec.dtype.kind not in _KINDS:
    raise ValueError(
        f'expected dm_env specs of arrays of numbers, or dictionaries and '
        f'tuples of them, got {spec!r}')
  return spec


def _vector(spec: specs.Array, value: Any) -> np.ndarray:
  """Returns a value of one spec as a vector, float32."""
  array = convert(spec, value)
  if not isinstance(spec, specs.DiscreteArray):
    return arrays.cast(array, np.float32).ravel()
  return np.eye(1, int(spec.num_values), int(array), dtype=np.float32)[0]
