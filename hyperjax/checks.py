"""Checks of values from outside the library: kind, range, finiteness.

A check is a function of a name and a value. It returns the value as the type
that the library computes with (NumPy's numbers become Python's, without loss),
or raises a ValueError with the name, what was expected and what came. `fields`
applies checks to the fields of a dataclass:

  def __post_init__(self):
    checks.fields(self, num_draws=checks.COUNT, quantile=checks.FRACTION)

Functions that make a check make each once: configs ask for theirs whenever one
is constructed. Booleans are not numbers here, and text is never converted.
"""

from collections.abc import Callable, Iterable, Mapping
import difflib
import functools
import math
from typing import Any, TypeGuard, TypeVar

import numpy as np

T = TypeVar('T')
Check = Callable[[str, Any], Any]

INT32_MAX = 2**31 - 1
_FLOAT32_MAX = float(np.finfo(np.float32).max)
# What is smaller is 0 on devices that flush subnormal numbers.
_FLOAT32_TINY = float(np.finfo(np.float32).tiny)


@functools.cache
def integer(minimum: int, maximum: int = INT32_MAX) -> Check:
  """Returns a check of an integer within [minimum, maximum].

  Args:
    minimum: smallest value.
    maximum: largest value; by default that of int32, in which JAX counts.
  """

  def check(name: str, value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, np.integer)):
      raise ValueError(f'{name} must be an integer, got {value!r}')
    if value < minimum:
      raise ValueError(f'{name} must be at least {minimum}, got {value}')
    if value > maximum:
      raise ValueError(f'{name} must be at most {maximum}, got {value}')
    return int(value)

  return check


def _as_float(name: str, value: Any) -> float:
  if isinstance(value, (bool, np.bool_)) or not isinstance(
      value, (int, float, np.integer, np.floating)):
    raise ValueError(f'{name} must be a number, got {value!r}')
  if isinstance(value, (float, np.floating)) and not math.isfinite(value):
    raise ValueError(f'{name} must be finite, got {value}')
  if abs(value) > _FLOAT32_MAX:
    raise ValueError(f'{name} must fit float32, got {value}')
  return float(value)


@functools.cache
def real(minimum: float | None = None, maximum: float | None = None) -> Check:
  """Returns a check of a finite number within [minimum, maximum].

  Args:
    minimum: smallest value; None for no limit.
    maximum: largest value; None for no limit.
  """

  def check(name: str, value: Any) -> float:
    number = _as_float(name, value)
    low = minimum is not None and number < minimum
    if low or maximum is not None and number > maximum:
      expected = (
          f'at least {minimum}' if maximum is None else
          f'at most {maximum}' if minimum is None else
          f'between {minimum} and {maximum}')
      raise ValueError(f'{name} must be {expected}, got {value}')
    return number

  return check


def positive(name: str, value: Any) -> float:
  """Checks a finite number above 0, in float32 too."""
  number = _as_float(name, value)
  if number <= 0.:
    raise ValueError(f'{name} must be positive, got {value}')
  if number < _FLOAT32_TINY:
    raise ValueError(
        f'{name} must be positive in float32, of which {_FLOAT32_TINY:.2g} is '
        f'the smallest such number, got {value}')
  return number


def flag(name: str, value: Any) -> bool:
  """Checks a boolean; numbers and text are refused."""
  if not isinstance(value, (bool, np.bool_)):
    raise ValueError(f'{name} must be True or False, got {value!r}')
  return bool(value)


@functools.cache
def widths(num_least: int) -> Check:
  """Returns a check of the widths of layers, to a tuple of integers above 0.

  Args:
    num_least: smallest number of layers.
  """

  def check(name: str, value: Any) -> tuple[int, ...]:
    if isinstance(value, (str, bytes, Mapping, set)) or not hasattr(
        value, '__iter__'):
      raise ValueError(
          f'{name} must be a sequence of widths of layers, got {value!r}')
    result = tuple(COUNT(name, width) for width in value)
    if len(result) < num_least:
      raise ValueError(
          f'{name} must have at least {num_least} '
          f'{"layer" if num_least == 1 else "layers"}, got {result}')
    return result

  return check


def function(name: str, value: Any) -> Any:
  """Checks something that can be called."""
  if not callable(value):
    raise ValueError(f'{name} must be a function or class, got {value!r}')
  return value


def is_a(value: Any, kind: type[T]) -> TypeGuard[T]:
  """Returns whether an object is of a class, or has all that a protocol names.

  For protocols `isinstance` did so until Python 3.12, from which on it does not
  see what a wrapper passes on by `__getattr__`.

  Args:
    value: object; a class itself is none of its own instances.
    kind: class, or runtime-checkable protocol.
  """
  if isinstance(value, type):  # It has the protocol's names too.
    return False
  if isinstance(value, kind):
    return True
  members = {
      name for base in kind.__mro__ if getattr(base, '_is_protocol', False)
      for name in (*vars(base), *vars(base).get('__annotations__', ()))
      if not name.startswith('_')}
  return bool(members) and all(hasattr(value, name) for name in members)


@functools.cache
def instance(kind: type, description: str | None = None) -> Check:
  """Returns a check of an object of a class, or with the methods of a protocol.

  Args:
    kind: class, or runtime-checkable protocol.
    description: what the error says was expected; by default the class's name.
  """
  what = description or f'a {kind.__name__}'

  def check(name: str, value: Any) -> Any:
    if isinstance(value, type):
      raise ValueError(
          f'{name} must be {what}, got the class {value.__name__} instead of '
          f'an object of it')
    if not is_a(value, kind):
      raise ValueError(f'{name} must be {what}, got {value!r}')
    return value

  return check


@functools.cache
def component(kind: type, description: str | None = None) -> Check:
  """Returns a check of an `instance` that can be hashed.

  Configs are static arguments of compiled functions, hence hashable, and so are
  their components.
  """
  check_instance = instance(kind, description)

  def check(name: str, value: Any) -> Any:
    check_instance(name, value)
    try:
      hash(value)
    except TypeError as error:
      raise ValueError(
          f'{name} must be hashable, such as a frozen dataclass, got {value!r}'
      ) from error
    return value

  return check


@functools.cache
def optional(check: Check) -> Check:
  """Returns a check that also accepts None."""
  return lambda name, value: None if value is None else check(name, value)


def unknown(
    what: str, name: str, known: Iterable[str], them: str = 'known',
) -> str:
  """Returns an error for an unknown name, with near matches.

  Args:
    what: what the name is of, such as 'agent'.
    name: the name.
    known: names that there are.
    them: what these are called.
  """
  known = list(known)
  near = difflib.get_close_matches(name, known)
  did_you_mean = f'did you mean {" or ".join(near)}? ' if near else ''
  return f'unknown {what} {name!r}; {did_you_mean}{them}: {", ".join(known)}'


def known(what: str, name: str, names: Iterable[str]):
  """Raises a ValueError if a name is not among those that there are."""
  if name not in names:
    raise ValueError(unknown(what, name, names))


COUNT = integer(1)
NONNEGATIVE = real(0.)
FRACTION = real(0., 1.)


def fields(owner: Any, of: str = '', /, **checks: Check):
  """Checks fields of a dataclass, and sets them to the converted values.

  Args:
    owner: object, of a frozen dataclass or not.
    of: what the object is in errors, such as 'a replay'; by default an error
      has the field's name alone.
    **checks: check of each field by its name.

  Raises:
    ValueError: if a field is of another kind or out of range.
  """
  for name, check in checks.items():
    value = check(f'{name} of {of}' if of else name, getattr(owner, name))
    object.__setattr__(owner, name, value)
