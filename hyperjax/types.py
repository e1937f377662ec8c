"""The data that passes between agents, replay, environments and loops.

Shapes in this library are written with one legend:

  B  batch of transitions            N  environments that step together
  S  seeds (independent runs)        K  indices for each example
  M  dimension of the index z        A  actions
  F  features of the torso           T  time steps
  E  episodes                        H  horizon; height of a frame
  heads  the M+1 value heads psi     G  agents that advance together

All states are NamedTuples, hence JAX pytrees; all configs are frozen
dataclasses, hence hashable and usable as static arguments of `jax.jit`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import chex
import dm_env
from jaxtyping import Array, Bool, Float, Int
import optax

from hyperjax import specs

Params = Mapping[str, Any]  # Flax variables.
Metrics = Mapping[str, Array]


class Transition(NamedTuple):
  """One step of experience, or a batch of them along a leading axis [B].

  Attributes:
    observation: s, of the shape and dtype of the environment's spec.
    action: a, int32 [].
    reward: r, float32 []; the discounted sum over n steps if n > 1.
    discount: gamma^n times the product of the environment's discounts,
      float32 []: 0 where the episode terminated, not where it was cut short.
    next_observation: s', the true successor, never the first observation of
      the next episode.
    uid: global number of this transition in the life of its agent, int32 [].
      The uid survives the replay's overwriting, so that whatever is random
      about a transition is a function of it (see `hyperjax.data_noise`).
  """

  observation: Array
  action: Int[Array, '...']
  reward: Float[Array, '...']
  discount: Float[Array, '...']
  next_observation: Array
  uid: Int[Array, '...']


class Batch(NamedTuple):
  """What a replay gives and an agent learns from.

  Attributes:
    transitions: with a leading axis [B].
    weights: factor of each transition's loss, float32 [B]; None for 1.
    keys: where the replay keeps each transition, int32 [B]; None for
      transitions that come from no replay. Only the replay reads them.
  """

  transitions: Transition
  weights: Float[Array, '...'] | None = None
  keys: Int[Array, '...'] | None = None


class TimeStep(NamedTuple):
  """What an environment in JAX returns; `dm_env.TimeStep` as a pytree.

  Attributes:
    step_type: 0 first, 1 mid, 2 last (the values of `dm_env.StepType`), int32.
    reward: float32; 0 at the first step.
    discount: float32; 0 where the episode terminated. A last step whose
      discount is not 0 was cut short (truncated).
    observation: as in the environment's observation spec.
  """

  step_type: Int[Array, '...']
  reward: Float[Array, '...']
  discount: Float[Array, '...']
  observation: Array

  def first(self) -> Bool[Array, '...']:
    """Returns whether an episode begins here."""
    return self.step_type == int(dm_env.StepType.FIRST)

  def last(self) -> Bool[Array, '...']:
    """Returns whether an episode ends here."""
    return self.step_type == int(dm_env.StepType.LAST)


class LearnerState(NamedTuple):
  """Everything that an agent's `update` reads and writes.

  Attributes:
    params: Flax variables: 'params', which the optimiser trains, 'prior' where
      the network has a fixed prior, and 'legal' where the environment lacks
      some of the agent's actions (see `hyperjax.networks.legal_actions`).
    target_params: the target network's params['params'].
    opt_state: state of the optax optimiser over params['params'].
    steps: number of updates done, int32 [].
    key: constant for the life of the learner. What is random in update t is a
      function of (key, t); what is random about a transition, of (key, uid).
  """

  params: Params
  target_params: Params
  opt_state: optax.OptState
  steps: Int[Array, '...']
  key: chex.PRNGKey


class ActorState(NamedTuple):
  """Everything that an agent's `select_action` reads and writes.

  Attributes:
    index: the index z in use in each environment, float32 [N, M], or the K
      indices of an agent that is optimistic over several, [N, K, M].
    key: split at every call.
    steps: calls so far, random actions included, int32 []. Schedules of acting
      are functions of it.
  """

  index: Float[Array, '...']
  key: chex.PRNGKey
  steps: Int[Array, '...']


@runtime_checkable
class Agent(Protocol):
  """What loops and adapters need of an agent.

  All methods are pure functions that return (state, output). Implementations
  are frozen and hashable: two equal agents share what JAX compiles.

  """

  @property
  def observation_spec(self) -> specs.ObservationSpec:
    """Spec of the observations of `select_action` and `update`."""
    ...

  @property
  def num_actions(self) -> int:
    """A, number of actions."""
    ...

  @property
  def config(self) -> Any:
    """Settings; `hyperjax.loops.trainer.ReplayTrainer` lists what it reads."""
    ...

  def init(self, key: chex.PRNGKey) -> LearnerState:
    """Returns the learner before its first update."""
    ...

  def init_actor(self, key: chex.PRNGKey, num_envs: int = 1) -> ActorState:
    """Returns the actor before its first step in N environments."""
    ...

  def acting_params(self, learner: LearnerState) -> Params:
    """Returns the weights to act by and to evaluate."""
    ...

  def select_action(
      self, params: Params, actor: ActorState, observation: Array,
      is_first: Bool[Array, ' N'],
  ) -> tuple[ActorState, Int[Array, ' N']]:
    """Acts as the agent does while it learns; observation is [N, ...]."""
    ...

  def select_random_action(
      self, params: Params, actor: ActorState
  ) -> tuple[ActorState, Int[Array, ' N']]:
    """Chooses uniformly among the legal actions, for the warm-up."""
    ...

  def init_evaluation(
      self, key: chex.PRNGKey, num_episodes: int) -> ActorState:
    """Returns the actor of an evaluation in E episodes."""
    ...

  def evaluate_action(
      self, params: Params, actor: ActorState, observation: Array,
      is_first: Bool[Array, ' E'],
  ) -> tuple[ActorState, Int[Array, ' E']]:
    """Acts as the agent is judged; observation is [E, ...]."""
    ...

  def update(
      self, learner: LearnerState, batch: Batch | Transition
  ) -> tuple[LearnerState, Metrics]:
    """Makes one update; transitions have a leading axis [B].

    Metrics have 'loss', float32 [], and for replays with priorities 'losses',
    the loss of each transition, float32 [B].
    """
    ...
