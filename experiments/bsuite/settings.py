"""The settings of `experiments.bsuite.run`, its command line."""

import dataclasses
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import tyro

from experiments.common import run_folder
from hyperjax.agents import presets

Config = TypeVar('Config')


@dataclasses.dataclass(frozen=True)
class Settings(Generic[Config]):
  """Runs an agent on ids of bsuite.

  Attributes:
    output: folder to write to; what it holds of the same agent is kept and
      resumed, and ids may be added.
    config: the agent's settings.
    agent: name of the agent.
    preset: name of the agent's settings before the options given here.
    bsuite_id: an id such as catch/0.
    sweep: or SWEEP for all ids, TESTING for the first of each family, LADDER
      for the first, middle and last of each, a family, or a tag.
    num_seeds: independent runs of each id, of the seeds seed, seed + 1, ...
    seed: the first one.
    num_episodes: of each id; None for bsuite's own numbers, on which its scores
      rest.
    mnist_dir: folder with the four files of MNIST; without it the ids that need
      them are skipped.
    runs_together: ids and seeds that are one compiled program; by default four
      for each CPU device, and all of a family on an accelerator.
    reference: whether bsuite's own environments are run, in processes, through
      the adapter, instead of those in JAX.
    num_processes: of `reference`; the number of cores if None.
    checkpoint_seconds: time between checkpoints.
    restart: whether to begin anew. What the folder held moves aside in it. A
      command that is to be resumed must not have it.
  """

  output: Path
  config: Annotated[Config, tyro.conf.arg(name='')]
  agent: Annotated[str, tyro.conf.arg(
      metavar='{' + ','.join(presets.AGENTS) + '}')] = 'hyperagent'
  preset: str = 'default'
  bsuite_id: str | None = None
  sweep: str | None = None
  num_seeds: int = 1
  seed: int = 0
  num_episodes: int | None = None
  mnist_dir: Path | None = None
  runs_together: int | None = None
  reference: bool = False
  num_processes: int | None = None
  checkpoint_seconds: float = 120.
  restart: bool = False

  def __post_init__(self):
    run_folder.check_settings(self)
    for name in ('num_seeds', 'num_episodes', 'runs_together',
                 'num_processes'):
      value = getattr(self, name)
      if value is not None and value < 1:
        raise ValueError(f'{name} must be at least 1, got {value}')
    # Each id and seed has a PRNG seed of its own, see `points`.
    if not 0 <= self.seed <= 2**22 - self.num_seeds:
      raise ValueError(
          f'seed must be between 0 and 2**22 - num_seeds, got {self.seed}')

  @property
  def seeds(self) -> list[int]:
    """The seeds of each id."""
    return [self.seed + i for i in range(self.num_seeds)]
