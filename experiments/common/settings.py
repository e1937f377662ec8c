"""Settings that every command that trains an agent has."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import tyro

from hyperjax.agents import presets

from . import run_logs

Config = TypeVar('Config')


@dataclasses.dataclass(frozen=True)
class RunSettings(Generic[Config]):
  """Runs an agent.

  Attributes:
    output: folder to write to; resumed if it holds the same run.
    config: the agent's settings.
    agent: name of the agent; my_module:MyAgent is the class of one's own.
    preset: name of the agent's settings before the options given here.
    num_seeds: independent runs, of the seeds seed, seed + 1, ...
    seed: the first one.
    checkpoint_seconds: time between checkpoints.
    log: where the numbers of each chunk and evaluation go, with commas between:
      csv for nothing beside the files that are always written, tensorboard,
      wandb.
    restart: whether to begin anew. What the folder held moves aside in it. A
      command that is to be resumed must not have it.
  """

  output: Path
  config: Annotated[Config, tyro.conf.arg(name='')]
  agent: Annotated[str, tyro.conf.arg(
      metavar='{' + ','.join((*presets.AGENTS, 'MODULE:CLASS')) + '}'
  )] = 'hyperagent'
  preset: str = 'default'
  num_seeds: int = 1
  seed: int = 0
  checkpoint_seconds: float = 60.
  log: str = 'csv'
  restart: bool = False

  def __post_init__(self):
    self.check_at_least_one('num_seeds')
    run_logs.parse(self.log)
    if not 0. <= self.checkpoint_seconds < math.inf:
      raise ValueError(
          f'checkpoint_seconds must be at least 0 and finite, got '
          f'{self.checkpoint_seconds}')

  def check_at_least_one(self, *names: str):
    """Raises ValueError if a field is below 1; None is no number."""
    for name in names:
      value = getattr(self, name)
      if value is not None and value < 1:
        raise ValueError(f'{name} must be at least 1, got {value}')

  @property
  def seeds(self) -> list[int]:
    """The seeds of the runs."""
    return [self.seed + i for i in range(self.num_seeds)]


@dataclasses.dataclass(frozen=True)
class DistributedSettings(RunSettings[Config]):
  """Runs an agent, in one process or in several that share the runs.

  Attributes:
    distributed: whether this process is one of several, each of which is begun
      with the same command; their devices share the runs.
    coordinator: address of the first of these processes, host:port; neither
      this nor the next two where JAX knows the cluster (SLURM, Open MPI,
      Kubernetes, Cloud TPU).
    num_processes: of the job.
    process_id: number of this process, from 0.
  """

  distributed: bool = False
  coordinator: str | None = None
  num_processes: int | None = None
  process_id: int | None = None

  def __post_init__(self):
    super().__post_init__()
    if not self.distributed:
      for name in ('coordinator', 'num_processes', 'process_id'):
        if getattr(self, name) is not None:
          raise ValueError(f'{name} needs --distributed')
