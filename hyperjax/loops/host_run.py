"""The run of one agent whose environments step on the host, as pure functions.

What `host` compiles and maps over agents. The agent sees stacks of frames; its
replay holds the streams of single ones.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hyperjax import acting
from hyperjax import frames
from hyperjax import networks
from hyperjax import types
from hyperjax.loops import seed_run
from hyperjax.loops import trainer as trainer_lib


class Arrival(NamedTuple):
  """What N environments sent; every field has leading axes [G, N] on the host.

  Attributes:
    frame: uint8 [H, W].
    action: that was taken before, int32 [].
    reward: for learning, float32 [].
    discount: float32 [].
    is_first: whether an episode begins, bool [].
  """

  frame: Array
  action: Int[Array, '...']
  reward: Float[Array, '...']
  discount: Float[Array, '...']
  is_first: Bool[Array, '...']


class HostState(NamedTuple):
  """All that a run has on the device; every leaf has a leading axis [G].

  Attributes:
    train: the agent; `num_transitions` counts the time steps that it saw.
    stack: what each environment shows, uint8 [N, stack, H, W].
    loss: sum over the updates since `take_log`, float32 [].
    num_updates: since then, int32 [].
    first_nonfinite: the number of the first update since then whose loss was
      not finite, counted over the whole run, int32 []; -1 if all were.
    eval_key: constant; the randomness of an evaluation is a function of it.
  """

  train: trainer_lib.TrainState
  stack: Array
  loss: Float[Array, '...']
  num_updates: Int[Array, '...']
  first_nonfinite: Int[Array, '...']
  eval_key: chex.PRNGKey


@dataclasses.dataclass(frozen=True)
class FrameTrainer(trainer_lib.Trainer):
  """A `Trainer` whose replay holds frames and gives n-step returns."""

  @property
  def replay(self) -> frames.FrameReplay:
    return frames.FrameReplay(
        self.agent.observation_spec, self.num_envs,
        self.replay_capacity or self.config.replay_capacity,
        self.config.batch_size, self.config.discount, self.config.n_step)

  def observe_frames(
      self, state: trainer_lib.TrainState, arrival: Arrival
  ) -> trainer_lib.TrainState:
    """Stores one time step of each environment."""
    uid = state.num_transitions + jnp.arange(self.num_envs, dtype=jnp.int32)
    replay = self.replay.add(state.replay, frames.Entry(
        frame=arrival.frame, action=arrival.action, reward=arrival.reward,
        discount=arrival.discount, is_first=arrival.is_first, uid=uid))
    return state._replace(
        replay=replay, num_transitions=state.num_transitions + self.num_envs)


@dataclasses.dataclass(frozen=True)
class HostRun:
  """Pure functions over the `HostState` of one agent, without the axis [G].

  Attributes:
    trainer: the agent with its replay, in N environments.
  """

  trainer: FrameTrainer

  def init(self, seed: Array, legal: Bool[Array, 'A']) -> HostState:
    """The state before the first time step.

    Args:
      seed: uint32 [].
      legal: which of the agent's actions its game has.
    """
    agent_key, _, eval_key = seed_run.run_keys(seed)
    train = self.trainer.init(agent_key)
    params = networks.with_legal_actions(train.learner.params, legal)
    spec = self.trainer.agent.observation_spec
    return HostState(
        train=train._replace(learner=train.learner._replace(params=params)),
        stack=jnp.zeros((self.trainer.num_envs, *spec.shape), spec.dtype),
        loss=jnp.float32(0.),
        num_updates=jnp.int32(0),
        first_nonfinite=jnp.int32(-1),
        eval_key=eval_key)

  def step(
      self, exploring: bool, state: HostState, arrival: Arrival
  ) -> tuple[HostState, Int[Array, 'N']]:
    """Takes in a time step of each environment, and acts on it.

    Args:
      exploring: whether the actions are uniformly random.
      state: before.
      arrival: [N].
    """
    stack = jax.vmap(frames.push)(state.stack, arrival.frame, arrival.is_first)
    train = self.trainer.observe_frames(state.train, arrival)
    if exploring:
      train, action = self.trainer.explore(train)
    else:
      # A life is an episode to the agent: it has an index of its own.
      begins = arrival.is_first | (arrival.discount == 0.)
      train, action = self.trainer.act(train, stack, begins)
    return state._replace(train=train, stack=stack), action

  def learn(self, state: HostState) -> HostState:
    """The updates that are owed."""
    first = state.train.learner.steps
    train, metrics = self.trainer.learn(state.train)
    loss = metrics['loss']
    bad = ~jnp.isfinite(loss)
    first_bad = jnp.where(jnp.any(bad), first + jnp.argmax(bad), -1)
    return state._replace(
        train=train,
        loss=state.loss + jnp.sum(loss),
        num_updates=state.num_updates + loss.shape[0],
        first_nonfinite=jnp.where(
            state.first_nonfinite < 0, first_bad, state.first_nonfinite))

  def clear_log(self, state: HostState) -> HostState:
    """The state with nothing in its log."""
    return state._replace(
        loss=jnp.float32(0.), num_updates=jnp.int32(0),
        first_nonfinite=jnp.int32(-1))


class EvalState(NamedTuple):
  """An agent that is evaluated in E episodes side by side.

  Attributes:
    index: of each episode, float32 [E, M].
    stack: what each shows, uint8 [E, stack, H, W].
    key: split at every step.
  """

  index: Float[Array, '...']
  stack: Array
  key: chex.PRNGKey


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Pure functions that play E episodes, each greedy for its own fresh index.

  Attributes:
    agent: see `types.Agent`.
    num_episodes: E.
  """

  agent: types.Agent
  num_episodes: int

  def init(self, eval_key: chex.PRNGKey, step: Int[Array, '']) -> EvalState:
    """Before the first frames of the evaluation at a step of the run."""
    key, key_index = jax.random.split(jax.random.fold_in(eval_key, step))
    spec = self.agent.observation_spec
    return EvalState(
        index=self.agent.index.sample(key_index, (self.num_episodes,)),
        stack=jnp.zeros((self.num_episodes, *spec.shape), spec.dtype),
        key=key)

  def act(
      self, state: EvalState, params: types.Params,
      frame: Array, is_first: Bool[Array, 'E'],
  ) -> tuple[EvalState, Int[Array, 'E']]:
    """Greedy actions after new frames [E, H, W]."""
    stack = jax.vmap(frames.push)(state.stack, frame, is_first)
    key, key_action = jax.random.split(state.key)
    values = self.agent.q_values(params, stack, state.index)
    return EvalState(state.index, stack, key), acting.greedy(
        key_action, values)
