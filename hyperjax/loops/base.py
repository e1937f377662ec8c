"""The interface of trainers, which loops run.

`ReplayTrainer` is an agent with a replay of transitions. `StreamTrainer` is an
agent with a replay of streams, for loops in which the first time step of an
episode has a step of its own. Agents without a replay implement `Trainer`
directly.
"""

from typing import Any, Protocol, runtime_checkable

import chex
from jaxtyping import Array, Bool, Int

from hyperjax import specs
from hyperjax import types

TrainerState = Any


@runtime_checkable
class Trainer(Protocol):
  """The interface of an agent to `hyperjax.loops.OnDeviceLoop`.

  All methods are pure functions. Implementations are frozen and hashable.
  """

  @property
  def observation_spec(self) -> specs.ObservationSpec:
    """Spec of the environment's observations."""
    ...

  @property
  def num_actions(self) -> int:
    """A, number of actions."""
    ...

  @property
  def num_envs(self) -> int:
    """N, number of environments that step together."""
    ...

  @property
  def warmup_steps(self) -> int:
    """Number of steps of the N environments with actions of `warm_up`.

    Afterwards the actions are those of `act`, and `learn` is called. The number
    is a multiple of `update_period`.
    """
    ...

  @property
  def update_period(self) -> int:
    """Number of steps of the N environments between two calls of `learn`."""
    ...

  def init(self, key: chex.PRNGKey) -> TrainerState:
    """Returns the state before the first step.

    Args:
      key: PRNG key of the run.
    """
    ...

  def warm_up(
      self, state: TrainerState) -> tuple[TrainerState, Int[Array, ' N']]:
    """Chooses the actions of a warm-up step, int32 [N]."""
    ...

  def act(
      self, state: TrainerState, observation: Array,
      is_first: Bool[Array, ' N'],
  ) -> tuple[TrainerState, Int[Array, ' N']]:
    """Chooses actions.

    Args:
      state: state before the step.
      observation: s, [N, ...].
      is_first: whether s is the first of its episode, bool [N].

    Returns:
      The next state and the actions, int32 [N].
    """
    ...

  def observe(
      self, state: TrainerState, observation: Array,
      action: Int[Array, ' N'], timestep: types.TimeStep,
  ) -> TrainerState:
    """Observes the outcome of actions.

    Args:
      state: state before.
      observation: observations at which the actions were chosen, [N, ...].
      action: int32 [N].
      timestep: time steps after the actions, each field [N, ...]. Their
        observation is the true successor, also at the end of an episode.
    """
    ...

  def learn(
      self, state: TrainerState) -> tuple[TrainerState, types.Metrics]:
    """Makes U updates; metrics have 'loss', float32 [U]."""
    ...

  def init_evaluation(self, key: chex.PRNGKey, num_episodes: int) -> Any:
    """Returns the actor's state before an evaluation in E episodes."""
    ...

  def evaluate(
      self, state: TrainerState, actor: Any, observation: Array
  ) -> tuple[Any, Int[Array, ' E']]:
    """Chooses the actions of an evaluation.

    Args:
      state: state of the run, which is only read.
      actor: state from `init_evaluation`.
      observation: s, [E, ...], of one episode each.

    Returns:
      The next actor state and the actions, int32 [E].
    """
    ...
