"""The skeleton of every command that trains.

  begin or resume, advance, evaluate, record, and finish,

in a folder that one process holds. A `Task` says what these are for one kind
of experiment; what is saved when, what a resumed run cuts off, and how errors
end the command is here, once.
"""

import abc
from collections.abc import Callable, Iterator, Sequence
import contextlib
import sys
from typing import Any

import chex

from experiments.common import cli
from experiments.common import progress as progress_lib
from experiments.common import run_folder
from hyperjax.environments import vector

# What a task keeps on the devices: any pytree.
State = Any
# What the host keeps beside it; must survive JSON.
Metadata = dict[str, Any]


class Task(abc.ABC):
  """One experiment with its settings.

  Attributes:
    settings: a dataclass with the fields `output` and `checkpoint_seconds`.
    logs: fields of each CSV log, by the name of its file.
    folder: set by the skeleton before any method is called.
    failure: why no more can be trained after an `advance`, if so; the skeleton
      saves the state that it returned and raises the error.
  """

  settings: Any
  logs: dict[str, tuple[str, ...]]
  folder: run_folder.RunFolder
  failure: str | None = None

  @abc.abstractmethod
  def progress(self, state: State) -> progress_lib.Bar:
    """Returns the progress bar of a run that stands at a state."""

  @abc.abstractmethod
  def init(self) -> tuple[State, Metadata]:
    """Returns what a new run begins with; may record it."""

  @abc.abstractmethod
  def abstract_state(self) -> chex.ArrayTree:
    """Returns shapes and shardings of what `to_save` returns."""

  def to_save(self, state: State) -> chex.ArrayTree:
    """Returns the part of the state that checkpoints hold; all by default."""
    return state

  def resume(self, saved: chex.ArrayTree, metadata: Metadata) -> State:
    """Returns the state of a run that goes on, from what was saved."""
    del metadata
    return saved

  @abc.abstractmethod
  def number(self, state: State) -> int:
    """Returns how far a run has come: the number of its checkpoint."""

  @abc.abstractmethod
  def is_done(self, state: State, metadata: Metadata) -> bool:
    """Returns whether there is nothing left to train."""

  @abc.abstractmethod
  def advance(
      self, state: State, metadata: Metadata, bar: progress_lib.Bar) -> State:
    """Trains a chunk, evaluates where it is due, and records both."""

  @abc.abstractmethod
  def finish(self, state: State, metadata: Metadata):
    """Writes summary and pictures."""

  @abc.abstractmethod
  def report(self, metadata: Metadata):
    """Prints what a finished run came to."""

  def close(self):  # noqa: B027 Most tasks hold nothing.
    """Releases what the task holds; nothing by default."""


class Runner:
  """A task in its folder, see `opened`."""

  def __init__(self, task: Task):
    self._task = task
    self._folder = task.folder

  def __call__(self):
    """Trains to the end, or from the last checkpoint to the end."""
    task = self._task
    state, metadata = self.begin_or_resume()
    if metadata['finished']:
      print(f'{task.settings.output} holds this run, and it is finished.')
      task.report(metadata['task'])
      return
    task_metadata = metadata['task']
    try:
      with task.progress(state) as bar:
        while not task.is_done(state, task_metadata):
          state = task.advance(state, task_metadata, bar)
          if task.failure is not None:
            raise vector.StalledError(task.failure)
          if self._folder.is_due():
            self._save(state, metadata)
      self._save(state, metadata)
      task.finish(state, task_metadata)
    except vector.StalledError as error:
      self._save(state, metadata)
      raise vector.StalledError(
          f'{error}; the run is saved after {task.number(state)} steps'
      ) from error
    metadata['finished'] = True
    self._save(state, metadata)
    task.report(task_metadata)

  def begin_or_resume(self) -> tuple[State, Metadata]:
    """Returns the state of the newest checkpoint, or of a new run.

    Metadata are `finished`, whether the run is over, and `task`, the task's.
    """
    restored = self._folder.restore(self._task.abstract_state())
    if restored is None:
      state, metadata = self._task.init()
      return state, {'task': metadata, 'finished': False}
    saved, metadata = restored
    if metadata['finished']:
      return saved, metadata
    return self._task.resume(saved, metadata['task']), metadata

  def _save(self, state: State, metadata: Metadata):
    # The end has a number of its own: the checkpoint before it stays until
    # this one is whole.
    self._folder.save(
        self._task.number(state) + metadata['finished'],
        self._task.to_save(state), metadata)


@contextlib.contextmanager
def opened(task: Task) -> Iterator[Runner]:
  """Opens a task's folder for this process alone, and closes both again.

  Raises:
    ValueError: for a folder that cannot be used, or in which a run is at work.
  """
  with contextlib.ExitStack() as stack:
    stack.callback(task.close)
    task.folder = run_folder.RunFolder(task.settings, task.logs)
    stack.callback(task.folder.close)
    yield Runner(task)


def run(task: Task):
  """Runs a task to its end, or from its last checkpoint to its end.

  Raises:
    ValueError: for a folder that cannot be used.
    FloatingPointError: if a loss was not finite.
    vector.StalledError: if environments stall or die; the run is saved then.
  """
  with opened(task) as runner:
    runner()


def main(
    make_task: Callable[[Any], Task], settings_class: Any, prog: str,
    argv: Sequence[str] | None = None,
    default_presets: Sequence[str] = ('default',),
):
  """Runs a command: reads its settings, makes its task and runs it.

  Args:
    make_task: from settings to a task.
    settings_class: see `cli.parse`.
    prog: name of the command in messages.
    argv: arguments, those of the process by default.
    default_presets: see `cli.parse`.
  """
  settings = cli.parse(settings_class, argv, prog, default_presets)
  with errors_in_a_line():
    run(make_task(settings))


@contextlib.contextmanager
def errors_in_a_line():
  """Ends the process with one line for errors that a user can mend."""
  try:
    yield
  except (ValueError, MemoryError, FloatingPointError,
          vector.StalledError) as error:
    sys.exit(f'error: {error}')
