"""Mountain car of bsuite: a weak engine has to swing a car out of a valley.

Actions 0, 1, 2 accelerate to the left, not at all, to the right. Every step
costs 1. The episode ends at the goal, or after 1,000 steps, with discount 0 in
both cases. A good policy needs 120 steps, a uniformly random one practically
always 1,000.

Equal to `bsuite.environments.mountain_car.MountainCar` step for step, except
that the first position is drawn from a PRNG key.
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

_MAX_STEPS = 1000
_MIN_POSITION, _MAX_POSITION, _GOAL = -1.2, 0.6, 0.5
_MAX_SPEED = 0.07
_FORCE, _GRAVITY = 0.001, 0.0025


class MountainCarState(NamedTuple):
  """State of the car.

  Attributes:
    position: -1.2..0.6, float32 [].
    velocity: change of the position per step, -0.07..0.07, float32 [].
    t: number of steps so far, int32 [].
  """

  position: Float[Array, '']
  velocity: Float[Array, '']
  t: Int[Array, '']


@dataclasses.dataclass(frozen=True)
class MountainCar:
  """Mountain car; see the module. It has no fields and no parameters."""

  @property
  def max_episode_length(self) -> int:
    """1,000, length of an episode that does not reach the goal."""
    return _MAX_STEPS

  def observation_spec(self) -> specs.Array:
    """Returns the spec of the observation, see `observe`."""
    return specs.Array((1, 3), np.float32, 'observation')

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of the three actions."""
    return specs.DiscreteArray(3, np.int32, 'action')

  def params(self) -> tuple[()]:
    """Returns the parameters: none, since all copies are equal."""
    return ()

  def observe(self, state: MountainCarState) -> Float[Array, '1 3']:
    """Returns position, velocity, and the steps so far / 1,000."""
    return jnp.stack(
        [state.position, state.velocity, state.t / _MAX_STEPS])[None]

  def reset(
      self, params: tuple[()], key: chex.PRNGKey
  ) -> tuple[MountainCarState, types.TimeStep]:
    """Begins an episode at rest at a uniform position in -0.6..-0.4."""
    del params
    state = MountainCarState(
        position=jax.random.uniform(key, (), minval=-0.6, maxval=-0.4),
        velocity=jnp.float32(0.),
        t=jnp.int32(0))
    return state, timesteps.first(self.observe(state))

  def step(
      self, params: tuple[()], state: MountainCarState, action: Int[Array, ''],
      key: chex.PRNGKey,
  ) -> tuple[MountainCarState, types.TimeStep]:
    """Takes one step, which is not random."""
    del params, key
    velocity = (state.velocity + _FORCE * (action - 1)
                - _GRAVITY * jnp.cos(3 * state.position))
    velocity = jnp.clip(velocity, -_MAX_SPEED, _MAX_SPEED)
    position = jnp.clip(
        state.position + velocity, _MIN_POSITION, _MAX_POSITION)
    # The wall on the left stops the car.
    velocity = jnp.where(
        position <= _MIN_POSITION, jnp.maximum(velocity, 0.), velocity)
    state = MountainCarState(position, velocity, state.t + 1)
    is_last = (position >= _GOAL) | (state.t >= _MAX_STEPS)
    return state, timesteps.after_step(
        jnp.float32(-1.), is_last, self.observe(state))
