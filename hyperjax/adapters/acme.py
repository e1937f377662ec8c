"""A stateful actor with acme's interface, over the pure functions.

acme itself is not needed: its `core.Actor` is a protocol of four methods.
"""

from typing import Any

import chex
import dm_env
import jax
import jax.numpy as jnp
import numpy as np

from hyperjax import replay as replay_lib
from hyperjax import types
from hyperjax.loops import trainer as trainer_lib


class Actor:
  """One agent, with its replay, that acts and learns in one environment.

  Call `observe_first` with the first time step of an episode, then in turns
  `select_action`, `observe` and `update`, as acme's and
  `hyperjax.loops.EnvironmentLoop` do.

  Attributes:
    state: the agent's whole state, see `trainer.TrainState`. It may be read
      between calls; the next one takes its arrays, so copy what is to be kept.
      It may be assigned to between episodes, for instance from a checkpoint:
      learning then goes on from there.
  """

  def __init__(
      self, agent: types.Agent, key: chex.PRNGKey | int = 0,
      replay_capacity: int | None = None,
  ):
    """Allocates the replay and compiles nothing yet.

    Args:
      agent: what to run.
      key: of everything random, or an integer seed.
      replay_capacity: transitions kept, if not as the agent's config says.

    Raises:
      MemoryError: if the replay does not fit into memory.
    """
    if isinstance(key, int):
      key = jax.random.key(key)
    self._trainer = trainer_lib.Trainer(agent, 1, replay_capacity)
    replay_lib.check_fits(self._trainer.replay, 1, jax.devices()[0])
    self._state = jax.jit(self._trainer.init)(key)
    self._explore = jax.jit(self._trainer.explore)
    # What changes at every step is donated: the replay is written in place.
    self._act = jax.jit(self._trainer.act, donate_argnums=0)
    self._observe = jax.jit(self._trainer.observe, donate_argnums=0)
    self._learn = jax.jit(self._trainer.learn, donate_argnums=0)
    self._observation = None
    self._is_first = True
    self._num_steps = 0
    self._owes_learning = False

  @property
  def state(self) -> trainer_lib.TrainState:
    return self._state

  @state.setter
  def state(self, state: trainer_lib.TrainState):
    self._state = state
    self._num_steps = int(state.num_transitions)
    self._owes_learning = False

  def select_action(self, observation: Any) -> int:
    """The action at one observation.

    Raises:
      ValueError: if the observation does not fit the agent's spec.
    """
    observation = self._batch(observation)
    if self._num_steps < self._trainer.explore_steps:
      self._state, action = self._explore(self._state)
    else:
      self._state, action = self._act(
          self._state, observation, np.array([self._is_first]))
    return int(action[0])

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    """Begins an episode.

    Raises:
      ValueError: if the observation does not fit the agent's spec.
    """
    self._observation = self._batch(timestep.observation)
    self._is_first = True

  def observe(self, action: int, next_timestep: dm_env.TimeStep) -> None:
    """Stores a transition; `next_timestep` is what the action led to.

    Raises:
      ValueError: if the observation does not fit the agent's spec, or no
        episode was begun.
    """
    if self._observation is None:
      raise ValueError('observe was called before observe_first')
    next_observation = self._batch(next_timestep.observation)
    self._state = self._observe(
        self._state, self._observation, np.array([action], np.int32),
        types.TimeStep(
            step_type=np.array([next_timestep.step_type], np.int32),
            reward=np.array([next_timestep.reward], np.float32),
            discount=np.array([next_timestep.discount], np.float32),
            observation=next_observation))
    self._observation = None if next_timestep.last() else next_observation
    self._is_first = False
    self._num_steps += 1
    self._owes_learning = (
        self._num_steps > self._trainer.explore_steps
        and self._num_steps % self._trainer.steps_per_learn == 0)

  def update(self, wait: bool = False) -> None:
    """Does the updates that are owed since the last `observe`, if any.

    Args:
      wait: whether to return only when they are done.
    """
    if self._owes_learning:
      self._state, _ = self._learn(self._state)
      self._owes_learning = False
    if wait:
      jax.block_until_ready(self._state)

  def _batch(self, observation: Any) -> jax.Array:
    """One observation as a batch of one."""
    spec = self._trainer.agent.observation_spec
    spec.check(observation, num_leading=0)
    return jnp.asarray(observation, spec.dtype)[None]
