"""Acting, environment, replay and learning in one compiled program.

Independent runs, one for each seed, advance together: mapped over the seeds of
one device and sharded over devices, with nothing to communicate. The host
calls for a chunk of steps at a time, and logs, evaluates and saves in between;
how a run is cut into chunks does not change it.

  loop = OnDeviceLoop(agent, environment)
  state = loop.init(seeds, env_params)
  state, log = loop.run(state, num_steps=1000)
  returns = loop.evaluate(state, num_episodes=100)
"""

from collections.abc import Sequence
import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
import numpy as np

from hyperjax import acting
from hyperjax import replay as replay_lib
from hyperjax import types
from hyperjax.environments import base
from hyperjax.loops import trainer as trainer_lib

SEEDS = 'seeds'  # Name of the mesh axis.


class RunState(NamedTuple):
  """All that a run is; every leaf has a leading axis of seeds [S].

  Attributes:
    train: the agent, see `trainer.TrainState`.
    env_params: of the seed's environments, the same for all N.
    env_state: of each environment [N].
    timestep: what each environment last returned, after a reset [N].
    episode_return: of the running episodes, float32 [N].
    num_steps: of each of the N environments so far, int32 [].
    num_episodes: ended so far, in all N environments together, int32 [].
    env_key: constant; the randomness of step t is a function of it and t.
    eval_key: constant; that of an evaluation, of it and the step.
  """

  train: trainer_lib.TrainState
  env_params: base.EnvParams
  env_state: base.EnvState
  timestep: types.TimeStep
  episode_return: Float[Array, '...']
  num_steps: Int[Array, '...']
  num_episodes: Int[Array, '...']
  env_key: chex.PRNGKey
  eval_key: chex.PRNGKey


class ChunkLog(NamedTuple):
  """What a chunk reports; every field has a leading axis of seeds [S].

  Attributes:
    episode_return: of the episodes that ended, in order, float32 [E]; only the
      first `num_episodes` entries mean anything.
    episode_step: the step count of each environment when they ended, int32 [E].
    num_episodes: that ended in the chunk, int32 [].
    num_updates: done in the chunk, int32 [].
    loss: mean over the chunk's updates, float32 []; NaN without any.
    first_nonfinite: the number of the first update whose loss was not finite,
      counted over the whole run, int32 []; -1 if all were.
  """

  episode_return: Float[Array, '...']
  episode_step: Int[Array, '...']
  num_episodes: Int[Array, '...']
  num_updates: Int[Array, '...']
  loss: Float[Array, '...']
  first_nonfinite: Int[Array, '...']


def run_keys(seed: Any) -> tuple[chex.PRNGKey, chex.PRNGKey, chex.PRNGKey]:
  """Keys of the agent, the environments and the evaluation of a seed.

  Seed 3 has the same keys whether it runs alone or as one of fifty.
  """
  agent_key, env_key, eval_key = jax.random.split(
      jax.random.fold_in(jax.random.key(0), seed), 3)
  return agent_key, env_key, eval_key


class OnDeviceLoop:
  """Runs S independent agents, each in N copies of a pure JAX environment."""

  def __init__(
      self,
      agent: types.Agent,
      environment: base.Environment,
      num_envs: int = 1,
      replay_capacity: int | None = None,
      devices: Sequence[jax.Device] | None = None,
      vectorize: bool | None = None,
  ):
    """Compiles nothing yet.

    Args:
      agent: of every seed.
      environment: of every seed.
      num_envs: N, environments for each seed.
      replay_capacity: transitions kept for each seed, if not as the agent's
        config says.
      devices: to spread the seeds over, all that JAX sees by default. As many
        are used as divide the number of seeds.
      vectorize: whether the seeds of one device advance together (`vmap`) or
        one behind the other within the compiled chunk. By default one behind
        the other on CPUs: a CPU gains nothing from wider arrays of this size,
        and a seed then gives the same bits whatever its company. Vectorised,
        it does so up to float rounding.

    Raises:
      ValueError: if agent and environment do not fit.
    """
    self.agent = agent
    self.environment = environment
    self.trainer = trainer_lib.Trainer(agent, num_envs, replay_capacity)
    self._devices = list(devices or jax.devices())
    if vectorize is None:
      vectorize = self._devices[0].platform != 'cpu'
    self._vectorize = vectorize
    agent.observation_spec.check(
        np.zeros(environment.observation_spec().shape,
                 environment.observation_spec().dtype), num_leading=0)
    num_actions = environment.action_spec().num_values
    if agent.num_actions != num_actions:
      raise ValueError(
          f'the agent has {agent.num_actions} actions, the environment '
          f'{num_actions}')

  # What the host calls.

  def init(
      self, seeds: Sequence[int], env_params: base.EnvParams) -> RunState:
    """The state before the first step.

    Args:
      seeds: S different numbers, each of which determines its run.
      env_params: of the environments, every leaf with a leading axis [S].

    Raises:
      ValueError: if there is no seed, or one of them comes twice.
      MemoryError: if the replays do not fit into the devices' memory.
    """
    if not len(seeds):
      raise ValueError('expected at least one seed, got none')
    if len(set(seeds)) < len(seeds):
      raise ValueError(f'expected different seeds, got {list(seeds)}')
    self.check_memory(len(seeds))
    return self._mapped(self._init, donate=False)(
        jnp.asarray(seeds, jnp.uint32), env_params)

  def check_memory(self, num_seeds: int):
    """Raises MemoryError if the replays of so many seeds do not fit."""
    devices = self.mesh(num_seeds).devices
    # Devices of a CPU share its memory.
    shared = devices[0].platform == 'cpu'
    replay_lib.check_fits(
        self.trainer.replay,
        num_seeds if shared else num_seeds // devices.size, devices[0])

  def abstract_state(
      self, seeds: Sequence[int], env_params: base.EnvParams) -> RunState:
    """What `init` would return, as shapes and shardings; allocates nothing."""
    sharding = jax.sharding.NamedSharding(
        self.mesh(len(seeds)), jax.sharding.PartitionSpec(SEEDS))
    state = jax.eval_shape(
        jax.vmap(self._init), jnp.asarray(seeds, jnp.uint32), env_params)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        state)

  def run(
      self, state: RunState, num_steps: int) -> tuple[RunState, ChunkLog]:
    """Advances every environment of every seed.

    Args:
      state: before; its memory is used again, so do not use it afterwards.
      num_steps: of each environment. Compiled anew for each different number.

    Returns:
      The state after, and what happened.
    """
    done = int(state.num_steps[0])
    explore = min(num_steps, max(0, self.trainer.explore_steps - done))
    logs = []
    if explore:
      state, log = self._mapped(self._run, explore, False)(state)
      logs.append(log)
    if num_steps > explore:
      state, log = self._mapped(self._run, num_steps - explore, True)(state)
      logs.append(log)
    return state, _join(logs)

  def evaluate(
      self, state: RunState, num_episodes: int) -> Float[Array, 'S E']:
    """Returns of episodes played greedily, each for its own fresh index.

    Evaluation has its own randomness, a function of the seed and the step, and
    changes nothing in the state.

    Args:
      state: is only read.
      num_episodes: E, played side by side.
    """
    return self._mapped(self._evaluate, num_episodes, donate=False)(state)

  def mesh(self, num_seeds: int) -> jax.sharding.Mesh:
    """The devices that `num_seeds` seeds are spread over, evenly."""
    size = max(d for d in range(1, len(self._devices) + 1)
               if num_seeds % d == 0)
    return jax.sharding.Mesh(np.array(self._devices[:size]), (SEEDS,))

  # What is compiled: functions of one seed.

  def _init(self, seed: Array, env_params: base.EnvParams) -> RunState:
    agent_key, env_key, eval_key = run_keys(seed)
    # Step 0 draws from the key as every later step does, for its resets.
    env_state, timestep = self._reset(env_params, env_key, 0)
    num_envs = self.trainer.num_envs
    return RunState(
        train=self.trainer.init(agent_key),
        env_params=env_params,
        env_state=env_state,
        timestep=timestep,
        episode_return=jnp.zeros(num_envs),
        num_steps=jnp.int32(0),
        num_episodes=jnp.int32(0),
        env_key=env_key,
        eval_key=eval_key)

  def _reset(self, env_params, env_key, step):
    keys = jax.random.split(
        jax.random.fold_in(env_key, 2 * step), self.trainer.num_envs)
    return jax.vmap(self.environment.reset, in_axes=(None, 0))(
        env_params, keys)

  def _step(self, state: RunState, log: ChunkLog, learning: bool):
    """One step of all N environments."""
    if learning:
      train, action = self.trainer.act(
          state.train, state.timestep.observation, state.timestep.first())
    else:
      train, action = self.trainer.explore(state.train)
    keys = jax.random.split(
        jax.random.fold_in(state.env_key, 2 * state.num_steps + 1),
        self.trainer.num_envs)
    env_state, timestep = jax.vmap(
        self.environment.step, in_axes=(None, 0, 0, 0))(
            state.env_params, state.env_state, action, keys)
    train = self.trainer.observe(
        train, state.timestep.observation, action, timestep)

    # Where an episode ended, the next one begins at once.
    num_steps = state.num_steps + 1
    last = timestep.last()
    fresh = self._reset(state.env_params, state.env_key, num_steps)
    env_state, next_timestep = jax.tree.map(
        lambda new, old: jnp.where(
            jnp.reshape(last, last.shape + (1,) * (old.ndim - 1)), new, old),
        fresh, (env_state, timestep))

    episode_return = state.episode_return + timestep.reward
    # Behind the last entry where nothing ended: such writes are dropped.
    position = jnp.where(
        last, log.num_episodes + jnp.cumsum(last) - 1,
        log.episode_return.shape[0])
    num_ended = jnp.sum(last, dtype=jnp.int32)
    log = log._replace(
        episode_return=log.episode_return.at[position].set(
            episode_return, mode='drop'),
        episode_step=log.episode_step.at[position].set(
            num_steps, mode='drop'),
        num_episodes=log.num_episodes + num_ended)
    return state._replace(
        train=train,
        env_state=env_state,
        timestep=next_timestep,
        episode_return=jnp.where(last, 0., episode_return),
        num_steps=num_steps,
        num_episodes=state.num_episodes + num_ended), log

  def _learn(self, state: RunState, log: ChunkLog):
    """The updates that are owed."""
    first = state.train.learner.steps
    train, metrics = self.trainer.learn(state.train)
    loss = metrics['loss']
    bad = ~jnp.isfinite(loss)
    first_bad = jnp.where(jnp.any(bad), first + jnp.argmax(bad), -1)
    return state._replace(train=train), log._replace(
        num_updates=log.num_updates + loss.shape[0],
        loss=log.loss + jnp.sum(loss),
        first_nonfinite=jnp.where(
            log.first_nonfinite < 0, first_bad, log.first_nonfinite))

  def _run(
      self, num_steps: int, learning: bool, state: RunState
  ) -> tuple[RunState, ChunkLog]:
    num_envs = self.trainer.num_envs
    log = ChunkLog(
        episode_return=jnp.zeros(num_steps * num_envs),
        episode_step=jnp.zeros(num_steps * num_envs, jnp.int32),
        num_episodes=jnp.int32(0),
        num_updates=jnp.int32(0),
        loss=jnp.float32(0.),
        first_nonfinite=jnp.int32(-1))

    def steps(carry, length):
      return jax.lax.scan(
          lambda carry, _: (self._step(*carry, learning), None),
          carry, length=length)[0]

    carry = (state, log)
    if not learning:
      state, log = steps(carry, num_steps)
    else:
      per_learn = self.trainer.steps_per_learn
      if num_steps % per_learn:
        raise ValueError(
            f'num_steps must be a multiple of the {per_learn} steps between '
            f'updates, got {num_steps} after the random ones')
      (state, log), _ = jax.lax.scan(
          lambda carry, _: (self._learn(*steps(carry, per_learn)), None),
          carry, length=num_steps // per_learn)
    return state, log._replace(loss=log.loss / log.num_updates)

  def _evaluate(
      self, num_episodes: int, state: RunState) -> Float[Array, 'E']:
    key = jax.random.fold_in(state.eval_key, state.num_steps)
    key_index, key_reset, key_steps = jax.random.split(key, 3)
    index = self.agent.index.sample(key_index, (num_episodes,))
    env_state, timestep = jax.vmap(
        self.environment.reset, in_axes=(None, 0))(
            state.env_params, jax.random.split(key_reset, num_episodes))

    def step(carry, key):
      env_state, observation, alive, episode_return = carry
      key_action, key_env = jax.random.split(key)
      values = self.agent.q_values(
          state.train.learner.params, observation, index)
      env_state, timestep = jax.vmap(
          self.environment.step, in_axes=(None, 0, 0, 0))(
              state.env_params, env_state, acting.greedy(key_action, values),
              jax.random.split(key_env, num_episodes))
      episode_return += jnp.where(alive, timestep.reward, 0.)
      alive &= ~timestep.last()
      return (env_state, timestep.observation, alive, episode_return), None

    carry = (env_state, timestep.observation,
             jnp.ones(num_episodes, bool), jnp.zeros(num_episodes))
    (_, _, _, episode_return), _ = jax.lax.scan(
        step, carry,
        jax.random.split(key_steps, self.environment.max_episode_length))
    return episode_return

  # How a function of one seed becomes a compiled function of all of them.

  @functools.cache
  def _compiled(self, function, static, num_seeds: int, donate: bool):
    one_seed = functools.partial(function, *static)

    def one_device(*args):
      if self._vectorize:
        return jax.vmap(one_seed)(*args)
      return jax.lax.map(lambda args: one_seed(*args), args)

    spec = jax.sharding.PartitionSpec(SEEDS)
    return jax.jit(
        jax.shard_map(one_device, mesh=self.mesh(num_seeds), in_specs=spec,
                      out_specs=spec, check_vma=False),
        donate_argnums=(0,) if donate else ())

  def _mapped(self, function, *static, donate: bool = True):

    def call(*args):
      num_seeds = jax.tree.leaves(args)[0].shape[0]
      return self._compiled(function, static, num_seeds, donate)(*args)

    return call


def _join(logs: Sequence[ChunkLog]) -> ChunkLog:
  """The logs of consecutive chunks as one, in host memory."""
  logs = jax.device_get(logs)
  num_seeds = logs[0].num_updates.shape[0]
  width = sum(log.episode_return.shape[1] for log in logs)
  joined = ChunkLog(
      episode_return=np.zeros((num_seeds, width), np.float32),
      episode_step=np.zeros((num_seeds, width), np.int32),
      num_episodes=np.zeros(num_seeds, np.int32),
      num_updates=sum(log.num_updates for log in logs),
      loss=logs[-1].loss,  # Only the last one can have learned.
      first_nonfinite=logs[-1].first_nonfinite)
  for log in logs:
    for seed in range(num_seeds):
      start, count = joined.num_episodes[seed], log.num_episodes[seed]
      for name in ('episode_return', 'episode_step'):
        getattr(joined, name)[seed, start:start + count] = (
            getattr(log, name)[seed, :count])
    joined.num_episodes[:] += log.num_episodes
  return joined
