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
    actor: the same agent behind acme's interface.
  """

  def __init__(
      self, agent: types.Agent, key: chex.PRNGKey | int = 0,
      replay_capacity: int | None = None,
  ):
    """See `hyperjax.adapters.acme.Actor`."""
    self.actor = acme.Actor(agent, key, replay_capacity)

  def select_action(self, timestep: dm_env.TimeStep) -> int:
    """The action at a time step."""
    if timestep.first():
      self.actor.observe_first(timestep)
    return self.actor.select_action(timestep.observation)

  def update(
      self, timestep: dm_env.TimeStep, action: int,
      new_timestep: dm_env.TimeStep,
  ) -> None:
    """Stores the transition and does the updates that are owed."""
    del timestep  # Known since `select_action`.
    self.actor.observe(action, new_timestep)
    self.actor.update()
