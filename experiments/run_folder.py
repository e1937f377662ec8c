"""The folder of a run that can be interrupted and resumed."""

import time
from typing import Any

import chex

from experiments import records
from hyperjax import checkpoint


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
        work; see `records.open_folder` and `records.FolderLock`.
    """
    # Where the folder lies and how often it is saved is not what was run.
    records.open_folder(settings.output, records.settings_as_json(
        settings, without=('output', 'checkpoint_seconds')))
    self._lock = records.FolderLock(settings.output)
    self.logs = {name: records.CsvLog(settings.output / name, fields)
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
    """The newest whole checkpoint, with the logs as they were; None if new.

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
    return state, saved['memory']

  def save(self, step: int, state: chex.ArrayTree, memory: dict[str, Any]):
    """Writes a checkpoint.

    Args:
      step: its number, which rises.
      state: arrays and PRNG keys.
      memory: what else to remember; must survive JSON.
    """
    self.saved_seconds = self.seconds()
    self._checkpointer.save(step, state, {
        'memory': memory, 'seconds': self.saved_seconds,
        'positions': self.sync()})
    self._last_saved = time.monotonic()

  def is_due(self) -> bool:
    """Whether it is time for a checkpoint."""
    return time.monotonic() - self._last_saved > self._checkpoint_seconds

  def seconds(self) -> float:
    """What the run has taken so far, in all sessions."""
    return self._earlier_seconds + time.monotonic() - self._session_start

  def sync(self) -> dict[str, int]:
    """Makes sure that all logs are on disk; their lengths in bytes."""
    return {name: log.sync() for name, log in self.logs.items()}

  def close(self):
    """Releases files."""
    for log in self.logs.values():
      log.close()
    self._checkpointer.close()
    self._lock.close()
