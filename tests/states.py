"""The arrays of states, for the tests that compare them."""

from typing import Any

import chex
import jax
import numpy as np


def plain(state: chex.ArrayTree) -> Any:
  """A state as NumPy arrays of their own, with keys as their data.

  Copies, since a loop may use a state's memory again.
  """

  def leaf(x):
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
      x = jax.random.key_data(x)
    return np.array(x)

  return jax.tree.map(leaf, state)
