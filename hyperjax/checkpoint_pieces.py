"""Reads large arrays of a checkpoint in pieces, to where they stay.

Orbax reads whole arrays into memory of its own, which JAX then copies, because
it is not aligned as XLA needs it. A replay may take most of the memory, so that
it cannot be held twice.
"""

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorstore as ts

_WRITE = jax.jit(jax.lax.dynamic_update_slice, donate_argnums=0)


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
      'kvstore': {
          'driver': 'ocdbt', 'path': f'{name}/',
          # Not as a URL, in which a name would have to be quoted.
          'base': {'driver': 'file', 'path': f'{folder}/'}}},
      open=True, read=True).result()
  if stored.shape != like.shape or stored.dtype.numpy_dtype != like.dtype:
    raise ValueError(f'expected {like.dtype}{list(like.shape)}, got '
                     f'{stored.dtype.name}{list(stored.shape)}')
  chunk: Any = stored.chunk_layout.read_chunk.shape
  shards = []
  indices: Any = sharding.addressable_devices_indices_map(like.shape)
  for device, index in indices.items():
    bounds = [x.indices(size)[:2]
              for x, size in zip(index, like.shape, strict=True)]
    with jax.default_device(device):
      shard = jnp.zeros([high - low for low, high in bounds], like.dtype)
      for piece in itertools.product(*(
          _cuts(low, high, size)
          for (low, high), size in zip(bounds, chunk, strict=True))):
        part = stored[tuple(slice(*x) for x in piece)].read().result()
        shard = _WRITE(shard, np.asarray(part), tuple(
            np.int32(low - first) for (low, _), (first, _) in zip(
                piece, bounds, strict=True)))
    shards.append(shard)
  return jax.make_array_from_single_device_arrays(like.shape, sharding, shards)


def _cuts(low: int, high: int, size: int) -> list[tuple[int, int]]:
  """Returns the parts of low..high between multiples of a size."""
  ends = [*range((low // size + 1) * size, high, size), high]
  return list(zip([low, *ends[:-1]], ends, strict=True))
