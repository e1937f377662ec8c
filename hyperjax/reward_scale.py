"""The scale of an environment's rewards, measured while an agent acts.

Priors, perturbations, step sizes and gradient limits are numbers for rewards of
about 1. An agent whose config sets `reward_scaling` learns from rewards that
are divided by their scale, so that these numbers are in units of it, whatever
the units of reward. The replay keeps the rewards as they are; a batch is
divided when it is drawn, by the newest scale.

The scale is the larger of two mean absolute values: that of all rewards that
are not 0, and that of the positive ones. Costs alone do not tell what there is
to be gained: before the first positive reward the scale is at least 1.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import data_parallel
from hyperjax import types


class RewardScale(NamedTuple):
  """Statistics of rewards.

  Attributes:
    num: number of rewards that were not 0, and of positive ones, int32 [2].
    mean: mean absolute value of both, float32 [2].
  """

  num: Int[Array, '...']
  mean: Float[Array, '...']


def init() -> RewardScale:
  """Returns the statistics before the first reward."""
  return RewardScale(jnp.zeros(2, jnp.int32), jnp.zeros(2, jnp.float32))


def observe(state: RewardScale, reward: Float[Array, ' N']) -> RewardScale:
  """Returns the statistics after rewards of N environments."""
  counted = jnp.stack([reward != 0., reward > 0.])
  num = state.num + jnp.sum(counted, axis=1, dtype=jnp.int32)
  excess = jnp.sum(jnp.where(
      counted, jnp.abs(reward) - state.mean[:, None], 0.), axis=1)
  return RewardScale(num, state.mean + excess / jnp.maximum(num, 1))


def of_parts(state: RewardScale) -> RewardScale:
  """Returns the statistics of all parts, see `hyperjax.data_parallel`."""
  # A mean of means: their sums may be beyond float32.
  num = data_parallel.total(state.num)
  share = state.num / jnp.maximum(num, 1)
  return RewardScale(num, data_parallel.total(share * state.mean))


def scale(state: RewardScale) -> Float[Array, '']:
  """Returns what rewards are to be divided by, float32 [], positive."""
  largest = jnp.max(state.mean)
  return jnp.where(state.num[1] > 0, largest, jnp.maximum(largest, 1.))


def scaled(state: RewardScale, batch: types.Batch) -> types.Batch:
  """Returns a batch with its rewards divided by the scale."""
  transitions = batch.transitions
  return batch._replace(transitions=transitions._replace(
      reward=transitions.reward / scale(state)))
