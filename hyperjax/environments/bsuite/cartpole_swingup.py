"""Cartpole swingup of bsuite: swing a hanging pole up, then balance it.

The physics are those of `cartpole`, but the pole begins hanging. A push costs
0.1. The reward is 1 more while the pole is upright (its cosine above a
threshold), slow, and the cart close to the centre. A fall ends nothing; leaving
the track does, and 1,001 steps do, both with discount 0. A policy that never
pushes has return 0, a uniformly random one about -36.

Equal to `bsuite.experiments.cartpole_swingup` step for step, except that the
first state is drawn from a PRNG key; see `cartpole`.
"""

import dataclasses
from typing import NamedTuple

import chex
from dm_env import specs
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
import numpy as np

from hyperjax import arrays
from hyperjax import checks
from hyperjax import types
from hyperjax.environments import timesteps
from hyperjax.environments.bsuite import cartpole

_PUSH_COST = 0.1
_MAX_THETA_DOT = 1.  # rad/s.


class SwingupParams(NamedTuple):
  """Parameters of a swingup, constant over episodes.

  Attributes:
    height_threshold: cosine of the angle above which the pole is upright,
      float32 [].
    x_reward_threshold: distance from the centre in metres below which there is
      a reward, float32 [].
  """

  height_threshold: Float[Array, '']
  x_reward_threshold: Float[Array, '']


class SwingupState(NamedTuple):
  """State of cart and pole, and a count.

  Attributes:
    cartpole: state of cart and pole.
    num_upright: number of steps of the episode that were rewarded, int32 [].
  """

  cartpole: cartpole.CartpoleState
  num_upright: Int[Array, '']


@dataclasses.dataclass(frozen=True)
class CartpoleSwingup:
  """Swinging a pole up; see the module. It has no fields."""

  @property
  def max_episode_length(self) -> int:
    """1,001, length of an episode that stays on the track."""
    return cartpole.MAX_STEPS

  def observation_spec(self) -> specs.Array:
    """Returns the spec of the observation, see `observe`."""
    return specs.Array((1, 8), np.float32, 'state')

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of the three actions."""
    return specs.DiscreteArray(3, np.int32, 'action')

  def params(
      self, height_threshold: float = 0.5, x_reward_threshold: float = 1.,
  ) -> SwingupParams:
    """Returns the parameters of one copy.

    Args:
      height_threshold: cosine of the angle, -1..1.
      x_reward_threshold: distance in metres, at least 0.

    Raises:
      ValueError: if an argument is invalid.
    """
    return SwingupParams(
        jnp.float32(checks.real(-1., 1.)('height_threshold', height_threshold)),
        jnp.float32(checks.NONNEGATIVE(
            'x_reward_threshold', x_reward_threshold)))

  def observe(
      self, params: SwingupParams, state: SwingupState
  ) -> Float[Array, '1 8']:
    """Returns the six numbers of cartpole, then 1 or -1 for close and slow."""
    x_is_close, is_slow = self._close_and_slow(params, state.cartpole)
    return jnp.concatenate([
        cartpole.observe(state.cartpole),
        jnp.where(jnp.stack([x_is_close, is_slow]), 1., -1.)])[None]

  def _close_and_slow(self, params, state):
    return (jnp.abs(state.x) < params.x_reward_threshold,
            jnp.abs(state.theta_dot) < _MAX_THETA_DOT)

  def _check_params(self, params):
    for name, value in params._asdict().items():
      arrays.check_array(name, value, (), jnp.float32)

  def reset(
      self, params: SwingupParams, key: chex.PRNGKey
  ) -> tuple[SwingupState, types.TimeStep]:
    """Begins an episode close to hanging, see `cartpole.random_state`."""
    self._check_params(params)
    state = SwingupState(
        cartpole.random_state(key, float(np.pi)), jnp.int32(0))
    return state, timesteps.first(self.observe(params, state))

  def step(
      self, params: SwingupParams, state: SwingupState, action: Int[Array, ''],
      key: chex.PRNGKey,
  ) -> tuple[SwingupState, types.TimeStep]:
    """Takes one step, which is not random."""
    del key
    self._check_params(params)
    moved = cartpole.advance(state.cartpole, action)
    x_is_close, is_slow = self._close_and_slow(params, moved)
    is_upright = (jnp.cos(moved.theta) > params.height_threshold) & (
        is_slow & x_is_close)
    reward = jnp.where(is_upright, 1., 0.) - _PUSH_COST * jnp.abs(action - 1)
    state = SwingupState(
        moved, state.num_upright + is_upright.astype(jnp.int32))
    is_last = (jnp.abs(moved.x) > cartpole.TRACK_M) | (
        moved.t >= cartpole.MAX_STEPS)
    return state, timesteps.after_step(
        reward, is_last, self.observe(params, state))

  def episode_log(self, state: SwingupState) -> dict[str, Float[Array, '']]:
    """Returns `num_upright`, number of rewarded steps; see `base`."""
    return {'num_upright': state.num_upright.astype(jnp.float32)}
