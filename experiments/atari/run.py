"""One agent on Atari, in several games and with several seeds at once.

  python -m experiments.atari.run --agent hyperagent --games Pong,Freeway \\
      --num-seeds 3 --num-steps 100000 --output DIR

Each game and seed has an agent of its own; all of them advance together. The
same command again, in the same folder, resumes a run that was interrupted:
the environments begin anew, which it says, and everything else goes on as it
was. README.md says what the folder then holds.
With --distributed several processes share the agents, each of which steps the
emulators of its own.
`--preset small_atari` is for a few CPU cores. Without `--preset` an agent has
its published settings for Atari, or else its own with Nature's torso.

An evaluation plays whole games as the agent is judged, each for its own freshly
drawn index, and records the game's own scores. At the end the last weights, and
the best of all evaluations, are evaluated again over more games. The best in
hindsight is what was published; it flatters.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from hyperjax import memory
from hyperjax import multihost
from hyperjax import policy_folder
from hyperjax import specs
from hyperjax import types
from hyperjax.agents import presets
from hyperjax.environments import envpool
from hyperjax.loops import host
from hyperjax.loops import host_run
from hyperjax.loops import mapping
from hyperjax.loops import processes

from ..common import progress
from ..common import run as run_lib
from ..common import task as task_lib
from . import games as games_lib
from . import pictures as pictures_lib
from . import purposes
from . import reading
from . import records
from . import settings as settings_lib

STACK = 4
DEFAULT_PRESETS = ('paper_atari', 'nature_atari')


class AtariState(NamedTuple):
  """All that a run has on the devices.

  Attributes:
    host: state of the loop.
    best: weights of each agent at its best evaluation.
  """

  host: host_run.HostState
  best: types.Params


class AtariTask(task_lib.Task):
  """Atari games as a `task.Task`."""

  logs = {'episodes.csv': records.EPISODES,
          'evaluations.csv': reading.EVALUATIONS}
  pictures = pictures_lib.PICTURES

  def __init__(self, settings: settings_lib.Settings):
    """Checks everything; trains and writes nothing yet.

    Raises:
      ValueError: for invalid settings, or agents that the devices of several
        processes do not divide.
      MemoryError: if the state does not fit into memory.
    """
    self.settings = settings
    self.games = games_lib.select(settings.games, settings.suite)
    self.seeds = settings.seeds
    self.runs = [(game, seed) for game in self.games for seed in self.seeds]
    # A run needs no more replay than it has steps.
    self._capacity = min(settings.config.replay_capacity, settings.num_steps)
    self._check_frames()
    environments = self.environments(settings.num_envs, purposes.TRAINING, 0)
    self.agent = presets.agent_class(settings.agent)(
        specs.ObservationSpec((STACK, envpool.HEIGHT, envpool.WIDTH), 'uint8'),
        max(multihost.gather(max(x.num_actions for x in environments))),
        settings.config)
    self.loop = self._make_loop(environments)
    trainer = self.loop.trainer
    first = (trainer.warmup_steps + trainer.update_period) * settings.num_envs
    if settings.num_steps < first:
      self.loop.close()
      raise ValueError(
          f'num_steps must be at least the {first} steps until the first '
          f'update, got {settings.num_steps}')
    needs = self.loop.check_memory(saved=settings.save_replay)
    print(f'{len(self.runs)} agents; their state takes '
          f'{sum(x.num_bytes for x in needs) / 1e9:.1f} GB of memory.')

  def environments(
      self, num_envs: int, purpose: int, step: int, training: bool = True
  ) -> list[envpool.Atari]:
    """Returns environments for every agent of this process, one for each game.

    Their seeds are functions of the agents' seeds, the purpose and the step.
    """
    seeds: dict[str, list[int]] = {}
    for i in processes.own_agents(len(self.runs)):
      game, seed = self.runs[i]
      seeds.setdefault(game, []).extend(
          purposes.environment_seeds(seed, purpose, step, num_envs))
    return [envpool.Atari(
        game, found, sticky_actions=self.settings.sticky_actions,
        life_ends_return=training, clip_rewards=training,
        max_frames=self.settings.max_frames, backend=self.settings.backend)
            for game, found in seeds.items()]

  def _check_frames(self):
    """Refuses agents by the thousand before their emulators are made."""
    frames = len(self.runs) * self._capacity // jax.device_count()
    memory.check_fits([memory.Need(
        f'frames in the replays of {len(self.runs)} agents',
        frames * envpool.HEIGHT * envpool.WIDTH,
        'num_seeds or replay_capacity')], jax.local_devices()[0])

  def _make_loop(self, environments) -> host.HostLoop:
    return host.HostLoop(
        self.agent, environments, self.settings.num_envs,
        replay_capacity=self._capacity)

  def progress(self, state: AtariState) -> progress.Steps:
    return progress.Steps(
        f'{self.settings.agent}, {len(self.runs)} agents', self.number(state),
        self.settings.num_steps)

  def init(self):
    state = self.loop.init([seed for _, seed in self.runs])
    # A copy: the loop uses the state's memory again.
    best = jax.tree.map(jax.numpy.copy, self.weights(state))
    metadata = {'env_steps': [0] * len(self.runs), 'evaluated': -1,
                'best': [[-np.inf, 0] for _ in self.runs]}
    return AtariState(state, best), metadata

  def abstract_state(self):
    state = self.loop.abstract_state([seed for _, seed in self.runs])
    return self.to_save(AtariState(state, self.weights(state)))

  def to_save(self, state):
    # With or without the replay.
    if self.settings.save_replay:
      return state
    train = state.host.train._replace(replay=())
    return state._replace(host=state.host._replace(train=train))

  def resume(self, saved, metadata):
    # The environments begin anew.
    step = self.number(saved)
    print(f'resuming after {step} steps; the environments begin anew')
    self.loop.close()
    self.loop = self._make_loop(
        self.environments(self.settings.num_envs, purposes.TRAINING, step))
    if self.settings.save_replay:
      return saved
    return saved._replace(host=self.loop.refill_replay(saved.host))

  def weights(self, state: host_run.HostState) -> types.Params:
    """Returns the weights with which each agent acts and is evaluated."""
    return self.agent.acting_params(state.train.learner)

  def run_names(self):
    return [policy_folder.Run(seed, game) for game, seed in self.runs]

  def policies(self, state):
    return self.agent, state.host.train.learner

  def number(self, state) -> int:
    # Time steps, those that only began a game included.
    return host_run.num_time_steps(state.host)

  def is_done(self, state, metadata) -> bool:
    return self.number(state) >= self.settings.num_steps

  def advance(self, state, metadata, pace, bar):
    settings, before = self.settings, self.number(state)
    trainer = self.loop.trainer
    steps = pace.amount(
        min(settings.evaluate_every - before % settings.evaluate_every,
            settings.num_steps - before),
        trainer.update_period * settings.num_envs,
        warmup=trainer.warmup_steps * settings.num_envs - before)
    env_steps = np.array(metadata['env_steps'])
    with pace.timed(steps):
      loop_state, log = self.loop.run(
          state.host, steps // settings.num_envs, env_steps)
    task_lib.check_finite(log.first_nonfinite, [
        f'{game}, seed {seed},' for game, seed in self.runs])
    records.record_episodes(self, log)
    records.log_chunk(self, log, env_steps)
    metadata['env_steps'] = env_steps.tolist()
    state = state._replace(host=loop_state)
    bar.update(self.number(state) - before, log, len(self.runs))
    self.failure = log.failure
    return state

  def evaluation_is_due(self, state, metadata) -> bool:
    step = self.number(state)
    return step > metadata['evaluated'] and (
        not step % self.settings.evaluate_every
        or step == self.settings.num_steps)

  def evaluate(self, state, metadata):
    return records.play(self, self.weights(state.host), state,
                        purposes.EVALUATION, self.settings.eval_episodes)

  def record(self, state, metadata, evaluation):
    better = records.record_evaluation(self, state, metadata, evaluation)
    metadata['evaluated'] = self.number(state)
    better = mapping.RunMap().put(better, len(self.runs))

    def choose(new, old):
      return jax.numpy.where(
          better.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)

    return state._replace(best=jax.tree.map(
        choose, self.weights(state.host), state.best))

  def finish(self, state, metadata):
    records.finish(self, state, metadata)

  def report(self):
    records.report(self)

  def close(self):
    # Releases the environments.
    self.loop.close()


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  run_lib.main(AtariTask, settings_lib.Settings,
               __spec__.name, argv, DEFAULT_PRESETS)


if __name__ == '__main__':
  main()
