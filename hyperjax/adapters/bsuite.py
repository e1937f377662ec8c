"""A stateful agent with bsuite's interface, over the pure functions.

bsuite itself is not needed: its `base.Agent` is a protocol of two methods.
"""

import dm_env
import numpy as np

from hyperjax import types
from hyperjax.adapters import acme
from hyperjax.adapters import evaluator as evaluator_lib


class Agent:
  """One agent for `bsuite.baselines.experiment.run` and similar loops.

  Attributes:
    actor: agent with acme's interface.
  """

  def __init__(
      self, agent: types.Agent, key: acme.Seed = 0,
      replay_capacity: int | None = None,
  ):
    """Allocates the replay, see `hyperjax.adapters.acme.Actor`."""
    self.actor = acme.Actor(agent, key, replay_capacity)
    self._acted_at: dm_env.TimeStep | None = None
    self._copy: dm_env.TimeStep | None = None

  def select_action(self, timestep: dm_env.TimeStep) -> int:
    """Returns the action at a time step.

    Raises:
      ValueError: if the observation does not fit the agent's spec.
    """
    if timestep.first():
      self.actor.observe_first(timestep)
    # Environments may write the next observation to the same place.
    self._acted_at, self._copy = timestep, timestep._replace(
        observation=np.array(timestep.observation))
    return self.actor.select_action(timestep.observation)

  def update(
      self, timestep: dm_env.TimeStep, action: acme.Action,
      new_timestep: dm_env.TimeStep,
  ) -> None:
    """Stores the transition and makes the updates that are due.

    Args:
      timestep: time step at which the action was chosen.
      action: action at `timestep`.
      new_timestep: time step after the action.

    Raises:
      ValueError: if a value does not fit the agent's spec or is not finite.
      FloatingPointError: if the loss of the previous updates was not finite.
      ValueError: if the state has another fault, see `hyperjax.faults`.
    """
    if timestep is self._acted_at and self._copy is not None:
      timestep = self._copy
    self.actor.observe_from(timestep, action, new_timestep)
    self.actor.update()

  def evaluator(
      self, key: acme.Seed = 0, as_it_acts: bool = False
  ) -> 'Evaluator':
    """Returns an agent with the weights of this one that does not learn.

    Args:
      key: PRNG key of the evaluation, or an integer seed.
      as_it_acts: see `hyperjax.adapters.acme.Actor.evaluator`.
    """
    return Evaluator(self.actor.evaluator(key, as_it_acts))


class Evaluator:
  """Acts with the newest weights of an `Agent`, which does not change."""

  def __init__(self, evaluator: evaluator_lib.Evaluator):
    """Makes an evaluator, see `Agent.evaluator`."""
    self._evaluator = evaluator

  def select_action(self, timestep: dm_env.TimeStep) -> int:
    """Returns the action at a time step."""
    if timestep.first():
      self._evaluator.observe_first(timestep)
    return self._evaluator.select_action(timestep.observation)

  def update(
      self, timestep: dm_env.TimeStep, action: acme.Action,
      new_timestep: dm_env.TimeStep,
  ) -> None:
    """Does nothing: an evaluator does not learn."""
    del timestep, action, new_timestep
