"""Environments of dm_env whose observations are several arrays."""

from typing import Any

import dm_env
from dm_env import specs

from hyperjax import spaces


class FlatObservation(dm_env.Environment):
  """An environment that shows its dictionary or tuple of arrays as one vector.

  `hyperjax.spaces` has the order of the numbers. All else is that of the
  environment inside.
  """

  def __init__(self, environment: dm_env.Environment):
    """Wraps an environment.

    Args:
      environment: environment whose observation spec is a (nested) dictionary
        or tuple of specs of numbers. A spec of one array is left as it is.

    Raises:
      ValueError: if there is another kind of spec in it.
    """
    self._environment = environment
    self._nested = environment.observation_spec()
    self._spec = spaces.flat_spec(self._nested)

  def reset(self) -> dm_env.TimeStep:
    """Begins an episode."""
    return self._flat(self._environment.reset())

  def step(self, action: Any) -> dm_env.TimeStep:
    """Takes one step."""
    return self._flat(self._environment.step(action))

  def observation_spec(self) -> specs.Array:
    """Returns the spec of the vector."""
    return self._spec

  def action_spec(self) -> Any:
    """Returns the action spec of the environment inside."""
    return self._environment.action_spec()

  def reward_spec(self) -> Any:
    """Returns the reward spec of the environment inside."""
    return self._environment.reward_spec()

  def discount_spec(self) -> Any:
    """Returns the discount spec of the environment inside."""
    return self._environment.discount_spec()

  def close(self):
    """Closes the environment inside."""
    self._environment.close()

  def _flat(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    return timestep._replace(
        observation=spaces.flatten(self._nested, timestep.observation))
