"""The skeleton of every command that trains.

  begin or resume; advance, evaluate, record, again and again; finish; draw,

in a folder that one process holds. A `task.Task` says what these are for one
kind of experiment; what is saved when, what a resumed run cuts off, and how the
command follows a request to stop is here, once.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import json
from pathlib import Path
import sys
import time
from typing import Any

from hyperjax import multihost
from hyperjax.environments import vector

from . import cli
from . import command
from . import folder as folder_lib
from . import machine
from . import pace as pace_lib
from . import run_folder
from . import run_logs
from . import settings as settings_lib
from . import stopping
from . import study
from .task import Metadata
from .task import Pictures
from .task import State
from .task import Task

# Shortest time between two writings of the policies while a run goes on.
_POLICIES_SECONDS = 10.


class Runner:
  """A task in its folder, see `opened`."""

  def __init__(self, task: Task, requests: stopping.Requests):
    self._task = task
    self._requests = requests
    self._folder = task.folder
    self._saved: tuple[int, str] | None = None
    self._policies_written = -_POLICIES_SECONDS
    requests.what_is_kept = self._what_is_kept

  def __call__(self):
    """Trains to the end, or from the last checkpoint to the end."""
    task = self._task
    if self._folder.is_finished:
      print(f'{self._folder.path} holds this run, and it is finished.')
    else:
      self._train(*self.begin_or_resume())
    if not multihost.is_first():
      return
    with contextlib.ExitStack() as stack:
      if not multihost.is_many():  # Else the others would have to follow.
        stack.enter_context(self._requests.interruptible())
      draw(self._folder.path, {
          name: function for name, function in task.pictures.items()
          if not (self._folder.path / name).exists()})
    task.report()

  def begin_or_resume(self) -> tuple[State, Metadata]:
    """Returns the state of the newest checkpoint, or of a new run."""
    self._requests.check()
    restored = self._folder.restore(self._task.abstract_state())
    # Both take from seconds to minutes.
    print('making the state, and compiling the programs', flush=True)
    if restored is None:
      return self._task.init()
    saved, metadata = restored
    state = self._task.resume(saved, metadata)
    self._saved = self._identity(state, metadata)
    return state, metadata

  def _train(self, state: State, metadata: Metadata):
    task, requests = self._task, self._requests
    pace = pace_lib.Pace()
    try:
      with task.progress(state) as bar:
        while True:
          if task.evaluation_is_due(state, metadata):
            with requests.interruptible():
              evaluation = task.evaluate(state, metadata)
            state = task.record(state, metadata, evaluation)
          if task.is_done(state, metadata):
            break
          requests.check()
          state = task.advance(state, metadata, pace, bar)
          if task.failure is not None:
            raise vector.StalledError(task.failure)
          if self._folder.is_due():
            self._save(state, metadata, is_last=False)
      self._save(state, metadata)
      with requests.interruptible():
        task.finish(state, metadata)
    except stopping.Stopped as stopped:
      if task.number(state):  # Else the same command begins anew.
        self._save(state, metadata)
      raise stopping.Stopped(requests.line()) from stopped
    except vector.StalledError as error:
      self._save(state, metadata)
      raise vector.StalledError(
          f'{error}; the run is saved after {task.number(state)} steps'
      ) from error
    except FloatingPointError as error:
      raise FloatingPointError(
          f'{error}; {self._what_is_kept()}') from error
    self._folder.finish()

  def _identity(self, state: State, metadata: Metadata) -> tuple[int, str]:
    return self._task.number(state), json.dumps(metadata)

  def _save(self, state: State, metadata: Metadata, is_last: bool = True):
    identity = self._identity(state, metadata)
    if identity == self._saved:
      return
    policies = None
    if is_last or multihost.agree(
        lambda: time.monotonic() - self._policies_written >= _POLICIES_SECONDS):
      policies = (*self._task.policies(state), self._task.run_names())
      self._policies_written = time.monotonic()
    with self._requests.patient():
      self._folder.save(
          self._task.number(state), self._task.to_save(state), metadata,
          policies)
      self._task.run_logs.flush()
    self._saved = identity

  def _what_is_kept(self) -> str:
    path = self._folder.path
    if self._folder.is_finished:
      return f'{path} holds the finished run; the same command draws the rest'
    if self._folder.saved is None:
      return f'{path} holds no checkpoint yet; the same command begins anew'
    return (f'{path} holds the run after step {self._folder.saved}; the same '
            f'command goes on from there')


def draw(folder: Path, pictures: Pictures) -> bool:
  """Draws pictures; one that cannot be drawn is named and left out.

  Returns:
    Whether all could be drawn.
  """
  drawn = True
  for name, function in pictures.items():
    try:
      function(folder)
    except Exception as error:  # pylint: disable=broad-except
      # Whatever is wrong with its data, the run is finished.
      print(f'{folder / name} is not drawn: {error}', file=sys.stderr)
      drawn = False
  return drawn


def draw_main(
    pictures: Pictures, module: str, argv: Sequence[str] | None = None):
  """Runs the command that draws a run's pictures again.

  Args:
    pictures: see `Task`.
    module: name of the command's module.
    argv: arguments, those of the process by default.
  """

  def function(folder: Path):
    """Draws the pictures of a run again, from the files in its folder."""
    folder_lib.read_config(folder)
    if not draw(folder, pictures):
      raise ValueError(f'{folder} has not what all pictures are drawn from')

  study.main(function, module, argv)


@contextlib.contextmanager
def opened(
    task: Task, requests: stopping.Requests | None = None) -> Iterator[Runner]:
  """Opens a task's folder for this process alone, and closes both again.

  Args:
    task: is closed in the end.
    requests: to stop; None if nobody asks.

  Raises:
    ValueError: for a folder that cannot be used, or in which a run is at work.
  """
  with contextlib.ExitStack() as stack:
    stack.callback(task.close)
    task.folder = run_folder.RunFolder(task.settings, task.logs)
    stack.callback(task.folder.close)
    task.run_logs = run_logs.RunLogs(
        task.settings.log if multihost.is_first() else 'csv',
        task.settings.output, task.run_names(),
        task.folder.config)
    stack.callback(task.run_logs.close)
    yield Runner(task, requests or stopping.Requests())


def run(task: Task, requests: stopping.Requests | None = None):
  """Runs a task to its end, or from its last checkpoint to its end.

  Raises:
    ValueError: for a folder that cannot be used.
    FloatingPointError: if a loss was not finite.
    vector.StalledError: if environments stall or die; the run is saved then.
    stopping.Stopped: if a request to stop came; the run is saved then.
  """
  with opened(task, requests) as runner:
    runner()


def run_job(
    make_task: Callable[..., Task], *arguments: Any,
    requests: stopping.Requests):
  """Runs a task as a job, see `jobs`; the arguments are those of the task."""
  prepare_machine()
  run(make_task(*arguments), requests)


def prepare_machine():
  """Prepares a process that trains, before JAX has looked for devices."""
  machine.use_all_cores()
  machine.keep_freed_memory()


def main(
    make_task: Callable[[Any], Task], settings_class: Any, module: str,
    argv: Sequence[str] | None = None,
    default_presets: Sequence[str] = ('default',),
):
  """Runs a command: reads its settings, makes its task and runs it.

  Args:
    make_task: from settings to a task.
    settings_class: see `cli.parse`.
    module: name of the command's module.
    argv: arguments, those of the process by default.
    default_presets: see `cli.parse`.
  """
  with command.running() as requests:
    settings = cli.parse(
        settings_class, argv, command.name_of(module), default_presets)
    if isinstance(settings, settings_lib.DistributedSettings):
      command.join(settings)
    prepare_machine()
    command.let_first_speak()
    with command.usage():
      task = make_task(settings)
    run(task, requests)
