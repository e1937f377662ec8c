"""A task of bsuite: an environment, noise and scale of its rewards, and a log.

`Task` wraps any environment in JAX. The agent sees rewards that are scaled and
noisy; `episode_log` has what bsuite's scores are made of, which never are.

Equal to bsuite's wrappers `RewardScale` and `RewardNoise`, except that the
noise is drawn from a PRNG key.
"""

import dataclasses
from typing import NamedTuple

import chex
from dm_env import specs
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import arrays
from hyperjax import checks
from hyperjax import types
from hyperjax.environments import base


class TaskParams(NamedTuple):
  """Parameters of a task, constant over episodes.

  Attributes:
    environment: parameters of the environment.
    noise_scale: standard deviation of the noise of a reward, float32 [].
    reward_scale: factor of a reward, before the noise, float32 [].
  """

  environment: base.EnvParams
  noise_scale: Float[Array, '']
  reward_scale: Float[Array, '']


class TaskState(NamedTuple):
  """State of the environment, and what is logged of the episode.

  Attributes:
    environment: state of the environment.
    raw_return: sum of the episode's rewards without noise and scale, float32
      [].
    last_reward: newest reward without noise and scale, float32 [].
  """

  environment: base.EnvState
  raw_return: Float[Array, '']
  last_reward: Float[Array, '']


@dataclasses.dataclass(frozen=True)
class Task:
  """An environment with noise and scale in its parameters; see the module.

  All tasks draw noise, those without noise too: so a family and its versions
  with noise and scale are one program.

  Attributes:
    environment: environment that is wrapped.
  """

  environment: base.Environment

  def __post_init__(self):
    checks.fields(self, environment=checks.component(
        base.Environment, 'an environment'))

  @property
  def max_episode_length(self) -> int:
    """Number of steps after which every episode has ended."""
    return self.environment.max_episode_length

  def observation_spec(self) -> specs.Array:
    """Returns the spec of one observation."""
    return self.environment.observation_spec()

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of one action."""
    return self.environment.action_spec()

  def params(
      self, environment_params: base.EnvParams, noise_scale: float = 0.,
      reward_scale: float = 1.,
  ) -> TaskParams:
    """Returns the parameters of one copy.

    Args:
      environment_params: parameters of the environment.
      noise_scale: standard deviation of the noise of a reward.
      reward_scale: factor of a reward.

    Raises:
      ValueError: if a scale is not finite, or the noise's is negative.
    """
    return TaskParams(
        environment_params,
        jnp.float32(checks.NONNEGATIVE('noise_scale', noise_scale)),
        jnp.float32(checks.real()('reward_scale', reward_scale)))

  def reset(
      self, params: TaskParams, key: chex.PRNGKey
  ) -> tuple[TaskState, types.TimeStep]:
    """Begins an episode of the environment, with an empty log."""
    state, timestep = self.environment.reset(params.environment, key)
    return TaskState(state, jnp.float32(0.), jnp.float32(0.)), timestep

  def step(
      self, params: TaskParams, state: TaskState, action: Int[Array, ''],
      key: chex.PRNGKey,
  ) -> tuple[TaskState, types.TimeStep]:
    """Takes one step of the environment, and draws the reward's noise."""
    key_environment, key_noise = jax.random.split(key)
    return self.step_with(
        params, state, action, key_environment, jax.random.normal(key_noise))

  def step_with(
      self, params: TaskParams, state: TaskState, action: Int[Array, ''],
      key: chex.PRNGKey, noise: Float[Array, ''],
  ) -> tuple[TaskState, types.TimeStep]:
    """Takes one step with a given noise.

    Args:
      params: parameters of the environment, and the scales.
      state: state before the step.
      action: int32 [].
      key: PRNG key of the environment's step.
      noise: draw of N(0, 1), float32 [].
    """
    scales = {
        name: arrays.check_array(name, getattr(params, name), (), jnp.float32)
        for name in ('reward_scale', 'noise_scale')}
    inner, timestep = self.environment.step(
        params.environment, state.environment, action, key)
    state = TaskState(
        environment=inner,
        raw_return=state.raw_return + timestep.reward,
        last_reward=timestep.reward)
    return state, timestep._replace(
        reward=timestep.reward * scales['reward_scale']
        + noise * scales['noise_scale'])

  def episode_log(self, state: TaskState) -> dict[str, Float[Array, '']]:
    """Returns what is logged of an episode that has ended; see `base`.

    Args:
      state: state after the last step.

    Returns:
      `raw_return` and `last_reward` as in `TaskState`, and what the environment
      adds: `is_bad` and `found_treasure` of DeepSea, `num_upright` of swingup.
    """
    log = {'raw_return': state.raw_return, 'last_reward': state.last_reward}
    if checks.is_a(self.environment, base.LoggedEnvironment):
      log |= self.environment.episode_log(state.environment)
    return log
