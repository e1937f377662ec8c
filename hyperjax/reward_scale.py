"""The scale of an environment's rewards, measured while an agent acts.

Priors, perturbations, step sizes and gradient limits are numbers for rewards of
about 1. An agent whose config sets `reward_scaling` learns from rewards that
are divided by their scale, so that these numbers are in units of it, whatever
the units of reward. The replay keeps the rewards as they are; a batch is
divided when it is drawn, by the newest scale.

The scale is the larger of two mean absolute values: that of all rewards that
are not 0, and that of the positive ones. Costs of some steps do not tell what
there is to be gained: before the first positive reward the scale is at least 1.
A cost of every step does: no return is smaller.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import data_parallel
from hyperjax import types


class RewardScale(NamedTuple):
  """Statistics of rewards.

  Attributes:
    num: number of rewards that were not 0, of positive ones, and of those that
      were 0, int32 [3].
    mean: mean absolute value of the first two, float32 [2].
  """

  num: Int[Array, '...']
  mean: Float[Array, '...']


def init() -> RewardScale:
  """Returns the statistics before the first reward."""
  return RewardScale(jnp.zeros(3, jnp.int32), jnp.zeros(2, jnp.float32))


def observe(state: RewardScale, timestep: Any) -> RewardScale:
  """Returns the statistics after time steps of N environments.

  Args:
    state: statistics before.
    timestep: `types.TimeStep` or `vector.VectorTimeStep`, [N], of JAX arrays.
      Those that begin an episode have no reward.
  """
  reward = timestep.reward
  counted = jnp.stack([
      reward != 0., reward > 0., (reward == 0.) & ~timestep.first()])
  num = state.num + jnp.sum(counted, axis=1, dtype=jnp.int32)
  # Divided before they are added: the sum of large ones is beyond float32.
  change = (jnp.abs(reward) - state.mean[:, None]) / jnp.maximum(
      num[:2], 1)[:, None]
  return RewardScale(
      num, state.mean + jnp.sum(jnp.where(counted[:2], change, 0.), axis=1))


def of_parts(state: RewardScale) -> RewardScale:
  """Returns the statistics of all parts, see `hyperjax.data_parallel`."""
  # A mean of means: their sums may be beyond float32.
  num = data_parallel.total(state.num)
  share = state.num[:2] / jnp.maximum(num[:2], 1)
  return RewardScale(num, data_parallel.total(share * state.mean))


def scale(state: RewardScale) -> Float[Array, '']:
  """Returns what rewards are to be divided by, float32 [], positive."""
  largest, (not_zero, positive, zero) = jnp.max(state.mean), state.num
  known = (positive > 0) | (not_zero > 0) & (zero == 0)
  return jnp.where(known, largest, jnp.maximum(largest, 1.))


def scaled(state: RewardScale, batch: types.Batch) -> types.Batch:
  """Returns a batch with its rewards divided by the scale."""
  transitions = batch.transitions
  return batch._replace(transitions=transitions._replace(
      reward=transitions.reward / scale(state)))
