"""One agent on Atari, in several games and with several seeds at once.

  python -m experiments.atari.run --agent hyperagent --games Pong,Freeway \\
      --num-seeds 3 --num-steps 100000 --output DIR

Each game and seed has an agent of its own; all of them advance together. The
same command again, in the same folder, resumes a run that was interrupted:
the environments begin anew, which it says, and everything else goes on as it
was. README.md says what the folder then holds.

An evaluation plays whole games, greedily, each for its own freshly drawn index,
and records the game's own scores. At the end the last weights, and the best of
all evaluations, are evaluated again over more games. The best in hindsight is
what was published; it flatters.
"""

import dataclasses
from pathlib import Path
import sys
import time
from typing import Annotated, Any, Generic, TypeVar

import jax
import numpy as np
import tyro

from experiments import agents
from experiments import cli
from experiments import console
from experiments import records
from experiments.atari import games as games_lib
from experiments.atari import pictures
from experiments.atari import reading
from hyperjax import checkpoint
from hyperjax import networks
from hyperjax import specs
from hyperjax.environments import envpool
from hyperjax.loops import host

EPISODES = ('agent', 'game', 'seed', 'env_steps', 'episode_return', 'length')
STACK = 4
# Games side by side in an evaluation, for each agent.
ROUND = 20

Config = TypeVar('Config')


@dataclasses.dataclass(frozen=True)
class Settings(Generic[Config]):
  """Runs an agent on Atari.

  Attributes:
    output: folder to write to; resumed if it holds the same run.
    config: the agent's settings.
    agent: name of the agent.
    preset: name of the agent's settings before the options given here.
    games: names as envpool has them, with commas between them.
    suite: or one of atari26, atari8-hard.
    num_seeds: independent runs of each game, of the seeds seed, seed + 1, ...
    seed: the first one.
    num_steps: of each agent, of four frames each.
    num_envs: environments that each agent acts in.
    sticky_actions: probability that an action is repeated instead, at each
      frame; 0 as published, 0.25 in the later protocol.
    max_frames: after which a game is cut short.
    backend: of the environments, envpool or ale.
    evaluate_every: steps between evaluations.
    eval_episodes: games in an evaluation.
    final_episodes: games in the last evaluations.
    checkpoint_seconds: time between checkpoints.
    save_replay: whether checkpoints hold the replay. If not, a resumed run
      fills it anew before it learns on.
  """

  output: Path
  config: Config
  agent: Annotated[str, tyro.conf.arg(
      metavar='{' + ','.join(agents.AGENTS) + '}')] = 'hyperagent'
  preset: str = 'paper_atari'
  games: str | None = None
  suite: str | None = None
  num_seeds: int = 1
  seed: int = 0
  num_steps: int = 2_000_000
  num_envs: int = 1
  sticky_actions: float = 0.
  max_frames: int = 108_000
  backend: str = 'envpool'
  evaluate_every: int = 20_000
  eval_episodes: int = 10
  final_episodes: int = 200
  checkpoint_seconds: float = 600.
  save_replay: bool = True

  def __post_init__(self):
    for name in ('num_seeds', 'num_steps', 'num_envs', 'evaluate_every',
                 'eval_episodes', 'final_episodes'):
      if getattr(self, name) < 1:
        raise ValueError(
            f'{name} must be at least 1, got {getattr(self, name)}')
    if self.seed < 0:
      raise ValueError(f'seed must be at least 0, got {self.seed}')
    for name in ('num_steps', 'evaluate_every'):
      if getattr(self, name) % self.num_envs:
        raise ValueError(
            f'{name} must be a multiple of the {self.num_envs} environments, '
            f'got {getattr(self, name)}')


def environment_seeds(
    seed: int, purpose: int, step: int, count: int) -> list[int]:
  """Seeds of environments, 31 bits each: a function of all arguments."""
  state = np.random.SeedSequence((seed, purpose, step)).generate_state(count)
  return (state >> 1).tolist()


@dataclasses.dataclass
class _Memory:
  """What the host remembers of a run, beside the state on the devices.

  Attributes:
    env_steps: of each agent.
    best: of each agent, (mean return, env_steps) of its best evaluation.
    seconds: spent so far, in all sessions.
    positions: bytes of each log.
    finished: whether the run is over.
  """

  env_steps: list[int]
  best: list[list[float]]
  seconds: float = 0.
  positions: dict[str, int] = dataclasses.field(default_factory=dict)
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
    self.games = games_lib.select(settings.games, settings.suite)
    self.seeds = [settings.seed + i for i in range(settings.num_seeds)]
    self.runs = [(game, seed) for game in self.games for seed in self.seeds]
    pools = self._pools(settings.num_envs, 0, 0)
    self.agent = agents.AGENTS[settings.agent].agent(
        specs.ObservationSpec(
            (STACK, envpool.HEIGHT, envpool.WIDTH), 'uint8', None),
        max(pool.num_actions for pool in pools), settings.config)
    self.loop = self._make_loop(pools)
    if settings.config.min_replay_size >= settings.num_steps:
      raise ValueError(
          f'num_steps must be more than the {settings.config.min_replay_size} '
          f'steps before the first update, got {settings.num_steps}')
    print(f'{len(self.runs)} agents; their replays take '
          f'{self.loop.num_replay_bytes() / 1e9:.1f} GB of memory.')
    self.loop.check_memory()
    described = records.settings_as_json(settings)
    # Where the folder lies and how often it is saved is not what was run.
    for name in ('output', 'checkpoint_seconds'):
      del described[name]
    records.open_folder(settings.output, described)
    self._logs = {
        'episodes.csv': records.CsvLog(
            settings.output / 'episodes.csv', EPISODES),
        'evaluations.csv': records.CsvLog(
            settings.output / 'evaluations.csv', reading.EVALUATIONS)}
    self._checkpointer = checkpoint.Checkpointer(
        settings.output / 'checkpoints')
    self._session_start = time.monotonic()
    self._earlier_seconds = 0.

  def _pools(self, num_envs: int, purpose: int, step: int, training=True):
    """Environments for every agent, a pool for each game."""
    return [envpool.Atari(
        game, [x for seed in self.seeds
               for x in environment_seeds(seed, purpose, step, num_envs)],
        sticky_actions=self.settings.sticky_actions,
        life_ends_return=training, clip_rewards=training,
        max_frames=self.settings.max_frames, backend=self.settings.backend)
            for game in self.games]

  def _make_loop(self, pools) -> host.HostLoop:
    # A run needs no more replay than it has steps, and those that begin games.
    capacity = min(self.settings.config.replay_capacity,
                   2 * self.settings.num_steps)
    return host.HostLoop(
        self.agent, pools, self.settings.num_envs, replay_capacity=capacity)

  def __call__(self):
    """Trains to the end, or from the last checkpoint to the end."""
    settings = self.settings
    state, best, memory = self._restore_or_begin()
    if memory.finished:
      print(f'{settings.output} holds this run, and it is finished.')
      return
    self._earlier_seconds = memory.seconds
    last_saved = time.monotonic()
    env_steps = np.array(memory.env_steps)
    total = settings.num_steps // settings.num_envs
    per_evaluation = settings.evaluate_every // settings.num_envs
    done = int(state.acting.num_transitions[0]) // settings.num_envs
    if not done:
      best = self._evaluate(state, best, env_steps, memory)
    with console.StepProgress(
        f'{settings.agent}, {len(self.runs)} agents', done * settings.num_envs,
        settings.num_steps) as progress:
      while done < total:
        chunk = min(1000, per_evaluation - done % per_evaluation, total - done)
        state, log = self.loop.run(state, chunk, env_steps)
        done += chunk
        self._record(log, env_steps)
        progress.update(chunk * settings.num_envs, log, len(self.runs))
        memory.env_steps = env_steps.tolist()
        if not log.failure and (not done % per_evaluation or done == total):
          best = self._evaluate(state, best, env_steps, memory)
        if log.failure or done < total and (
            time.monotonic() - last_saved > settings.checkpoint_seconds):
          self._save(state, best, memory)
          last_saved = time.monotonic()
        if log.failure:
          raise envpool.StalledError(
              f'{log.failure}; the run is saved after {done} steps')
        self._check_finite(log)
    self._finish(state, best, env_steps, memory)
    memory.finished = True
    self._save(state, best, memory)

  def close(self):
    """Releases files and environments."""
    for log in self._logs.values():
      log.close()
    self._checkpointer.close()
    self.loop.close()

  # What is saved: the state, with or without its replay, and the best weights.

  def _save(self, state, best, memory: _Memory):
    memory.positions = {
        name: log.sync() for name, log in self._logs.items()}
    memory.seconds = self._seconds()
    step = int(state.acting.num_transitions[0])
    self._checkpointer.save(
        step, (self._saved_part(state), best), dataclasses.asdict(memory))

  def _saved_part(self, state):
    if self.settings.save_replay:
      return state
    return state._replace(acting=state.acting._replace(replay=()))

  def _restore_or_begin(self):
    agent_seeds = [seed for _, seed in self.runs]
    abstract = self.loop.abstract_state(agent_seeds)
    params = abstract.learner.params
    restored = self._checkpointer.restore((self._saved_part(abstract), params))
    if restored is None:
      for log in self._logs.values():
        log.truncate(None)
      state = self.loop.init(agent_seeds)
      return state, state.learner.params, _Memory([0] * len(self.runs),
                                  [[-np.inf, 0]] * len(self.runs))
    (state, best), memory = restored[0], _Memory(**restored[1])
    for name, log in self._logs.items():
      log.truncate(memory.positions[name])
    if memory.finished:
      return state, best, memory
    step = int(state.acting.num_transitions[0])
    print(f'resuming after {step} steps; the environments begin anew')
    self.loop.close()
    self.loop = self._make_loop(self._pools(self.settings.num_envs, 0, step))
    if not self.settings.save_replay:
      state = self.loop.refill_replay(state)
    return state, best, memory

  def _seconds(self) -> float:
    return self._earlier_seconds + time.monotonic() - self._session_start

  # What is recorded.

  def _record(self, log: host.HostLog, env_steps: np.ndarray):
    self._logs['episodes.csv'].append([
        (self.settings.agent, *self.runs[e.agent], e.env_steps,
         f'{e.episode_return:.6g}', e.length) for e in log.episodes])

  def _check_finite(self, log: host.HostLog):
    for (game, seed), first in zip(self.runs, log.first_nonfinite, strict=True):
      if first >= 0:
        raise FloatingPointError(
            f'the loss of {game}, seed {seed}, was not finite at update '
            f'{first}; the last checkpoint is from before')

  def _play(self, params, state, step: int, num_episodes: int) -> np.ndarray:
    """Scores of whole games, [G, E]."""
    rounds = []
    for number in range(-(-num_episodes // ROUND)):
      count = min(ROUND, num_episodes - number * ROUND)
      rounds.append(self.loop.evaluate(
          params, state, self._pools(count, 1 + number, step, training=False),
          step + number))
    return np.concatenate(rounds, axis=1)

  def _evaluate(self, state, best, env_steps, memory: _Memory):
    """Evaluates all agents; returns the best weights so far."""
    params = state.learner.params
    step = int(state.acting.num_transitions[0])
    scores = self._play(params, state, step, self.settings.eval_episodes)
    means = scores.mean(axis=1)
    self._logs['evaluations.csv'].append([
        (self.settings.agent, game, seed, env_steps[i], f'{means[i]:.6g}',
         f'{scores[i].std():.6g}') for i, (game, seed) in enumerate(self.runs)])
    self._logs['evaluations.csv'].sync()
    better = means > [found for found, _ in memory.best]
    memory.best = [
        [float(means[i]), int(env_steps[i])] if better[i] else memory.best[i]
        for i in range(len(self.runs))]

    def choose(new, old):
      return jax.numpy.where(
          better.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)

    return jax.tree.map(choose, params, best)

  def _finish(self, state, best, env_steps, memory: _Memory):
    """Evaluates at length; writes the summary and the pictures."""
    settings = self.settings
    step = int(state.acting.num_transitions[0]) + 1
    params = state.learner.params
    final = self._play(params, state, step, settings.final_episodes)
    in_hindsight = self._play(best, state, step + ROUND,
                              settings.final_episodes)
    one = jax.tree.map(lambda x: x[0], params)
    size = networks.num_parameters(one)
    updates = np.asarray(state.learner.steps)
    rows = [
        (settings.agent, game, seed, env_steps[i], updates[i],
         f'{final[i].mean():.6g}', f'{final[i].std():.6g}', memory.best[i][1],
         f'{in_hindsight[i].mean():.6g}', f'{in_hindsight[i].std():.6g}', size,
         round(self._seconds(), 1))
        for i, (game, seed) in enumerate(self.runs)]
    for log in self._logs.values():
      log.sync()
    pictures.learning_curves(settings.output)
    pictures.strip(
        settings.output, self.agent, one,
        self._pools(1, 1000, step, training=False)[0], self.games[0])
    records.write_csv(settings.output / 'summary.csv', reading.SUMMARY, rows)
    print(f'{size:,} trainable parameters; returns at the end, and of the best '
          f'evaluation, over {settings.final_episodes} games each:')
    for i, (game, seed) in enumerate(self.runs):
      print(f'  {game}, seed {seed}: {final[i].mean():.1f}, '
            f'{in_hindsight[i].mean():.1f} (random: '
            f'{games_lib.references()[game].random:.1f})')
    for name in ('summary.csv', 'learning_curves.png', 'strip.png'):
      print(f'  {settings.output / name}')


def main(argv: list[str] | None = None) -> Any:
  """The command; see the module."""
  console.use_all_cores()
  settings = cli.parse(
      Settings, argv, 'python -m experiments.atari.run',
      default_preset='paper_atari')
  try:
    run = Run(settings)
  except (ValueError, MemoryError) as error:
    sys.exit(f'error: {error}')
  try:
    run()
  except (FloatingPointError, envpool.StalledError) as error:
    sys.exit(f'error: {error}')
  finally:
    run.close()


if __name__ == '__main__':
  main()
