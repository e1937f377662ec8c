"""Several agents on DeepSea of several sizes: the work's central figure.

  python -m experiments.deep_sea.sweep --agents hyperagent,boot_dqn \\
      --sizes 10,20,30 --num-seeds 5 --num-episodes 10000 --output DIR
  python -m experiments.deep_sea.plot DIR

Each point is a run of `experiments.deep_sea.run` in a folder of its own, in
which each seed ends soon after it has learned. The same command again resumes
the point that was interrupted and runs no finished one again; with more agents
or sizes it adds theirs. An agent's preset stands behind a colon:
hyperagent:paper_deep_sea. With --workers or --cluster the points are processes,
some at a time, here or on many machines.
"""

from collections.abc import Sequence
import dataclasses
from pathlib import Path

from hyperjax import checks
from hyperjax.agents import presets
from hyperjax.environments import deep_sea

from ..common import cli
from ..common import command
from ..common import files
from ..common import finished
from ..common import folder as folder_lib
from ..common import jobs
from ..common import machine
from ..common import pools
from ..common import registry
from ..common import run as run_lib
from ..common import stopping
from . import records
from . import run as task_lib
from . import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class Settings:
  """Runs agents on DeepSea of several sizes.

  Attributes:
    output: folder to write to; resumed if it holds the same sweep.
    agents: names, with commas between them; NAME:PRESET for a preset, and
      my_module:MyAgent or my_module:MyAgent:PRESET for an agent of one's own.
    sizes: N of the N x N grids, with commas between them.
    num_seeds: independent runs of each point.
    seed: the first one.
    num_episodes: after which a seed that has not learned counts as failed.
    evaluate_every: episodes between evaluations; as published if None.
    eval_episodes: in an evaluation.
    stochastic: whether the environment is noisy while learning.
    seeds_together: seeds of a point that are one run, in a folder of their own;
      all if None.
    workers: runs at a time, each in a process with its part of the CPU cores or
      a GPU of its own; None for one after another in this process.
    cluster: or the address of a Dask scheduler on whose workers they run, such
      as tcp://10.0.0.1:8786; local:4 begins four workers here.
  """

  output: Path
  agents: str = 'hyperagent'
  sizes: str = '10,20,30'
  num_seeds: int = 5
  seed: int = 0
  num_episodes: int = 10_000
  evaluate_every: int | None = None
  eval_episodes: int = 100
  stochastic: bool = False
  seeds_together: int | None = None
  workers: int | None = None
  cluster: str | None = None

  def points(self) -> list[settings_lib.Settings]:
    """Returns the runs of the sweep, size by size.

    Raises:
      ValueError: for an unknown agent or preset, or a bad size.
    """
    try:
      sizes = [int(size) for size in self.sizes.split(',')]
    except ValueError as error:
      raise ValueError(
          f'sizes must be numbers with commas between them, '
          f'got {self.sizes!r}') from error
    checks.fields(self, num_seeds=checks.COUNT,
                  seeds_together=checks.optional(checks.COUNT))
    points, noise = [], '_stochastic' if self.stochastic else ''
    together = self.seeds_together or self.num_seeds
    for size in sizes:
      deep_sea.DeepSea(size)  # Checks the size, before the first run begins.
      for chosen in self.agents.split(','):
        agent, preset = registry.agent_and_preset(chosen)
        name = f'{agent.replace(":", ".")}_{preset}{noise}_{size}'
        for first in range(0, self.num_seeds, together):
          seed, num_seeds = self.seed + first, min(
              together, self.num_seeds - first)
          points.append(settings_lib.Settings(
              output=self.output / (
                  name if num_seeds == self.num_seeds else
                  f'{name}_seeds_{seed}-{seed + num_seeds - 1}'),
              config=presets.make(agent, preset), agent=agent, preset=preset,
              size=size, num_seeds=num_seeds, seed=seed,
              num_episodes=self.num_episodes, stochastic=self.stochastic,
              evaluate_every=self.evaluate_every,
              eval_episodes=self.eval_episodes,
              stop_when_solved=True))
    return points

  def check(self):
    """Raises what any of the points raises, before the first one begins.

    Memory is that of this machine, and workers of a cluster have their own.
    """
    for point in self.points():
      try:
        task_lib.DeepSeaTask(point)
      except MemoryError:
        if self.cluster is None:
          raise


def sweep(
    settings: Settings, requests: stopping.Requests | None = None,
    pool: jobs.Pool | None = None):
  """Runs all points that are not finished, and writes summary.csv.

  Args:
    settings: of the sweep.
    requests: to stop; None if nobody asks.
    pool: where the points run, see `pools`; None for this process.

  Raises:
    ValueError: for settings or a folder that cannot be used, or if points have
      failed in a pool; the others are finished then.
    MemoryError: if the replays of a point do not fit into memory.
    stopping.Stopped: if a request to stop came; the point is saved then.
  """
  points = settings.points()
  # A sweep may grow by agents and sizes.
  with folder_lib.Folder(settings.output, settings, (
      'output', 'agents', 'sizes', 'workers', 'cluster')):
    if pool is None:
      for point in points:
        run_lib.run(task_lib.DeepSeaTask(point), requests)
    else:
      jobs.run([
          jobs.Job(point.output.name, point.output, run_lib.run_job,
                   (task_lib.DeepSeaTask, point))
          for point in points], pool, 'DeepSea', requests)
    rows = []
    for path in finished.folders(settings.output):
      columns = files.read_columns(path / 'summary.csv', records.SUMMARY)
      rows += [(path.name, *row) for row in zip(
          *(columns[name] for name in records.SUMMARY), strict=True)]
    files.write_csv(
        settings.output / 'summary.csv', ('run', *records.SUMMARY), rows)


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  with command.running() as requests:
    settings = cli.parse_plain(
        Settings, argv, command.name_of(__spec__.name))
    with command.usage():
      pools.check(settings.workers, settings.cluster)
    with pools.opened(settings.workers, settings.cluster) as pool:
      machine.use_all_cores()
      with command.usage():
        settings.check()
      sweep(settings, requests, pool)


if __name__ == '__main__':
  main()
