"""Catch of bsuite: a paddle in the last row meets a falling ball, or not.

The ball begins in a random column of the first row and falls one row per step.
The paddle begins in the middle and moves left, stays or moves right (actions 0,
1, 2). The last step has reward 1 if the ball is caught, else -1; the others 0.

Equal to `bsuite.environments.catch.Catch` step for step, except that the ball's
column is drawn from a PRNG key.
"""

import dataclasses
from typing import NamedTuple

import chex
from dm_env import specs
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
import numpy as np

from hyperjax import checks
from hyperjax import types
from hyperjax.environments import timesteps


class CatchState(NamedTuple):
  """Positions of ball and paddle.

  Attributes:
    ball_row: row 0..rows-1, int32 [].
    ball_column: column 0..columns-1, int32 [].
    paddle_column: column 0..columns-1, int32 [].
  """

  ball_row: Int[Array, '']
  ball_column: Int[Array, '']
  paddle_column: Int[Array, '']


@dataclasses.dataclass(frozen=True)
class Catch:
  """Catch on a grid of one size; see the module. It has no parameters.

  Attributes:
    rows: height of the grid, at least 2.
    columns: width of the grid, at least 1.
  """

  rows: int = 10
  columns: int = 5

  def __post_init__(self):
    checks.fields(self, rows=checks.integer(2), columns=checks.COUNT)

  @property
  def max_episode_length(self) -> int:
    """Number of rows that the ball falls, length of every episode."""
    return self.rows - 1

  def observation_spec(self) -> specs.BoundedArray:
    """Returns the spec of the grid: 1 at ball and paddle, else 0."""
    return specs.BoundedArray(
        (self.rows, self.columns), np.float32, 0, 1, 'observation')

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of the three actions."""
    return specs.DiscreteArray(3, np.int32, 'action')

  def params(self) -> tuple[()]:
    """Returns the parameters: none, since all copies are equal."""
    return ()

  def observe(self, state: CatchState) -> Float[Array, 'rows columns']:
    """Returns the observation of a state."""
    # Comparisons instead of writes: scatters are slow in a mapped program.
    row, column = jnp.arange(self.rows)[:, None], jnp.arange(self.columns)
    ball = (row == state.ball_row) & (column == state.ball_column)
    paddle = (row == self.rows - 1) & (column == state.paddle_column)
    return (ball | paddle).astype(jnp.float32)

  def reset(
      self, params: tuple[()], key: chex.PRNGKey
  ) -> tuple[CatchState, types.TimeStep]:
    """Begins an episode with the ball in a uniformly random column."""
    del params
    state = CatchState(
        ball_row=jnp.int32(0),
        ball_column=jax.random.randint(key, (), 0, self.columns, jnp.int32),
        paddle_column=jnp.int32(self.columns // 2))
    return state, timesteps.first(self.observe(state))

  def step(
      self, params: tuple[()], state: CatchState, action: Int[Array, ''],
      key: chex.PRNGKey,
  ) -> tuple[CatchState, types.TimeStep]:
    """Moves paddle and ball, which is not random."""
    del params, key
    state = CatchState(
        ball_row=state.ball_row + 1,
        ball_column=state.ball_column,
        paddle_column=jnp.clip(
            state.paddle_column + action - 1, 0, self.columns - 1))
    is_last = state.ball_row == self.rows - 1
    caught = jnp.where(state.paddle_column == state.ball_column, 1., -1.)
    return state, timesteps.after_step(
        jnp.where(is_last, caught, 0.), is_last, self.observe(state))
