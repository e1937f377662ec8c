"""An actor that acts with the weights of a learning one."""

from typing import Any

import dm_env
import jax
import numpy as np

from hyperjax import checks
from hyperjax import seeds
from hyperjax.adapters import plain_keys
from hyperjax.adapters import programs

# Whether a step is the first one, [1].
FLAGS = {flag: np.array([flag]) for flag in (False, True)}


class Evaluator:
  """Acts with the newest weights of an `acme.Actor`, which does not change."""

  def __init__(self, actor: Any, key: seeds.Seed | jax.Array = 0,
               as_it_acts: bool = False):
    """Makes an evaluator, see `acme.Actor.evaluator`."""
    self._learning_actor = actor
    self._agent = actor.agent
    self._as_it_acts = checks.flag('as_it_acts', as_it_acts)
    init, self._act = (
        (self._agent.init_actor, programs.ACT) if as_it_acts
        else (self._agent.init_evaluation, programs.EVALUATE))
    self._actor_state = plain_keys.to_plain(init(seeds.to_key(key), 1))
    self._is_first = True

  def select_action(self, observation: Any) -> int:
    """Returns the action at one observation.

    Raises:
      ValueError: if the observation does not fit the agent's spec.
    """
    observation = self._agent.observation_spec.convert(observation)[None]
    state = self._learning_actor.state_of_policy()
    actor = self._actor_state
    if self._as_it_acts and self._is_first:
      # What changes with time is as far as the learning actor is. A copy, since
      # the program reuses what it is given.
      actor = actor._replace(steps=np.array(state.actor.steps))
    self._actor_state, action = self._act(
        self._agent, state.learner, actor, observation, FLAGS[self._is_first])
    self._is_first = False
    return number(action)

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    """Begins an episode."""
    del timestep
    self._is_first = True

  def observe(self, action: Any, next_timestep: dm_env.TimeStep) -> None:
    """Does nothing: an evaluator does not learn."""
    del action, next_timestep

  def update(self, wait: bool = False) -> None:
    """Does nothing: an evaluator does not learn."""
    del wait


def number(action: jax.Array) -> int:
  """Returns the action of the first environment."""
  return int(np.asarray(action)[0])  # To index a JAX array takes longer.
