"""Small MDPs, and functions that all tests of tables share and compile once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hyperjax import tabular
from hyperjax.tabular import environments
from hyperjax.tabular import gaussian
from hyperjax.tabular import presets

RIVER = environments.river_swim(num_states=3, horizon=4)
SIZES = RIVER.sizes(pooled=True)
CHAIN = environments.chain(num_states=3, horizon=4)
GRID = environments.grid_world(2, 4)
AGENTS = presets.scaled(SIZES, gaussian.scaled(4, 0.3), dim=3)
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
