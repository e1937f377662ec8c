"""An agent on ids of bsuite, compiled, with bsuite's own CSV files.

  python -m experiments.bsuite.run --agent hyperagent --sweep TESTING \\
      --num-seeds 3 --output DIR
  python -m experiments.bsuite.analyse DIR

DIR/seed_0 then has one CSV for each id, as bsuite writes it. Ids of equal
shapes are one compiled program, some runs at a time, each in a folder of
DIR/programs. The same command again resumes the program that was stopped and
runs no finished id again; with another --sweep it adds ids. With --reference
bsuite's own environments are stepped, one id in a process, through the adapter.
"""

from collections.abc import Sequence
import contextlib
import sys

from hyperjax.environments.bsuite import suite

from ..common import cli
from ..common import command
from ..common import folder as folder_lib
from ..common import jobs
from ..common import machine
from ..common import pools
from ..common import run as run_lib
from ..common import stopping
from . import points as points_lib
from . import program
from . import reference
from . import settings as settings_lib

# Of a folder's settings those that ids may be added under.
GROWING = ('bsuite_id', 'sweep', 'mnist_dir', 'workers', 'cluster', 'output',
           'checkpoint_seconds', 'log', 'restart')


def sweep(
    settings: settings_lib.Settings,
    requests: stopping.Requests | None = None,
    pool: jobs.Pool | None = None):
  """Runs all that a command names and that is not finished.

  Args:
    settings: of the command.
    requests: to stop; None if nobody asks.
    pool: where the programs run, see `pools`; None for this process, and for
      one of this machine with `reference`.

  Raises:
    ValueError: for settings or a folder that cannot be used, or if jobs have
      failed in a pool; the others are finished then.
    MemoryError: if a program does not fit into memory.
    stopping.Stopped: if a request to stop came; the program is saved then.
  """
  if requests is not None:
    requests.what_is_kept = lambda: (
        f'{settings.output} holds the ids that are finished; the same command '
        f'runs the others')
  images = points_lib.images(settings)
  chosen = points_lib.ids(settings)
  skipped = [] if images is not None else [
      i for i in chosen if suite.needs_images(i)]
  wanted = [points_lib.Point(i, seed) for i in chosen if i not in skipped
            for seed in settings.seeds]
  lacking = f'the images of MNIST (--mnist-dir): {", ".join(skipped[:3])}'
  if not wanted:
    raise ValueError(f'all ids need {lacking}; expected a folder with them')
  if skipped:
    print(f'{len(skipped)} ids are skipped, since they need {lacking}, ...')
  with folder_lib.Folder(
      settings.output, settings, GROWING, settings.restart):
    todo = [point for point in wanted if not points_lib.is_finished(
        settings, settings.output, point)]
    if settings.reference:
      with contextlib.ExitStack() as stack:
        reference.run(settings, todo, pool or stack.enter_context(
            pools.local(machine.num_places())), requests)
    else:
      _run_programs(settings, wanted, todo, images, pool, requests)
    print(f'All runs of {settings.output} are finished'
          f'{", but those that are skipped" if skipped else ""}.')


def _run_programs(settings, wanted, todo, images, pool, requests):
  # A program that was stopped goes on as it is, whatever is finished of it.
  covered = set()
  groups = []
  for stopped in _stopped_programs(settings):
    if set(stopped) & set(wanted):
      groups.append(stopped)
      covered |= set(stopped)
  groups += points_lib.groups(
      settings, [x for x in todo if x not in covered], images)
  if pool is None:
    for group in groups:
      run_lib.run(program.ProgramTask(settings, group), requests)
    return
  jobs.run([
      jobs.Job(name, settings.output / 'programs' / name, run_lib.run_job,
               (program.ProgramTask, settings, group))
      for group in groups for name in (points_lib.folder_name(group),)],
           pool, settings.agent, requests)


def _stopped_programs(settings):
  """Yields the runs of the programs of a folder that are not finished."""
  for path in sorted((settings.output / 'programs').glob('*/config.json')):
    if (path.parent / 'summary.csv').exists():
      continue
    config = folder_lib.read_config(path.parent, ('runs',))
    runs = [text.rpartition(':') for text in config['settings']['runs']]
    yield tuple(points_lib.Point(name, int(seed)) for name, _, seed in runs)


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  with command.running() as requests:
    settings = cli.parse(
        settings_lib.Settings, argv, command.name_of(__spec__.name))
    with command.usage():
      points_lib.ids(settings)
      points_lib.images(settings)
      pools.check(settings.workers, settings.cluster)
    with pools.opened(settings.workers, settings.cluster) as pool:
      if not settings.reference:  # Else its processes have the devices.
        machine.use_all_cores()
      sweep(settings, requests, pool)


if __name__ == '__main__':
  main(sys.argv[1:])
