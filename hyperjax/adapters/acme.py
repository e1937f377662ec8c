"""Stateful actors with acme's interface, over the pure functions.

acme itself is not needed: its `core.Actor` is a protocol of four methods.
"""

from typing import Any

import chex
import dm_env
import jax
import numpy as np

from hyperjax import arrays
from hyperjax import faults
from hyperjax import memory
from hyperjax import seeds
from hyperjax import step_checks
from hyperjax import types
from hyperjax.adapters import evaluator as evaluator_lib
from hyperjax.adapters import plain_keys
from hyperjax.adapters import programs
from hyperjax.loops import trainer as trainer_lib

Seed = chex.PRNGKey | seeds.Seed
Action = int | np.integer

_AFTER_ACTIONS = dm_env.StepType.MID, dm_env.StepType.LAST


class Actor:
  """One agent with its replay that acts and learns in one environment.

  Call `observe_first` with the first time step of an episode, then in turns
  `select_action`, `observe` and `update`, as acme's loop and
  `hyperjax.loops.EnvironmentLoop` do. `evaluator` returns an actor that shares
  the weights and does not learn.

  Attributes:
    state: agent's whole state, see `trainer.TrainState`. It may be read between
      calls; the next call reuses its arrays, so copy what must be kept. It may
      be assigned between episodes, for instance from a checkpoint, from which
      learning then continues. The actor takes over the arrays: assign a copy
      of another actor's state.
    metrics: metrics of the newest updates, arrays [updates_per_period] by name;
      empty before the first update, and after a state was assigned.
  """

  def __init__(
      self, agent: types.Agent, key: Seed = 0,
      replay_capacity: int | None = None,
  ):
    """Allocates the replay.

    Args:
      agent: agent that acts and learns.
      key: PRNG key of the run, or an integer seed, 0..2**32 - 1.
      replay_capacity: number of transitions kept; by default that of the
        agent's config.

    Raises:
      ValueError: if the seed is invalid.
      MemoryError: if the agent with its replay does not fit into memory.
    """
    key = seeds.to_key(key)
    self.agent = agent
    self._metrics: types.Metrics = {}
    self._trainer = trainer_lib.ReplayTrainer(agent, 1, replay_capacity)
    memory.check_fits(
        memory.needs_of_state(
            memory.traced(jax.eval_shape, self._trainer.init, key)),
        jax.local_devices()[0])
    self._state = programs.INIT(self._trainer, key)
    self._faults = np.uint32(0)  # Of the newest updates.
    self._observation = None
    self._is_first = True
    self._is_open = False  # Whether the newest transition's episode goes on.
    self._num_steps = 0
    self._owes_learning = False
    self._is_deferred = False  # Whether `update` has left its work to do.

  @property
  def state(self) -> trainer_lib.TrainState:
    """Whole state of the agent, see the class."""
    return plain_keys.to_typed(self._learned())

  def state_of_policy(self) -> trainer_lib.TrainState:
    """Returns the newest state with plain keys, for `evaluator`."""
    return self._learned()

  @property
  def metrics(self) -> types.Metrics:
    """Metrics of the newest updates, see the class."""
    self._learned()
    return self._metrics

  @state.setter
  def state(self, state: trainer_lib.TrainState):
    arrays.check_same_shapes(
        'a state', state,
        jax.eval_shape(self._trainer.init, jax.random.key(0)), 'this actor')
    faults.check(state)
    self._state = plain_keys.to_plain(state)
    self._num_steps = int(state.num_transitions)
    self._owes_learning = self._is_deferred = False
    self._metrics = {}  # Of updates that this state may never have seen.
    self._faults = np.uint32(0)
    self._observation = None
    self._is_open = True  # As it may have been saved within an episode.

  def select_action(self, observation: Any) -> int:
    """Returns the action at one observation.

    Raises:
      ValueError: if the observation does not fit the agent's spec.
    """
    observation = self._convert(observation)
    learner, actor = self._state.learner, self._state.actor
    if self._num_steps < self._trainer.warmup_steps:
      actor, action = programs.WARM_UP(self.agent, learner, actor)
    else:
      inputs = actor, observation, evaluator_lib.FLAGS[self._is_first]
      if self._is_deferred:
        *learned, actor, action = programs.LEARN_AND_ACT(
            self._trainer, *self._parts(), *inputs)
        self._keep(*learned)
      else:
        actor, action = programs.ACT(self.agent, learner, *inputs)
      self._is_first = False  # The episode has its index.
    self._state = self._state._replace(actor=actor)
    return evaluator_lib.number(action)

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    """Begins an episode; one that has not ended is truncated.

    Raises:
      ValueError: if the observation does not fit the agent's spec.
    """
    self._observation = self._convert(timestep.observation)
    self._is_first = True
    self._end_episode()

  def observe(self, action: Action, next_timestep: dm_env.TimeStep) -> None:
    """Stores a transition.

    Args:
      action: action at the last observed time step.
      next_timestep: time step after the action.

    Raises:
      ValueError: if a value does not fit the agent's spec or is not finite, or
        no episode was begun. Nothing is stored then.
    """
    if self._observation is None:
      raise ValueError(
          'observe was called before observe_first, which begins every episode')
    self._store(self._observation, action, next_timestep)

  def observe_from(
      self, timestep: dm_env.TimeStep, action: Action,
      next_timestep: dm_env.TimeStep,
  ) -> None:
    """Stores the transition from one time step to another.

    Args:
      timestep: time step at which the action was chosen.
      action: action at `timestep`.
      next_timestep: time step after the action.

    Raises:
      ValueError: if a value does not fit the agent's spec or is not finite.
        Nothing is stored then.
    """
    observation = self._convert(timestep.observation)
    if timestep.first():
      self._end_episode()
    self._store(observation, action, next_timestep)

  def _convert(self, observation: Any) -> Any:
    # A copy: environments may write the next observation to the same place.
    return np.array(self.agent.observation_spec.convert(observation))[None]

  def _end_episode(self):
    """Lets no return run on from an episode that was abandoned."""
    if self._is_open and self._trainer.replay.num_following > 1:
      state = self._learned()
      self._state = state._replace(
          replay=programs.END_EPISODE(self._trainer, state.replay))
    self._is_open = False

  def _store(self, observation, action, next_timestep):
    if next_timestep.step_type not in _AFTER_ACTIONS:
      raise ValueError(
          f'expected a time step after an action, MID or LAST, got step_type '
          f'{next_timestep.step_type!r}; the first one of an episode is for '
          f'observe_first')
    next_observation = self._convert(next_timestep.observation)
    numbers = (step_checks.check_reward(next_timestep.reward),
               step_checks.check_discount(next_timestep.discount))
    integers = (step_checks.check_action(action, self.agent.num_actions),
                next_timestep.step_type)
    state = self._learned()
    # Few arrays, since each has its own transfer to the device.
    seen = programs.OBSERVE(
        self._trainer,
        state._replace(learner=None, actor=None, replay_key=None),
        observation, next_observation, np.array(integers, np.int32),
        np.array(numbers, np.float32))
    self._state = seen._replace(
        learner=state.learner, actor=state.actor, replay_key=state.replay_key)
    self._is_open = not next_timestep.last()
    self._observation = next_observation if self._is_open else None
    self._num_steps += 1
    self._owes_learning = (
        self._num_steps > self._trainer.warmup_steps
        and self._num_steps % self._trainer.update_period == 0)

  def update(self, wait: bool = False) -> None:
    """Makes the updates that are due since the last `observe`, if any.

    Unless it waits, it leaves them to the next call: `select_action` learns and
    acts in one program.

    Args:
      wait: whether to return only when they are done.

    Raises:
      FloatingPointError: if the loss of the previous updates was not finite;
        the weights are then lost.
      ValueError: if the state has another fault, see `hyperjax.faults`.
    """
    if self._owes_learning:
      self._learned()
      # The previous metrics are ready, so that reading them does not wait.
      self._check_finite()
      self._owes_learning, self._is_deferred = False, True
    if wait:
      jax.block_until_ready(self._learned())
      self._check_finite()

  def _learned(self):
    """Returns the state after all updates; its keys are plain."""
    if self._is_deferred:
      self._keep(*programs.LEARN(self._trainer, *self._parts()))
    return self._state

  def _parts(self):
    """Returns what learning writes, and what it reads."""
    state, ring = self._state, self._state.replay.ring
    return ((state.learner, state.replay._replace(ring=None)),
            state._replace(learner=None, actor=None, replay=ring))

  def _keep(self, written, metrics, found):
    """Keeps the result of learning."""
    learner, replay = written
    self._state = self._state._replace(
        learner=learner, replay=replay._replace(ring=self._state.replay.ring))
    self._metrics, self._faults = metrics, found
    self._is_deferred = False

  def _check_finite(self):
    if not np.asarray(self._faults):
      return
    loss = np.asarray(self._metrics.get('loss', 0.))
    if not np.isfinite(loss).all():
      raise FloatingPointError(
          f'the loss was not finite, got {loss} '
          f'before update {int(self._state.learner.steps)}; restore an earlier '
          f'state, and look at the scale of rewards and observations')
    faults.check_mask(self._faults)

  def evaluator(
      self, key: Seed = 0, as_it_acts: bool = False
  ) -> evaluator_lib.Evaluator:
    """Returns an actor with the weights of this one that does not learn.

    Args:
      key: PRNG key of the evaluation, or an integer seed.
      as_it_acts: whether the policy is that of this actor after its warm-up; by
        default it is the evaluation policy, for most agents greedy for one
        index per episode.
    """
    return evaluator_lib.Evaluator(self, key, as_it_acts)
