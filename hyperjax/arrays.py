"""Checks of what shapes and dtypes tell, also while a program is traced."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def _kind(dtype: Any) -> str:
  for kind in (np.bool_, np.integer, np.floating):
    if jax.dtypes.issubdtype(dtype, kind):
      return kind.__name__
  return str(dtype)


def leading_axis(x: Any) -> int:
  """Returns the length of the last leaf's first axis; 0 if there is none."""
  leaves = jax.tree.leaves(x)
  shape = jnp.shape(leaves[-1]) if leaves else ()
  return shape[0] if shape else 0


def check_array(
    name: str, x: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array:
  """Returns an array in its dtype, after a check of its shape and dtype.

  Args:
    name: name of the array in errors.
    x: array of NumPy or JAX, traced or not.
    shape: expected shape.
    dtype: expected dtype. A narrower one of the same kind (boolean, integer or
      floating) is converted.

  Raises:
    ValueError: if the shape differs, or the dtype has values that the expected
      one lacks.
  """
  expected = jnp.dtype(dtype)
  found = getattr(x, 'dtype', None)
  if found is None:
    raise ValueError(
        f'expected {name} as an array of shape {shape} and type '
        f'{expected.name}, got {x!r}')
  # Without jax_enable_x64, JAX keeps NumPy's numbers in 32 bits.
  dtype_found = jax.dtypes.canonicalize_dtype(found)
  fits = _kind(dtype_found) == _kind(expected) and (
      jnp.promote_types(dtype_found, expected) == expected)
  if jnp.shape(x) != shape or not fits:
    raise ValueError(
        f'expected {name} of shape {shape} and type {expected.name}, got '
        f'{jnp.shape(x)} and {found}')
  return jnp.asarray(x, expected)


def cast(observations: np.ndarray, dtype: Any) -> np.ndarray:
  """Returns observations in another dtype; floating-point ones may be rounded.

  Args:
    observations: numbers, of any shape.
    dtype: of NumPy or JAX.

  Raises:
    ValueError: if a number does not fit the dtype.
  """
  if observations.dtype == dtype:
    return observations
  with np.errstate(over='ignore'):
    converted = observations.astype(dtype)
  if jax.dtypes.issubdtype(converted.dtype, np.floating):
    lost = np.isfinite(observations) & ~np.isfinite(converted)
  else:
    lost = converted != observations
  if np.any(lost):
    raise ValueError(
        f'expected observations of type {converted.dtype}, got '
        f'{observations.dtype} with the value '
        f'{observations[lost].ravel()[0]}, which does not fit into it')
  return converted


def check_same_shapes(name: str, tree: Any, like: Any, whose: str):
  """Checks that a tree of arrays has the leaves of another, of equal shapes.

  Args:
    name: name of the tree in errors.
    tree: tree of arrays.
    like: tree of arrays or of their shapes.
    whose: what the expected shapes are those of, in errors.

  Raises:
    ValueError: if a leaf is missing, is too many, or has another shape.
  """
  shapes, expected = _shapes(tree), _shapes(like)
  for path in [*expected, *shapes]:
    if shapes.get(path) != expected.get(path):
      raise ValueError(
          f'expected {name}{path} {_words(expected.get(path))}, as {whose} has '
          f'it, got {_words(shapes.get(path), "none")}')


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  return {jax.tree_util.keystr(path): jnp.shape(x)
          for path, x in jax.tree_util.tree_leaves_with_path(tree)}


def _words(shape: tuple[int, ...] | None, absent: str = 'to be absent') -> str:
  return absent if shape is None else f'of shape {shape}'
