"""Saving and restoring the whole state of a run, with orbax.

A checkpoint holds every array of a state (learner, actor, replay, environment,
counters and keys), a dictionary of what the host remembers, and a checksum. It
becomes visible only when it is whole; one that was damaged later is found out
by its checksum and passed over.
"""

import gc
import logging
import os
from typing import Any
import warnings
import zlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp


def _arrays(state: chex.ArrayTree) -> dict[str, Any]:
  """The arrays of a state by name, without the empty ones.

  orbax does not save empty arrays; the index of an agent without one is such.
  """
  leaves, _ = jax.tree_util.tree_flatten_with_path(state)
  return {jax.tree_util.keystr(path): leaf for path, leaf in leaves
          if leaf.size}


def _with_arrays(like: chex.ArrayTree, arrays: dict[str, Any]):
  """The state of which `arrays` are the arrays; the inverse of `_arrays`."""
  return jax.tree_util.tree_map_with_path(
      lambda path, leaf: arrays[jax.tree_util.keystr(path)] if leaf.size
      else jnp.zeros(leaf.shape, leaf.dtype, device=leaf.sharding), like)


def _checksum(arrays: dict[str, Any]) -> int:
  """A checksum of all arrays, their order included."""
  checksum = 0
  for name in sorted(arrays):
    leaf = arrays[name]
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      leaf = jax.random.key_data(leaf)
    # Shard by shard, which on a CPU copies nothing. The whole of an array over
    # several devices would be a copy, kept for as long as the array.
    shards = {tuple(part.start or 0 for part in shard.index): shard
              for shard in leaf.addressable_shards}
    for place in sorted(shards):
      array = np.ascontiguousarray(shards[place].data)
      checksum = zlib.crc32(array.reshape(-1).view(np.uint8), checksum)
  return checksum


class Checkpointer:
  """Numbered checkpoints in one folder; the newest whole one is restored."""

  def __init__(self, directory: str | os.PathLike, max_to_keep: int = 2):
    """Makes the folder if need be.

    Args:
      directory: of this run's checkpoints alone.
      max_to_keep: older ones are deleted when a new one is whole. With 2, one
        is left if the newest is damaged.
    """
    # Orbax reports every step of its work.
    logging.getLogger('absl').setLevel(logging.WARNING)
    self._manager = ocp.CheckpointManager(
        os.path.abspath(directory),
        options=ocp.CheckpointManagerOptions(
            max_to_keep=max_to_keep,
            enable_async_checkpointing=False,
            cleanup_tmp_directories=True))

  def save(self, step: int, state: chex.ArrayTree, memory: dict[str, Any]):
    """Writes a checkpoint and returns when it is whole.

    Args:
      step: its number, larger than that of the checkpoint restored.
      state: arrays and PRNG keys.
      memory: what else to remember; must survive JSON.

    Raises:
      RuntimeError: if it was not written.
    """
    for existing in self._manager.all_steps():
      if existing >= step:  # A damaged one, passed over.
        self._manager.delete(existing)
    arrays = _arrays(state)
    saved = self._manager.save(step, args=ocp.args.Composite(
        state=ocp.args.StandardSave(arrays),
        memory=ocp.args.JsonSave(
            {'checksum': _checksum(arrays), 'memory': memory})))
    if not saved:
      raise RuntimeError(
          f'checkpoint {self._manager.directory / str(step)} was not written')

  def restore(
      self, like: chex.ArrayTree
  ) -> tuple[chex.ArrayTree, dict[str, Any]] | None:
    """The newest whole checkpoint, or None if there is none.

    A checkpoint that cannot be read or fails its checksum is passed over with
    a warning that names it. It stays where it is until the next `save`. While
    it is read, the state needs its memory twice.

    Args:
      like: a state of the same structure, or its shapes and shardings.

    Returns:
      The state, placed as `like` is, and what was to be remembered.
    """
    for step in sorted(self._manager.all_steps(), reverse=True):
      try:
        # An item that is damaged enough is no longer recognised as one, so
        # the items are asked for by name.
        restored = self._manager.restore(step, args=ocp.args.Composite(
            state=ocp.args.StandardRestore(_arrays(like)),
            memory=ocp.args.JsonRestore()))
        arrays, memory = restored['state'], restored['memory']
        if _checksum(arrays) != memory['checksum']:
          raise ValueError('its checksum does not match')
        gc.collect()  # What orbax read from stays, in a cycle, until then.
        return _with_arrays(like, arrays), memory['memory']
      except Exception as error:  # pylint: disable=broad-except
        # Whatever is wrong with it, an older one may be whole.
        warnings.warn(
            f'checkpoint {self._manager.directory / str(step)} is damaged and '
            f'passed over: {error}', stacklevel=2)
    return None

  def close(self):
    """Releases what orbax holds."""
    self._manager.close()
