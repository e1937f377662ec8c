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
    is_truncated: Bool[Array, ''] | bool = False,
) -> types.TimeStep:
  """Returns the time step after an action.

  Args:
    reward: float32 [].
    is_last: whether the step terminates the episode, bool []; its discount is
      then 0. bsuite has no truncation: its limits of time terminate too.
    observation: observation after the step.
    is_truncated: whether a limit of time ends the episode, bool []; the
      discount is 1 if it does not terminate as well.
  """
  return types.TimeStep(
      step_type=jnp.where(
          is_last | is_truncated,
          int(dm_env.StepType.LAST), int(dm_env.StepType.MID)
      ).astype(jnp.int32),
      reward=jnp.asarray(reward, jnp.float32),
      discount=jnp.where(is_last, 0., 1.).astype(jnp.float32),
      observation=observation)
