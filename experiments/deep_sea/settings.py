"""The settings of `experiments.deep_sea.run`, its command line."""

import dataclasses
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import tyro

from experiments.common import run_folder
from hyperjax.agents import presets

Config = TypeVar('Config')


@dataclasses.dataclass(frozen=True)
class Settings(Generic[Config]):
  """Runs an agent on DeepSea.

  Attributes:
    output: folder to write to; resumed if it holds the same run.
    config: the agent's settings.
    agent: name of the agent.
    preset: name of the agent's settings before the options given here.
    size: N of the N x N grid.
    stochastic: whether, while learning, right fails once in N steps and the end
      cells give noise.
    num_seeds: independent runs, of the seeds seed, seed + 1, ...
    seed: the first one. It is the seed of the action mapping too.
    num_episodes: of each seed.
    evaluate_every: episodes between evaluations; max(1, 1000 // size) if None.
    eval_episodes: in an evaluation.
    stop_when_solved: whether a seed ends when it has solved the task.
    stop_margin: how much longer it then goes on, as a part of the episodes that
      it took. (bsuite's criterion is met after a ninth more.)
    checkpoint_seconds: time between checkpoints.
    restart: whether to begin anew. What the folder held moves aside in it. A
      command that is to be resumed must not have it.
  """

  output: Path
  config: Annotated[Config, tyro.conf.arg(name='')]
  agent: Annotated[str, tyro.conf.arg(
      metavar='{' + ','.join(presets.AGENTS) + '}')] = 'hyperagent'
  preset: str = 'default'
  size: int = 20
  stochastic: bool = False
  num_seeds: int = 10
  seed: int = 0
  num_episodes: int = 1000
  evaluate_every: int | None = None
  eval_episodes: int = 100
  stop_when_solved: bool = False
  stop_margin: float = 0.25
  checkpoint_seconds: float = 60.
  restart: bool = False

  def __post_init__(self):
    for name in ('num_seeds', 'num_episodes', 'eval_episodes'):
      if getattr(self, name) < 1:
        raise ValueError(
            f'{name} must be at least 1, got {getattr(self, name)}')
    if not 0. <= self.stop_margin < float('inf'):
      raise ValueError(
          f'stop_margin must be at least 0 and finite, got {self.stop_margin}')
    run_folder.check_settings(self)
    if not 0 <= self.seed <= 2**32 - self.num_seeds:
      raise ValueError(
          f'seed must be between 0 and 2**32 - num_seeds, got {self.seed}')
    if self.evaluate_every is not None and not (
        1 <= self.evaluate_every <= self.coarsest_evaluation):
      raise ValueError(
          f'evaluate_every must be between 1 and {self.coarsest_evaluation} '
          f'at size {self.size}, got {self.evaluate_every}')

  @property
  def coarsest_evaluation(self) -> int:
    """Episodes between evaluations as published: 1000 steps, or less."""
    return max(1, 1000 // max(1, self.size))

  @property
  def seeds(self) -> list[int]:
    """The seeds of the runs."""
    return [self.seed + i for i in range(self.num_seeds)]
