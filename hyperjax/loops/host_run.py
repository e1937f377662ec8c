"""The run of one agent whose environments step on the host, as pure functions.

What `host` compiles and maps over agents. The agent sees stacks of frames; its
replay holds the streams of single ones.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt

from hyperjax import acting as acting_lib
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


class UpdateLog(NamedTuple):
  """What became of the updates since the log was cleared.

  Attributes:
    loss: their sum, float32 [].
    num_updates: int32 [].
    first_nonfinite: the number of the first whose loss was not finite, counted
      over the whole run, int32 []; -1 if all were.
  """

  loss: Float[Array, '...']
  num_updates: Int[Array, '...']
  first_nonfinite: Int[Array, '...']


def empty_log(steps: Int[Array, '']) -> UpdateLog:
  """Before any update, whatever the number of those in earlier logs."""
  del steps
  return UpdateLog(jnp.float32(0.), jnp.int32(0), jnp.int32(-1))


class Acting(NamedTuple):
  """What acting and observing read and write, apart from the weights.

  Attributes:
    actor: see `types.ActorState`.
    replay: of all its environments.
    num_transitions: time steps seen so far, int32 [].
    stack: what each environment shows, uint8 [N, stack, H, W].
  """

  actor: types.ActorState
  replay: frames.FrameReplayState
  num_transitions: Int[Array, '...']
  stack: Array


class HostState(NamedTuple):
  """All that a run has on the device; every leaf has a leading axis [G].

  Attributes:
    learner: its weights are those that act.
    acting: see `Acting`.
    replay_key: constant; the batch of update t is a function of it and t.
    eval_key: constant; the randomness of an evaluation is a function of it.
  """

  learner: types.LearnerState
  acting: Acting
  replay_key: chex.PRNGKey
  eval_key: chex.PRNGKey


@dataclasses.dataclass(frozen=True)
class FrameTrainer(trainer_lib.Trainer):
  """A `Trainer` whose replay holds frames and gives n-step returns.

  `HostRun` does the acting and observing; from here it has the replay, the
  updates and how often they are owed.
  """

  @property
  def replay(self) -> frames.FrameReplay:
    if self.config.recent_fraction or self.config.prioritized_fraction:
      raise ValueError(
          f'a replay of frames draws from all steps alike: expected '
          f'recent_fraction and prioritized_fraction 0, got '
          f'{self.config.recent_fraction} and '
          f'{self.config.prioritized_fraction}')
    return frames.FrameReplay(
        self.agent.observation_spec, self.num_envs, self.capacity,
        self.config.batch_size, self.config.discount, self.config.n_step)


@dataclasses.dataclass(frozen=True)
class HostRun:
  """Pure functions over the `HostState` of one agent, without the axis [G].

  Attributes:
    trainer: the agent with its replay, in N environments.
  """

  trainer: FrameTrainer

  def init(self, seed: Array, legal: Bool[Array, ' A']) -> HostState:
    """The state before the first time step.

    Args:
      seed: uint32 [].
      legal: which of the agent's actions its game has.
    """
    agent_key, _, eval_key = seed_run.run_keys(seed)
    train = self.trainer.init(agent_key)
    learner = train.learner._replace(
        params=networks.with_legal_actions(train.learner.params, legal))
    spec = self.trainer.agent.observation_spec
    return HostState(
        learner=learner,
        acting=Acting(
            train.actor, train.replay, train.num_transitions,
            jnp.zeros((self.trainer.num_envs, *spec.shape), spec.dtype)),
        replay_key=train.replay_key,
        eval_key=eval_key)

  def step(
      self, exploring: bool, acting: Acting, params: types.Params,
      arrival: Arrival,
  ) -> tuple[Acting, Int[Array, ' N']]:
    """Takes in a time step of each environment, and acts on it.

    Args:
      exploring: whether the actions are uniformly random.
      acting: before.
      params: weights to act by.
      arrival: [N].
    """
    trainer, num_envs = self.trainer, self.trainer.num_envs
    uid = acting.num_transitions + jnp.arange(num_envs, dtype=jnp.int32)
    replay = trainer.replay.add(
        acting.replay, frames.Entry(**arrival._asdict(), uid=uid))
    stack = jax.vmap(frames.push)(acting.stack, arrival.frame, arrival.is_first)
    if exploring:
      actor, action = trainer.agent.select_random_action(params, acting.actor)
    else:
      # A life is an episode to the agent: it has an index of its own.
      begins = arrival.is_first | (arrival.discount == 0.)
      actor, action = trainer.agent.select_action(
          params, acting.actor, stack, begins)
    return Acting(
        actor, replay, acting.num_transitions + num_envs, stack), action

  def update(
      self, learner: types.LearnerState, log: UpdateLog,
      replay: frames.FrameReplayState, replay_key: chex.PRNGKey,
  ) -> tuple[types.LearnerState, UpdateLog]:
    """The updates that are owed, each on a batch of its own.

    Args:
      learner: before.
      log: before.
      replay: the frames so far.
      replay_key: `HostState.replay_key`.
    """

    def update(learner, _):
      learner, _, metrics = self.trainer.update(learner, replay, replay_key)
      return learner, metrics

    first = learner.steps
    learner, metrics = jax.lax.scan(
        update, learner, length=self.trainer.config.updates_per_step)
    loss = metrics['loss']
    return learner, UpdateLog(
        log.loss + jnp.sum(loss),
        log.num_updates + loss.shape[0],
        trainer_lib.first_nonfinite(log.first_nonfinite, first, loss))


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

  def init(self, eval_key: chex.PRNGKey, step: UInt[Array, '']) -> EvalState:
    """Before the first frames of the evaluation at a step of the run."""
    key, key_index = jax.random.split(jax.random.fold_in(eval_key, step))
    spec = self.agent.observation_spec
    return EvalState(
        index=self.agent.index.sample(key_index, (self.num_episodes,)),
        stack=jnp.zeros((self.num_episodes, *spec.shape), spec.dtype),
        key=key)

  def act(
      self, state: EvalState, params: types.Params,
      frame: Array, is_first: Bool[Array, ' E'],
  ) -> tuple[EvalState, Int[Array, ' E']]:
    """Greedy actions after new frames [E, H, W]."""
    stack = jax.vmap(frames.push)(state.stack, frame, is_first)
    key, key_action = jax.random.split(state.key)
    values = self.agent.q_values(params, stack, state.index)
    return EvalState(state.index, stack, key), acting_lib.greedy(
        key_action, values)
