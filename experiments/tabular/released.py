"""Agents as the code of Tiapkin et al. (2022) has them on GridWorld 10 x 10."""

import dataclasses

import jax
import jax.numpy as jnp

from hyperjax import tabular
from hyperjax.tabular import base
from hyperjax.tabular import gaussian
from hyperjax.tabular import mdp as mdp_lib
from hyperjax.tabular import ucbvi

Hoeffding = ucbvi.Hoeffding


@dataclasses.dataclass(frozen=True)
class RLSVI(base.Counting):
  """RLSVI with the noise and the prior of rlberry, which that code configures.

  Every pair has one visit to begin with, without a reward and to every state
  alike; noise is 1 / sqrt(N) + (H - h) / N, and values are clipped to [0, H].
  The released code adds the mean reward twice; here it is added once.

  Attributes:
    sizes: sizes of the MDP.
  """

  sizes: tabular.Sizes

  def init(self, key, rewards=None) -> base.Statistics:
    """See `tabular.Agent`."""
    empty = super().init(key, rewards)
    return empty._replace(counts=empty.counts + 1. / self.sizes.num_states)

  def plan(self, state: base.Statistics, key) -> jax.Array:
    """See `tabular.Agent`."""
    sizes, visits = self.sizes, state.visits
    key_noise, key_ties = jax.random.split(key)
    std = (1. / jnp.sqrt(visits)
           + sizes.steps_left[:, None, None] / visits)
    noise = std * jax.random.normal(key_noise, std.shape)
    kernel = state.counts / visits[..., None]
    rewards = state.rewards + noise

    def step(value, h):
      q = rewards[h] + mdp_lib.at_stage(kernel, h) @ value
      return jnp.clip(jnp.max(q, axis=-1), 0., float(sizes.horizon)), q

    _, q = jax.lax.scan(
        step, jnp.zeros(sizes.num_states), jnp.arange(sizes.horizon),
        reverse=True)
    return gaussian.greedy(key_ties, q)
