"""Checkpoints of the whole state of a run, with orbax.

A checkpoint is a folder whose name is its step number. It contains

  arrays/: every array of a state (learner, actor, replay, environment, counters
    and keys), in the format of orbax.
  metadata.json: dtype, shape and checksums of each array; the metadata and
    progress of the run on the host; and a checksum of all of these.

A checkpoint is written as `<step>.tmp` and renamed when it is complete. One
that is damaged later is detected by its checksums and skipped.

In a job of several processes (`hyperjax.multihost`) all call `save` and
`restore` together, on a folder that all of them see. Each writes the shards of
its own devices, and the first one the rest. What is restored depends neither on
the number of processes nor on that of devices.
"""

from collections.abc import Collection
import gc
import json
import logging
import os
from pathlib import Path
import shutil
from typing import Any
import warnings

import chex
import jax
import numpy as np
import orbax.checkpoint as ocp

from hyperjax import checkpoint_arrays as arrays_lib
from hyperjax import checkpoint_json as json_part
from hyperjax import checkpoint_pieces as pieces
from hyperjax import checks
from hyperjax import multihost

# Arrays are written in pieces of at most `_PIECE_BYTES`, and `_LARGE` ones read
# so on a CPU: neither needs a second copy of a replay.
_PIECE_BYTES, _LARGE = 2**22, 2**25


class Checkpointer:
  """Numbered checkpoints in one folder; the newest undamaged one is restored.

  Reading changes nothing in the folder, so another process may save meanwhile.
  Only one process may save at a time.
  """

  def __init__(self, directory: str | os.PathLike, max_to_keep: int = 2):
    """Opens the folder; the first `save` creates it.

    Args:
      directory: folder of this run's checkpoints alone.
      max_to_keep: number of checkpoints kept, at least 1; older ones are
        deleted after a new one is complete. With 2, one remains if the newest
        is damaged.

    Raises:
      ValueError: if the number is invalid or the path has a bracket, '['.
    """
    self._max_to_keep = checks.COUNT('max_to_keep', max_to_keep)
    # Orbax logs every step of its work.
    logging.getLogger('absl').setLevel(logging.WARNING)
    self._directory = Path(os.path.abspath(directory))
    if '[' in str(self._directory):  # Orbax would take it for a pattern.
      raise ValueError(
          f'expected a folder without a bracket, got {self._directory}')
    self._orbax = ocp.PyTreeCheckpointer()
    self._damaged = set()  # Skipped by `restore`.
    self._own = set()  # Written, restored, or older than the one restored.

  def steps(self) -> list[int]:
    """Returns the ascending numbers of all checkpoints, damaged or not."""
    if not self._directory.is_dir():
      return []
    names = {name.removesuffix('.replaced')
             for name in os.listdir(self._directory)}
    return sorted(int(name) for name in names
                  if name.isdecimal() and name == str(int(name)))

  def save(self, step: int, state: chex.ArrayTree, metadata: dict[str, Any]):
    """Writes a checkpoint and returns when it is complete.

    Afterwards all but the newest `max_to_keep` are deleted, among those that
    this object wrote or restored and those older than the one restored.
    Checkpoints that `restore` skipped as damaged do not count; they are renamed
    to `<step>.damaged`.

    Args:
      step: number of the checkpoint, larger than that of any other undamaged
        one. The last checkpoint that this object wrote or restored may be
        replaced.
      state: tree of JAX arrays, PRNG keys and NumPy arrays.
      metadata: metadata and progress. They are restored as JSON has them:
        tuples as lists, keys as strings.

    Raises:
      TypeError: if the metadata are not JSON, or a leaf of the state is no
        array.
      ValueError: if the metadata are not JSON, the state has no arrays, or the
        step is invalid.
      RuntimeError: if the checkpoint was not written.
    """
    step = checks.integer(0, 2**63 - 1)('step', step)
    json.dumps(metadata)  # Fails before anything is written.
    leaves = arrays_lib.by_name(state)
    arrays = [arrays_lib.to_saved(leaf) for leaf in leaves.values()]
    # Orbax saves neither empty arrays nor any under arbitrary names.
    to_save = {str(i): array for i, array in enumerate(arrays) if array.size}
    if not to_save:
      raise ValueError('the state has no arrays, or only empty ones')
    multihost.agree(lambda: self._prepare(step))
    written = self._directory / f'{step}.tmp'
    self._orbax.save(
        written / 'arrays', to_save, save_args=dict.fromkeys(
            to_save, ocp.SaveArgs(chunk_byte_size=_PIECE_BYTES)))
    found = multihost.gather([arrays_lib.checksums(x) for x in arrays])
    contents = {
        'arrays': {name: {'type': arrays_lib.type_name(leaf),
                          'checksums': arrays_lib.joined_checksums(blocks)}
                   for (name, leaf), *blocks in zip(
                       leaves.items(), *found, strict=True)},
        'metadata': metadata}
    multihost.agree(lambda: self._complete(step, contents, to_save.keys()))

  def _prepare(self, step: int):
    """Checks the number, and removes what a killed process has left."""
    self._check_step(step)
    for path in self._directory.glob('*.*'):
      is_own = path.stem.isdecimal() and path.is_dir()
      if is_own and (path.suffix == '.tmp' or (
          path.suffix == '.replaced' and path.with_suffix('').exists())):
        shutil.rmtree(path)

  def _complete(
      self, step: int, contents: dict[str, Any], numbers: Collection[str]):
    """Writes what is not an array, shows the checkpoint, and deletes others."""
    written = self._directory / f'{step}.tmp'
    json_part.write(written, contents)
    listed = self._orbax.metadata(written / 'arrays').item_metadata
    if (listed is None or listed.tree.keys() != numbers
        or not json_part.read(written)):
      raise RuntimeError(f'checkpoint {written} was not written')
    self._show(step, written)
    for old in list(self._damaged):
      self._set_aside(old)
    own = self._own.intersection(self.steps())
    for old in sorted(own)[:-self._max_to_keep]:
      path = self._path(old)
      shutil.rmtree(path.rename(path.with_suffix('.tmp')))

  def _check_step(self, step: int):
    for other in self.steps():
      if other >= step and other not in self._damaged and not (
          other == step and other in self._own):
        raise ValueError(
            f'step is {step}, but {self._path(other)} exists and was not found '
            f'to be damaged; expected a larger step, or `restore` before')

  def _show(self, step: int, written: Path):
    """Renames a complete checkpoint to its number."""
    path = self._directory / str(step)
    if step in self._damaged:
      self._set_aside(step)
    elif path.exists():
      # `steps` finds this name until the new checkpoint has its own.
      path.rename(path.with_suffix('.replaced'))
    written.rename(path)
    shutil.rmtree(path.with_suffix('.replaced'), ignore_errors=True)
    self._own.add(step)

  def _set_aside(self, step: int):
    """Renames a damaged checkpoint."""
    self._damaged.remove(step)
    path = self._path(step)
    if path.exists():
      shutil.rmtree(path.with_suffix('.damaged'), ignore_errors=True)
      path.rename(path.with_suffix('.damaged'))

  def _path(self, step: int) -> Path:
    path = self._directory / str(step)
    replaced = path.with_suffix('.replaced')
    return replaced if replaced.exists() and not path.exists() else path

  def restore(
      self, like: chex.ArrayTree
  ) -> tuple[chex.ArrayTree, dict[str, Any]] | None:
    """Returns the newest undamaged checkpoint, or None if there is none.

    A checkpoint that cannot be read or fails a checksum is skipped with a
    warning that names it, and stays on disk. On a CPU reading needs little more
    than the memory of the state; for another device the host holds a copy while
    it reads. A checkpoint written by older versions, or by another number of
    devices, needs up to another copy of its largest array.

    Args:
      like: state of the same structure, or its shapes. Leaves that are NumPy
        arrays are restored as such, others as JAX arrays with the sharding of
        the leaf, or on the default device if it has none.

    Returns:
      The state, and the metadata saved with it.

    Raises:
      TypeError: if `like` has leaves that are not arrays.
      ValueError: if the newest undamaged checkpoint has other arrays than
        `like`, or was written by an older version of this module.
    """
    leaves = arrays_lib.by_name(like)
    expected = {
        name: arrays_lib.type_name(leaf) for name, leaf in leaves.items()}
    self._damaged = set()
    # Listed again each time: another process may save and delete meanwhile.
    while steps := [x for x in self.steps() if x not in self._damaged]:
      path = self._path(steps[-1])
      if (path / 'memory').exists():
        raise ValueError(
            f'an older version wrote checkpoint {path}, in a format that this '
            f'one cannot read; expected that version, or another folder')
      contents, stored, arrays, problem = {}, {}, {}, None
      try:
        contents = json_part.read(path)
        stored = {name: x['type'] for name, x in contents['arrays'].items()}
        if stored == expected:
          arrays = self._read_arrays(path, contents['arrays'], leaves)
      except MemoryError:  # Does not mean that it is damaged.
        raise
      except Exception as error:  # pylint: disable=broad-except
        problem = str(error)  # Whatever it is, an older one may be undamaged.
      if problems := [x for x in multihost.gather(problem) if x is not None]:
        self._damaged.add(steps[-1])
        if path.exists():
          warnings.warn(f'checkpoint {path} is damaged and passed over: '
                        f'{problems[0]}', stacklevel=2)
        continue
      if stored != expected:
        raise ValueError(
            f'checkpoint {path} has another structure than expected:\n'
            f'{arrays_lib.differences(stored, expected)}')
      gc.collect()  # Orbax keeps what it read in a reference cycle.
      self._own = set(steps)
      structure = jax.tree.structure(like)
      # Frees each array that was read before the next one is converted.
      return structure.unflatten(
          [arrays_lib.from_saved(arrays.pop(name), leaf)
           for name, leaf in leaves.items()]), contents['metadata']
    return None

  def _read_arrays(
      self, path: Path, entries: dict[str, Any], leaves: dict[str, Any],
  ) -> dict[str, np.ndarray | jax.Array | None]:
    """Returns the arrays by name, None for empty ones.

    Raises:
      ValueError: if an array is damaged.
    """
    numbers = {name: str(i) for i, name in enumerate(entries)
               if leaves[name].size}
    folder, read = path / 'arrays', {}
    large = {number: leaves[name] for name, number in numbers.items()
             if arrays_lib.num_bytes(leaves[name]) > _LARGE}
    for number, leaf in large.items():
      sharding = arrays_lib.cpu_sharding(leaf)
      if sharding is not None and not multihost.is_many():
        read[number] = pieces.read(folder, number, leaf, sharding)
    others = [x for x in numbers.values() if x not in read]
    if others:
      read |= self._orbax.restore(folder, args=ocp.args.PyTreeRestore(
          item=dict.fromkeys(others, 0),
          restore_args=dict.fromkeys(
              others, ocp.RestoreArgs(restore_type=np.ndarray)),
          partial_restore=True))
    for name, number in numbers.items():
      for block, checksum in entries[name]['checksums']:
        part = arrays_lib.block(read[number], block)
        if arrays_lib.crc32(part) != checksum:
          raise ValueError(f'the checksum of {name} does not match')
    return {name: read[numbers[name]] if name in numbers else None
            for name in leaves}

  def close(self):
    """Releases the resources of orbax."""
    self._orbax.close()
