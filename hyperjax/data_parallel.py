"""One agent whose batch is spread over several devices.

Within a program that binds the axis `AXIS` (`jax.shard_map`, or `jax.vmap` with
`axis_name`), each device has one part of the batch, the replay and the
environments of an agent, and a copy of everything else. The functions below
then reach over all parts. In any other program there is one part, which is the
whole, and they return what they are given and cost nothing.

`rows` makes what an update draws for each transition independent of the number
of parts. So an update of D parts of B/D transitions is that of the same B
transitions on one device, up to rounding, if the loss is a mean over
transitions and draws for them by `rows`.
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, UInt

AXIS = 'hyperjax_parts'


def num_parts() -> int:
  """Returns D, the number of parts; 1 outside of a program with parts."""
  try:
    return jax.lax.axis_size(AXIS)
  except NameError:  # The axis is not bound.
    return 1


def part() -> Int[Array, ''] | int:
  """Returns the number of this part, 0..D-1, int32 []."""
  return jax.lax.axis_index(AXIS) if num_parts() > 1 else 0


def mean(tree: Any) -> Any:
  """Returns the mean over parts of every array."""
  return jax.lax.pmean(tree, AXIS) if num_parts() > 1 else tree


def total(tree: Any) -> Any:
  """Returns the sum over parts of every array."""
  return jax.lax.psum(tree, AXIS) if num_parts() > 1 else tree


def mean_metrics(metrics: Any) -> dict[str, Array]:
  """Returns the means of numbers over parts, and other arrays as they are.

  Args:
    metrics: metrics of a part of a batch: means over its transitions, [], and
      arrays of its transitions, which stay those of the part.
  """
  numbers = mean({name: x for name, x in metrics.items() if not jnp.ndim(x)})
  return {**metrics, **numbers}


def union(mask: UInt[Array, '']) -> UInt[Array, '']:
  """Returns the bits that are set in any part of a mask, uint32 []."""
  if num_parts() == 1:
    return mask
  # XLA has a reduction by `or`, JAX does not.
  shifts = jnp.arange(32, dtype=jnp.uint32)
  bits = jax.lax.pmax((mask >> shifts) & 1, AXIS)
  return jnp.sum(bits << shifts, dtype=jnp.uint32)


def rows(draw: Callable[[int], Array], num_rows: int) -> Array:
  """Returns the rows of this part of what is drawn for a whole batch.

  Every part draws for all of them, which takes time but no communication.

  Args:
    draw: function from a number of rows to an array with that leading axis, the
      same function on all parts.
    num_rows: number of rows of one part.
  """
  size = num_parts()
  if size == 1:
    return draw(num_rows)
  return jax.lax.dynamic_slice_in_dim(
      draw(num_rows * size), part() * num_rows, num_rows)


def own_key(key: chex.PRNGKey) -> chex.PRNGKey:
  """Returns a PRNG key of this part; the key itself if there are no others."""
  return jax.random.fold_in(key, part()) if num_parts() > 1 else key
