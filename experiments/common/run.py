"""The skeleton of every command that trains.

  begin or resume; advance, evaluate, record, again and again; finish; draw,

in a folder that one process holds. A `Task` says what these are for one kind
of experiment; what is saved when, what a resumed run cuts off, and how the
command follows a request to stop is here, once.
"""

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import json
from pathlib import Path
import sys
from typing import Any

import chex

from hyperjax.environments import vector

from . import cli
from . import command
from . import machine
from . import pace as pace_lib
from . import progress as progress_lib
from . import run_folder
from . import stopping
from . import study

# What a task keeps on the devices: any pytree.
State = Any
# What the host keeps beside it; must survive JSON.
Metadata = dict[str, Any]
# Functions of a run's folder that draw its pictures, by their files' names.
Pictures = Mapping[str, Callable[[Path], None]]


class Task(abc.ABC):
  """One experiment with its settings.

  Attributes:
    settings: a dataclass with the fields `output`, `checkpoint_seconds` and
      `restart`, see `run_folder.RunFolder`.
    logs: fields of each CSV log, by the name of its file.
    pictures: drawn when the run is finished, from its folder alone.
    folder: set by the skeleton before any method is called.
    failure: why no more can be trained after an `advance`, if so; the skeleton
      saves the state that it returned and raises the error.
  """

  settings: Any
  logs: dict[str, tuple[str, ...]]
  pictures: Pictures
  folder: run_folder.RunFolder
  failure: str | None = None

  @abc.abstractmethod
  def progress(self, state: State) -> progress_lib.Bar:
    """Returns the progress bar of a run that stands at a state."""

  @abc.abstractmethod
  def init(self) -> tuple[State, Metadata]:
    """Returns what a new run begins with."""

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
      self, state: State, metadata: Metadata, pace: pace_lib.Pace,
      bar: progress_lib.Bar) -> State:
    """Trains a chunk, at most to the next evaluation, and records it.

    Args:
      state: before the chunk; its memory is reused.
      metadata: is changed in place.
      pace: says how much there is time for, and is told how long it took.
      bar: is told what was done.
    """

  def evaluation_is_due(self, state: State, metadata: Metadata) -> bool:
    """Returns whether a state is to be evaluated; never by default."""
    del state, metadata
    return False

  def evaluate(self, state: State, metadata: Metadata) -> Any:
    """Returns an evaluation of a state; changes and writes nothing."""
    del state, metadata

  def record(self, state: State, metadata: Metadata, evaluation: Any) -> State:
    """Records an evaluation; returns the state, with the best one if kept."""
    del metadata, evaluation
    return state

  @abc.abstractmethod
  def finish(self, state: State, metadata: Metadata):
    """Writes the summary, and what the pictures need, each file at once."""

  @abc.abstractmethod
  def report(self):
    """Prints what a finished run came to, from its folder."""

  def close(self):  # noqa: B027 Most tasks hold nothing.
    """Releases what the task holds; nothing by default."""


def check_finite(first_nonfinite: Sequence[int], names: Sequence[str]):
  """Checks that the losses of a chunk were finite.

  Args:
    first_nonfinite: number of the first update of each run whose loss was not
      finite, -1 if there is none.
    names: of the runs.

  Raises:
    FloatingPointError: if one was not, naming the run and the update.
  """
  for name, first in zip(names, first_nonfinite, strict=True):
    if first >= 0:
      raise FloatingPointError(
          f'the loss of {name} was not finite at update {first}; the last '
          f'checkpoint is from before')


class Runner:
  """A task in its folder, see `opened`."""

  def __init__(self, task: Task, requests: stopping.Requests):
    self._task = task
    self._requests = requests
    self._folder = task.folder
    self._saved: tuple[int, str] | None = None
    requests.what_is_kept = self._what_is_kept

  def __call__(self):
    """Trains to the end, or from the last checkpoint to the end."""
    task = self._task
    if self._folder.is_finished:
      print(f'{self._folder.path} holds this run, and it is finished.')
    else:
      self._train(*self.begin_or_resume())
    with self._requests.interruptible():
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
            self._save(state, metadata)
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
    self._folder.finish()

  def _identity(self, state: State, metadata: Metadata) -> tuple[int, str]:
    return self._task.number(state), json.dumps(metadata)

  def _save(self, state: State, metadata: Metadata):
    identity = self._identity(state, metadata)
    if identity == self._saved:
      return
    with self._requests.patient():
      self._folder.save(
          self._task.number(state), self._task.to_save(state), metadata)
    self._saved = identity

  def _what_is_kept(self) -> str:
    path = self._folder.path
    if self._folder.is_finished:
      return f'{path} holds the finished run; the same command draws the rest'
    if self._folder.saved is None:
      return f'{path} holds no checkpoint yet; the same command begins anew'
    return (f'{path} holds the run after step {self._folder.saved}; the same '
            f'command goes on from there')


def draw(folder: Path, pictures: Pictures):
  """Draws pictures; one that cannot be drawn is named and left out."""
  for name, function in pictures.items():
    try:
      function(folder)
    except Exception as error:  # pylint: disable=broad-except
      # Whatever is wrong with its data, the run is finished.
      print(f'{folder / name} is not drawn: {error}', file=sys.stderr)


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
    draw(folder, pictures)

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
    machine.use_all_cores()
    machine.keep_freed_memory()
    settings = cli.parse(
        settings_class, argv, command.name_of(module), default_presets)
    with command.usage():
      task = make_task(settings)
    run(task, requests)
