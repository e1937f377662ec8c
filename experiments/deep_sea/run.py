"""One agent on DeepSea of one size, for several seeds at once.

  python -m experiments.deep_sea.run --agent hyperagent --size 20 \\
      --num-seeds 10 --seed 0 --num-episodes 1000 --output results/deep_sea_20

The same command again, in the same folder, resumes a run that was interrupted
and leaves a finished one alone. docs/commands.md says what the folder then
holds.

A seed has solved the task at the first evaluation whose mean return over
`eval_episodes` episodes, each judged with its own freshly drawn index, reaches
0.99, the best there is. This is the published criterion. A stochastic DeepSea
is learned in, but evaluated without its noise: there the return says exactly
whether an episode went right all the way.
"""

from collections.abc import Sequence
import math

import jax
import numpy as np

from hyperjax import multihost
from hyperjax import policy_folder
from hyperjax.agents import presets
from hyperjax.environments import deep_sea
from hyperjax.loops import on_device

from ..common import progress
from ..common import run as run_lib
from ..common import task as task_lib
from . import pictures as pictures_lib
from . import records
from . import settings as settings_lib


class DeepSeaTask(task_lib.Task):
  """DeepSea as a `task.Task`."""

  logs = {'episodes.csv': records.EPISODES,
          'evaluations.csv': records.EVALUATIONS}
  pictures = pictures_lib.PICTURES

  def __init__(self, settings: settings_lib.Settings):
    """Checks everything; trains and writes nothing yet.

    Raises:
      ValueError: for invalid settings.
      MemoryError: if the state does not fit into memory.
    """
    self.settings = settings
    size, config = settings.size, settings.config
    self.environment = deep_sea.DeepSea(size, settings.stochastic)
    self.agent = presets.agent_class(settings.agent)(
        self.environment.observation_spec(), self.environment.action_spec(),
        config)
    num_steps = settings.num_episodes * size
    # A run needs no more replay than it has steps.
    self.loop = on_device.OnDeviceLoop(
        self.agent, self.environment,
        replay_capacity=max(min(config.replay_capacity, num_steps),
                            config.batch_size),
        eval_environment=deep_sea.DeepSea(size))
    self._evaluate_every = (
        settings.evaluate_every or settings.coarsest_evaluation)
    # Neither a chunk, an evaluation nor the end must fall between two updates.
    period = self.loop.trainer.update_period
    self._unit = period // math.gcd(size, period)
    for name, episodes in (('evaluate_every', self._evaluate_every),
                           ('num_episodes', settings.num_episodes)):
      if episodes % self._unit:
        raise ValueError(
            f'{name} must be a whole number of the {period} steps between '
            f'updates, got {episodes} episodes of {size} steps')
    warmup_steps = self.loop.trainer.warmup_steps
    if num_steps <= warmup_steps:
      raise ValueError(
          f'num_episodes must be more than the {warmup_steps} steps before the '
          f'first update, got {settings.num_episodes} episodes of {size} steps')
    # Before the mappings, which are large where the networks are.
    self.loop.check_memory(settings.num_seeds, saved=True)
    self._env_params = self.environment.params_from_seeds(settings.seeds)

  def progress(self, state: on_device.RunState) -> progress.Episodes:
    return progress.Episodes(
        f'{self.settings.agent}, DeepSea-{self.settings.size}',
        furthest(state.num_episodes), self.settings.num_episodes)

  def init(self):
    self.loop.check_memory(
        self.settings.num_seeds, self._env_params, saved=True,
        max_steps=self._evaluate_every * self.settings.size,
        masked=self.settings.stop_when_solved)
    state = self.loop.init(self.settings.seeds, self._env_params)
    return state, {'solved': [None] * self.settings.num_seeds, 'evaluated': -1}

  def abstract_state(self):
    return self.loop.abstract_state(self.settings.seeds, self._env_params)

  def resume(self, saved, metadata):
    print(f'resuming after {furthest(saved.num_episodes)} episodes')
    return saved

  def run_names(self):
    task = f'DeepSea-{self.settings.size}'
    return [policy_folder.Run(seed, task) for seed in self.settings.seeds]

  def policies(self, state):
    return self.agent, state.train.learner

  def number(self, state) -> int:
    # Steps of each seed that still goes on.
    return furthest(state.num_steps)

  def active(self, state, metadata) -> np.ndarray:
    """Returns which seeds go on, bool [S]; it changes at evaluations alone."""
    settings = self.settings
    end = np.full(settings.num_seeds, float(settings.num_episodes))
    if settings.stop_when_solved:
      for i, solved in enumerate(metadata['solved']):
        if solved is not None:
          end[i] = min(end[i], (1. + settings.stop_margin) * solved[0])
    return np.minimum(
        multihost.fetch(state.num_episodes), metadata['evaluated']) < end

  def is_done(self, state, metadata) -> bool:
    return not self.active(state, metadata).any()

  def advance(self, state, metadata, pace, bar):
    settings, size = self.settings, self.settings.size
    active = self.active(state, metadata)
    done = furthest(state.num_episodes)
    num_episodes = pace.amount(
        min(self._evaluate_every - done % self._evaluate_every,
            settings.num_episodes - done), self._unit,
        warmup=-(-(self.loop.trainer.warmup_steps - done * size) // size))
    with pace.timed(num_episodes):
      state, log = self.loop.run(
          state, num_episodes * size,
          active if settings.stop_when_solved else None,
          max_steps=self._evaluate_every * size)
    task_lib.check_finite(
        log.first_nonfinite, [f'seed {seed}' for seed in settings.seeds])
    records.record_episodes(self, state, log, active)
    self.run_logs.write_chunk(
        log, multihost.fetch(state.num_steps).tolist(), active)
    bar.update(num_episodes, int(log.num_updates.sum()),
               [x is not None for x in metadata['solved']])
    return state

  def evaluation_is_due(self, state, metadata) -> bool:
    done = furthest(state.num_episodes)
    return done > metadata['evaluated'] and (
        not done % self._evaluate_every or done == self.settings.num_episodes)

  def evaluate(self, state, metadata):
    return self.loop.evaluate(state, self.settings.eval_episodes)

  def record(self, state, metadata, evaluation):
    records.record_evaluation(self, state, metadata, evaluation)
    metadata['evaluated'] = furthest(state.num_episodes)
    return state

  def finish(self, state, metadata):
    records.finish(self, state, metadata)

  def report(self):
    records.report(self)


def furthest(counts: jax.Array) -> int:
  """Returns how far the seeds that still go on have come: all alike."""
  return int(multihost.fetch(counts).max())


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  run_lib.main(DeepSeaTask, settings_lib.Settings,
               __spec__.name, argv)


if __name__ == '__main__':
  main()
