"""One agent on Atari, game by game, on one machine or many.

  python -m experiments.atari.sweep --suite atari26 --num-seeds 5 \\
      --workers 4 --output DIR
  python -m experiments.atari.analyse DIR

Each game, or each few that fit one device together, is a run of
`experiments.atari.run` in a folder of its own, as a process with a GPU or a
part of the CPU cores of its own; with --cluster on the workers of a Dask
cluster. The same command again resumes the runs that were interrupted and runs
no finished one again.
"""

from collections.abc import Sequence
import dataclasses
import sys

from ..common import cli
from ..common import command
from ..common import files
from ..common import finished
from ..common import folder as folder_lib
from ..common import jobs
from ..common import pools
from ..common import provenance
from ..common import run as run_lib
from ..common import run_folder
from ..common import settings as settings_lib
from ..common import stopping
from . import games as games_lib
from . import reading
from . import run as atari_lib
from . import settings as atari_settings


@dataclasses.dataclass(frozen=True)
class Settings(atari_settings.GameSettings[settings_lib.Config]):
  """Runs an agent on Atari, game by game.

  Attributes:
    games_together: games that are one run, with all their seeds.
    workers: runs at a time, each in a process with its part of the CPU cores or
      a GPU of its own.
    cluster: or the address of a Dask scheduler on whose workers they run, such
      as tcp://10.0.0.1:8786; local:4 begins four workers here.
  """

  games_together: int = 1
  workers: int | None = None
  cluster: str | None = None

  def __post_init__(self):
    super().__post_init__()
    self.check_at_least_one('games_together')

  def points(self) -> list[atari_settings.Settings]:
    """Returns the runs of the sweep.

    Raises:
      ValueError: for a game or suite that is not known.
    """
    names = games_lib.select(self.games, self.suite)
    own = {field.name for field in dataclasses.fields(Settings)} - {
        field.name for field in dataclasses.fields(atari_settings.GameSettings)}
    given = {field.name: getattr(self, field.name)
             for field in dataclasses.fields(self) if field.name not in own}
    points = []
    for first in range(0, len(names), self.games_together):
      together = names[first:first + self.games_together]
      points.append(atari_settings.Settings(**{
          **given, 'games': ','.join(together), 'suite': None, 'restart': False,
          'output': self.output / '_'.join(together[:3])}))
    return points


def sweep(
    settings: Settings, pool: jobs.Pool,
    requests: stopping.Requests | None = None):
  """Runs all that is not finished, and writes summary.csv.

  Args:
    settings: of the sweep.
    pool: where the runs run, see `pools`.
    requests: to stop; None if nobody asks.

  Raises:
    ValueError: for settings or a folder that cannot be used, or if runs have
      failed; the others are finished then.
    stopping.Stopped: if a request to stop came; the runs are saved then.
  """
  points = settings.points()
  said = {'sweep': provenance.settings_as_json(settings, (
      *run_folder.WITHOUT, 'games', 'suite', 'workers', 'cluster'))}
  with folder_lib.Folder(settings.output, said, restart=settings.restart):
    jobs.run([
        jobs.Job(point.output.name, point.output, run_lib.run_job,
                 (atari_lib.AtariTask, point)) for point in points],
             pool, settings.agent, requests)
    rows = []
    for path in finished.folders(settings.output):
      columns = files.read_columns(path / 'summary.csv', reading.SUMMARY)
      rows += zip(*(columns[name] for name in reading.SUMMARY), strict=True)
    files.write_csv(settings.output / 'summary.csv', reading.SUMMARY, rows)


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  with command.running() as requests:
    settings = cli.parse(
        Settings, argv, command.name_of(__spec__.name),
        atari_lib.DEFAULT_PRESETS)
    workers = settings.workers
    if workers is None and settings.cluster is None:
      workers = 1
    with command.usage():
      settings.points()
      pools.check(workers, settings.cluster)
    with pools.opened(workers, settings.cluster) as pool:
      assert pool is not None
      sweep(settings, pool, requests)


if __name__ == '__main__':
  main(sys.argv[1:])
