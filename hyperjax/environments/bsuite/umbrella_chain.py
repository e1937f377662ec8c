"""The umbrella chain of bsuite: one early decision among random rewards.

The first action takes an umbrella or not. The last of L steps has reward 1 if
the umbrella was taken exactly if it is needed, else -1. The rewards before are
1 or -1 at random, and n random distractors are observed at every step.

Equal to `bsuite.environments.umbrella_chain.UmbrellaChain` step for step,
except that random numbers are drawn from a PRNG key.
"""

import dataclasses
from typing import NamedTuple

import chex
from dm_env import specs
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int
import numpy as np

from hyperjax import arrays
from hyperjax import checks
from hyperjax import types
from hyperjax.environments import timesteps


class UmbrellaChainParams(NamedTuple):
  """Parameters of an umbrella chain, constant over episodes.

  Attributes:
    chain_length: L, int32 [].
  """

  chain_length: Int[Array, '']


class UmbrellaChainState(NamedTuple):
  """Weather, umbrella and time.

  Attributes:
    needs_umbrella: 0 or 1, int32 [].
    has_umbrella: 0 or 1, random before the first step, int32 [].
    t: number of steps so far, int32 [].
  """

  needs_umbrella: Int[Array, '']
  has_umbrella: Int[Array, '']
  t: Int[Array, '']


@dataclasses.dataclass(frozen=True)
class UmbrellaChain:
  """Umbrella chains of one number of distractors; see the module.

  Attributes:
    num_distractors: n, number of random bits in an observation, at least 0.
    max_length: largest L of all copies.
  """

  num_distractors: int = 0
  max_length: int = 100

  def __post_init__(self):
    checks.fields(
        self, num_distractors=checks.integer(0), max_length=checks.COUNT)

  @property
  def max_episode_length(self) -> int:
    """Number of steps of the longest chain, `max_length`."""
    return self.max_length

  def observation_spec(self) -> specs.Array:
    """Returns the spec of the observation, see `observe`."""
    return specs.Array((1, self.num_distractors + 3), np.float32, 'observation')

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of the actions: 1 takes the umbrella, 0 does not."""
    return specs.DiscreteArray(2, np.int32, 'action')

  def params(self, chain_length: int) -> UmbrellaChainParams:
    """Returns the parameters of one copy.

    Args:
      chain_length: L, 1..`max_length`.

    Raises:
      ValueError: if the length is invalid.
    """
    return UmbrellaChainParams(jnp.int32(
        checks.integer(1, self.max_length)('chain_length', chain_length)))

  def observe(
      self, params: UmbrellaChainParams, state: UmbrellaChainState,
      distractors: Bool[Array, ' n'],
  ) -> Float[Array, '1 inputs']:
    """Returns need, umbrella, 1 - t / L, and the distractors.

    Args:
      params: length of the chain.
      state: state that is observed.
      distractors: random bits, bool [n].
    """
    length = arrays.check_array(
        'chain_length', params.chain_length, (), jnp.int32)
    return jnp.concatenate([
        jnp.stack([
            state.needs_umbrella, state.has_umbrella, 1. - state.t / length]),
        distractors]).astype(jnp.float32)[None]

  def _distractors(self, key):
    return jax.random.bernoulli(key, shape=(self.num_distractors,))

  def reset(
      self, params: UmbrellaChainParams, key: chex.PRNGKey
  ) -> tuple[UmbrellaChainState, types.TimeStep]:
    """Begins an episode with random weather, umbrella and distractors."""
    key_state, key_distractors = jax.random.split(key)
    needs, has = jax.random.bernoulli(key_state, shape=(2,)).astype(jnp.int32)
    state = UmbrellaChainState(needs, has, jnp.int32(0))
    return state, timesteps.first(
        self.observe(params, state, self._distractors(key_distractors)))

  def step(
      self, params: UmbrellaChainParams, state: UmbrellaChainState,
      action: Int[Array, ''], key: chex.PRNGKey,
  ) -> tuple[UmbrellaChainState, types.TimeStep]:
    """Takes one step, of which all but the last have a random reward."""
    key_reward, key_distractors = jax.random.split(key)
    return self.step_with(
        params, state, action, jax.random.bernoulli(key_reward),
        self._distractors(key_distractors))

  def step_with(
      self, params: UmbrellaChainParams, state: UmbrellaChainState,
      action: Int[Array, ''], reward_is_positive: Bool[Array, ''],
      distractors: Bool[Array, ' n'],
  ) -> tuple[UmbrellaChainState, types.TimeStep]:
    """Takes one step with given random draws.

    Args:
      params: length of the chain.
      state: state before the step, with t < L.
      action: 0 or 1, int32 [].
      reward_is_positive: whether the reward is 1 instead of -1, bool []; not
        used in the last step.
      distractors: random bits of the next observation, bool [n].
    """
    state = UmbrellaChainState(
        needs_umbrella=state.needs_umbrella,
        has_umbrella=jnp.where(state.t == 0, action, state.has_umbrella),
        t=state.t + 1)
    is_last = state.t == params.chain_length
    is_right = state.has_umbrella == state.needs_umbrella
    reward = jnp.where(
        jnp.where(is_last, is_right, reward_is_positive), 1., -1.)
    return state, timesteps.after_step(
        reward, is_last, self.observe(params, state, distractors))
