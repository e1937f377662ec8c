"""The discounting chain of bsuite: which of five delayed rewards to wait for.

The first action chooses one of five chains; later actions do nothing. The
chains pay 1 once, at step 1, 3, 10, 30 or 100; one of them pays 1.1. Every
episode has 100 steps.

Equal to `bsuite.environments.discounting_chain.DiscountingChain` step for step.
"""

import dataclasses
from typing import NamedTuple

import chex
from dm_env import specs
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
import numpy as np

from hyperjax import arrays
from hyperjax import seeds
from hyperjax import types
from hyperjax.environments import timesteps

_REWARD_STEPS = (1, 3, 10, 30, 100)
_EPISODE_LENGTH = 100
_BONUS = 0.1


class DiscountingChainParams(NamedTuple):
  """Parameters of a discounting chain, constant over episodes.

  Attributes:
    bonus_arm: chain that pays 1.1, 0..4, int32 [].
  """

  bonus_arm: Int[Array, '']


class DiscountingChainState(NamedTuple):
  """Choice and time.

  Attributes:
    context: chosen chain, 0..4, or -1 before the first step, int32 [].
    t: number of steps so far, int32 [].
  """

  context: Int[Array, '']
  t: Int[Array, '']


@dataclasses.dataclass(frozen=True)
class DiscountingChain:
  """A discounting chain; see the module. It has no fields."""

  @property
  def max_episode_length(self) -> int:
    """100, length of every episode."""
    return _EPISODE_LENGTH

  def observation_spec(self) -> specs.Array:
    """Returns the spec of the observation, see `observe`."""
    return specs.Array((1, 2), np.float32, 'observation')

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of the five chains."""
    return specs.DiscreteArray(len(_REWARD_STEPS), np.int32, 'action')

  def params_from_seed(self, mapping_seed: int) -> DiscountingChainParams:
    """Returns the bonus that bsuite has for the same seed: the seed modulo 5.

    Raises:
      ValueError: if the seed is not an integer of 0..2**32 - 1.
    """
    return DiscountingChainParams(
        jnp.int32(seeds.check_seed(mapping_seed) % len(_REWARD_STEPS)))

  def observe(self, state: DiscountingChainState) -> Float[Array, '1 2']:
    """Returns the chosen chain, and the steps so far / 100."""
    return jnp.stack([
        state.context.astype(jnp.float32), state.t / _EPISODE_LENGTH])[None]

  def reset(
      self, params: DiscountingChainParams, key: chex.PRNGKey
  ) -> tuple[DiscountingChainState, types.TimeStep]:
    """Begins an episode, which is not random."""
    del params, key
    state = DiscountingChainState(context=jnp.int32(-1), t=jnp.int32(0))
    return state, timesteps.first(self.observe(state))

  def step(
      self, params: DiscountingChainParams, state: DiscountingChainState,
      action: Int[Array, ''], key: chex.PRNGKey,
  ) -> tuple[DiscountingChainState, types.TimeStep]:
    """Takes one step, which is not random."""
    del key
    bonus_arm = arrays.check_array(
        'bonus_arm', params.bonus_arm, (), jnp.int32)
    state = DiscountingChainState(
        context=jnp.where(state.t == 0, action, state.context),
        t=state.t + 1)
    pays = state.t == jnp.asarray(_REWARD_STEPS)[state.context]
    reward = jnp.where(state.context == bonus_arm, 1. + _BONUS, 1.)
    return state, timesteps.after_step(
        jnp.where(pays, reward, 0.), state.t == _EPISODE_LENGTH,
        self.observe(state))
