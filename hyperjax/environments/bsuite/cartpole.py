"""Cartpole of bsuite: balance a pole on a cart for 10 seconds.

Actions 0, 1, 2 push the cart to the left, not at all, to the right, for 0.01 s.
The reward is 1 while the pole is close to upright and the cart on its track,
else 0, and then the episode ends. Time ends it after 1,001 steps, with discount
0 too.

Equal to `bsuite.environments.cartpole.Cartpole` step for step, except that the
first state is drawn from a PRNG key and that the angle is kept in -pi..pi
instead of 0..2 pi, where float32 is coarse close to upright. The physics here
are those of `cartpole_swingup` too.
"""

import dataclasses
from typing import NamedTuple

import chex
from dm_env import specs
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
import numpy as np

from hyperjax import types
from hyperjax.environments import timesteps

# bsuite sums 0.01 s in float64, and the sum exceeds its 10 s one step late.
MAX_STEPS = 1001
TRACK_M = 3.  # Half the length of the track, from its centre.
_STEP_S = 0.01
_MAX_TIME_S = 10.
_MASS_CART_KG, _MASS_POLE_KG = 1., 0.1
_HALF_LENGTH_M = 0.5
_FORCE_N = 10.
_GRAVITY_M_S2 = 9.8
_INIT_RANGE = 0.05
_MIN_COSINE = 0.8


class CartpoleState(NamedTuple):
  """State of cart and pole.

  Attributes:
    x: position of the cart from the centre in metres, float32 [].
    x_dot: velocity of the cart in m/s, float32 [].
    theta: angle of the pole from upright in radians, -pi..pi, float32 [].
    theta_dot: angular velocity of the pole in rad/s, float32 [].
    t: number of steps of 0.01 s so far, int32 [].
  """

  x: Float[Array, '']
  x_dot: Float[Array, '']
  theta: Float[Array, '']
  theta_dot: Float[Array, '']
  t: Int[Array, '']


def wrap_angle(theta: Float[Array, '']) -> Float[Array, '']:
  """Returns an angle in -pi..pi, the same number if it is there already."""
  return theta - 2 * jnp.pi * jnp.round(theta / (2 * jnp.pi))


def random_state(key: chex.PRNGKey, theta: float) -> CartpoleState:
  """Returns a state at rest at the centre, plus uniform noise of +-0.05.

  Args:
    key: PRNG key of the noise of all four numbers.
    theta: angle of the pole without the noise, in radians.
  """
  noise = jax.random.uniform(
      key, (4,), minval=-_INIT_RANGE, maxval=_INIT_RANGE)
  return CartpoleState(
      x=noise[0], x_dot=noise[1], theta=wrap_angle(theta + noise[2]),
      theta_dot=noise[3], t=jnp.int32(0))


def advance(state: CartpoleState, action: Int[Array, '']) -> CartpoleState:
  """Returns the state after one Euler step (Barto et al., 1983).

  Args:
    state: state before the step.
    action: 0, 1 or 2, int32 [].
  """
  force = _FORCE_N * (action - 1)
  cos, sin = jnp.cos(state.theta), jnp.sin(state.theta)
  mass = _MASS_CART_KG + _MASS_POLE_KG
  moment = _MASS_POLE_KG * _HALF_LENGTH_M
  temp = (force + moment * state.theta_dot**2 * sin) / mass
  theta_acc = (_GRAVITY_M_S2 * sin - cos * temp) / (
      _HALF_LENGTH_M * (4 / 3 - _MASS_POLE_KG * cos**2 / mass))
  x_acc = temp - moment * theta_acc * cos / mass
  return CartpoleState(
      x=state.x + _STEP_S * state.x_dot,
      x_dot=state.x_dot + _STEP_S * x_acc,
      theta=wrap_angle(state.theta + _STEP_S * state.theta_dot),
      theta_dot=state.theta_dot + _STEP_S * theta_acc,
      t=state.t + 1)


def observe(state: CartpoleState) -> Float[Array, ' 6']:
  """Returns x / 3, x' / 3, sin theta, cos theta, theta', time / 10 s."""
  return jnp.stack([
      state.x / TRACK_M, state.x_dot / TRACK_M, jnp.sin(state.theta),
      jnp.cos(state.theta), state.theta_dot,
      state.t * (_STEP_S / _MAX_TIME_S)])


@dataclasses.dataclass(frozen=True)
class Cartpole:
  """Balancing a pole; see the module. It has no fields and no parameters."""

  @property
  def max_episode_length(self) -> int:
    """1,001, length of an episode in which the pole never falls."""
    return MAX_STEPS

  def observation_spec(self) -> specs.Array:
    """Returns the spec of the observation, see `observe`."""
    return specs.Array((1, 6), np.float32, 'observation')

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of the three actions."""
    return specs.DiscreteArray(3, np.int32, 'action')

  def params(self) -> tuple[()]:
    """Returns the parameters: none, since all copies are equal."""
    return ()

  def reset(
      self, params: tuple[()], key: chex.PRNGKey
  ) -> tuple[CartpoleState, types.TimeStep]:
    """Begins an episode close to upright, see `random_state`."""
    del params
    state = random_state(key, 0.)
    return state, timesteps.first(observe(state)[None])

  def step(
      self, params: tuple[()], state: CartpoleState, action: Int[Array, ''],
      key: chex.PRNGKey,
  ) -> tuple[CartpoleState, types.TimeStep]:
    """Takes one step, which is not random."""
    del params, key
    state = advance(state, action)
    is_good = (jnp.cos(state.theta) > _MIN_COSINE) & (
        jnp.abs(state.x) < TRACK_M)
    return state, timesteps.after_step(
        jnp.where(is_good, 1., 0.), ~is_good | (state.t >= MAX_STEPS),
        observe(state)[None])
