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

from collections.abc import Mapping
import math
import sys
from typing import Any

from dm_env import specs
import numpy as np


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
  return flat_spec(_nested_spec(space, space), name)


def observation(space: Any, value: Any) -> np.ndarray:
  """Returns an observation of a space as an array of `observation_spec`."""
  return flatten(_nested_spec(space, space), _from_zero(space, value))


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
    ValueError: if names, a length or a shape differ, or a category is none of
      its spec's.
  """
  if isinstance(spec, specs.Array):
    return np.asarray(value)
  return np.concatenate([
      _vector(part, x) for part, x in zip(
          _leaves(spec), _leaves(spec, value), strict=True)])


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


def _from_zero(space: Any, value: Any) -> Any:
  """Returns an observation whose categories begin at 0."""
  if _is(space, 'Dict'):
    return {key: _from_zero(x, value[key]) for key, x in space.spaces.items()}
  if _is(space, 'Tuple'):
    return tuple(
        _from_zero(x, v) for x, v in zip(space.spaces, value, strict=True))
  if _is(space, 'Discrete'):
    return np.asarray(value - space.start, np.int32)
  return np.asarray(value, space.dtype)


def _leaves(spec: Any, *values: Any) -> list[Any]:
  """Returns the arrays' specs in order, or the values in their places."""
  value = values[0] if values else spec
  if isinstance(spec, Mapping):
    if not isinstance(value, Mapping) or set(value) != set(spec):
      raise ValueError(
          f'expected an observation with the names {sorted(spec)}, got '
          f'{sorted(value) if isinstance(value, Mapping) else value!r}')
    return [leaf for key in sorted(spec)
            for leaf in _leaves(spec[key], value[key])]
  if isinstance(spec, (tuple, list)):
    if not isinstance(value, (tuple, list)) or len(value) != len(spec):
      raise ValueError(
          f'expected an observation of {len(spec)} entries, got {value!r}')
    return [leaf for part, v in zip(spec, value, strict=True)
            for leaf in _leaves(part, v)]
  return [value]


def _check_numbers(spec: Any) -> specs.Array:
  if not isinstance(spec, specs.Array) or not (
      np.issubdtype(spec.dtype, np.number) or spec.dtype == np.bool_):
    raise ValueError(
        f'expected dm_env specs of arrays of numbers, or dictionaries and '
        f'tuples of them, got {spec!r}')
  return spec


def _vector(spec: specs.Array, value: Any) -> np.ndarray:
  """Returns a value of one spec as a vector, float32."""
  array = np.asarray(value)
  if array.shape != spec.shape:
    raise ValueError(
        f'expected an observation of {spec!r}, got the shape {array.shape}')
  if not isinstance(spec, specs.DiscreteArray):
    return array.astype(np.float32).ravel()
  if not 0 <= array < spec.num_values:
    raise ValueError(
        f'expected a category of 0..{spec.num_values - 1}, got {array}')
  return np.eye(1, int(spec.num_values), int(array), dtype=np.float32)[0]
