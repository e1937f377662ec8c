"""Small MDPs, and functions that all tests of tables share and compile once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hyperjax import tabular
from hyperjax.tabular import base
from hyperjax.tabular import environments
from hyperjax.tabular import gaussian
from hyperjax.tabular import presets

RIVER = environments.river_swim(num_states=3, horizon=4)
SIZES = RIVER.sizes(pooled=True)
CHAIN = environments.chain(num_states=3, horizon=4)
GRID = environments.grid_world(2, 4)
AGENTS = presets.scaled(SIZES, gaussian.scaled(4, 0.3), dim=3)
NOISE = gaussian.scaled(4, 0.4)
run = jax.jit(tabular.run, static_argnums=(0, 3))


@functools.cache
def random_arrays(seed=0, horizon=3, num_states=3, num_actions=2):
  """Returns the transitions and rewards of a random MDP, as NumPy arrays."""
  rng = np.random.default_rng(seed)
  pairs = (horizon, num_states, num_actions)
  return rng.dirichlet(np.ones(num_states), pairs), rng.random(pairs)


def episode(states, actions, rewards):
  return tabular.Episode(
      jnp.int32(states), jnp.int32(actions), jnp.float32(rewards))


def keys(num=3):
  return jax.vmap(jax.random.key)(jnp.arange(2000, 2000 + num))


def seen(sizes=SIZES, rewards=None):
  """Statistics of some uniformly random episodes."""
  statistics = base.no_statistics(sizes, rewards)
  rng = np.random.default_rng(5)
  for _ in range(6):
    statistics = base.count(sizes, statistics, episode(
        rng.integers(0, 3, 5), rng.integers(0, 2, 4), rng.random(4)))
  return statistics


def draws_at_the_last_stage(agent, state):
  """4000 samples of the last stage's values, [.., S, A], without a next one."""
  return np.asarray(jax.jit(jax.vmap(
      agent.values, in_axes=(None, 0)))(
          state, jax.random.split(jax.random.key(3), 4000)))[:, -1]
