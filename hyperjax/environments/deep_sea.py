"""DeepSea in pure JAX (Osband et al., 2019, bsuite).

A diver descends an N x N grid, one row per step, and moves one column left or
right. A random mapping determines in each cell which of the two actions means
right. Right costs 0.01 / N. Only the policy that goes right at all N steps
finds the treasure, 1, so the best return is 0.99, and a uniformly random policy
finds it in one of 2^N episodes. In the stochastic version right fails with
probability 1 / N, and the two end cells of the last row give N(0, 1) extra
reward.

Equal to `bsuite.environments.deep_sea.DeepSea` step for step, except that
random numbers are drawn from a PRNG key instead of NumPy's generator.
"""

from collections.abc import Iterable
import dataclasses
from typing import NamedTuple

import chex
from dm_env import specs
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int
import numpy as np

from hyperjax import checks
from hyperjax import seeds
from hyperjax import types
from hyperjax.environments import timesteps


class DeepSeaParams(NamedTuple):
  """Parameters of a DeepSea environment, constant over episodes.

  Attributes:
    action_mapping: action that means right in each cell, int8 [N, N].
  """

  action_mapping: Int[Array, 'N N']


class DeepSeaState(NamedTuple):
  """Position of the diver.

  Attributes:
    row: row 0..N-1, or N after the end, int32 [].
    column: column 0..N-1, or N after an end with the treasure, int32 [].
    is_bad: whether a wrong action on the diagonal has put the treasure out of
      reach (bsuite's bad episode), bool [].
  """

  row: Int[Array, '']
  column: Int[Array, '']
  is_bad: Bool[Array, '']


@dataclasses.dataclass(frozen=True)
class DeepSea:
  """DeepSea of one size; see the module.

  Attributes:
    size: N, at least 2.
    stochastic: whether right may fail and the end cells are noisy.
    one_hot: whether an observation is an N x N one-hot grid, as in bsuite,
      instead of the number of the cell, row * N + column. After the end the
      grid is all zero and the number is N^2, which is no category.
  """

  size: int
  stochastic: bool = False
  one_hot: bool = False

  def __post_init__(self):
    # The number of a cell is an int32.
    checks.fields(self, size=checks.integer(2, 46340), stochastic=checks.flag,
                  one_hot=checks.flag)

  @property
  def max_episode_length(self) -> int:
    """N, length of every episode."""
    return self.size

  def observation_spec(self) -> specs.Array:
    """Returns the spec of one observation: a grid, or the number of a cell."""
    if self.one_hot:
      return specs.Array((self.size, self.size), np.float32, 'observation')
    return specs.DiscreteArray(self.size**2, np.int32, 'cell')

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of the two actions."""
    return specs.DiscreteArray(2, np.int32, 'action')

  def params_from_seed(self, mapping_seed: int) -> DeepSeaParams:
    """Returns the mapping that bsuite has for the same seed; on the host.

    Raises:
      ValueError: if the seed is not an integer of 0..2**32 - 1.
    """
    rng = np.random.RandomState(seeds.check_seed(mapping_seed))
    mapping = rng.binomial(1, 0.5, [self.size, self.size])
    return DeepSeaParams(jnp.asarray(mapping, jnp.int8))

  def params_from_seeds(self, mapping_seeds: Iterable[int]) -> DeepSeaParams:
    """Returns the mappings of several seeds, with a leading axis [S].

    Raises:
      ValueError: if there is no seed, or one is invalid.
    """
    mappings = [self.params_from_seed(seed) for seed in mapping_seeds]
    if not mappings:
      raise ValueError('expected at least one seed, got none')
    return jax.tree.map(lambda *x: jnp.stack(x), *mappings)

  def _check_params(self, params: DeepSeaParams):
    shape = jnp.shape(params.action_mapping)
    if shape != (self.size, self.size):
      raise ValueError(
          f'expected an action_mapping of shape {(self.size, self.size)}, for '
          f'DeepSea of size {self.size}, got {shape}')

  def observe(self, state: DeepSeaState) -> Array:
    """Returns the observation of a state."""
    cell = jnp.where(state.row < self.size,
                     state.row * self.size + state.column, self.size**2)
    if not self.one_hot:
      return cell.astype(jnp.int32)
    grid = jax.nn.one_hot(cell, self.size**2)
    return grid.reshape(self.size, self.size)

  def reset(
      self, params: DeepSeaParams, key: chex.PRNGKey
  ) -> tuple[DeepSeaState, types.TimeStep]:
    """Begins an episode in the top left cell, which is not random."""
    self._check_params(params)
    del params, key
    state = DeepSeaState(jnp.int32(0), jnp.int32(0), jnp.bool_(False))
    return state, timesteps.first(self.observe(state))

  def step(
      self, params: DeepSeaParams, state: DeepSeaState, action: Int[Array, ''],
      key: chex.PRNGKey,
  ) -> tuple[DeepSeaState, types.TimeStep]:
    """Takes one step, which is random only in the stochastic version."""
    if not self.stochastic:
      return self.step_with(
          params, state, action, jnp.bool_(False), jnp.float32(0.))
    key_fails, key_noise = jax.random.split(key)
    return self.step_with(
        params, state, action,
        jax.random.uniform(key_fails) <= 1. / self.size,
        jax.random.normal(key_noise))

  def step_with(
      self, params: DeepSeaParams, state: DeepSeaState, action: Int[Array, ''],
      right_fails: Bool[Array, ''], noise: Float[Array, ''],
  ) -> tuple[DeepSeaState, types.TimeStep]:
    """Takes one step with given random draws.

    Args:
      params: mapping of the actions.
      state: state before the step, with row < N.
      action: 0 or 1.
      right_fails: whether a step to the right leaves the column unchanged, bool
        [].
      noise: extra reward in the end cells of the last row, float32 [].
    """
    self._check_params(params)
    last_cell = self.size - 1
    is_right = action == params.action_mapping[state.row, state.column]
    treasure = is_right & (state.column == last_cell)
    noisy = (state.row == last_cell) & (
        (state.column == 0) | (state.column == last_cell))
    reward = (treasure.astype(jnp.float32)
              + jnp.where(noisy, noise, 0.)
              - jnp.where(is_right, 0.01 / self.size, 0.))
    move = jnp.where(is_right, jnp.where(right_fails, 0, 1), -1)
    next_state = DeepSeaState(
        row=state.row + 1,
        column=jnp.where(treasure & (state.row == last_cell), self.size,
                         jnp.clip(state.column + move, 0, last_cell)),
        is_bad=state.is_bad | (~is_right & (state.row == state.column)))
    return next_state, timesteps.after_step(
        reward, next_state.row == self.size, self.observe(next_state))

  def episode_log(self, state: DeepSeaState) -> dict[str, Float[Array, '']]:
    """Returns what `DeepSeaState` has of an episode, as 0 or 1; see `base`."""
    return {'is_bad': state.is_bad.astype(jnp.float32),
            'found_treasure': (state.column == self.size).astype(jnp.float32)}
