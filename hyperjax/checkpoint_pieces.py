"""Reads large arrays of a checkpoint in pieces, to where they stay.

Orbax reads whole arrays into memory of its own, which JAX then copies, because
it is not aligned as XLA needs it. A replay may take most of the memory, so that
it cannot be held twice.
"""

import functools
import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorstore as ts


@functools.partial(jax.jit, donate_argnums=0)
def _write(array, piece, start):
  return jax.lax.dynamic_update_slice(array, piece, start)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _zeros(shape, dtype):
  return jnp.zeros(shape, dtype)


def read(
    folder: Path, name: str, like: Any,
    sharding: jax.sharding.Sharding,
) -> jax.Array:
  """Returns an array that orbax wrote.

  Args:
    folder: folder that orbax wrote.
    name: name of the array among those saved together.
    like: array of the same shape and dtype, or its shape.
    sharding: sharding of the result.

  Raises:
    ValueError: if the array is missing or damaged.
  """
  stored = ts.open({
      'driver': 'zarr',
      'kvstore': {'driver': 'ocdbt', 'base': f'file://{folder}/',
                  'path': f'{name}/'}}, open=True, read=True).result()
  if stored.shape != like.shape or stored.dtype.numpy_dtype != like.dtype:
    raise ValueError(f'expected {like.dtype}{list(like.shape)}, got '
                     f'{stored.dtype.name}{list(stored.shape)}')
  chunk = stored.chunk_layout.read_chunk.shape
  shards = []
  for device, index in sharding.addressable_devices_indices_map(
      like.shape).items():
    bounds = [x.indices(size)[:2]
              for x, size in zip(index or (), like.shape, strict=True)]
    with jax.default_device(device):
      shard = _zeros(tuple(high - low for low, high in bounds), like.dtype)
      for piece in itertools.product(*(
          _cuts(*bound, size)
          for bound, size in zip(bounds, chunk, strict=True))):
        part = stored[tuple(slice(*x) for x in piece)].read().result()
        shard = _write(shard, np.asarray(part), tuple(
            np.int32(low - first) for (low, _), (first, _) in zip(
                piece, bounds, strict=True)))
    shards.append(shard)
  return jax.make_array_from_single_device_arrays(like.shape, sharding, shards)


def _cuts(low: int, high: int, size: int) -> list[tuple[int, int]]:
  """Returns the parts of low..high between multiples of a size."""
  ends = [*range((low // size + 1) * size, high, size), high]
  return list(zip([low, *ends[:-1]], ends, strict=True))
