"""Arrays of a checkpoint: names, types, checksums and conversion for orbax."""

import math
from typing import Any
import zlib

import chex
import jax
import jax.numpy as jnp
import numpy as np


def by_name(state: chex.ArrayTree) -> dict[str, Any]:
  """Returns the arrays of a state, or their shapes, by name."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(state)
  arrays = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
  if len(arrays) < len(leaves):
    raise ValueError('two arrays of the state have one name; expected each to '
                     'have its own')
  for name, leaf in arrays.items():
    if not (hasattr(leaf, 'shape') and hasattr(leaf, 'dtype')):
      raise TypeError(f'the state has {type(leaf).__name__} at {name!r}; '
                      f'expected an array')
  return arrays


def type_name(leaf) -> str:
  """Returns the dtype and shape of an array, such as float32[3,4]."""
  return f'{leaf.dtype}[{",".join(map(str, leaf.shape))}]'


def num_bytes(leaf) -> int:
  """Returns the size of an array, or of its shape, in bytes."""
  return math.prod(leaf.shape) * leaf.dtype.itemsize


def differences(stored: dict[str, str], expected: dict[str, str]) -> str:
  """Returns the first arrays that differ, one per line."""
  names = [name for name in {**stored, **expected}
           if stored.get(name) != expected.get(name)]
  lines = [f'{name or "the state"}: stored {stored.get(name, "no such array")},'
           f' expected {expected.get(name, "no such array")}'
           for name in names[:8]]
  return '\n'.join(lines + ['...'] * (len(names) > 8))


def _is_key(leaf) -> bool:
  return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def to_saved(leaf) -> np.ndarray | jax.Array:
  """Returns an array in a form that orbax saves."""
  if isinstance(leaf, np.ndarray | np.generic):
    # Orbax reads it in native byte order, and checksums are of the bytes.
    return np.asarray(leaf, leaf.dtype.newbyteorder('='))
  return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def cpu_sharding(leaf) -> jax.sharding.Sharding | None:
  """Returns the sharding of an array of CPU devices, None for any other.

  Only these are read to where they stay: the host computes the checksums, and
  would have to copy the arrays of other devices back.
  """
  if (isinstance(leaf, np.ndarray | np.generic) or _is_key(leaf)
      or jax.dtypes.canonicalize_dtype(leaf.dtype) != leaf.dtype):
    return None
  sharding = getattr(leaf, 'sharding', None) or jnp.empty(()).sharding
  is_cpu = all(x.platform == 'cpu' for x in sharding.device_set)
  return sharding if is_cpu else None


def from_saved(array: np.ndarray | jax.Array | None, leaf):
  """Returns an array that orbax read in the form of `leaf`; None if empty."""
  if isinstance(leaf, np.ndarray | np.generic):
    return np.empty(leaf.shape, leaf.dtype) if array is None else np.asarray(
        array, leaf.dtype)
  sharding: Any = getattr(leaf, 'sharding', None)
  is_here = sharding is None or sharding.is_fully_addressable
  restored: Any = array
  if array is None:
    restored = jnp.empty(leaf.shape, leaf.dtype) if _is_key(
        leaf) else np.empty(leaf.shape, leaf.dtype)
  if not is_here and sharding is not None:  # Each process gives its part.
    restored = jax.make_array_from_callback(
        restored.shape, sharding, np.asarray(restored).__getitem__)
  if _is_key(leaf) and array is not None:
    restored = jax.random.wrap_key_data(
        jnp.asarray(restored),
        impl=jax.random.key_impl(jnp.empty((), leaf.dtype)))
  if is_here:
    restored = jax.device_put(restored, sharding)
  if restored.dtype != leaf.dtype:
    raise ValueError(f'an array of {leaf.dtype} became one of {restored.dtype};'
                     f' expected jax_enable_x64, or NumPy arrays')
  return restored


def crc32(array: np.ndarray) -> int:
  """Returns the CRC-32 checksum of an array's bytes."""
  return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def block(
    array: np.ndarray | jax.Array, bounds: list[list[int]]) -> np.ndarray:
  """Returns a block of an array, given as [start, stop] per axis.

  It is copied only if it is spread over several shards.
  """
  if isinstance(array, np.ndarray):
    return array[..., *(slice(*x) for x in bounds)]
  joined = None
  for shard in array.addressable_shards:
    starts = [x.indices(size)[0] for x, size in zip(
        shard.index, array.shape, strict=True)]
    common = [(max(low, start), min(high, start + size))
              for (low, high), start, size in zip(
                  bounds, starts, shard.data.shape, strict=True)]
    if any(low >= high for low, high in common):
      continue
    part = np.asarray(shard.data)[..., *(
        slice(low - start, high - start)
        for (low, high), start in zip(common, starts, strict=True))]
    if common == [tuple(x) for x in bounds]:
      return part
    if joined is None:
      joined = np.empty([high - low for low, high in bounds], array.dtype)
    joined[..., *(
        slice(low - first, high - first)
        for (low, high), (first, _) in zip(common, bounds, strict=True))] = part
  if joined is None:
    raise ValueError(f'the array of shape {array.shape} has no block {bounds}')
  return joined


def checksums(array: np.ndarray | jax.Array) -> list[list[Any]]:
  """Returns the blocks of an array, as [start, stop] per axis, and checksums.

  The blocks are the array's shards, which are not copied on a CPU. The whole of
  an array over several devices would be a copy that lives as long as the array.
  """
  if isinstance(array, np.ndarray):
    return [[[[0, size] for size in array.shape], crc32(array)]]
  blocks = {
      tuple(part.indices(size)[:2]
            for part, size in zip(shard.index, array.shape, strict=True)): shard
      for shard in array.addressable_shards}
  return [[block, crc32(np.asarray(shard.data))]
          for block, shard in blocks.items()]


def joined_checksums(blocks: list[list[list[Any]]]) -> list[list[Any]]:
  """Returns the checksums of all blocks of an array, each once.

  Args:
    blocks: for each process what `checksums` returned.
  """
  found = {str(block): [block, checksum]
           for part in blocks for block, checksum in part}
  return list(found.values())
