"""The run of one seed, as pure functions: what a compiled chunk does.

Nothing here knows of other seeds or of devices; `on_device` maps these
functions over both.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import acting
from hyperjax import types
from hyperjax.environments import base
from hyperjax.loops import trainer as trainer_lib


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


@dataclasses.dataclass(frozen=True)
class SeedRun:
  """Pure functions over the `RunState` of one seed, without the axis [S].

  Attributes:
    trainer: the agent with its replay, in N environments.
    environment: in pure JAX.
    eval_environment: the one to evaluate in, of the same parameters and states.
  """

  trainer: trainer_lib.Trainer
  environment: base.Environment
  eval_environment: base.Environment

  def init(self, seed: Array, env_params: base.EnvParams) -> RunState:
    """The state before the first step."""
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
    return state._replace(train=train), log._replace(
        num_updates=log.num_updates + loss.shape[0],
        loss=log.loss + jnp.sum(loss),
        first_nonfinite=trainer_lib.first_nonfinite(
            log.first_nonfinite, first, loss))

  def run(
      self, num_steps: int, learning: bool, state: RunState
  ) -> tuple[RunState, ChunkLog]:
    """A chunk of steps.

    Args:
      num_steps: of each environment.
      learning: whether the agent acts and learns, or explores at random.
      state: before.

    Raises:
      ValueError: if updates are not owed at the end of the chunk.
    """
    def steps(carry, length):
      return jax.lax.scan(
          lambda carry, _: (self._step(*carry, learning), None),
          carry, length=length)[0]

    carry = (state, self._empty_log(num_steps))
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

  def run_if(
      self, num_steps: int, learning: bool, state: RunState, active: Array
  ) -> tuple[RunState, ChunkLog]:
    """`run` where `active`, a bool []; else nothing happens."""
    return jax.lax.cond(
        active,
        lambda state: self.run(num_steps, learning, state),
        lambda state: (state, self._empty_log(num_steps)._replace(
            loss=jnp.float32(jnp.nan))),
        state)

  def _empty_log(self, num_steps: int) -> ChunkLog:
    """Of a chunk in which nothing has happened."""
    num_entries = num_steps * self.trainer.num_envs
    return ChunkLog(
        episode_return=jnp.zeros(num_entries),
        episode_step=jnp.zeros(num_entries, jnp.int32),
        num_episodes=jnp.int32(0),
        num_updates=jnp.int32(0),
        loss=jnp.float32(0.),
        first_nonfinite=jnp.int32(-1))

  def evaluate(
      self, num_episodes: int, state: RunState) -> Float[Array, ' E']:
    """Returns of episodes played greedily, see `OnDeviceLoop.evaluate`."""
    key = jax.random.fold_in(state.eval_key, state.num_steps)
    key_index, key_reset, key_steps = jax.random.split(key, 3)
    index = self.trainer.agent.index.sample(key_index, (num_episodes,))
    env_state, timestep = jax.vmap(
        self.eval_environment.reset, in_axes=(None, 0))(
            state.env_params, jax.random.split(key_reset, num_episodes))

    def step(carry, key):
      env_state, observation, alive, episode_return = carry
      key_action, key_env = jax.random.split(key)
      values = self.trainer.agent.q_values(
          state.train.learner.params, observation, index)
      env_state, timestep = jax.vmap(
          self.eval_environment.step, in_axes=(None, 0, 0, 0))(
              state.env_params, env_state, acting.greedy(key_action, values),
              jax.random.split(key_env, num_episodes))
      episode_return += jnp.where(alive, timestep.reward, 0.)
      alive &= ~timestep.last()
      return (env_state, timestep.observation, alive, episode_return), None

    carry = (env_state, timestep.observation,
             jnp.ones(num_episodes, bool), jnp.zeros(num_episodes))
    (_, _, _, episode_return), _ = jax.lax.scan(
        step, carry,
        jax.random.split(key_steps, self.eval_environment.max_episode_length))
    return episode_return
