"""The folder of a run that can be interrupted and resumed."""

import fcntl
import json
import os
from pathlib import Path
import time
from typing import Any

import chex

from experiments.common import files
from experiments.common import provenance
from hyperjax import checkpoint

# Of config.json. Runs without a number are of former names of presets and
# settings, see `registry`.
FORMAT = 2


def make_folder(folder: Path):
  """Makes a folder if need be; raises ValueError if it cannot be written."""
  try:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / '.writable'
    probe.touch()
    probe.unlink()
  except OSError as error:
    raise ValueError(
        f'output folder {folder} cannot be written: {error}') from error


def open_folder(folder: Path, settings: dict[str, Any]):
  """Makes a run's folder, or checks that it is the same run's.

  Args:
    folder: where the run writes.
    settings: as plain data; written to config.json with the provenance.

  Raises:
    ValueError: if the folder cannot be written, holds other files, or holds a
      run of other settings; the first difference is named.
  """
  make_folder(folder)
  path = folder / 'config.json'
  if not path.exists():
    others = sorted(p.name for p in folder.iterdir()
                    if p.name != path.name + '.tmp')
    if others:
      raise ValueError(
          f'output folder {folder} has no config.json but other files '
          f'({others[0]}, ...); expected an empty folder or one of an earlier '
          f'run')
    files.write_atomically(path, json.dumps(
        {'format': FORMAT, 'settings': settings, **provenance.provenance()},
        indent=2).encode() + b'\n')
    return
  try:
    found = json.loads(path.read_text())['settings']
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(f'{path} is not a config of a run: {error}') from error
  difference = _first_difference(found, settings)
  if difference:
    name, theirs, ours = difference
    raise ValueError(
        f'output folder {folder} holds a run of other settings: {name} is '
        f'{theirs!r} there, {ours!r} here')


class FolderLock:
  """Keeps a folder for one process, until it is closed or the process ends."""

  def __init__(self, folder: Path):
    """Takes the folder.

    Raises:
      ValueError: if another process has it.
    """
    self._descriptor = os.open(folder, os.O_RDONLY)
    try:
      fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      self.close()
      raise ValueError(
          f'output folder {folder} is in use by another run; expected one that '
          f'no other process writes to') from None

  def close(self):
    """Releases the folder."""
    os.close(self._descriptor)


def _first_difference(a: Any, b: Any, name: str = ''):
  if isinstance(a, dict) and isinstance(b, dict):
    for key in {**a, **b}:
      found = _first_difference(
          a.get(key), b.get(key), f'{name}.{key}' if name else key)
      if found:
        return found
    return None
  return None if a == b else (name, a, b)


class RunFolder:
  """Settings, logs and checkpoints of a run, and the time that it took.

  What the logs got after the last checkpoint is cut off when a run is resumed:
  no row is there twice and none is missing.

  Attributes:
    logs: by the names of their files.
    saved_seconds: that the run had taken at its last checkpoint, in all
      sessions.
  """

  def __init__(self, settings: Any, logs: dict[str, tuple[str, ...]]):
    """Opens the folder.

    Args:
      settings: a dataclass with the fields `output`, the folder, and
        `checkpoint_seconds`, between checkpoints.
      logs: the fields of each log by the name of its file.

    Raises:
      ValueError: for a folder that cannot be used, or in which a run is at
        work; see `records.open_folder` and `FolderLock`.
    """
    # Where the folder lies and how often it is saved is not what was run.
    open_folder(settings.output, provenance.settings_as_json(
        settings, without=('output', 'checkpoint_seconds')))
    self._lock = FolderLock(settings.output)
    self.logs = {name: files.CsvLog(settings.output / name, fields)
                 for name, fields in logs.items()}
    self.saved_seconds = 0.
    self._earlier_seconds = 0.
    self._path = settings.output
    self._checkpointer = checkpoint.Checkpointer(
        settings.output / 'checkpoints')
    self._checkpoint_seconds = settings.checkpoint_seconds
    self._session_start = self._last_saved = time.monotonic()

  def restore(
      self, like: chex.ArrayTree
  ) -> tuple[chex.ArrayTree, dict[str, Any]] | None:
    """Returns the newest whole checkpoint; None for a new run.

    The logs are cut back to what they were then.

    Args:
      like: a state of the same structure, or its shapes and shardings.

    Returns:
      The state, and what else was to be remembered.

    Raises:
      ValueError: if there are checkpoints but none can be read, or they are of
        another structure, before anything that the run wrote is lost; or if a
        log is too short.
    """
    restored = self._checkpointer.restore(like)
    if restored is None and self._checkpointer.steps():
      raise ValueError(
          f'no checkpoint in {self._path} can be read; expected one that is '
          f'whole, or an empty folder')
    if restored is None:
      for log in self.logs.values():
        log.truncate(None)
      return None
    state, saved = restored
    for name, log in self.logs.items():
      log.truncate(saved['positions'][name])
    self.saved_seconds = self._earlier_seconds = saved['seconds']
    self._last_saved = time.monotonic()
    return state, saved['metadata']

  def save(self, step: int, state: chex.ArrayTree, metadata: dict[str, Any]):
    """Writes a checkpoint.

    Args:
      step: its number, which rises.
      state: arrays and PRNG keys.
      metadata: what else to remember; must survive JSON.
    """
    self.saved_seconds = self.seconds()
    self._checkpointer.save(step, state, {
        'metadata': metadata, 'seconds': self.saved_seconds,
        'positions': self.sync()})
    self._last_saved = time.monotonic()

  def is_due(self) -> bool:
    """Returns whether a checkpoint is due."""
    return time.monotonic() - self._last_saved > self._checkpoint_seconds

  def seconds(self) -> float:
    """Returns the seconds of the run so far, in all sessions."""
    return self._earlier_seconds + time.monotonic() - self._session_start

  def sync(self) -> dict[str, int]:
    """Writes all logs to disk and returns their lengths in bytes."""
    return {name: log.sync() for name, log in self.logs.items()}

  def close(self):
    """Releases files."""
    for log in self.logs.values():
      log.close()
    self._checkpointer.close()
    self._lock.close()
