"""Time steps as bsuite's environments make them, DeepSea among them."""

import dm_env
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hyperjax import types


def first(observation: Array) -> types.TimeStep:
  """Returns the first time step of an episode.

  Args:
    observation: first observation.
  """
  return types.TimeStep(
      step_type=jnp.int32(dm_env.StepType.FIRST),
      reward=jnp.float32(0.),
      discount=jnp.float32(1.),
      observation=observation)


def after_step(
    reward: Float[Array, ''], is_last: Bool[Array, ''], observation: Array,
) -> types.TimeStep:
  """Returns the time step after an action.

  The discount of a last step is 0. bsuite has no truncation: a limit of time
  ends an episode as a failure does.

  Args:
    reward: float32 [].
    is_last: whether the step ends the episode, bool [].
    observation: observation after the step.
  """
  return types.TimeStep(
      step_type=jnp.where(
          is_last, int(dm_env.StepType.LAST), int(dm_env.StepType.MID)
      ).astype(jnp.int32),
      reward=jnp.asarray(reward, jnp.float32),
      discount=jnp.where(is_last, 0., 1.).astype(jnp.float32),
      observation=observation)
