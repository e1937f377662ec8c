"""Trainer of an agent with a replay, as pure functions that loops run.

A loop knows the environments; a trainer (`hyperjax.loops.Trainer`) determines
the warm-up, what is stored, when the agent learns, and its evaluation. So an
agent learns in the same way in a compiled loop and in a loop written elsewhere
(`hyperjax.adapters`). The order of a step is

  act (at random for the first `warmup_steps` steps), observe the outcome, and
  learn after every `update_period` steps.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from hyperjax import arrays
from hyperjax import checks
from hyperjax import networks
from hyperjax import replay as replay_lib
from hyperjax import reward_scale as reward_scale_lib
from hyperjax import specs
from hyperjax import types
from hyperjax.agents import guards
from hyperjax.replay import storage


class TrainState(NamedTuple):
  """State of one agent with its replay.

  Attributes:
    learner: learner's state, see `types.LearnerState`.
    actor: actor's state, see `types.ActorState`.
    replay: replay of all its environments, see `storage.ReplayState`.
    num_transitions: number of transitions observed, which is the next uid,
      int32 [].
    replay_key: PRNG key, constant; the batch of update t is a function of
      (replay_key, t).
    reward_scale: statistics of the rewards, see `hyperjax.reward_scale`; None
      for an agent without `reward_scaling`.
  """

  learner: types.LearnerState
  actor: types.ActorState
  replay: storage.ReplayState
  num_transitions: Int[Array, '...']
  replay_key: chex.PRNGKey
  reward_scale: reward_scale_lib.RewardScale | None = None


@dataclasses.dataclass(frozen=True)
class ReplayTrainer:
  """One agent with a replay of transitions; pure functions of a `TrainState`.

  Attributes:
    agent: agent, see `types.Agent`. The trainer reads the fields `batch_size`,
      `n_step`, `discount`, `reward_scaling`, `sampler`, `replay_capacity`,
      `warmup_steps`, `update_period`, `updates_per_period` and, if there are
      such, `sequence_length` and `resets` of its config, see `agents.TDConfig`.
    num_envs: N, number of environments of the agent.
    replay_capacity: number of transitions kept; by default that of the agent's
      config. A shorter run needs no more than its length.

  Raises:
    ValueError: if replay and agent do not fit.
  """

  agent: types.Agent
  num_envs: int = 1
  replay_capacity: int | None = None

  def __post_init__(self):
    checks.fields(
        self, agent=checks.component(types.Agent), num_envs=checks.COUNT,
        replay_capacity=checks.optional(checks.integer(1, 2**63 - 1)))
    if 1 <= self.capacity < self.num_envs:
      raise ValueError(
          f'the replay must hold a transition of each environment: expected '
          f'num_envs of at most {self.capacity}, its capacity, got '
          f'{self.num_envs}')
    _ = self.replay  # Checks the sizes now instead of at the first trace.
    if self.config.sampler.needs_losses and 'losses' not in (
        metrics := guards.names_of_metrics(self.agent)):
      raise ValueError(
          f"the sampler {self.config.sampler} asks for metrics['losses'], of "
          f"each transition, but the agent's update gives {metrics} alone")

  @property
  def config(self) -> Any:
    """Config of the agent."""
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
    return self.replay_capacity or self.config.replay_capacity

  @property
  def replay(self) -> replay_lib.TransitionReplay:
    """Replay of the agent."""
    return self._replay(self.config.batch_size, self.config.sampler)

  def _replay(self, batch_size: int, sampler: Any):
    config = self.config
    return replay_lib.TransitionReplay(
        self.observation_spec, self.capacity, batch_size, config.n_step,
        self.num_envs, sampler,
        discount=1. if self._stores_discount else config.discount,
        sequence_length=getattr(config, 'sequence_length', 0))

  @property
  def _stores_discount(self) -> bool:
    return not callable(self.config.discount)  # A schedule counts when drawn.

  @property
  def total_envs(self) -> int:
    """Number of environments of the agent, also where parts of it have N."""
    return self.num_envs

  @property
  def warmup_steps(self) -> int:
    """The config's `warmup_steps`, rounded up to whole periods of all envs."""
    period = self.update_period
    return period * -(-self.config.warmup_steps // (self.total_envs * period))

  @property
  def update_period(self) -> int:
    """See `Trainer`.

    At least 1: a step of more environments than that is followed by one round.
    """
    return max(1, self.config.update_period // self.total_envs)

  def init(
      self, key: chex.PRNGKey, legal: Bool[Array, ' A'] | None = None
  ) -> TrainState:
    """Returns the agent before its first step, with an empty replay.

    Args:
      key: PRNG key of the run.
      legal: mask of the environment's actions, bool [A]; None for all.

    Raises:
      ValueError: if the mask is not bool [A].
    """
    key_learner, key_actor, key_replay = jax.random.split(key, 3)
    learner = self.agent.init(key_learner)
    if legal is not None:
      legal = arrays.check_array(
          'the mask of the legal actions', legal, (self.num_actions,), bool)
      learner = learner._replace(
          params=networks.with_legal_actions(learner.params, legal))
    return TrainState(
        learner=learner,
        actor=self.agent.init_actor(key_actor, self.num_envs),
        replay=self.replay.init(),
        num_transitions=jnp.int32(0), replay_key=key_replay,
        reward_scale=reward_scale_lib.init()
        if self.config.reward_scaling else None)

  def warm_up(self, state: TrainState) -> tuple[TrainState, Int[Array, ' N']]:
    """Chooses uniformly random actions, int32 [N]."""
    actor, action = self.agent.select_random_action(
        state.learner.params, state.actor)
    return state._replace(actor=actor), action

  def act(
      self, state: TrainState, observation: Array, is_first: Bool[Array, ' N']
  ) -> tuple[TrainState, Int[Array, ' N']]:
    """Chooses the agent's actions, see `Trainer`."""
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
    """Stores the outcome of actions, see `Trainer`."""
    discount = self.config.discount if self._stores_discount else 1.
    replay = self.replay.add(
        state.replay,
        types.Transition(
            observation=observation,
            action=action,
            reward=timestep.reward,
            discount=(discount * timestep.discount).astype(jnp.float32),
            next_observation=timestep.observation,
            uid=self._next_uids(state)),
        is_last=timestep.last())
    return self._observed(state, replay, timestep)

  def _observed(
      self, state: TrainState, replay: storage.ReplayState, timestep: Any
  ) -> TrainState:
    """Returns the state after time steps that were added to the replay."""
    scale = state.reward_scale
    if scale is not None:
      scale = reward_scale_lib.observe(scale, timestep)
    return state._replace(
        replay=replay, reward_scale=scale,
        num_transitions=state.num_transitions + self.total_envs)

  def update(
      self, learner: types.LearnerState, replay: storage.ReplayState,
      replay_key: chex.PRNGKey,
      scale: reward_scale_lib.RewardScale | None = None,
  ) -> tuple[types.LearnerState, storage.ReplayState, types.Metrics]:
    """Makes one update, on a batch that is a function of key and number.

    Args:
      learner: learner's state before the update.
      replay: state of `self.replay`, of which only priorities change.
      replay_key: PRNG key, `TrainState.replay_key`.
      scale: statistics of the rewards, `TrainState.reward_scale`.

    Returns:
      The next learner and replay, and the metrics of `types.Agent.update`.
    """
    key = jax.random.fold_in(replay_key, learner.steps)
    resets = getattr(self.config, 'resets', None)
    batch = self.replay.sample(
        replay, key, resets.since(learner.steps) if resets else learner.steps)
    if batch.faults is not None:  # Not every agent keeps them.
      replay = replay._replace(faults=replay.faults | batch.faults)
    if scale is not None:
      batch = reward_scale_lib.scaled(scale, batch)
    learner, metrics = self.agent.update(learner, batch)
    if self.config.sampler.needs_losses and 'losses' in metrics:
      replay = self.replay.update_priorities(replay, batch, metrics['losses'])
    return learner, replay, metrics

  def learn(
      self, state: TrainState, unroll: bool = False
  ) -> tuple[TrainState, types.Metrics]:
    """Makes the `updates_per_period` updates of one period, on fresh batches.

    Args:
      state: state before the updates.
      unroll: whether XLA may unroll the loop: faster in a program of its own.
        With `observe` in the program, XLA for CPUs would copy the whole replay.

    Returns:
      The state after the updates, and the metrics of each except 'losses',
      float32 [updates_per_period].
    """

    def update(carry, _):
      learner, replay = carry
      learner, replay, metrics = self.update(
          learner, replay, state.replay_key, state.reward_scale)
      return (learner, replay), {
          name: x for name, x in metrics.items() if name != 'losses'}

    carry, count = (state.learner, state.replay), self.config.updates_per_period
    if unroll:
      carry, metrics = jax.lax.scan(update, carry, length=count)
    else:
      metrics = jax.tree.map(lambda x: jnp.zeros((count, *x.shape), x.dtype),
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
