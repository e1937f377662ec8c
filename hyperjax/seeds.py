"""Checks of seeds, the same for every function that takes one."""

from collections.abc import Sequence
from typing import Any

import chex
import jax
import numpy as np

Seed = int | np.integer
Seeds = Sequence[Seed]


def check_seed(seed: Any) -> int:
  """Returns a seed as a Python integer.

  Seeds are never wrapped or rounded: different seeds are different runs.

  Args:
    seed: Python or NumPy integer, 0..2**32 - 1.

  Raises:
    ValueError: if the seed is not an integer, or is out of range.
  """
  if isinstance(seed, (bool, np.bool_)) or not isinstance(
      seed, (int, np.integer)):
    raise ValueError(
        f'expected a seed that is an integer of 0..2**32 - 1, got {seed!r}')
  if not 0 <= seed < 2**32:
    raise ValueError(f'expected a seed of 0..2**32 - 1, got {seed}')
  return int(seed)


def check_seeds(seeds: Sequence[Any]) -> np.ndarray:
  """Returns seeds as an array, uint32 [S].

  Raises:
    ValueError: if there is no seed, or one of them is invalid.
  """
  if not np.iterable(seeds) or isinstance(seeds, str):
    raise ValueError(f'expected a sequence of seeds, got {seeds!r}')
  if not len(seeds):
    raise ValueError('expected at least one seed, got none')
  return np.array([check_seed(seed) for seed in seeds], np.uint32)


def to_key(seed_or_key: Any) -> chex.PRNGKey:
  """Returns the PRNG key of a seed, or a PRNG key unchanged.

  Args:
    seed_or_key: seed as in `check_seed`, or a JAX PRNG key, typed or raw
      (`jax.random.PRNGKey`).

  Raises:
    ValueError: if the argument is neither.
  """
  if isinstance(seed_or_key, jax.Array) and (
      jax.dtypes.issubdtype(seed_or_key.dtype, jax.dtypes.prng_key)):
    if seed_or_key.shape:
      raise ValueError(
          f'expected one PRNG key, got an array of keys of shape '
          f'{seed_or_key.shape}')
    return seed_or_key
  if isinstance(seed_or_key, jax.Array) and (
      seed_or_key.dtype == np.uint32 and seed_or_key.shape == (2,)):
    return jax.random.wrap_key_data(seed_or_key)
  return jax.random.key(check_seed(seed_or_key))
