"""One agent on Atari, in several games and with several seeds at once.

  python -m experiments.atari.run --agent hyperagent --games Pong,Freeway \\
      --num-seeds 3 --num-steps 100000 --output DIR

Each game and seed has an agent of its own; all of them advance together. The
same command again, in the same folder, resumes a run that was interrupted:
the environments begin anew, which it says, and everything else goes on as it
was. README.md says what the folder then holds.
`--preset atari_cpu` is for a few CPU cores, the default for an accelerator.

An evaluation plays whole games, greedily, each for its own freshly drawn index,
and records the game's own scores. At the end the last weights, and the best of
all evaluations, are evaluated again over more games. The best in hindsight is
what was published; it flatters.
"""

import dataclasses
import sys
from typing import Any

import jax
import numpy as np

from experiments import agents
from experiments import cli
from experiments import console
from experiments import records
from experiments import run_folder
from experiments.atari import games as games_lib
from experiments.atari import pictures
from experiments.atari import reading
from experiments.atari import settings as settings_lib
from hyperjax import networks
from hyperjax import specs
from hyperjax.environments import envpool
from hyperjax.loops import host
from hyperjax.loops import host_run

EPISODES = ('agent', 'game', 'seed', 'env_steps', 'episode_return', 'length')
STACK = 4
# Games side by side in an evaluation, for each agent.
ROUND = 20
# What environments and indices are drawn for.
TRAINING, EVALUATION, FINAL, BEST, PICTURE = range(5)


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
    best: of each agent, (mean return, steps) of its best evaluation.
    evaluated: time steps at the last evaluation, -1 before the first.
    finished: whether the run is over.
  """

  env_steps: list[int]
  best: list[list[float]]
  evaluated: int = -1
  finished: bool = False


class Run:
  """A run in its folder."""

  def __init__(self, settings: settings_lib.Settings):
    """Checks everything and opens the folder; trains nothing yet.

    Raises:
      ValueError: for settings or a folder that cannot be used.
      MemoryError: if the replays do not fit into memory.
    """
    self.settings = settings
    self.games = games_lib.select(settings.games, settings.suite)
    self.seeds = [settings.seed + i for i in range(settings.num_seeds)]
    self.runs = [(game, seed) for game in self.games for seed in self.seeds]
    pools = self._pools(settings.num_envs, TRAINING, 0)
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
    self._folder = run_folder.RunFolder(
        settings, {'episodes.csv': EPISODES,
                   'evaluations.csv': reading.EVALUATIONS})

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
    # A run needs no more replay than it has steps.
    capacity = min(self.settings.config.replay_capacity,
                   self.settings.num_steps)
    return host.HostLoop(
        self.agent, pools, self.settings.num_envs, replay_capacity=capacity)

  def __call__(self):
    """Trains to the end, or from the last checkpoint to the end.

    Raises:
      FloatingPointError: if a loss was not finite.
      envpool.StalledError: if environments stall or die, in training or in an
        evaluation; the run is saved then.
    """
    settings = self.settings
    state, best, memory = self._restore_or_begin()
    if memory.finished:
      print(f'{settings.output} holds this run, and it is finished.')
      return
    try:
      with console.StepProgress(
          f'{settings.agent}, {len(self.runs)} agents', _time_steps(state),
          settings.num_steps) as progress:
        while True:
          if self._evaluation_is_due(state, memory):
            best = self._evaluate(state, best, memory)
          if _time_steps(state) == settings.num_steps:
            break
          state, log = self._advance(state, memory, progress)
          if log.failure:
            raise envpool.StalledError(log.failure)
          if self._folder.is_due():
            self._save(state, best, memory)
      self._save(state, best, memory)
      self._finish(state, best, memory)
      self._draw(state)
    except envpool.StalledError as error:
      self._save(state, best, memory)
      raise envpool.StalledError(
          f'{error}; the run is saved after {_time_steps(state)} steps'
      ) from error
    memory.finished = True
    self._save(state, best, memory)

  def _evaluation_is_due(self, state, memory: _Memory) -> bool:
    step = _time_steps(state)
    return step > memory.evaluated and (
        step % self.settings.evaluate_every == 0
        or step == self.settings.num_steps)

  def _advance(
      self, state: host_run.HostState, memory: _Memory,
      progress: console.StepProgress,
  ) -> tuple[host_run.HostState, host.HostLog]:
    """Trains for a chunk, at most until the next evaluation."""
    settings, before = self.settings, _time_steps(state)
    steps = min(1000 * settings.num_envs,
                settings.evaluate_every - before % settings.evaluate_every,
                settings.num_steps - before)
    env_steps = np.array(memory.env_steps)
    state, log = self.loop.run(state, steps // settings.num_envs, env_steps)
    self._check_finite(log)
    self._record(log)
    memory.env_steps = env_steps.tolist()
    progress.update(_time_steps(state) - before, log, len(self.runs))
    return state, log

  def close(self):
    """Releases files and environments."""
    self._folder.close()
    self.loop.close()

  # What is saved: the state, with or without its replay, and the best weights.

  def _save(self, state, best, memory: _Memory):
    # The end has a number of its own: the checkpoint before it stays until
    # this one is whole.
    self._folder.save(
        _time_steps(state) + memory.finished, (self._saved_part(state), best),
        dataclasses.asdict(memory))

  def _saved_part(self, state):
    if self.settings.save_replay:
      return state
    return state._replace(acting=state.acting._replace(replay=()))

  def _restore_or_begin(self):
    agent_seeds = [seed for _, seed in self.runs]
    abstract = self.loop.abstract_state(agent_seeds)
    params = abstract.learner.params
    restored = self._folder.restore((self._saved_part(abstract), params))
    if restored is None:
      state = self.loop.init(agent_seeds)
      memory = _Memory([0] * len(self.runs), [[-np.inf, 0]] * len(self.runs))
      return state, state.learner.params, memory
    (state, best), memory = restored[0], _Memory(**restored[1])
    if memory.finished:
      return state, best, memory
    step = _time_steps(state)
    print(f'resuming after {step} steps; the environments begin anew')
    self.loop.close()
    self.loop = self._make_loop(
        self._pools(self.settings.num_envs, TRAINING, step))
    if not self.settings.save_replay:
      state = self.loop.refill_replay(state)
    return state, best, memory

  # What is recorded.

  def _record(self, log: host.HostLog):
    self._folder.logs['episodes.csv'].append([
        (self.settings.agent, *self.runs[e.agent], e.env_steps,
         f'{e.episode_return:.6g}', e.length) for e in log.episodes])

  def _check_finite(self, log: host.HostLog):
    for (game, seed), first in zip(self.runs, log.first_nonfinite, strict=True):
      if first >= 0:
        raise FloatingPointError(
            f'the loss of {game}, seed {seed}, was not finite at update '
            f'{first}; the last checkpoint is from before')

  def _play(self, params, state, purpose: int, num_episodes: int) -> np.ndarray:
    """Scores of whole games, [G, E]; the same for the same step and purpose."""
    step = _time_steps(state)
    rounds = []
    for number in range(-(-num_episodes // ROUND)):
      count = min(ROUND, num_episodes - number * ROUND)
      purpose_and_number = 1000 * purpose + number
      rounds.append(self.loop.evaluate(
          params, state,
          self._pools(count, purpose_and_number, step, training=False),
          10_000 * step + purpose_and_number))
    return np.concatenate(rounds, axis=1)

  def _evaluate(self, state, best, memory: _Memory):
    """Evaluates all agents; returns the best weights so far."""
    params = state.learner.params
    step = _time_steps(state)
    scores = self._play(params, state, EVALUATION, self.settings.eval_episodes)
    means = scores.mean(axis=1)
    self._folder.logs['evaluations.csv'].append([
        (self.settings.agent, game, seed, step, f'{means[i]:.6g}',
         f'{scores[i].std():.6g}') for i, (game, seed) in enumerate(self.runs)])
    self._folder.logs['evaluations.csv'].sync()
    better = means > [found for found, _ in memory.best]
    memory.best = [
        [float(means[i]), step] if better[i] else memory.best[i]
        for i in range(len(self.runs))]
    memory.evaluated = step

    def choose(new, old):
      return jax.numpy.where(
          better.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)

    return jax.tree.map(choose, params, best)

  def _num_parameters(self, game: str) -> int:
    """Trainable parameters of an agent with the actions of its own game."""
    num_actions, = {pool.num_actions for pool in self.loop.environments.pools
                    if pool.game == game}
    agent = agents.AGENTS[self.settings.agent].agent(
        self.agent.observation_spec, num_actions, self.settings.config)
    return networks.num_parameters(
        jax.eval_shape(agent.init, jax.random.key(0)).params)

  def _finish(self, state, best, memory: _Memory):
    """Evaluates at length, and writes the summary."""
    settings = self.settings
    final = self._play(
        state.learner.params, state, FINAL, settings.final_episodes)
    in_hindsight = self._play(best, state, BEST, settings.final_episodes)
    sizes = {game: self._num_parameters(game) for game in self.games}
    updates = np.asarray(state.learner.steps)
    rows = [
        (settings.agent, game, seed, memory.env_steps[i], updates[i],
         f'{final[i].mean():.6g}', f'{final[i].std():.6g}', memory.best[i][1],
         f'{in_hindsight[i].mean():.6g}', f'{in_hindsight[i].std():.6g}',
         sizes[game], round(self._folder.seconds(), 1))
        for i, (game, seed) in enumerate(self.runs)]
    records.write_csv(settings.output / 'summary.csv', reading.SUMMARY, rows)
    print(f'Returns at the end, and of the best evaluation, over '
          f'{settings.final_episodes} games each:')
    for i, (game, seed) in enumerate(self.runs):
      print(f'  {game}, seed {seed}: {final[i].mean():.1f}, '
            f'{in_hindsight[i].mean():.1f} (random: '
            f'{games_lib.references()[game].random:.1f}; {sizes[game]:,} '
            f'trainable parameters)')

  def _draw(self, state):
    """Draws the pictures."""
    settings = self.settings
    pictures.learning_curves(settings.output)
    seeds = environment_seeds(self.seeds[0], PICTURE, 0, 1)
    pictures.strip(
        settings.output, self.agent,
        jax.tree.map(lambda x: x[0], state.learner.params),
        envpool.Atari(self.games[0], seeds,
                      sticky_actions=settings.sticky_actions,
                      life_ends_return=False, max_frames=settings.max_frames,
                      backend=settings.backend))
    for name in ('summary.csv', 'learning_curves.png', 'strip.png'):
      print(f'  {settings.output / name}')


def _time_steps(state: host_run.HostState) -> int:
  """Of each agent so far, those that only began a game among them."""
  return int(state.acting.num_transitions[0])


def main(argv: list[str] | None = None) -> Any:
  """The command; see the module."""
  console.use_all_cores()
  console.keep_freed_memory()
  settings = cli.parse(
      settings_lib.Settings, argv, 'python -m experiments.atari.run',
      default_preset='paper_atari')
  try:
    run = Run(settings)
  except (ValueError, MemoryError) as error:
    sys.exit(f'error: {error}')
  try:
    run()
  except (ValueError, FloatingPointError, envpool.StalledError) as error:
    sys.exit(f'error: {error}')
  finally:
    run.close()


if __name__ == '__main__':
  main()
