"""Small MDPs on which exploration is measured.

Functions that return an `MDP`; those of a key are random and can be mapped over
keys. Values in parentheses are V*_0 of the start, by dynamic programming.
"""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int
import numpy as np

from hyperjax import checks
from hyperjax.tabular import dirichlet
from hyperjax.tabular import mdp as mdp_lib


def _sizes(**sizes: int):
  for name, value in sizes.items():
    checks.COUNT(name, value)


def random_mdp(
    key: chex.PRNGKey, num_states: int = 5, num_actions: int = 3,
    horizon: int = 5, prior_mass: float = 3., stage_dependent: bool = True,
) -> mdp_lib.MDP:
  """Returns an MDP of the theorems' prior.

  Each row of the transitions is an independent Dirichlet sample with masses
  prior_mass / S; rewards are uniform on [0, 1]; episodes begin in state 0.

  Args:
    key: PRNG key.
    num_states: S.
    num_actions: A.
    horizon: H.
    prior_mass: beta, at least 3 in the theorems.
    stage_dependent: whether each stage has transitions and rewards of its own.
  """
  _sizes(num_states=num_states, num_actions=num_actions, horizon=horizon)
  checks.positive('prior_mass', prior_mass)
  key_rows, key_rewards = jax.random.split(key)
  pairs = (horizon if stage_dependent else 1, num_states, num_actions)
  rows = dirichlet.dirichlet(
      key_rows, jnp.full((*pairs, num_states), prior_mass / num_states))
  rewards = jax.random.uniform(key_rewards, pairs)
  return mdp_lib.MDP(
      rows, jnp.broadcast_to(rewards, (horizon, num_states, num_actions)),
      jnp.int32(0))


def river_swim(num_states: int = 6, horizon: int = 20) -> mdp_lib.MDP:
  """Returns RiverSwim (Strehl and Littman, 2008; 3.3973 for S=6, H=20).

  A swimmer begins at the left bank. Swimming left (0) always succeeds and pays
  0.005 at the bank. Swimming right (1), against the current, moves up with
  probability 0.35 and down with 0.05, at the left bank up with 0.6, and stays
  otherwise; at the right end it pays 1, and falls back with 0.4.

  Args:
    num_states: S, at least 2.
    horizon: H.
  """
  checks.integer(2)('num_states', num_states)
  _sizes(horizon=horizon)
  last = num_states - 1
  p = np.zeros((1, num_states, 2, num_states))
  for s in range(num_states):
    p[0, s, 0, max(s - 1, 0)] = 1.
    if s in (0, last):
      p[0, s, 1, s] = 0.4 if s == 0 else 0.6
      p[0, s, 1, 1 if s == 0 else last - 1] = 0.6 if s == 0 else 0.4
    else:
      p[0, s, 1, [s - 1, s, s + 1]] = 0.05, 0.6, 0.35
  rewards = np.zeros((horizon, num_states, 2))
  rewards[:, 0, 0] = 0.005
  rewards[:, last, 1] = 1.
  return mdp_lib.make_mdp(p, rewards)


def grid_world(size: int = 5, horizon: int = 20) -> mdp_lib.MDP:
  """Returns GridWorld (9.482 for 5 x 5, H=20; 26.135 for 10 x 10, H=50).

  A cell of an N x N grid without walls; episodes begin at (0, 0), and 1 is paid
  for each step that begins at (N-1, N-1), whatever the action. Actions 0..3 are
  up, down, left and right. A move succeeds with probability 0.8, else another
  neighbouring cell is reached, each with the same probability; a move out of
  the grid stays.

  Args:
    size: N, at least 2.
    horizon: H.
  """
  checks.integer(2)('size', size)
  _sizes(horizon=horizon)
  num_states = size**2
  p = np.zeros((1, num_states, 4, num_states))
  for row in range(size):
    for column in range(size):
      cell = row * size + column
      moves = [(row - 1, column), (row + 1, column), (row, column - 1),
               (row, column + 1)]
      cells = [r * size + c if 0 <= r < size and 0 <= c < size else None
               for r, c in moves]
      for action, target in enumerate(cells):
        if target is None:
          p[0, cell, action, cell] = 1.
          continue
        others = [c for c in cells if c not in (None, target)]
        p[0, cell, action, target] = 0.8
        p[0, cell, action, others] = 0.2 / len(others)
  rewards = np.zeros((horizon, num_states, 4))
  rewards[:, -1] = 1.
  return mdp_lib.make_mdp(p, rewards)


def deep_sea(
    size: int, action_mapping: Int[Array, 'N N'] | None = None
) -> mdp_lib.MDP:
  """Returns DeepSea without noise (0.99; see `environments.DeepSea`).

  The stage is the row and the state is the column, so S = H = N, and every
  stage has transitions of its own.

  Args:
    size: N, at least 2.
    action_mapping: action that means right at each row and column, [N, N] of 0
      and 1, as in `environments.DeepSeaParams`; by default always 1. May be
      traced.
  """
  checks.integer(2)('size', size)
  right = (jnp.ones((size, size), jnp.int32) if action_mapping is None
           else jnp.asarray(action_mapping, jnp.int32))
  if right.shape != (size, size):
    raise ValueError(
        f'expected an action_mapping of shape {(size, size)}, got '
        f'{right.shape}')
  column = jnp.arange(size)
  down = jnp.stack([  # To the left and to the right, [2, S, S].
      jax.nn.one_hot(jnp.maximum(column - 1, 0), size),
      jax.nn.one_hot(jnp.minimum(column + 1, size - 1), size)])
  pays = jnp.zeros((2, size, size)).at[1].set(-0.01 / size)
  pays = pays.at[1, -1, -1].add(1.)  # [2, H, S]
  is_right = right[:, :, None] == jnp.arange(2)  # [H, S, A]
  return mdp_lib.MDP(
      jnp.where(is_right[..., None], down[1][:, None], down[0][:, None]),
      jnp.where(is_right, pays[1][..., None], pays[0][..., None]),
      jnp.int32(0))


def chain(num_states: int = 5, horizon: int = 10, failure: float = 0.1
          ) -> mdp_lib.MDP:
  """Returns a chain: 0.05 per step at its start, 1 per step at its end.

  Action 0 moves left and 1 right; with the probability of a failure the move is
  the opposite one. At an end a move outwards stays.

  Args:
    num_states: S, at least 2.
    horizon: H.
    failure: probability in [0, 1].
  """
  checks.integer(2)('num_states', num_states)
  _sizes(horizon=horizon)
  checks.FRACTION('failure', failure)
  p = np.zeros((1, num_states, 2, num_states))
  for s in range(num_states):
    left, right = max(s - 1, 0), min(s + 1, num_states - 1)
    for action, (meant, opposite) in enumerate([(left, right), (right, left)]):
      p[0, s, action, meant] += 1. - failure
      p[0, s, action, opposite] += failure
  rewards = np.zeros((horizon, num_states, 2))
  rewards[:, 0] = 0.05
  rewards[:, -1] = 1.
  return mdp_lib.make_mdp(p, rewards)
