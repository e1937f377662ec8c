"""The data that passes between agents, replay, environments and loops.

Shapes in this library are written with one legend:

  B  batch of transitions            N  environments that step together
  S  seeds (independent runs)        K  indices sampled for each example
  M  dimension of the index z        A  actions
  F  features of the torso           T  time steps
  E  episodes                        heads  the M+1 value heads psi

All states are NamedTuples, hence JAX pytrees; all configs are frozen
dataclasses, hence hashable and usable as static arguments of `jax.jit`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import chex
import dm_env
from jaxtyping import Array, Bool, Float, Int
import optax

Params = chex.ArrayTree
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
      It survives the replay's overwriting, so that whatever randomness belongs
      to a transition is a function of it (see `hyperjax.perturbation`).
  """

  observation: Array
  action: Int[Array, '...']
  reward: Float[Array, '...']
  discount: Float[Array, '...']
  next_observation: Array
  uid: Int[Array, '...']


class TimeStep(NamedTuple):
  """What an on-device environment returns; `dm_env.TimeStep` as a pytree.

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
    return self.step_type == int(dm_env.StepType.FIRST)

  def last(self) -> Bool[Array, '...']:
    return self.step_type == int(dm_env.StepType.LAST)


class LearnerState(NamedTuple):
  """Everything that an agent's `update` reads and writes.

  Attributes:
    params: Flax variables: 'params', which the optimiser trains, 'prior' where
      the network has a fixed prior, and 'legal' where not every action is (see
      `hyperjax.networks.mask_illegal`).
    target_params: an older copy of params['params'].
    opt_state: state of the optax optimiser over params['params'].
    steps: number of updates done, int32 [].
    key: constant for the life of the learner. What is random in update t is a
      function of (key, t); the perturbation of a transition of (key, uid).
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
  """

  index: Float[Array, '...']
  key: chex.PRNGKey


@runtime_checkable
class Agent(Protocol):
  """What the loops and adapters need of an agent. All methods are pure.

  Implementations are frozen and hashable; `config` is a
  `hyperjax.agents.TDConfig` or anything with the same fields.
  """

  observation_spec: Any
  num_actions: int
  config: Any
  index: Any

  def init(self, key: chex.PRNGKey) -> LearnerState:
    ...

  def init_actor(self, key: chex.PRNGKey, num_envs: int) -> ActorState:
    ...

  def select_action(
      self, params: Params, actor: ActorState, observation: Array,
      is_first: Bool[Array, ' N'],
  ) -> tuple[ActorState, Int[Array, ' N']]:
    ...

  def select_random_action(
      self, params: Params, actor: ActorState
  ) -> tuple[ActorState, Int[Array, ' N']]:
    ...

  def q_values(
      self, params: Params, observation: Array, index: Float[Array, 'N M']
  ) -> Float[Array, 'N A']:
    ...

  def update(
      self, learner: LearnerState, batch: Transition
  ) -> tuple[LearnerState, Metrics]:
    """One update; metrics have 'loss', [], and for priorities 'losses', [B]."""
    ...
