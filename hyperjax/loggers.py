"""Loggers: where the numbers of a run go.

A loop of one's own writes to them after each chunk, episode or update:

  logger = loggers.TensorBoard('runs/mine')
  for _ in range(100):
    state, log = loop.run(state, 1000)
    logger.write(int(state.num_steps[0]), {'loss': log.loss[0]})
  logger.close()
"""

from collections.abc import Mapping
import csv
import os
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
import uuid

import numpy as np

from hyperjax import checks


@runtime_checkable
class Logger(Protocol):
  """Takes the numbers of a run, step by step."""

  def write(self, step: int, values: Mapping[str, Any]) -> None:
    """Writes numbers.

    Args:
      step: number of environment steps, or whatever the run counts, at least 0.
      values: numbers by name; arrays of one number are numbers too.

    Raises:
      ValueError: if a value is no number.
    """
    ...

  def close(self) -> None:
    """Writes what is left, and closes the log."""
    ...


def _checked(step: Any, values: Mapping[str, Any]) -> dict[str, float]:
  checks.integer(0, 2**63 - 1)('step', step)
  numbers = {}
  for name, value in values.items():
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in 'biuf':
      raise ValueError(f'{name} must be a number, got {value!r}')
    numbers[name] = float(array.item())
  return numbers


class CSV:
  """A CSV file with the columns step, name and value: one number per row."""

  def __init__(self, path: str | os.PathLike):
    """Opens the file; rows are appended to one that is there.

    Args:
      path: file, whose folder is made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    self._file = open(path, 'a', newline='', encoding='utf-8')
    self._writer = csv.writer(self._file, lineterminator='\n')
    if not self._file.tell():
      self._writer.writerow(('step', 'name', 'value'))

  def write(self, step: int, values: Mapping[str, Any]) -> None:
    """See `Logger`."""
    self._writer.writerows(
        (int(step), *item) for item in _checked(step, values).items())
    self._file.flush()

  def close(self) -> None:
    """See `Logger`."""
    self._file.close()


class TensorBoard:
  """Scalars for TensorBoard, written by tensorboardX."""

  def __init__(self, folder: str | os.PathLike, **options: Any):
    """Opens a file of its own in the folder, beside those of earlier processes.

    Args:
      folder: folder of the run's files.
      **options: see `tensorboardX.SummaryWriter`; `purge_step` hides what
        earlier files have from that step on.

    Raises:
      ImportError: if tensorboardX is not installed.
    """
    try:
      import tensorboardX  # pyright: ignore[reportMissingImports]
    except ImportError as error:
      raise ImportError(
          "TensorBoard needs the package tensorboardX: pip install "
          "'hyperjax[tensorboard]'") from error
    # The name has the second alone, and a file of that name would be lost.
    self._writer = tensorboardX.SummaryWriter(os.fspath(folder), **{
        'filename_suffix': f'.{uuid.uuid4().hex[:8]}', **options})

  def write(self, step: int, values: Mapping[str, Any]) -> None:
    """See `Logger`."""
    for name, value in _checked(step, values).items():
      self._writer.add_scalar(name, value, int(step))

  def close(self) -> None:
    """See `Logger`."""
    self._writer.close()


class WandB:
  """A run of Weights & Biases.

  Whether it is online, offline or disabled says the environment variable
  WANDB_MODE, or the option `mode`.
  """

  def __init__(self, **options: Any):
    """Begins the run, beside others of the process.

    Args:
      **options: see `wandb.init`, such as `project`, `name` and `config`.

    Raises:
      ImportError: if wandb is not installed.
    """
    try:
      import wandb  # pyright: ignore[reportMissingImports]
    except ImportError as error:
      raise ImportError(
          "Weights & Biases needs the package wandb: pip install "
          "'hyperjax[wandb]'") from error
    self._run = wandb.init(**{'reinit': 'create_new', **options})
    # Its own counter counts calls; the x axis is the step that was given.
    self._run.define_metric('*', step_metric='step')

  def write(self, step: int, values: Mapping[str, Any]) -> None:
    """See `Logger`."""
    self._run.log({**_checked(step, values), 'step': int(step)})

  def close(self) -> None:
    """See `Logger`."""
    self._run.finish()
