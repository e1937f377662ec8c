"""Stateful actors with acme's interface, over the pure functions.

acme itself is not needed: its `core.Actor` is a protocol of four methods.
"""

import math
from typing import Any

import chex
import dm_env
import jax
import numpy as np

from hyperjax import replay as replay_lib
from hyperjax import seeds
from hyperjax import types
from hyperjax.loops import trainer as trainer_lib

_Trainer = trainer_lib.ReplayTrainer


def _compile(function, **options):
  """Compiles a method of frozen objects once for all that are equal."""
  return jax.jit(function, static_argnums=0, **options)


def _learn(trainer, state):
  return trainer.learn(state, unroll=True)


def _evaluate(agent, judged, params, actor, observation, is_first):
  act = agent.evaluate_action if judged else agent.select_action
  return act(params, actor, observation, is_first)


# What changes at every step is donated: the replay is written in place.
_INIT = _compile(_Trainer.init)
_WARM_UP = _compile(_Trainer.warm_up, donate_argnums=1)
_ACT = _compile(_Trainer.act, donate_argnums=1)
_OBSERVE = _compile(_Trainer.observe, donate_argnums=1)
_LEARN = _compile(_learn, donate_argnums=1)
_EVALUATE = jax.jit(_evaluate, static_argnums=(0, 1), donate_argnums=3)


class Actor:
  """One agent, with its replay, that acts and learns in one environment.

  Call `observe_first` with the first time step of an episode, then in turns
  `select_action`, `observe` and `update`, as acme's and
  `hyperjax.loops.EnvironmentLoop` do. `evaluator` gives an actor that shares
  the weights and learns nothing.

  Attributes:
    state: the agent's whole state, see `trainer.TrainState`. It may be read
      between calls; the next one takes its arrays, so copy what is to be kept.
      It may be assigned to between episodes, for instance from a checkpoint:
      learning then goes on from there.
    metrics: of the newest updates, arrays [updates_per_period] by name; empty
      before the first one of this actor, or since a state was assigned.
  """

  def __init__(
      self, agent: types.Agent, key: chex.PRNGKey | int = 0,
      replay_capacity: int | None = None,
  ):
    """Allocates the replay.

    Args:
      agent: what to run.
      key: of everything random, or an integer seed of 0..2**32 - 1.
      replay_capacity: transitions kept, if not as the agent's config says.

    Raises:
      ValueError: for an invalid seed.
      MemoryError: if the replay does not fit into memory.
    """
    key = seeds.to_key(key)
    self.agent = agent
    self.metrics: types.Metrics = {}
    self._trainer = trainer_lib.ReplayTrainer(agent, 1, replay_capacity)
    replay_lib.check_fits(self._trainer, 1, jax.devices()[0])
    self._state = _INIT(self._trainer, key)
    self._observation = None
    self._is_first = True
    self._num_steps = 0
    self._owes_learning = False

  @property
  def state(self) -> trainer_lib.TrainState:
    """See the class."""
    return self._state

  @state.setter
  def state(self, state: trainer_lib.TrainState):
    self._state = state
    self._num_steps = int(state.num_transitions)
    self._owes_learning = False
    self.metrics = {}  # Of updates that this state may never have seen.

  def select_action(self, observation: Any) -> int:
    """Returns the action at one observation.

    Raises:
      ValueError: if the observation does not fit the agent's spec.
    """
    observation = self.agent.observation_spec.convert(observation)[None]
    if self._num_steps < self._trainer.warmup_steps:
      self._state, action = _WARM_UP(self._trainer, self._state)
    else:
      self._state, action = _ACT(
          self._trainer, self._state, observation,
          np.array([self._is_first]))
      self._is_first = False  # The index of this episode is drawn.
    return int(action[0])

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    """Begins an episode.

    Raises:
      ValueError: if the observation does not fit the agent's spec.
    """
    self._observation = self.agent.observation_spec.convert(
        timestep.observation)[None]
    self._is_first = True

  def observe(self, action: int, next_timestep: dm_env.TimeStep) -> None:
    """Stores a transition; `next_timestep` is what the action led to.

    Raises:
      ValueError: if a value does not fit the agent's spec or is not finite, or
        no episode was begun. Nothing is stored then.
    """
    if self._observation is None:
      raise ValueError('observe was called before observe_first')
    self._store(self._observation, action, next_timestep)

  def observe_from(
      self, timestep: dm_env.TimeStep, action: int,
      next_timestep: dm_env.TimeStep,
  ) -> None:
    """Stores the transition from one time step to another.

    Raises:
      ValueError: as `observe` does.
    """
    self._store(
        self.agent.observation_spec.convert(timestep.observation)[None],
        action, next_timestep)

  def _store(self, observation, action, next_timestep):
    next_observation = self.agent.observation_spec.convert(
        next_timestep.observation)[None]
    timestep = types.TimeStep(
        step_type=np.array([next_timestep.step_type], np.int32),
        reward=np.array([_check_reward(next_timestep.reward)], np.float32),
        discount=np.array(
            [_check_discount(next_timestep.discount)], np.float32),
        observation=next_observation)
    action = np.array(
        [_check_action(action, self.agent.num_actions)], np.int32)
    self._state = _OBSERVE(
        self._trainer, self._state, observation, action, timestep)
    self._observation = None if next_timestep.last() else next_observation
    self._num_steps += 1
    self._owes_learning = (
        self._num_steps > self._trainer.warmup_steps
        and self._num_steps % self._trainer.update_period == 0)

  def update(self, wait: bool = False) -> None:
    """Makes the updates that are owed since the last `observe`, if any.

    Args:
      wait: whether to return only when they are done.

    Raises:
      FloatingPointError: if the loss of the updates before these was not
        finite: the weights are lost then.
    """
    if self._owes_learning:
      # These are ready by now: looking at them waits for nothing.
      self._check_finite()
      self._state, self.metrics = _LEARN(self._trainer, self._state)
      self._owes_learning = False
    if wait:
      jax.block_until_ready(self._state)
      self._check_finite()

  def _check_finite(self):
    if self.metrics and not np.all(np.isfinite(self.metrics['loss'])):
      raise FloatingPointError(
          f'the loss was not finite, got {np.asarray(self.metrics["loss"])} '
          f'before update {int(self._state.learner.steps)}; restore an earlier '
          f'state, and look at the scale of rewards and observations')

  def evaluator(
      self, key: chex.PRNGKey | int = 0, as_it_acts: bool = False
  ) -> 'Evaluator':
    """Returns an actor with the weights of this one, that learns nothing.

    Args:
      key: of everything random, or an integer seed.
      as_it_acts: whether it acts as this actor does after its warm-up; by
        default as the agent is judged, for most agents greedily for a fresh
        index in each episode.
    """
    return Evaluator(self, key, as_it_acts)


class Evaluator:
  """Acts by the newest weights of an `Actor`; changes nothing in it."""

  def __init__(
      self, actor: Actor, key: chex.PRNGKey | int = 0,
      as_it_acts: bool = False,
  ):
    """See `Actor.evaluator`."""
    self._learning_actor = actor
    self._agent = actor.agent
    self._is_judged = not as_it_acts
    init = (self._agent.init_actor if as_it_acts
            else self._agent.init_evaluation)
    self._actor_state = init(seeds.to_key(key), 1)
    self._is_first = True

  def select_action(self, observation: Any) -> int:
    """Returns the action at one observation.

    Raises:
      ValueError: if the observation does not fit the agent's spec.
    """
    observation = self._agent.observation_spec.convert(observation)[None]
    params = self._agent.acting_params(self._learning_actor.state.learner)
    self._actor_state, action = _EVALUATE(
        self._agent, self._is_judged, params, self._actor_state, observation,
        np.array([self._is_first]))
    self._is_first = False
    return int(action[0])

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    """Begins an episode."""
    del timestep
    self._is_first = True

  def observe(self, action: int, next_timestep: dm_env.TimeStep) -> None:
    """Does nothing: what is evaluated is not learned from."""
    del action, next_timestep

  def update(self, wait: bool = False) -> None:
    """Does nothing."""
    del wait


def _check_number(name: str, value: Any) -> float:
  if value is None or np.shape(value):
    raise ValueError(
        f'expected a {name} that is one number, got '
        f'{value if value is None else f"the shape {np.shape(value)}"}')
  number = float(value)
  if not math.isfinite(number):
    raise ValueError(f'expected a finite {name}, got {number}')
  return number


def _check_reward(reward: Any) -> float:
  number = _check_number('reward', reward)
  if abs(number) > np.finfo(np.float32).max:
    raise ValueError(f'expected a reward that fits float32, got {number}')
  return number


def _check_discount(discount: Any) -> float:
  number = _check_number('discount', discount)
  if not 0. <= number <= 1.:
    raise ValueError(
        f'expected a discount between 0 and 1, got {number}')
  return number


def _check_action(action: Any, num_actions: int) -> int:
  if np.shape(action) or not np.issubdtype(np.asarray(action).dtype,
                                           np.integer):
    raise ValueError(f'expected an action that is an integer, got {action!r}')
  if not 0 <= action < num_actions:
    raise ValueError(
        f'expected an action of 0..{num_actions - 1}, got {action}')
  return int(action)
