"""Pure functions of the run of one seed, in an environment in JAX.

`on_device` maps these functions over seeds and devices.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hyperjax import checks
from hyperjax import data_parallel
from hyperjax import types
from hyperjax.environments import base
from hyperjax.loops import base as loops_base
from hyperjax.loops import chunk_log
from hyperjax.loops.chunk_log import ChunkLog


class RunState(NamedTuple):
  """State of a run; every leaf has a leading axis of seeds [S].

  Attributes:
    train: agent's state, see `trainer.TrainState`.
    env_params: parameters of the seed's environments, the same for all N.
    env_state: state of each environment, [N].
    timestep: newest time step of each environment, that of the reset after the
      end of an episode, [N].
    episode_return: return of the current episodes, float32 [N].
    num_steps: number of steps of each environment, int32 [].
    num_episodes: number of completed episodes in all N environments, int32 [].
    num_updates: number of updates, int32 [].
    env_key: PRNG key, constant; the randomness of step t is a function of
      (env_key, t).
    eval_key: PRNG key, constant; the randomness of an evaluation after step t
      is a function of (eval_key, t).
  """

  train: loops_base.TrainerState
  env_params: base.EnvParams
  env_state: base.EnvState
  timestep: types.TimeStep
  episode_return: Float[Array, '...']
  num_steps: Int[Array, '...']
  num_episodes: Int[Array, '...']
  num_updates: Int[Array, '...']
  env_key: chex.PRNGKey
  eval_key: chex.PRNGKey


def run_keys(seed: Any) -> tuple[chex.PRNGKey, chex.PRNGKey, chex.PRNGKey]:
  """Returns the PRNG keys of agent, environments and evaluation.

  The keys of a seed do not depend on the other seeds of a run.

  Args:
    seed: seed of a run, uint32 [].
  """
  agent_key, env_key, eval_key = jax.random.split(
      jax.random.fold_in(jax.random.key(0), seed), 3)
  return agent_key, env_key, eval_key


@dataclasses.dataclass(frozen=True)
class SeedRun:
  """Pure functions over the `RunState` of one seed, without the axis [S].

  Attributes:
    trainer: agent with its replay, in N environments.
    environment: environment in JAX.
    eval_environment: environment of evaluations, of the same parameters and
      states.
  """

  trainer: loops_base.Trainer
  environment: base.Environment
  eval_environment: base.Environment

  def init(self, seed: Array, env_params: base.EnvParams) -> RunState:
    """Returns the state before the first step.

    Args:
      seed: seed of the run, uint32 [].
      env_params: parameters of the seed's environments.
    """
    agent_key, env_key, eval_key = run_keys(seed)
    # The first resets draw from the key as those after step t > 0 do.
    env_state, timestep = self._reset(env_params, env_key, 0)
    num_envs = self.trainer.num_envs
    return RunState(
        train=self.trainer.init(agent_key),
        env_params=env_params,
        env_state=env_state,
        timestep=timestep,
        episode_return=jnp.zeros(num_envs, jnp.float32),
        num_steps=jnp.int32(0),
        num_episodes=jnp.int32(0),
        num_updates=jnp.int32(0),
        env_key=env_key,
        eval_key=eval_key)

  def _reset(self, env_params, env_key, step):
    keys = jax.random.split(
        jax.random.fold_in(data_parallel.own_key(env_key), 2 * step),
        self.trainer.num_envs)
    return jax.vmap(self.environment.reset, in_axes=(None, 0))(
        env_params, keys)

  def _step(self, state: RunState, log: ChunkLog, warmup: bool):
    """Advances all N environments by one step."""
    if warmup:
      train, action = self.trainer.warm_up(state.train)
    else:
      train, action = self.trainer.act(
          state.train, state.timestep.observation, state.timestep.first())
    keys = jax.random.split(
        jax.random.fold_in(
            data_parallel.own_key(state.env_key), 2 * state.num_steps + 1),
        self.trainer.num_envs)
    env_state, timestep = jax.vmap(
        self.environment.step, in_axes=(None, 0, 0, 0))(
            state.env_params, state.env_state, action, keys)
    train = self.trainer.observe(
        train, state.timestep.observation, action, timestep)

    info = self._info(env_state)
    # The next episode begins in the same step.
    num_steps = state.num_steps + 1
    last = timestep.last()
    fresh = self._reset(state.env_params, state.env_key, num_steps)
    env_state, next_timestep = jax.tree.map(
        lambda new, old: jnp.where(
            jnp.reshape(last, last.shape + (1,) * (old.ndim - 1)), new, old),
        fresh, (env_state, timestep))

    episode_return = state.episode_return + timestep.reward
    # Past the last entry if no episode ended, so that the write is dropped.
    position = jnp.where(
        last, log.num_episodes + jnp.cumsum(last) - 1,
        log.episode_return.shape[0])
    num_ended = jnp.sum(last, dtype=jnp.int32)
    log = log._replace(
        episode_return=log.episode_return.at[position].set(
            episode_return, mode='drop'),
        episode_step=log.episode_step.at[position].set(
            num_steps, mode='drop'),
        info={name: log.info[name].at[position].set(x, mode='drop')
              for name, x in info.items()},
        num_episodes=log.num_episodes + num_ended)
    return state._replace(
        train=train,
        env_state=env_state,
        timestep=next_timestep,
        episode_return=jnp.where(last, 0., episode_return),
        num_steps=num_steps,
        num_episodes=state.num_episodes + num_ended), log

  def _info(self, env_state: base.EnvState) -> dict[str, Float[Array, ' N']]:
    """Returns what the environments log of episodes that have ended."""
    if not checks.is_a(self.environment, base.LoggedEnvironment):
      return {}
    return jax.vmap(self.environment.episode_log)(env_state)

  def _empty_log(
      self, state: RunState, max_steps: int, warmup: bool) -> ChunkLog:
    return chunk_log.empty_log(
        max_steps * self.trainer.num_envs,
        sorted(jax.eval_shape(self._info, state.env_state)),
        None if warmup else chunk_log.empty_metrics(
            self.trainer.learn, state.train))

  def _learn(self, state: RunState, log: ChunkLog):
    """Makes the updates that are due."""
    train, metrics = self.trainer.learn(state.train)
    loss = metrics['loss']
    return state._replace(
        train=train, num_updates=state.num_updates + loss.shape[0]
    ), log._replace(
        num_updates=log.num_updates + loss.shape[0],
        loss=log.loss + jnp.sum(loss),
        metrics=chunk_log.add_metrics(log.metrics, metrics),
        first_nonfinite=chunk_log.first_nonfinite(
            log.first_nonfinite, state.num_updates, loss))

  def run(
      self, max_steps: int, warmup: bool, state: RunState,
      num_steps: Int[Array, ''],
  ) -> tuple[RunState, ChunkLog]:
    """Runs a chunk of steps.

    Args:
      max_steps: largest number of steps; it determines the size of the log.
      warmup: whether the steps are those of the warm-up.
      state: state before the chunk.
      num_steps: number of steps of each environment, int32 [], at most
        `max_steps`; after the warm-up a multiple of the trainer's
        `update_period`.

    Returns:
      The state after the chunk, and its log.
    """
    def step(carry):
      return self._step(carry[0], carry[1], warmup)

    def period(carry):
      carry, _ = jax.lax.scan(
          lambda carry, _: (step(carry), None), carry,
          length=self.trainer.update_period)
      return self._learn(*carry)

    body, count = (step, num_steps) if warmup else (
        period, num_steps // self.trainer.update_period)
    return jax.lax.fori_loop(
        0, count, lambda _, carry: body(carry),
        (state, self._empty_log(state, max_steps, warmup)))

  def run_if(
      self, max_steps: int, warmup: bool, state: RunState,
      active: Bool[Array, ''], num_steps: Int[Array, ''],
  ) -> tuple[RunState, ChunkLog]:
    """Runs a chunk as `run` does if `active`; else returns the same state."""
    return jax.lax.cond(
        active,
        lambda state: self.run(max_steps, warmup, state, num_steps),
        lambda state: (state, self._empty_log(state, max_steps, warmup)),
        state)

  def evaluate(
      self, num_episodes: int, state: RunState
  ) -> tuple[Float[Array, ' E'], Bool[Array, ' E']]:
    """Returns the returns of E episodes, and whether each has ended.

    See `OnDeviceLoop.evaluate`.
    """
    key = jax.random.fold_in(state.eval_key, state.num_steps)
    key_actor, key_reset, key_steps = jax.random.split(key, 3)
    env_state, timestep = jax.vmap(
        self.eval_environment.reset, in_axes=(None, 0))(
            state.env_params, jax.random.split(key_reset, num_episodes))

    def step(carry, key):
      actor, env_state, observation, alive, episode_return = carry
      actor, action = self.trainer.evaluate(state.train, actor, observation)
      env_state, timestep = jax.vmap(
          self.eval_environment.step, in_axes=(None, 0, 0, 0))(
              state.env_params, env_state, action,
              jax.random.split(key, num_episodes))
      episode_return += jnp.where(alive, timestep.reward, 0.)
      alive &= ~timestep.last()
      return (actor, env_state, timestep.observation, alive,
              episode_return), None

    carry = (self.trainer.init_evaluation(key_actor, num_episodes), env_state,
             timestep.observation, jnp.ones(num_episodes, bool),
             jnp.zeros(num_episodes, jnp.float32))
    carry, _ = jax.lax.scan(
        step, carry,
        jax.random.split(key_steps, self.eval_environment.max_episode_length))
    return carry[-1], ~carry[-2]
