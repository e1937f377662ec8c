"""Parts of parameters by name.

The name of a parameter is its path in the collection 'params', such as
'torso/Conv_0/kernel'. A part is the parameter of a name or all those below it:
'torso' is the whole torso.
"""

from collections.abc import Collection, Iterable
from typing import Any

import chex
import jax


def names(path: tuple[Any, ...]) -> tuple[str, ...]:
  """Returns the dictionary keys along a path of `jax.tree_util`."""
  return tuple(entry.key for entry in path
               if isinstance(entry, jax.tree_util.DictKey))


def owner(
    path: tuple[Any, ...], weights: Collection[tuple[str, ...]]
) -> tuple[str, ...] | None:
  """Returns the parameter that a number of a state belongs to, None for none.

  Collections, targets and moments contain the parameter's own path as an end.

  Args:
    path: path of `jax.tree_util` to the number.
    weights: dictionary keys that lead to each parameter.
  """
  found = names(path)
  ends = (found[i:] for i in range(len(found)))
  return next((end for end in ends if end in weights), None)


def is_within(path: tuple[str, ...], part: str) -> bool:
  """Returns whether a parameter belongs to a part.

  Args:
    path: dictionary keys that lead to the parameter.
    part: name of the part.
  """
  wanted = tuple(part.split('/'))
  return path[:len(wanted)] == wanted


def check_exist(what: str, parts: Iterable[str], params: chex.ArrayTree):
  """Checks that every part has a parameter.

  Args:
    what: what the parts are of, in errors.
    parts: names of the parts.
    params: trained parameters, or their shapes.

  Raises:
    ValueError: if a part has none; the error lists the parts of one and of two
      names that there are.
  """
  paths = [names(path) for path, _ in jax.tree_util.tree_leaves_with_path(
      params)]
  for part in parts:
    if not any(is_within(path, part) for path in paths):
      there = sorted({'/'.join(path[:i]) for path in paths for i in (1, 2)})
      raise ValueError(
          f'{what} must name parameters that exist, got {part!r}; expected '
          f'among {", ".join(there)}, or what is below them')
