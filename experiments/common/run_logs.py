"""The loggers of a command's runs beside its CSV files: `--log`.

What they get is held back until a checkpoint has it. So a resumed run, which
goes on from its newest checkpoint, writes nothing twice. (A kill between the
checkpoint and the writing loses what is held back to the loggers, but not to
the CSV files.)
"""

from collections.abc import Mapping, Sequence
import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np

from hyperjax import checks
from hyperjax import loggers
from hyperjax import policy_folder
from hyperjax.loops import chunk_log

# Beside these a run always has its CSV files.
NAMES = ('csv', 'tensorboard', 'wandb')


def parse(text: str) -> list[str]:
  """Returns the names of loggers in 'csv,tensorboard'.

  Raises:
    ValueError: for an unknown name, with near matches, or one whose package is
      missing.
  """
  names = [name.strip() for name in text.split(',')]
  for name in names:
    checks.known('logger', name, NAMES)
  for name, package in (('tensorboard', 'tensorboardX'), ('wandb', 'wandb')):
    if name in names:
      try:
        __import__(package)
      except ImportError as error:
        raise ValueError(
            f"the logger {name} needs the package {package}: pip install "
            f"'hyperjax[{name}]'") from error
  return [name for name in names if name != 'csv']


class RunLogs:
  """Loggers of several runs that advance together."""

  def __init__(
      self, names: str, folder: Path, runs: Sequence[policy_folder.Run],
      config: Mapping[str, Any]):
    """Makes loggers; opens none yet.

    Args:
      names: as in `parse`.
      folder: of the runs.
      runs: one or more.
      config: settings, shown by Weights & Biases.
    """
    self._names = parse(names)
    self._folder = folder
    self._runs = runs
    self._config = dict(config)
    self._held: list[tuple[int, int, dict[str, float]]] = []
    self._open: dict[int, list[loggers.Logger]] = {}

  def write(self, run: int, step: int, values: Mapping[str, Any]):
    """Takes numbers of one run; what is not finite is left out.

    Args:
      run: number of the run in `runs`.
      step: its environment steps.
      values: numbers by name.
    """
    if self._names:
      self._held.append((run, int(step), {
          name: float(x) for name, x in values.items()
          if math.isfinite(float(x))}))

  def write_chunk(
      self, log: chunk_log.ChunkLog, steps: Sequence[int], active: np.ndarray):
    """Takes the means of a chunk's metrics and episodes.

    Args:
      log: of the chunk.
      steps: of each run after the chunk.
      active: which runs it was of, bool [S].
    """
    for i in np.flatnonzero(active):
      values = {'loss': log.loss[i],
                **{name: x[i] for name, x in log.metrics.items()}}
      if log.num_episodes[i]:
        values['episode_return'] = np.mean(
            log.episode_return[i, :log.num_episodes[i]])
      self.write(int(i), steps[i], values)

  def flush(self):
    """Writes what was held back: a checkpoint has it now."""
    held, self._held = self._held, []
    for run, step, values in held:
      if run not in self._open:
        self._open[run] = [self._make(name, run) for name in self._names]
      for logger in self._open[run]:
        logger.write(step, values)

  def _make(self, name: str, number: int) -> loggers.Logger:
    run = self._runs[number]
    title = f'{run.task}_seed_{run.seed}'.replace('/', '-')
    if name == 'tensorboard':
      return loggers.TensorBoard(self._folder / name / title)
    import wandb
    # Equal for the run when it is resumed, and no other's.
    identity = hashlib.sha256(
        f'{self._folder.resolve()}/{title}'.encode()).hexdigest()[:16]
    return loggers.WandB(
        project='hyperjax', group=self._folder.name, name=title, id=identity,
        resume='allow', dir=self._folder, config=self._config,
        settings=wandb.Settings(silent=True, console='off'))

  def close(self):
    """Closes the loggers; what is held back is dropped."""
    for opened in self._open.values():
      for logger in opened:
        logger.close()
    self._open = {}
