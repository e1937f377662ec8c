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
from jaxtyping import Array, Bool, Float, Int, UInt
import optax

from hyperjax import specs

Params = Mapping[str, Any]  # Flax variables.
Metrics = Mapping[str, Array]


class Transition(NamedTuple):
  """One step of experience, or a batch of them along a leading axis [B].

  Attributes:
    observation: s, in the shape and dtype of the environment's spec.
    action: a, int32 [].
    reward: r, float32 []; the discounted sum of n rewards for n-step returns.
    discount: gamma^n times the product of the environment's discounts, float32
      []. It is 0 after a termination but not after a truncation.
    next_observation: s', the observation n steps after s; at the end of an
      episode its terminal observation, never the first of the next episode.
    uid: number of this transition in its agent's run, int32 []. The uid does
      not change when the replay is overwritten, and the noise of a transition
      is a function of its uid (see `hyperjax.data_noise`).
  """

  observation: Array
  action: Int[Array, '...']
  reward: Float[Array, '...']
  discount: Float[Array, '...']
  next_observation: Array
  uid: Int[Array, '...']


class Sequences(NamedTuple):
  """The steps after a batch of states s_0, in the order of time.

  Step k leads from s_k by the action a_k to s_{k+1}, both of the episode of
  s_0. Where the episode or the replay ends earlier, the last step is repeated.

  Attributes:
    actions: a_0 to a_{K-1}, int32 [B, K].
    observations: s_1 to s_K, [B, K, ...].
    exists: whether each step was taken, and is no repetition, bool [B, K].
  """

  actions: Int[Array, '...']
  observations: Array
  exists: Bool[Array, '...']


class Batch(NamedTuple):
  """Transitions for one update, as a replay draws them.

  Attributes:
    transitions: transitions with a leading axis [B].
    weights: factor of each transition's loss, float32 [B]; None for 1.
    keys: slot of each transition in the replay, int32 [B]; None for transitions
      that come from no replay. Only the replay reads the keys.
    faults: what was wrong when the batch was drawn, uint32 [], see
      `hyperjax.faults`; None for nothing.
    sequences: steps after each transition's s, the transition's own among them;
      None for an agent whose config has no `sequence_length`.
  """

  transitions: Transition
  weights: Float[Array, '...'] | None = None
  keys: Int[Array, '...'] | None = None
  faults: UInt[Array, '...'] | None = None
  sequences: Sequences | None = None


class TimeStep(NamedTuple):
  """One time step of an environment in JAX: `dm_env.TimeStep` as a pytree.

  Attributes:
    step_type: 0 first, 1 mid, 2 last, int32 [] (the values of
      `dm_env.StepType`).
    reward: r, float32 []; 0 at a first step.
    discount: environment's discount, float32 []; 0 after a termination. A last
      step of another discount was truncated.
    observation: observation in the shape and dtype of the environment's spec.
  """

  step_type: Int[Array, '...']
  reward: Float[Array, '...']
  discount: Float[Array, '...']
  observation: Array

  def first(self) -> Bool[Array, '...']:
    """Returns whether the time step begins an episode, bool [...]."""
    return self.step_type == int(dm_env.StepType.FIRST)

  def last(self) -> Bool[Array, '...']:
    """Returns whether the time step ends an episode, bool [...]."""
    return self.step_type == int(dm_env.StepType.LAST)


class LearnerState(NamedTuple):
  """The state that an agent's `update` reads and returns.

  Attributes:
    params: Flax variables: the collection 'params', which the optimiser trains;
      'prior' if the network has a fixed prior; 'legal' if the environment lacks
      some of the agent's actions (see `hyperjax.networks.legal_actions`).
    target_params: weights of the target network, a tree like params['params'].
    opt_state: state of the optax optimiser of params['params'].
    steps: number of updates, int32 [].
    key: PRNG key, constant during a run. The randomness of update t is a
      function of (key, t), that of a transition a function of (key, uid).
    faults: what was wrong in any update so far, uint32 [], see
      `hyperjax.faults`.
  """

  params: Params
  target_params: Params
  opt_state: optax.OptState
  steps: Int[Array, '...']
  key: chex.PRNGKey
  faults: UInt[Array, '...']


class ActorState(NamedTuple):
  """The state that an agent's `select_action` reads and returns.

  Attributes:
    index: current index z of each environment, float32 [N, M]; [N, K, M] for an
      agent that is optimistic over K indices.
    key: PRNG key, split at every call.
    steps: number of calls, random actions included, int32 []. Schedules of
      acting are functions of this number.
  """

  index: Float[Array, '...']
  key: chex.PRNGKey
  steps: Int[Array, '...']


@runtime_checkable
class Agent(Protocol):
  """The interface of an agent to loops and adapters.

  All methods are pure functions that return (state, output). Implementations
  are frozen and hashable: equal agents share their compiled programs.
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
    """Returns the learner's state before its first update.

    Args:
      key: PRNG key of the initial weights and of all randomness of learning.
    """
    ...

  def init_actor(self, key: chex.PRNGKey, num_envs: int = 1) -> ActorState:
    """Returns the actor's state before its first step.

    Args:
      key: PRNG key of acting.
      num_envs: N, number of environments.
    """
    ...

  def acting_params(self, learner: LearnerState) -> Params:
    """Returns the weights for acting and evaluation."""
    ...

  def select_action(
      self, params: Params, actor: ActorState, observation: Array,
      is_first: Bool[Array, ' N'],
  ) -> tuple[ActorState, Int[Array, ' N']]:
    """Chooses the actions of the agent while it learns.

    Args:
      params: `acting_params` of the learner.
      actor: actor's state in N environments.
      observation: s, [N, ...].
      is_first: whether s is the first of its episode, bool [N].

    Returns:
      The next actor state and the actions, int32 [N].
    """
    ...

  def select_random_action(
      self, params: Params, actor: ActorState
  ) -> tuple[ActorState, Int[Array, ' N']]:
    """Chooses uniformly random legal actions, int32 [N], for the warm-up."""
    ...

  def init_evaluation(
      self, key: chex.PRNGKey, num_episodes: int) -> ActorState:
    """Returns the actor's state before an evaluation.

    Args:
      key: PRNG key of the evaluation.
      num_episodes: E, number of episodes that are played together.
    """
    ...

  def evaluate_action(
      self, params: Params, actor: ActorState, observation: Array,
      is_first: Bool[Array, ' E'],
  ) -> tuple[ActorState, Int[Array, ' E']]:
    """Chooses the actions of an evaluation.

    Args:
      params: `acting_params` of the learner.
      actor: state from `init_evaluation`.
      observation: s, [E, ...].
      is_first: whether s is the first of its episode, bool [E].

    Returns:
      The next actor state and the actions, int32 [E].
    """
    ...

  def update(
      self, learner: LearnerState, batch: Batch | Transition
  ) -> tuple[LearnerState, Metrics]:
    """Makes one update.

    Args:
      learner: state before the update.
      batch: transitions [B], with or without weights.

    Returns:
      The state after the update and metrics: 'loss', float32 [], and, for
      replays with priorities, 'losses', the loss of each transition, float32
      [B].
    """
    ...
