"""A stateful agent with bsuite's interface, over the pure functions.

bsuite itself is not needed: its `base.Agent` is a protocol of two methods.
"""

import chex
import dm_env

from hyperjax import types
from hyperjax.adapters import acme


class Agent:
  """One agent for `bsuite.baselines.experiment.run` and loops like it.

  Attributes:
    actor: the same agent with acme's interface.
  """

  def __init__(
      self, agent: types.Agent, key: chex.PRNGKey | int = 0,
      replay_capacity: int | None = None,
  ):
    """See `hyperjax.adapters.acme.Actor`."""
    self.actor = acme.Actor(agent, key, replay_capacity)

  def select_action(self, timestep: dm_env.TimeStep) -> int:
    """Returns the action at a time step.

    Raises:
      ValueError: if the observation does not fit the agent's spec.
    """
    if timestep.first():
      self.actor.observe_first(timestep)
    return self.actor.select_action(timestep.observation)

  def update(
      self, timestep: dm_env.TimeStep, action: int,
      new_timestep: dm_env.TimeStep,
  ) -> None:
    """Stores the transition that was given and makes the updates owed.

    Raises:
      ValueError: if a value does not fit the agent's spec or is not finite.
    """
    self.actor.observe_from(timestep, action, new_timestep)
    self.actor.update()

  def evaluator(
      self, key: chex.PRNGKey | int = 0, as_it_acts: bool = False
  ) -> 'Evaluator':
    """Returns an agent with the weights of this one, that learns nothing.

    Args:
      key: see `hyperjax.adapters.acme.Actor.evaluator`.
      as_it_acts: likewise.
    """
    return Evaluator(self.actor.evaluator(key, as_it_acts))


class Evaluator:
  """Acts by the newest weights of an `Agent`; changes nothing in it."""

  def __init__(self, evaluator: acme.Evaluator):
    """See `Agent.evaluator`."""
    self._evaluator = evaluator

  def select_action(self, timestep: dm_env.TimeStep) -> int:
    """Returns the action at a time step."""
    if timestep.first():
      self._evaluator.observe_first(timestep)
    return self._evaluator.select_action(timestep.observation)

  def update(
      self, timestep: dm_env.TimeStep, action: int,
      new_timestep: dm_env.TimeStep,
  ) -> None:
    """Does nothing: what is evaluated is not learned from."""
    del timestep, action, new_timestep
