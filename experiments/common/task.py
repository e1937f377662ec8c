"""The face that an experiment shows the skeleton, see `run`."""

import abc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import chex

from hyperjax import policy_folder
from hyperjax import types

from . import pace as pace_lib
from . import progress as progress_lib
from . import run_folder
from . import run_logs as run_logs_lib

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
      `restart`, see `run_folder.RunFolder`, and `log`, see `settings`.
    logs: fields of each CSV log, by the name of its file.
    pictures: drawn when the run is finished, from its folder alone.
    folder: set by the skeleton before any method is called.
    run_logs: set by the skeleton, too.
    failure: why no more can be trained after an `advance`, if so; the skeleton
      saves the state that it returned and raises the error.
  """

  settings: Any
  logs: dict[str, tuple[str, ...]]
  pictures: Pictures
  folder: run_folder.RunFolder
  run_logs: run_logs_lib.RunLogs
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

  @abc.abstractmethod
  def run_names(self) -> list[policy_folder.Run]:
    """Returns the names of the S runs that advance together."""

  @abc.abstractmethod
  def policies(self, state: State) -> tuple[types.Agent, types.LearnerState]:
    """Returns the agent and the state of the learners of the runs, [S]."""

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
          f'the loss of {name} was not finite at update {first}')
