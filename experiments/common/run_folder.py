"""The folder of a run that can be stopped and resumed.

  config.json   settings, and the provenance of the first start
  run.json      whether the run is finished, the step of its newest checkpoint,
                and commit, versions and devices of each start
  *.csv         logs, to which rows are appended; summary.csv at the end
  checkpoints/  the newest states
  policies/     what acts of the newest one, see `hyperjax.load`

What holds at every moment, after any kill:

- One process has the folder (`folder.Folder`): it locks, looks, then writes.
- config.json and run.json are whole; run.json says no more than what is there:
  it names a checkpoint after that is whole, and 'finished' after summary.csv.
- What the logs got after the newest checkpoint is cut off when the run is
  resumed, so that no row is there twice and none is missing. A checkpoint knows
  the checksums of the logs, and what was changed before it is refused.
- A run whose checkpoints are gone is refused, not begun again. `restart` moves
  what was there aside and begins anew.
- A finished run is left alone, but for its pictures, which are drawn from the
  folder and can be drawn again.
"""

import json
import os
import sys
import time
from typing import Any

import chex

from hyperjax import checkpoint
from hyperjax import multihost
from hyperjax import policy_folder
from hyperjax import types

from . import files
from . import folder as folder_lib
from . import provenance

# How a run is saved and where it lies is not what is run.
WITHOUT = ('output', 'checkpoint_seconds', 'log', 'restart', 'distributed',
           'coordinator', 'num_processes', 'process_id')
SUMMARY = 'summary.csv'
Policies = tuple[types.Agent, types.LearnerState, list[policy_folder.Run]]


class RunFolder:
  """Settings, logs and checkpoints of a run, and the time that it took.

  Attributes:
    path: where the folder is.
    config: contents of config.json.
    logs: by the names of their files.
    saved: number of the newest checkpoint, or None.
    saved_seconds: that the run had taken at its newest checkpoint, in all
      sessions.
    is_finished: whether the run is over and summary.csv is there.
  """

  def __init__(self, settings: Any, logs: dict[str, tuple[str, ...]]):
    """Takes the folder.

    Args:
      settings: a dataclass with the fields `output`, the folder,
        `checkpoint_seconds`, between checkpoints, and `restart`, whether to
        begin anew.
      logs: the fields of each log by the name of its file.

    Raises:
      ValueError: for a folder that cannot be used, see `folder.Folder`, or a
        damaged run.json.
    """
    self.path = settings.output
    self._folder: folder_lib.Folder | None = None
    # The first process of a job has the folder; the others write nothing.
    self.logs: dict[str, Any] = {name: files.NoLog() for name in logs}
    self.config, self._run, self.is_finished = multihost.agree(
        lambda: self._open(settings, logs))
    self.saved: int | None = self._run['saved']
    self._checkpointer = checkpoint.Checkpointer(self.path / 'checkpoints')
    self.saved_seconds = 0.
    self._earlier_seconds = 0.
    self._checkpoint_seconds = settings.checkpoint_seconds
    self._session_start = self._last_saved = time.monotonic()

  def _open(
      self, settings, logs) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Takes the folder; returns config.json, run.json, whether it is over."""
    folder = folder_lib.Folder(
        self.path, settings, WITHOUT, settings.restart)
    try:
      run = self._read_run(folder)
      is_finished = run['finished'] and (self.path / SUMMARY).exists()
      if not is_finished:
        self.logs = {name: files.CsvLog(self.path / name, fields)
                     for name, fields in logs.items()}
    except BaseException:
      folder.close()
      raise
    self._folder = folder
    return folder.config, run, is_finished

  def _read_run(self, folder: folder_lib.Folder) -> dict[str, Any]:
    path = self.path / 'run.json'
    if folder.is_new:
      return {'finished': False, 'saved': None, 'starts': []}
    if not path.exists():
      is_old = folder.config.get('format', 1) < 3
      # A run that was killed before it wrote run.json has no rows yet.
      if not is_old and any(p.read_bytes().count(b'\n') > 1
                            for p in self.path.glob('*.csv')):
        raise ValueError(
            f'{path} is missing; expected it as the run wrote it, or '
            f'--restart, which moves aside what is there and begins anew')
      return {'finished': is_old and (self.path / SUMMARY).exists(),
              'saved': None, 'starts': []}
    try:
      run = json.loads(path.read_text(encoding='utf-8'))
      if not (isinstance(run['finished'], bool)
              and isinstance(run['saved'], int | None)
              and isinstance(run['starts'], list)):
        raise TypeError('an entry is of another type')
      if not all(isinstance(start, dict) and {'commit', 'versions', 'devices'}
                 <= set(start) for start in run['starts']):
        raise TypeError('a start has no commit, versions and devices')
    except (OSError, ValueError, KeyError, TypeError) as error:
      raise ValueError(
          f'{path} is damaged: {error}; expected it as the run wrote it, or '
          f'--restart, which moves aside what is there and begins anew'
      ) from error
    return run

  def _write_run(self):
    files.write_atomically(
        self.path / 'run.json',
        json.dumps(self._run, indent=2).encode() + b'\n')

  def restore(
      self, like: chex.ArrayTree
  ) -> tuple[chex.ArrayTree, dict[str, Any]] | None:
    """Returns the newest whole checkpoint; None for a new run.

    The logs are cut back to what they were then, and the start is recorded.

    Args:
      like: a state of the same structure, or its shapes and shardings.

    Returns:
      The state, and what else was to be remembered.

    Raises:
      ValueError: if there were checkpoints but none is there or can be read, or
        they are of another structure, before anything that the run wrote is
        lost; or if a log was changed.
    """
    restored = self._checkpointer.restore(like)
    if restored is None:
      multihost.agree(self._begin)
      return None
    state, saved = restored
    multihost.agree(lambda: self._go_on(saved))
    self.saved = saved['step']
    self.saved_seconds = self._earlier_seconds = saved['seconds']
    self._last_saved = time.monotonic()
    return state, saved['metadata']

  def _begin(self):
    """Prepares the files of a run without a checkpoint."""
    steps = self._checkpointer.steps()
    if steps or self.saved is not None or self._run['finished']:
      what = 'can be read' if steps else 'is there'
      raise ValueError(
          f'{self.path} holds a run with a checkpoint after step '
          f'{steps[-1] if steps else self.saved}, but none {what}; put '
          f'{self.path / "checkpoints"} back, or add --restart, which moves '
          f'aside what is there and begins anew')
    for log in self.logs.values():
      log.truncate(None)
    self._record_start(None)

  def _go_on(self, saved: dict[str, Any]):
    """Cuts the files of a run back to what they were at its checkpoint."""
    for name, log in self.logs.items():
      log.truncate(files.Position(*saved['positions'][name]))
    if self.saved is not None and saved['step'] < self.saved:
      print(f'the checkpoint after step {self.saved} is gone or damaged; the '
            f'run goes on from the one after step {saved["step"]}',
            file=sys.stderr)
    self._record_start(saved['step'])

  def _record_start(self, step: int | None):
    """Notes commit, versions and devices, and says where they are others."""
    start = {'step': step, **provenance.provenance()}
    if self._run['starts']:
      changes = provenance.changes(self._run['starts'][-1], start)
      if changes and step is not None:
        print(f'the run goes on with {changes}', file=sys.stderr)
    self._run['starts'].append(start)
    self._write_run()

  def save(
      self, step: int, state: chex.ArrayTree, metadata: dict[str, Any],
      policies: Policies | None = None):
    """Writes a checkpoint, and the policies of its runs.

    The policies come first: after a kill between the two a resumed run comes
    by the same ones again.

    Args:
      step: its number, which rises.
      state: arrays and PRNG keys.
      metadata: what else to remember; must survive JSON.
      policies: arguments of `policy_folder.save_runs`; None to write none.

    Raises:
      OSError: if it cannot be written; the one before it is left.
    """
    self.saved_seconds = self.seconds()
    try:
      if policies is not None:
        policy_folder.save_runs(self.path / policy_folder.FOLDER, *policies)
      self._checkpointer.save(step, state, {
          'metadata': metadata, 'seconds': self.saved_seconds, 'step': step,
          'positions': self.sync()})
    except (TypeError, MemoryError):
      raise
    except Exception as error:  # pylint: disable=broad-except
      # Its writers raise errors of many classes for a disk that is full.
      reason = str(error).strip().split('\n')[0] or type(error).__name__
      left = ('there is none before it' if self.saved is None else
              f'the one after step {self.saved} is left')
      raise OSError(
          f'checkpoint {step} cannot be written to {self.path}: {reason[:300]}'
          f'; {left}') from error
    self.saved = self._run['saved'] = step
    self._write_run()
    self._last_saved = time.monotonic()

  def finish(self):
    """Notes that the run is over; its summary has been written."""
    multihost.agree(lambda: os.stat(self.path / SUMMARY))
    self._run['finished'] = self.is_finished = True
    self._write_run()

  def is_due(self) -> bool:
    """Returns whether a checkpoint is due."""
    return multihost.agree(
        lambda: time.monotonic() - self._last_saved > self._checkpoint_seconds)

  def seconds(self) -> float:
    """Returns the seconds of the run so far, in all sessions."""
    return self._earlier_seconds + time.monotonic() - self._session_start

  def sync(self) -> dict[str, files.Position]:
    """Writes all logs to disk and returns how far they have come."""
    return {name: log.sync() for name, log in self.logs.items()}

  def close(self):
    """Releases files."""
    for log in self.logs.values():
      log.close()
    self._checkpointer.close()
    if self._folder is not None:
      self._folder.close()
