"""One agent with its replay: what every loop and adapter does with it.

The order of things is here once, so that an agent that learns inside a
compiled loop and one that learns in somebody's own loop are the same agent
(`host_run` has one for frames that come from a host):

  act, or explore until the replay holds `min_replay_size` transitions;
  observe what came of it; learn when updates are owed.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hyperjax import replay as replay_lib
from hyperjax import types


class TrainState(NamedTuple):
  """All that one agent has.

  Attributes:
    learner: see `types.LearnerState`.
    actor: see `types.ActorState`.
    replay: of all its environments.
    num_transitions: observed so far, the next uid; int32 [].
    replay_key: constant; the batch of update t is a function of it and t.
  """

  learner: types.LearnerState
  actor: types.ActorState
  replay: replay_lib.ReplayState
  num_transitions: Int[Array, '...']
  replay_key: chex.PRNGKey


def first_nonfinite(
    before: Int[Array, ''], first: Int[Array, ''],
    loss: Float[Array, ' updates'],
) -> Int[Array, '']:
  """The number of the first update whose loss was not finite, or -1.

  Args:
    before: the same of the updates before these.
    first: the number of the first of these.
    loss: of these.
  """
  bad = ~jnp.isfinite(loss)
  found = jnp.where(jnp.any(bad), first + jnp.argmax(bad), -1)
  return jnp.where(before < 0, found, before)


@dataclasses.dataclass(frozen=True)
class Trainer:
  """Pure functions over a `TrainState`.

  Attributes:
    agent: see `types.Agent`.
    num_envs: N, environments that the agent acts in.
    replay_capacity: transitions kept, if not what the agent's config says: a
      run that is known to be shorter needs no more than its length.
  """

  agent: types.Agent
  num_envs: int = 1
  replay_capacity: int | None = None

  def __post_init__(self):
    if self.num_envs < 1:
      raise ValueError(f'num_envs must be at least 1, got {self.num_envs}')
    _ = self.replay  # Its own checks, now rather than in the first trace.

  @property
  def config(self):
    return self.agent.config

  @property
  def capacity(self) -> int:
    """Transitions that the replay keeps."""
    if self.replay_capacity is None:
      return self.config.replay_capacity
    return self.replay_capacity

  @property
  def replay(self) -> replay_lib.Replay:
    if self.config.n_step > 1:
      raise ValueError(
          f'expected n_step 1 where there is no replay of frames, got '
          f'{self.config.n_step}')
    return replay_lib.Replay(
        self.agent.observation_spec,
        self.capacity, self.config.batch_size, self.config.recent_fraction,
        self.config.recent_window, self.config.prioritized_fraction,
        self.config.tournament_size)

  @property
  def explore_steps(self) -> int:
    """Steps of the N environments before the agent acts and learns.

    The fewest that fill `min_replay_size`, in whole `steps_per_learn`.
    """
    period = self.steps_per_learn
    return period * -(-self.config.min_replay_size // (self.num_envs * period))

  @property
  def steps_per_learn(self) -> int:
    """Steps of the N environments between two calls of `learn`.

    One at least: with more environments than `steps_per_update`, each step of
    all of them is followed by `updates_per_step` updates.
    """
    return max(1, self.config.steps_per_update // self.num_envs)

  def init(self, key: chex.PRNGKey) -> TrainState:
    """The agent before its first step, with an empty replay."""
    key_learner, key_actor, key_replay = jax.random.split(key, 3)
    return TrainState(
        learner=self.agent.init(key_learner),
        actor=self.agent.init_actor(key_actor, self.num_envs),
        replay=self.replay.init(),
        num_transitions=jnp.int32(0),
        replay_key=key_replay)

  def explore(self, state: TrainState) -> tuple[TrainState, Int[Array, ' N']]:
    """Uniformly random actions, for the first `explore_steps` steps."""
    actor, action = self.agent.select_random_action(
        state.learner.params, state.actor)
    return state._replace(actor=actor), action

  def act(
      self, state: TrainState, observation: Array, is_first: Bool[Array, ' N']
  ) -> tuple[TrainState, Int[Array, ' N']]:
    """The agent's actions at observations [N, ...]."""
    actor, action = self.agent.select_action(
        state.learner.params, state.actor, observation, is_first)
    return state._replace(actor=actor), action

  def observe(
      self, state: TrainState, observation: Array, action: Int[Array, ' N'],
      timestep: types.TimeStep,
  ) -> TrainState:
    """Stores what came of actions.

    Args:
      state: before.
      observation: where the actions were taken, [N, ...].
      action: int32 [N].
      timestep: what the environments returned, each field [N, ...]. Its
        observation is the true successor, also at an episode's end.
    """
    uid = state.num_transitions + jnp.arange(self.num_envs, dtype=jnp.int32)
    replay = self.replay.add(state.replay, types.Transition(
        observation=observation,
        action=action,
        reward=timestep.reward,
        discount=self.config.discount * timestep.discount,
        next_observation=timestep.observation,
        uid=uid))
    return state._replace(
        replay=replay, num_transitions=state.num_transitions + self.num_envs)

  def update(
      self, learner: types.LearnerState, replay: Any, replay_key: chex.PRNGKey
  ) -> tuple[types.LearnerState, types.Transition, types.Metrics]:
    """One update, on a batch that is a function of the key and its number.

    Args:
      learner: before.
      replay: the state of `self.replay`; only read.
      replay_key: `TrainState.replay_key`.

    Returns:
      The learner after, the batch, and `metrics` of `types.Agent.update`.
    """
    key = jax.random.fold_in(replay_key, learner.steps)
    batch = self.replay.sample(replay, key)
    learner, metrics = self.agent.update(learner, batch)
    return learner, batch, metrics

  def learn(self, state: TrainState) -> tuple[TrainState, types.Metrics]:
    """The updates that are owed every `steps_per_learn` steps.

    Returns:
      The state after `updates_per_step` updates on fresh batches, and the
      metrics of each but 'losses', float32 [updates_per_step].
    """

    def update(learner, replay):
      learner, batch, metrics = self.update(learner, replay, state.replay_key)
      if self.config.prioritized_fraction:  # Else there may be no 'losses'.
        replay = self.replay.record(replay, batch, metrics['losses'])
      return learner, replay, {
          name: x for name, x in metrics.items() if name != 'losses'}

    def body(i, carry):
      learner, replay, metrics = carry
      learner, replay, new = update(learner, replay)
      return learner, replay, jax.tree.map(
          lambda metric, x: metric.at[i].set(x), metrics, new)

    count = self.config.updates_per_step
    metrics = jax.tree.map(
        lambda x: jnp.zeros((count, *x.shape), x.dtype),
        jax.eval_shape(update, state.learner, state.replay)[2])
    # A loop of one known round XLA would unroll; for CPUs it would then fuse
    # adding to the replay with reading it, and for that copy the whole replay.
    learner, replay, metrics = jax.lax.fori_loop(
        0, jax.lax.optimization_barrier(jnp.int32(count)), body,
        (state.learner, state.replay, metrics))
    return state._replace(learner=learner, replay=replay), metrics
