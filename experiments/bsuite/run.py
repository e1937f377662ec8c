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
import dataclasses
import os
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hyperjax import policy_folder
from hyperjax.agents import presets
from hyperjax.environments.bsuite import suite
from hyperjax.loops import on_device

from ..common import cli
from ..common import command
from ..common import files
from ..common import folder as folder_lib
from ..common import jobs
from ..common import machine
from ..common import pools
from ..common import progress
from ..common import run as run_lib
from ..common import stopping
from ..common import task as task_lib
from . import points as points_lib
from . import records
from . import reference
from . import settings as settings_lib

# Most steps of a chunk; its log has room for as many episodes.
MAX_STEPS = 4096
# Of a folder's settings those that ids may be added under.
GROWING = ('bsuite_id', 'sweep', 'mnist_dir', 'workers', 'cluster', 'output',
           'checkpoint_seconds', 'log', 'restart')
SUMMARY = ('bsuite_id', 'seed', 'episodes', 'env_steps', 'updates',
           'wall_seconds')


@dataclasses.dataclass(frozen=True)
class ProgramSettings:
  """One compiled program of a sweep; see `settings.Settings`.

  Attributes:
    output: folder of the program, in `programs` of the sweep's.
    runs: id and seed of each run, as 'catch/0:2'.
    agent: name of the agent.
    preset: name of the agent's settings.
    config: the agent's settings.
    num_episodes: at most so many episodes, see `settings.Settings`.
    checkpoint_seconds: time between checkpoints.
    log: see `settings.Settings`.
    restart: whether the folder holds a finished run, a CSV of which is lost.
  """

  output: Any
  runs: tuple[str, ...]
  agent: str
  preset: str
  config: Any
  num_episodes: int | None
  checkpoint_seconds: float
  log: str
  restart: bool


class ProgramTask(task_lib.Task):
  """Runs of one compiled program as a `task.Task`."""

  pictures: task_lib.Pictures = {}

  def __init__(
      self, settings: settings_lib.Settings,
      points: Sequence[points_lib.Point]):
    """Checks everything; trains and writes nothing yet.

    Args:
      settings: of the command.
      points: runs whose ids have equal shapes.

    Raises:
      ValueError: if the agent does not fit the environment.
      MemoryError: if the runs do not fit into memory.
    """
    self.points = tuple(points)
    output = settings.output / 'programs' / points_lib.folder_name(points)
    self.settings = ProgramSettings(
        output, tuple(f'{x.bsuite_id}:{x.seed}' for x in points),
        settings.agent, settings.preset, settings.config,
        settings.num_episodes, settings.checkpoint_seconds, settings.log,
        restart=(output / 'summary.csv').exists())
    self._log_names = [
        f'../../{records.log_name(*point)}' for point in points]
    self.logs = {name: records.fields(point.bsuite_id)
                 for name, point in zip(self._log_names, points, strict=True)}
    images = points_lib.images(settings)
    loaded = [suite.load(point.bsuite_id, images) for point in points]
    environment = loaded[0].environment
    self._env_params = jax.tree.map(
        lambda *x: jnp.stack(x), *(x.params for x in loaded))
    self._ends = np.array([
        points_lib.num_episodes(settings, x.bsuite_id) for x in points])
    agent = presets.agent_class(settings.agent)(
        environment.observation_spec(), environment.action_spec(),
        settings.config)
    # A run needs no more replay than it may have steps.
    longest = int(self._ends.max()) * environment.max_episode_length
    self.loop = on_device.OnDeviceLoop(
        agent, environment, replay_capacity=max(
            settings.config.batch_size,
            min(settings.config.replay_capacity, longest)))
    self.loop.check_memory(len(points), saved=True)

  def progress(self, state: on_device.RunState) -> progress.Bar:
    first, last = self.points[0].bsuite_id, self.points[-1].bsuite_id
    ids = first if first == last else f'{first} to {last}'
    return progress.Runs(
        f'{self.settings.agent}, {ids}', self._done(state),
        int(self._ends.sum()), len(self.points))

  def _done(self, state) -> int:
    return int(np.minimum(state.num_episodes, self._ends).sum())

  def init(self):
    seeds = [point.prng_seed for point in self.points]
    self.loop.check_memory(
        len(seeds), self._env_params, MAX_STEPS, masked=True, saved=True)
    return self.loop.init(seeds, self._env_params), {
        'totals': [records.begin() for _ in self.points]}

  def abstract_state(self):
    return self.loop.abstract_state(
        [point.prng_seed for point in self.points], self._env_params)

  def resume(self, saved, metadata):
    print(f'resuming after {self._done(saved)} of {self._ends.sum()} episodes')
    return saved

  def run_names(self):
    return [policy_folder.Run(x.seed, x.bsuite_id) for x in self.points]

  def policies(self, state):
    return self.loop.trainer.agent, state.train.learner

  def number(self, state) -> int:
    return int(np.max(state.num_steps))

  def is_done(self, state, metadata) -> bool:
    return bool((np.asarray(state.num_episodes) >= self._ends).all())

  def advance(self, state, metadata, pace, bar):
    trainer = self.loop.trainer
    active = np.asarray(state.num_episodes) < self._ends
    num_steps = pace.amount(
        MAX_STEPS // trainer.update_period * trainer.update_period,
        trainer.update_period,
        warmup=trainer.warmup_steps - self.number(state))
    done = self._done(state)
    before = np.asarray(state.num_episodes), np.asarray(state.num_steps)
    with pace.timed(num_steps):
      state, log = self.loop.run(state, num_steps, active, MAX_STEPS)
    task_lib.check_finite(log.first_nonfinite, [
        f'{x.bsuite_id}, seed {x.seed},' for x in self.points])
    self._record(log, before, active, metadata['totals'])
    self.run_logs.write_chunk(log, state.num_steps.tolist(), active)
    bar.update(self._done(state) - done, int(log.num_updates.sum()),
               int((np.asarray(state.num_episodes) >= self._ends).sum()))
    return state

  def _record(self, log, before, active, totals):
    """Writes the rows of the episodes that ended in a chunk."""
    num_episodes, _ = before
    for i in np.flatnonzero(active):
      bsuite_id, rows = self.points[i].bsuite_id, []
      # Those after the last episode that bsuite has do not count.
      for j in range(min(log.num_episodes[i],
                         self._ends[i] - num_episodes[i])):
        length = int(log.episode_step[i, j]) - totals[i]['steps']
        row = records.count(
            totals[i], bsuite_id, length, float(log.episode_return[i, j]),
            {name: float(x[i, j]) for name, x in log.info.items()})
        if row is not None:
          rows.append(row)
      if rows:
        self.folder.logs[self._log_names[i]].append(rows)

  def finish(self, state, metadata):
    steps, updates = np.asarray(state.num_steps), np.asarray(state.num_updates)
    files.write_csv(self.settings.output / 'summary.csv', SUMMARY, [
        (point.bsuite_id, point.seed, self._ends[i], steps[i], updates[i],
         round(self.folder.seconds(), 2))
        for i, point in enumerate(self.points)])

  def report(self):
    rows = files.read_columns(self.settings.output / 'summary.csv', SUMMARY)
    print(f'{len(rows["seed"])} runs of {self.points[0].bsuite_id} and others '
          f'are finished.')


def sweep(
    settings: settings_lib.Settings,
    requests: stopping.Requests | None = None,
    pool: jobs.Pool | None = None):
  """Runs all that a command names and that is not finished.

  Args:
    settings: of the command.
    requests: to stop; None if nobody asks.
    pool: where the programs run, see `pools`; None for this process.

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
  if skipped:
    print(f'{len(skipped)} ids are skipped, since they need the images of '
          f'MNIST (--mnist-dir): {", ".join(skipped[:3])}, ...')
  with folder_lib.Folder(
      settings.output, settings, GROWING, settings.restart):
    todo = [
        point for i in chosen if i not in skipped for point in (
            points_lib.Point(i, seed) for seed in settings.seeds)
        if not points_lib.is_finished(settings, settings.output, point)]
    if settings.reference:
      reference.run(settings, todo, pool, requests)
    else:
      _run_programs(settings, todo, images, pool, requests)
    print(f'All runs of {settings.output} are finished.')


def _run_programs(settings, todo, images, pool, requests):
  # A program that was stopped goes on as it is, whatever is finished of it.
  covered = set()
  groups = []
  for stopped in _stopped_programs(settings):
    if set(stopped) & set(todo):
      groups.append(stopped)
      covered |= set(stopped)
  groups += points_lib.groups(
      settings, [x for x in todo if x not in covered], images)
  if pool is None:
    for group in groups:
      run_lib.run(ProgramTask(settings, group), requests)
    return
  jobs.run([
      jobs.Job(name, settings.output / 'programs' / name, run_lib.run_job,
               (ProgramTask, settings, group))
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
    workers = settings.workers
    if settings.reference and settings.cluster is None:
      workers = workers or len(os.sched_getaffinity(0))
    with command.usage():
      points_lib.ids(settings)
      points_lib.images(settings)
      pools.check(workers, settings.cluster)
    with pools.opened(workers, settings.cluster) as pool:
      machine.use_all_cores()
      sweep(settings, requests, pool)


if __name__ == '__main__':
  main(sys.argv[1:])
