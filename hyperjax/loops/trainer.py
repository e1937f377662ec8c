"""Trainers: an agent with its memory, as pure functions; what loops run.

A loop knows environments; a trainer knows when to act at random, what to keep,
when to learn and how to be judged. `ReplayTrainer` is one agent with a replay
of transitions, `StreamTrainer` one with a replay of streams, for loops in which
an episode's first time step comes in a step of its own. Agents without a replay
(tabular ones, say) implement the `Trainer` protocol directly. The order of
things is

  warm up for `warmup_steps` steps, then act;
  observe what came of it; learn after every `update_period` steps.

So an agent that learns inside a compiled loop and one that learns in somebody's
own loop are the same agent.
"""

import dataclasses
import functools
from typing import Any, NamedTuple, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hyperjax import networks
from hyperjax import replay as replay_lib
from hyperjax import specs
from hyperjax import types
from hyperjax.environments import vector
from hyperjax.replay import storage

TrainerState = Any


@runtime_checkable
class Trainer(Protocol):
  """What `hyperjax.loops.OnDeviceLoop` runs. All methods are pure functions.

  Implementations are frozen and hashable.

  Attributes:
    observation_spec: of the environment.
    num_actions: A.
    num_envs: N, environments that step together.
    warmup_steps: steps of the N environments whose actions are `warm_up`'s;
      after them the actions are `act`'s and `learn` is called.
    update_period: steps of the N environments between two calls of `learn`;
      `warmup_steps` is a multiple of it.
  """

  @property
  def observation_spec(self) -> specs.ObservationSpec:
    """See the class."""
    ...

  @property
  def num_actions(self) -> int:
    """See the class."""
    ...

  @property
  def num_envs(self) -> int:
    """See the class."""
    ...

  @property
  def warmup_steps(self) -> int:
    """See the class."""
    ...

  @property
  def update_period(self) -> int:
    """See the class."""
    ...

  def num_bytes(self) -> int:
    """Returns the memory of what grows with the length of a run, in bytes."""
    ...

  def init(self, key: chex.PRNGKey) -> TrainerState:
    """Returns the state before the first step."""
    ...

  def warm_up(
      self, state: TrainerState) -> tuple[TrainerState, Int[Array, ' N']]:
    """Chooses the actions of a warm-up step."""
    ...

  def act(
      self, state: TrainerState, observation: Array,
      is_first: Bool[Array, ' N'],
  ) -> tuple[TrainerState, Int[Array, ' N']]:
    """Chooses actions at observations [N, ...]."""
    ...

  def observe(
      self, state: TrainerState, observation: Array,
      action: Int[Array, ' N'], timestep: types.TimeStep,
  ) -> TrainerState:
    """Takes note of what came of actions.

    Args:
      state: before.
      observation: where the actions were taken, [N, ...].
      action: int32 [N].
      timestep: what the environments returned, each field [N, ...]. Its
        observation is the true successor, also at an episode's end.
    """
    ...

  def learn(
      self, state: TrainerState) -> tuple[TrainerState, types.Metrics]:
    """Learns; metrics have 'loss', float32 [U], of U updates."""
    ...

  def init_evaluation(self, key: chex.PRNGKey, num_episodes: int) -> Any:
    """Returns the actor of an evaluation in E episodes side by side."""
    ...

  def evaluate(
      self, state: TrainerState, actor: Any, observation: Array
  ) -> tuple[Any, Int[Array, ' E']]:
    """Chooses actions of an evaluation, one episode each, at [E, ...]."""
    ...


class TrainState(NamedTuple):
  """All that one agent has.

  Attributes:
    learner: see `types.LearnerState`.
    actor: see `types.ActorState`.
    replay: of all its environments, see `storage.ReplayState`.
    num_transitions: observed so far, the next uid; int32 [].
    replay_key: constant; the batch of update t is a function of it and t.
  """

  learner: types.LearnerState
  actor: types.ActorState
  replay: storage.ReplayState
  num_transitions: Int[Array, '...']
  replay_key: chex.PRNGKey


@functools.cache  # It traces an update.
def _names_of_metrics(agent: types.Agent) -> list[str]:
  """The metrics that an agent's update gives."""
  learner = jax.eval_shape(agent.init, jax.random.key(0))
  spec, num = agent.observation_spec, agent.config.batch_size
  array = lambda dtype, *shape: jax.ShapeDtypeStruct((num, *shape), dtype)
  transitions = types.Transition(
      observation=array(spec.dtype, *spec.shape), action=array('int32'),
      reward=array('float32'), discount=array('float32'),
      next_observation=array(spec.dtype, *spec.shape), uid=array('int32'))
  return sorted(
      jax.eval_shape(agent.update, learner, types.Batch(transitions))[1])


@dataclasses.dataclass(frozen=True)
class ReplayTrainer:
  """One agent with a replay of transitions; pure over a `TrainState`.

  Attributes:
    agent: see `types.Agent`. Of its config the fields `batch_size`, `n_step`,
      `discount`, `sampler`, `replay_capacity`, `warmup_steps`, `update_period`
      and `updates_per_period` are read (see `agents.TDConfig`).
    num_envs: N, environments that the agent acts in.
    replay_capacity: number of transitions kept, if not as the agent's config
      says: a run that is known to be shorter needs no more than its length.

  Raises:
    ValueError: if replay and agent do not fit.
  """

  agent: types.Agent
  num_envs: int = 1
  replay_capacity: int | None = None

  def __post_init__(self):
    if self.num_envs < 1:
      raise ValueError(f'num_envs must be at least 1, got {self.num_envs}')
    if 1 <= self.capacity < self.num_envs:
      raise ValueError(
          f'the replay must hold a transition of each environment: expected '
          f'num_envs of at most {self.capacity}, its capacity, got '
          f'{self.num_envs}')
    _ = self.replay  # Its own checks, now rather than in the first trace.
    if self.config.sampler.needs_losses:
      metrics = _names_of_metrics(self.agent)
      if 'losses' not in metrics:
        raise ValueError(
            f"the sampler {self.config.sampler} asks for the loss of each "
            f"transition, metrics['losses'], but the agent's update gives "
            f"{metrics} alone")

  @property
  def config(self) -> Any:
    """The agent's config."""
    return self.agent.config

  @property
  def observation_spec(self) -> specs.ObservationSpec:
    """See `Trainer`."""
    return self.agent.observation_spec

  @property
  def num_actions(self) -> int:
    """See `Trainer`."""
    return self.agent.num_actions

  @property
  def capacity(self) -> int:
    """Number of steps that the replay keeps."""
    if self.replay_capacity is None:
      return self.config.replay_capacity
    return self.replay_capacity

  @property
  def replay(self) -> replay_lib.TransitionReplay:
    """The replay."""
    return replay_lib.TransitionReplay(
        spec=self.observation_spec,
        capacity=self.capacity,
        batch_size=self.config.batch_size,
        n_step=self.config.n_step,
        num_envs=self.num_envs,
        sampler=self.config.sampler)

  @property
  def warmup_steps(self) -> int:
    """See `Trainer`.

    The fewest that fill the config's `warmup_steps`, in whole periods.
    """
    period = self.update_period
    return period * -(-self.config.warmup_steps // (self.num_envs * period))

  @property
  def update_period(self) -> int:
    """See `Trainer`.

    At least one: with more environments than the config's `update_period`,
    each step of all of them is followed by `updates_per_period` updates.
    """
    return max(1, self.config.update_period // self.num_envs)

  def num_bytes(self) -> int:
    """See `Trainer`."""
    return self.replay.num_bytes()

  def init(
      self, key: chex.PRNGKey, legal: Bool[Array, ' A'] | None = None
  ) -> TrainState:
    """Returns the agent before its first step, with an empty replay.

    Args:
      key: of everything random.
      legal: which of the agent's actions its environment has; None for all.
    """
    key_learner, key_actor, key_replay = jax.random.split(key, 3)
    learner = self.agent.init(key_learner)
    if legal is not None:
      learner = learner._replace(
          params=networks.with_legal_actions(learner.params, legal))
    return TrainState(
        learner=learner,
        actor=self.agent.init_actor(key_actor, self.num_envs),
        replay=self.replay.init(),
        num_transitions=jnp.int32(0),
        replay_key=key_replay)

  def warm_up(self, state: TrainState) -> tuple[TrainState, Int[Array, ' N']]:
    """Chooses uniformly random actions."""
    actor, action = self.agent.select_random_action(
        state.learner.params, state.actor)
    return state._replace(actor=actor), action

  def act(
      self, state: TrainState, observation: Array, is_first: Bool[Array, ' N']
  ) -> tuple[TrainState, Int[Array, ' N']]:
    """Chooses the agent's actions at observations [N, ...]."""
    actor, action = self.agent.select_action(
        self.agent.acting_params(state.learner), state.actor, observation,
        is_first)
    return state._replace(actor=actor), action

  def _next_uids(self, state: TrainState) -> Int[Array, ' N']:
    return state.num_transitions + jnp.arange(self.num_envs, dtype=jnp.int32)

  def observe(
      self, state: TrainState, observation: Array, action: Int[Array, ' N'],
      timestep: types.TimeStep,
  ) -> TrainState:
    """Stores what came of actions, see `Trainer`."""
    replay = self.replay.add(
        state.replay,
        types.Transition(
            observation=observation,
            action=action,
            reward=timestep.reward,
            discount=(self.config.discount * timestep.discount).astype(
                jnp.float32),
            next_observation=timestep.observation,
            uid=self._next_uids(state)),
        is_last=timestep.last())
    return state._replace(
        replay=replay, num_transitions=state.num_transitions + self.num_envs)

  def update(
      self, learner: types.LearnerState, replay: storage.ReplayState,
      replay_key: chex.PRNGKey,
  ) -> tuple[types.LearnerState, storage.ReplayState, types.Metrics]:
    """Makes one update, on a batch that is a function of key and number.

    Args:
      learner: state before.
      replay: state of `self.replay`; only priorities change.
      replay_key: `TrainState.replay_key`.

    Returns:
      Learner and replay after, and metrics of `types.Agent.update`.
    """
    key = jax.random.fold_in(replay_key, learner.steps)
    batch = self.replay.sample(replay, key)
    learner, metrics = self.agent.update(learner, batch)
    if self.config.sampler.needs_losses and 'losses' in metrics:
      replay = self.replay.update_priorities(replay, batch, metrics['losses'])
    return learner, replay, metrics

  def learn(
      self, state: TrainState, unroll: bool = False
  ) -> tuple[TrainState, types.Metrics]:
    """Makes the updates that are owed after every `update_period` steps.

    Args:
      state: before.
      unroll: whether XLA may unroll the loop over the updates: faster where
        learning is a program of its own. In one with `observe`, XLA for CPUs
        would then fuse adding to the replay with reading it, and for that copy
        the whole replay.

    Returns:
      The state after `updates_per_period` updates on fresh batches, and the
      metrics of each but 'losses', float32 [updates_per_period].
    """

    def update(carry, _):
      learner, replay = carry
      learner, replay, metrics = self.update(learner, replay, state.replay_key)
      return (learner, replay), {
          name: x for name, x in metrics.items() if name != 'losses'}

    carry = (state.learner, state.replay)
    count = self.config.updates_per_period
    if unroll:
      carry, metrics = jax.lax.scan(update, carry, length=count)
    else:
      metrics = jax.tree.map(
          lambda x: jnp.zeros((count, *x.shape), x.dtype),
          jax.eval_shape(update, carry, None)[1])

      def body(i, loop):
        carry, new = update(loop[0], None)
        return carry, jax.tree.map(
            lambda metric, x: metric.at[i].set(x), loop[1], new)

      carry, metrics = jax.lax.fori_loop(
          0, jax.lax.optimization_barrier(jnp.int32(count)), body,
          (carry, metrics))
    return state._replace(learner=carry[0], replay=carry[1]), metrics

  def init_evaluation(
      self, key: chex.PRNGKey, num_episodes: int) -> types.ActorState:
    """See `Trainer`."""
    return self.agent.init_evaluation(key, num_episodes)

  def evaluate(
      self, state: TrainState, actor: types.ActorState, observation: Array
  ) -> tuple[types.ActorState, Int[Array, ' E']]:
    """See `Trainer`."""
    return self.agent.evaluate_action(
        self.agent.acting_params(state.learner), actor, observation,
        jnp.zeros(observation.shape[0], bool))


@dataclasses.dataclass(frozen=True)
class StreamTrainer(ReplayTrainer):
  """One agent with a replay of streams, for `hyperjax.loops.HostLoop`.

  There a time step may begin an episode without an action before it, so what
  is kept are time steps. Where the agent sees stacks of frames, single frames
  arrive.

  Attributes:
    stacked: whether time steps bring single frames of the agent's stacks.
  """

  stacked: bool = False

  @property
  def replay(self) -> replay_lib.StreamReplay:
    """The replay."""
    return replay_lib.StreamReplay(
        spec=self.observation_spec,
        capacity=self.capacity,
        batch_size=self.config.batch_size,
        discount=self.config.discount,
        n_step=self.config.n_step,
        num_envs=self.num_envs,
        sampler=self.config.sampler,
        stacked=self.stacked)

  def init_observation(self, num_envs: int) -> Array:
    """Returns what environments show before their first time step."""
    spec = self.observation_spec
    return jnp.zeros((num_envs, *spec.shape), spec.dtype)

  def next_observation(
      self, observation: Array, timestep: vector.VectorTimeStep) -> Array:
    """Returns what environments show after a time step, [N, ...].

    Args:
      observation: what they showed before, [N, ...].
      timestep: each field [N, ...].
    """
    arrays = _on_device(timestep)
    if not self.stacked:
      return arrays.observation
    return jax.vmap(replay_lib.push)(
        observation, arrays.observation, arrays.first())

  def observe(
      self, state: TrainState, observation: Array, action: Int[Array, ' N'],
      timestep: vector.VectorTimeStep,
  ) -> TrainState:
    """Stores time steps, with the actions that led to them."""
    del observation  # It was stored when it arrived.
    arrays = _on_device(timestep)
    replay = self.replay.add(state.replay, replay_lib.Entry(
        observation=arrays.observation, action=action,
        reward=arrays.reward, discount=arrays.discount,
        is_first=arrays.first(), uid=self._next_uids(state)))
    return state._replace(
        replay=replay, num_transitions=state.num_transitions + self.num_envs)


def _on_device(timestep: vector.VectorTimeStep) -> Any:
  """Returns a time step as JAX arrays; on the host they are NumPy's."""
  return jax.tree.map(jnp.asarray, timestep)


def first_nonfinite(
    before: Int[Array, ''], first: Int[Array, ''],
    loss: Float[Array, ' updates'],
) -> Int[Array, '']:
  """Returns the number of the first update of non-finite loss, or -1.

  Args:
    before: the same of the updates before these.
    first: number of the first of these.
    loss: of these.
  """
  bad = ~jnp.isfinite(loss)
  found = jnp.where(
      jnp.any(bad), first + jnp.argmax(bad).astype(jnp.int32), -1)
  return jnp.where(before < 0, found, before).astype(jnp.int32)
