"""The settings of `experiments.bsuite.run`, its command line."""

import dataclasses
from pathlib import Path

from ..common import run_logs
from ..common import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class Settings(settings_lib.RunSettings[settings_lib.Config]):
  """Runs an agent on ids of bsuite.

  Attributes:
    bsuite_id: an id such as catch/0.
    sweep: or SWEEP for all ids, TESTING for the first of each family without
      noise or scale, LADDER for the first, middle and last of each family but
      mnist, a family, or a tag.
    num_episodes: of each id; None for bsuite's own numbers, on which its scores
      rest.
    mnist_dir: folder with the four files of MNIST; without it the ids that need
      them are skipped.
    runs_together: ids and seeds that are one compiled program; by default four
      for each CPU device, and all of a family on an accelerator; with workers
      by the devices of the machine that the command runs on.
    reference: whether bsuite's own environments are run, in processes, through
      the adapter, instead of those in JAX.
    workers: programs, or ids of `reference`, at a time, each in a process with
      its part of the CPU cores or a GPU of its own; if None programs run one
      after another in this process, and as many ids as there are cores or
      GPUs.
    cluster: or the address of a Dask scheduler on whose workers they run, such
      as tcp://10.0.0.1:8786; local:4 begins four workers here.
  """

  bsuite_id: str | None = None
  sweep: str | None = None
  num_episodes: int | None = None
  mnist_dir: Path | None = None
  runs_together: int | None = None
  reference: bool = False
  workers: int | None = None
  cluster: str | None = None
  checkpoint_seconds: float = 120.

  def __post_init__(self):
    super().__post_init__()
    self.check_at_least_one('num_episodes', 'runs_together')
    if self.reference and run_logs.parse(self.log):
      raise ValueError(
          f'log must be csv with --reference, whose processes write no other, '
          f'got {self.log}')
    # Each id and seed has a PRNG seed of its own, see `points`.
    if not 0 <= self.seed <= 2**22 - self.num_seeds:
      raise ValueError(
          f'seed must be between 0 and 2**22 - num_seeds, got {self.seed}')
