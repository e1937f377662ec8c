"""Acting, environment, replay and learning in one compiled program.

Independent runs, one per seed, are mapped over the seeds of one device and
sharded over devices, those of other processes included (`hyperjax.multihost`),
and do not communicate. The host calls for one chunk of steps at a time, and
logs, evaluates and saves in between; a run does not depend on how it is cut
into chunks. This is Anakin (Hessel et al., 2021).

  loop = OnDeviceLoop(agent, environment)
  state = loop.init(seeds, env_params)
  state, log = loop.run(state, num_steps=1000)
  returns = loop.evaluate(state, num_episodes=100)
"""

from collections.abc import Sequence
from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float
import numpy as np

from hyperjax import checks
from hyperjax import faults
from hyperjax import memory
from hyperjax import multihost
from hyperjax import seeds as seeds_lib
from hyperjax import specs
from hyperjax import types
from hyperjax.environments import base
from hyperjax.loops import base as loops_base
from hyperjax.loops import chunk_log
from hyperjax.loops import chunks
from hyperjax.loops import mapping
from hyperjax.loops import split_run
from hyperjax.loops import trainer as trainer_lib
from hyperjax.loops.chunk_log import ChunkLog
from hyperjax.loops.seed_run import RunState
from hyperjax.loops.seed_run import SeedRun
from hyperjax.loops.split_run import SplitRun


class OnDeviceLoop:
  """Runs S independent agents, each in N copies of a pure JAX environment.

  Attributes:
    last_state: newest complete state, which `run` had reached when it was
      interrupted.
  """

  def __init__(
      self,
      agent: types.Agent | loops_base.Trainer,
      environment: base.Environment,
      num_envs: int = 1,
      replay_capacity: int | None = None,
      devices: Sequence[jax.Device] | None = None,
      vectorize: bool | None = None,
      eval_environment: base.Environment | None = None,
      devices_per_seed: int = 1,
  ):
    """Makes a loop; compiles nothing yet.

    Args:
      agent: agent of every seed, or its trainer, which then determines
        `num_envs` and `replay_capacity`.
      environment: environment of every seed.
      num_envs: N, number of environments per seed.
      replay_capacity: number of transitions kept per seed; by default that of
        the agent's config.
      devices: devices that the seeds are spread over, see `mapping.RunMap`.
      vectorize: whether the seeds of one device advance together (`vmap`) or
        sequentially within the compiled chunk. By default they are sequential
        on CPUs, which gain nothing from wider arrays of this size; then the
        bits of a seed do not depend on the other seeds. Vectorized, they do
        once rounding decides a draw or a tie.
      eval_environment: environment of evaluations, of the same parameters and
        states, for example a version without noise; by default `environment`.
      devices_per_seed: D, number of devices that each seed is spread over, see
        `hyperjax.loops.split_run`. `num_envs`, `replay_capacity` and the
        agent's config stay those of the whole seed.

    Raises:
      ValueError: if agent and environment do not fit, or an agent cannot be
        spread over D devices: they must divide the devices, `num_envs`, the
        replay and the batch.
    """
    self._devices_per_seed = checks.COUNT('devices_per_seed', devices_per_seed)
    if devices_per_seed > 1:
      self.trainer = split_run.make_trainer(
          agent, num_envs, replay_capacity, devices_per_seed)
    elif checks.is_a(agent, loops_base.Trainer):
      self.trainer = agent
    else:
      self.trainer = trainer_lib.ReplayTrainer(
          cast(types.Agent, agent), num_envs, replay_capacity)
    for x in (environment, eval_environment or environment):
      checks.component(base.Environment, 'an environment')('environment', x)
    self.environment = environment
    one_run = SplitRun if devices_per_seed > 1 else SeedRun
    self._seed_run = one_run(
        self.trainer, environment, eval_environment or environment)
    self._mapped = split_run.SplitMap(
        devices, vectorize, devices_per_seed) if devices_per_seed > 1 else (
            mapping.RunMap(devices, vectorize))
    self.last_state: RunState | None = None
    expected = self.trainer.observation_spec
    found = specs.observation_spec(environment.observation_spec())
    if (expected.shape, expected.dtype, expected.num_values) != (
        found.shape, found.dtype, found.num_values):
      raise ValueError(
          f'the agent expects observations of shape {expected.shape}, type '
          f'{expected.dtype} and {expected.num_values} categories, the '
          f'environment shows {found.shape}, {found.dtype}, '
          f'{found.num_values}')
    num_actions = specs.num_actions(environment.action_spec())
    if self.trainer.num_actions != num_actions:
      raise ValueError(
          f'the agent has {self.trainer.num_actions} actions, the environment '
          f'{num_actions}')

  def init(
      self, seeds: seeds_lib.Seeds, env_params: base.EnvParams) -> RunState:
    """Returns the state before the first step.

    Args:
      seeds: S different integers, 0..2**32 - 1; each determines its run.
      env_params: parameters of the environments, every leaf with a leading axis
        [S].

    Raises:
      ValueError: if there is no seed, one is invalid, or one occurs twice, or
        if the parameters do not fit the seeds or the environment.
      MemoryError: if the state does not fit into the devices' memory.
    """
    checked = seeds_lib.check_seeds(seeds)
    for x in jax.tree.leaves(env_params):
      if jnp.shape(x)[:1] != checked.shape:
        raise ValueError(
            f'expected env_params with a leading axis of {len(checked)} seeds '
            f'before their own axes, got an array of shape {jnp.shape(x)}')
    if len(set(checked.tolist())) < len(checked):
      raise ValueError(f'expected different seeds, got {list(seeds)}')
    try:
      self.check_memory(len(checked), env_params)
    except ValueError as error:  # While the environment's reset was traced.
      raise ValueError(
          f'{error} (env_params need a leading axis of {len(checked)} seeds '
          f'before their own axes)') from error
    return self._mapped(SeedRun.init, self._seed_run, donate=False)(
        *self._mapped.put((checked, env_params), len(checked)))

  def check_memory(
      self, num_seeds: int, env_params: base.EnvParams | None = None,
      max_steps: int | None = None, masked: bool = False,
      saved: bool = False):
    """Checks that a run fits into memory, before anything is allocated.

    Args:
      num_seeds: S.
      env_params: parameters of the environments as for `init`, or their shapes;
        None if they are not to be counted.
      max_steps: `max_steps` of `run`, whose program is then compiled and
        counted too; None if only the state is to be counted, which takes no
        time.
      masked: whether `run` is called with `active`.
      saved: whether checkpoints are written: for other devices than CPUs the
        host then holds a copy of the state.

    Raises:
      MemoryError: if the run does not fit, with a table of what needs what.
    """
    mapped = self._mapped
    if env_params is None:
      state, times = memory.traced(
          jax.eval_shape, self.trainer.init, jax.random.key(0)), num_seeds
    else:
      state, times = mapped.abstract(
          self._seed_run.init, num_seeds,
          jax.ShapeDtypeStruct((num_seeds,), np.uint32), env_params), 1
    needs = mapped.check_state(state, num_seeds, times, saved)
    if max_steps is not None and env_params is not None:
      function, mask = SeedRun.run, ()
      if masked or not mapped.vectorize:  # As in `run`.
        function = SeedRun.run_if
        mask = (mapped.put(np.ones(num_seeds, bool), num_seeds),)
      mapped.check_program(
          needs, function, self._seed_run, max_steps, False,
          args=(state, *mask, np.int32(max_steps)))

  def abstract_state(
      self, seeds: seeds_lib.Seeds, env_params: base.EnvParams) -> RunState:
    """Returns the shapes and shardings of `init`'s state; allocates nothing."""
    return self._mapped.abstract(
        self._seed_run.init, len(seeds),
        jnp.asarray(seeds_lib.check_seeds(seeds)), env_params)

  def run(
      self, state: RunState, num_steps: int,
      active: Bool[np.ndarray, ' S'] | None = None,
      max_steps: int | None = None,
  ) -> tuple[RunState, ChunkLog]:
    """Advances every environment of all seeds, or of some.

    Args:
      state: state before the chunk. Its memory is reused, so do not use the
        state afterwards.
      num_steps: number of steps of each environment.
      active: mask of the seeds that advance, bool [S]; None for all. The other
        seeds do not change. They cost nothing where seeds are sequential; where
        seeds are vectorized they cost as much, and the state is held twice.
      max_steps: room for episodes in the log, at least `num_steps`; by default
        the next power of two. Every new number compiles a new program.

    Returns:
      The state after the chunk, and its log.

    Raises:
      ValueError: if `num_steps` is below 1 or above `max_steps`, no seed is
        active, the active seeds differ in their number of steps while one of
        them is in its warm-up, the chunk does not end with a call of `learn`
        (then the state is untouched), or it trained with invalid actions or
        discounts (see `hyperjax.faults`), or episodes went on after the
        environment's `max_episode_length`.
      FloatingPointError: if it trained with rewards or observations that are
        not finite. `last_state` has the state, as after every fault.
      MemoryError: if a new program does not fit; the state is then untouched.
    """
    checks.COUNT('num_steps', num_steps)
    if max_steps is None:
      max_steps = 1 << (int(num_steps) - 1).bit_length()
    if num_steps > checks.COUNT('max_steps', max_steps):
      raise ValueError(
          f'num_steps must be at most max_steps, {max_steps}, got {num_steps}')
    self.last_state = state
    steps = chunks.parts(
        self.trainer, multihost.fetch(state.num_steps), num_steps, active)
    if active is None and not self._mapped.vectorize:
      active = np.ones(len(state.num_steps), bool)  # One program for both.
    logs = []
    try:
      for count, warmup in steps:
        if active is None:
          state, log = self._mapped(
              SeedRun.run, self._seed_run, max_steps, warmup)(
                  state, np.int32(count))
        else:
          mask = self._mapped.put(np.asarray(active), len(active))
          state, log = self._mapped(
              SeedRun.run_if, self._seed_run, max_steps, warmup)(
                  state, mask, np.int32(count))
        logs.append(log)
    finally:
      # Set after an interrupt too, which is likely while the host waits below.
      self.last_state = state
    if self._devices_per_seed > 1:
      logs = [split_run.whole_log(log) for log in logs]
    log = chunk_log.join(logs)
    faults.check(state, ignored=faults.LOGGED)  # The log has the others.
    chunks.check_episodes(
        self.environment, self.trainer.num_envs * self._devices_per_seed,
        *multihost.fetch((state.num_steps, state.num_episodes)))
    return state, log

  def evaluate(
      self, state: RunState, num_episodes: int) -> Float[np.ndarray, 'S E']:
    """Returns the returns of episodes, played by the evaluation policy.

    For most agents the policy is greedy for one index per episode (see
    `agents.td.Components`). The randomness of an evaluation is a function of
    the seed and the step; the state does not change.

    Args:
      state: state, which is only read.
      num_episodes: E, number of episodes that are played together.

    Raises:
      ValueError: if `num_episodes` is below 1, or an episode goes on after the
        environment's `max_episode_length`.
    """
    checks.COUNT('num_episodes', num_episodes)
    evaluate = self._mapped(
        SeedRun.evaluate, self._seed_run, num_episodes, donate=False)
    returns, ended = multihost.fetch(evaluate(state))
    if not np.all(ended):
      raise ValueError(
          f'expected every episode to end by max_episode_length of '
          f'{self._seed_run.eval_environment}, got {np.sum(~ended)} of '
          f'{ended.size} that did not')
    return returns
