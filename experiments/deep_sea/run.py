"""One agent on DeepSea of one size, for several seeds at once.

  python -m experiments.deep_sea.run --agent hyperagent --size 20 \\
      --num-seeds 10 --seed 0 --num-episodes 1000 --output results/deep_sea_20

The same command again, in the same folder, resumes a run that was interrupted
and leaves a finished one alone. README.md says what the folder then holds.

A seed has learned at the first evaluation whose mean return over
`eval_episodes` episodes, each greedy for its own freshly drawn index, reaches
0.99, the best there is. This is the published criterion. A stochastic DeepSea
is learned in, but evaluated without its noise: there the return says exactly
whether an episode went right all the way.
"""

import dataclasses
from pathlib import Path
import sys
from typing import Annotated, Generic, TypeVar

import jax
import numpy as np
import tyro

from experiments import agents
from experiments import cli
from experiments import console
from experiments import records
from experiments import run_folder
from experiments.deep_sea import pictures
from hyperjax.environments import deep_sea
from hyperjax.loops import on_device

LEARNED_RETURN = 0.99
EPISODES = ('agent', 'size', 'seed', 'episode', 'env_steps', 'episode_return')
EVALUATIONS = ('agent', 'size', 'seed', 'episode', 'env_steps', 'eval_return')
SUMMARY = ('agent', 'size', 'seed', 'solved', 'episodes_to_learn', 'env_steps',
           'updates', 'wall_seconds')

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
    stop_when_solved: whether a seed ends when it has learned.
    stop_margin: how much longer it then goes on, as a part of the episodes that
      it took. (bsuite's criterion is met after a ninth more.)
    checkpoint_seconds: time between checkpoints.
  """

  output: Path
  config: Config
  agent: Annotated[str, tyro.conf.arg(
      metavar='{' + ','.join(agents.AGENTS) + '}')] = 'hyperagent'
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

  def __post_init__(self):
    for name in ('num_seeds', 'num_episodes', 'eval_episodes'):
      if getattr(self, name) < 1:
        raise ValueError(
            f'{name} must be at least 1, got {getattr(self, name)}')
    if not self.stop_margin >= 0.:
      raise ValueError(
          f'stop_margin must be at least 0, got {self.stop_margin}')
    if self.seed < 0:
      raise ValueError(f'seed must be at least 0, got {self.seed}')
    if self.evaluate_every is not None and not (
        1 <= self.evaluate_every <= self.coarsest_evaluation):
      raise ValueError(
          f'evaluate_every must be between 1 and {self.coarsest_evaluation} '
          f'at size {self.size}, got {self.evaluate_every}')

  @property
  def coarsest_evaluation(self) -> int:
    """Episodes between evaluations as published: 1000 steps, or less."""
    return max(1, 1000 // max(1, self.size))


@dataclasses.dataclass
class _Memory:
  """What the host remembers of a run, beside the state on the devices.

  Attributes:
    learned: for each seed (episodes, env_steps, updates, wall_seconds) when
      it had learned, or None.
    finished: whether the run is over.
  """

  learned: list[list[float] | None]
  finished: bool = False


class Run:
  """A run in its folder."""

  def __init__(self, settings: Settings):
    """Checks everything and opens the folder; trains nothing yet.

    Raises:
      ValueError: for settings or a folder that cannot be used.
      MemoryError: if the replays do not fit into memory.
    """
    self.settings = settings
    size = settings.size
    self.environment = deep_sea.DeepSea(size, settings.stochastic)
    self.agent = agents.AGENTS[settings.agent].agent(
        self.environment.observation_spec(), self.environment.action_spec(),
        settings.config)
    num_steps = settings.num_episodes * size
    # A run needs no more replay than it has steps.
    self.loop = on_device.OnDeviceLoop(
        self.agent, self.environment,
        replay_capacity=max(min(settings.config.replay_capacity, num_steps),
                            settings.config.batch_size),
        eval_environment=deep_sea.DeepSea(size))
    self._evaluate_every = (
        settings.evaluate_every or settings.coarsest_evaluation)
    # An evaluation, and the end, must not fall between two updates.
    period = self.loop.trainer.steps_per_learn
    for name, episodes in (('evaluate_every', self._evaluate_every),
                           ('num_episodes', settings.num_episodes)):
      if episodes * size % period:
        raise ValueError(
            f'{name} must be a whole number of the {period} steps between '
            f'updates, got {episodes} episodes of {size} steps')
    self.seeds = [settings.seed + i for i in range(settings.num_seeds)]
    self.env_params = self.environment.params_from_seeds(self.seeds)
    self.loop.check_memory(settings.num_seeds)
    self._folder = run_folder.RunFolder(
        settings, {'episodes.csv': EPISODES, 'evaluations.csv': EVALUATIONS})

  def __call__(self):
    """Trains to the end, or from the last checkpoint to the end."""
    state, memory = self._restore_or_begin()
    if memory.finished:
      print(f'{self.settings.output} holds this run, and it is finished.')
      self._report(memory)
      return
    with console.Progress(
        f'{self.settings.agent}, DeepSea-{self.settings.size}',
        _furthest(state.num_episodes),
        self.settings.num_episodes) as progress:
      while not memory.finished:
        active = self._active(state, memory)
        if active.any():  # Else all could do it before they began.
          state = self._advance(state, memory, active, progress)
        memory.finished = not self._active(state, memory).any()
        if memory.finished:
          self._finish(state, memory)
        if memory.finished or self._folder.is_due():
          self._save(state, memory)
    self._report(memory)

  def _advance(
      self, state: on_device.RunState, memory: _Memory, active: np.ndarray,
      progress: console.Progress,
  ) -> on_device.RunState:
    """Trains the active seeds until the next evaluation, and records it."""
    num_episodes = min(
        self._evaluate_every,
        self.settings.num_episodes - _furthest(state.num_episodes))
    state, log = self.loop.run(
        state, num_episodes * self.settings.size,
        active if self.settings.stop_when_solved else None)
    self._check_finite(log)
    self._record(state, log, memory, active)
    learned = [x is not None for x in memory.learned]
    progress.update(num_episodes, int(log.num_updates.sum()), learned)
    return state

  def close(self):
    """Releases files."""
    self._folder.close()

  def _active(
      self, state: on_device.RunState, memory: _Memory) -> np.ndarray:
    """Which seeds go on, bool [S]."""
    end = np.full(len(self.seeds), float(self.settings.num_episodes))
    if self.settings.stop_when_solved:
      for i, learned in enumerate(memory.learned):
        if learned is not None:
          end[i] = min(end[i], (1. + self.settings.stop_margin) * learned[0])
    return np.asarray(state.num_episodes) < end

  def _restore_or_begin(self) -> tuple[on_device.RunState, _Memory]:
    abstract = self.loop.abstract_state(self.seeds, self.env_params)
    restored = self._folder.restore(abstract)
    if restored is not None:
      state, memory = restored[0], _Memory(**restored[1])
      if not memory.finished:
        print(f'resuming after {_furthest(state.num_episodes)} episodes')
      return state, memory
    state = self.loop.init(self.seeds, self.env_params)
    memory = _Memory([None] * len(self.seeds))
    self._record(state, None, memory, np.ones(len(self.seeds), bool))
    self._save_posterior(state, 'before')
    return state, memory

  def _record(
      self, state: on_device.RunState, log: on_device.ChunkLog | None,
      memory: _Memory, active: np.ndarray,
  ):
    """Writes a chunk's episodes and the evaluation that follows it.

    Args:
      state: after the chunk.
      log: of the chunk; None before the first one.
      memory: is told which seeds have learned.
      active: which seeds the chunk was of, bool [S].
    """
    name, size = self.settings.agent, self.settings.size
    num_episodes = np.asarray(state.num_episodes)
    num_steps = np.asarray(state.num_steps)
    updates = np.asarray(state.train.learner.steps)
    returns = np.asarray(
        self.loop.evaluate(state, self.settings.eval_episodes)
    ).mean(axis=1, dtype=np.float64)
    episodes, evaluations = [], []
    for i in np.flatnonzero(active):
      seed = self.seeds[i]
      if log is not None:
        count = log.num_episodes[i]
        first = num_episodes[i] - count + 1
        episodes += [
            (name, size, seed, first + j, log.episode_step[i, j],
             f'{log.episode_return[i, j]:.6g}') for j in range(count)]
      evaluations.append((name, size, seed, num_episodes[i], num_steps[i],
                          f'{returns[i]:.6g}'))
      # Returns are sums of single-precision rewards.
      if memory.learned[i] is None and returns[i] >= LEARNED_RETURN - 1e-5:
        memory.learned[i] = [int(num_episodes[i]), int(num_steps[i]),
                             int(updates[i]), round(self._folder.seconds(), 2)]
        if i == 0:
          self._save_posterior(state, 'learned')
    self._folder.logs['episodes.csv'].append(episodes)
    self._folder.logs['evaluations.csv'].append(evaluations)

  def _check_finite(self, log: on_device.ChunkLog):
    for i, seed in enumerate(self.seeds):
      if log.first_nonfinite[i] >= 0:
        raise FloatingPointError(
            f'the loss of seed {seed} was not finite at update '
            f'{log.first_nonfinite[i]}; the last checkpoint is from before')

  def _save(self, state: on_device.RunState, memory: _Memory):
    self._folder.save(
        _furthest(state.num_steps), state, dataclasses.asdict(memory))

  def _save_posterior(self, state: on_device.RunState, moment: str):
    """Keeps the first seed's posterior over the grid, for the picture."""
    params = jax.tree.map(lambda x: x[0], state.train.learner.params)
    mean, std = jax.jit(pictures.posterior_of_values, static_argnums=(0, 1))(
        self.agent, self.environment, params)
    pictures.save_posterior(
        self.settings.output, moment, int(state.num_episodes[0]),
        np.asarray(mean), np.asarray(std))

  def _finish(self, state: on_device.RunState, memory: _Memory):
    """Writes the summary and the pictures."""
    rows = []
    updates = np.asarray(state.train.learner.steps)
    for i, seed in enumerate(self.seeds):
      learned = memory.learned[i]
      rows.append((
          self.settings.agent, self.settings.size, seed,
          int(learned is not None),
          *(learned or ('', int(state.num_steps[i]), int(updates[i]),
                        round(self._folder.seconds(), 2)))))
    self._folder.sync()
    self._save_posterior(state, 'after')
    records.write_csv(self.settings.output / 'summary.csv', SUMMARY, rows)
    pictures.learning_curves(self.settings.output)
    pictures.posterior(self.settings.output)

  def _report(self, memory: _Memory):
    episodes = [x[0] for x in memory.learned if x is not None]
    mean = f', after {np.mean(episodes):.0f} episodes on average' if (
        episodes) else ''
    print(f'{len(episodes)} of {len(self.seeds)} seeds have learned DeepSea-'
          f'{self.settings.size}{mean} ({self._folder.saved_seconds:.0f} s).')
    for name in ('summary.csv', 'learning_curves.png', 'posterior.png'):
      print(f'  {self.settings.output / name}')


def _furthest(counts: jax.Array) -> int:
  """How far the seeds that still go on have come: all of them equally."""
  return max(counts.tolist())


def main(argv: list[str] | None = None):
  """The command; see the module."""
  console.use_all_cores()
  settings = cli.parse(
      Settings, argv, 'python -m experiments.deep_sea.run')
  try:
    run = Run(settings)
  except (ValueError, MemoryError) as error:
    sys.exit(f'error: {error}')
  try:
    run()
  except (ValueError, FloatingPointError) as error:
    sys.exit(f'error: {error}')
  finally:
    run.close()


if __name__ == '__main__':
  main()
