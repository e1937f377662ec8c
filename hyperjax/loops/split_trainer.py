"""Trainer of an agent that is spread over the devices of one run."""

import dataclasses
import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from hyperjax import data_parallel
from hyperjax import replay as replay_lib
from hyperjax import reward_scale as reward_scale_lib
from hyperjax import types
from hyperjax.agents import td
from hyperjax.loops import trainer as trainer_lib
from hyperjax.loops.trainer import TrainState
from hyperjax.replay import samplers
from hyperjax.replay import storage


@dataclasses.dataclass(frozen=True)
class SplitTrainer(trainer_lib.ReplayTrainer):
  """One of the D parts of a `ReplayTrainer`.

  Its methods are called in a program that binds `data_parallel.AXIS` to D
  parts. They see the environments, the replay and the batch of one part; the
  learner and all counters are those of the agent, equal on all parts.

  Attributes:
    agent: `agents.td.TDAgent`, without `lazy_adam`.
    num_envs: number of environments of one part, N / D.
    replay_capacity: number of transitions that one part keeps.
    num_parts: D.

  Raises:
    ValueError: if the agent cannot be split, or the parts do not divide it.
  """

  num_parts: int = 1

  def __post_init__(self):
    # An agent of another class may not average its gradients.
    if not isinstance(self.agent, td.TDAgent):
      raise ValueError(
          f'devices_per_seed {self.num_parts} needs an agent that is an '
          f'agents.td.TDAgent, got {type(self.agent).__name__}')
    if self.config.lazy_adam:
      raise ValueError(
          f'devices_per_seed {self.num_parts} needs lazy_adam False, got True: '
          f'the rows that a batch reads are known on its own device alone')
    check_divides('batch_size', self.config.batch_size, self.num_parts)
    super().__post_init__()

  @property
  def total_envs(self) -> int:
    """See `ReplayTrainer`."""
    return self.num_envs * self.num_parts

  @property
  def replay(self) -> replay_lib.TransitionReplay:
    """Replay of one part."""
    batch_size = self.config.batch_size
    return self._replay(
        batch_size // self.num_parts,
        _of_part(self.config.sampler, batch_size, self.num_parts))

  @functools.cache  # It traces `init`, and every program asks for it.
  def specs(self, runs: str | None) -> Any:
    """Returns how the parts share a state: a prefix of its tree.

    Args:
      runs: name of the mesh axis of runs, which is the first of every leaf.

    Returns:
      Partition specs of leaves with a leading axis of runs.
    """
    whole: Any = jax.P(runs)  # In the place of arrays.
    split: Any = jax.P(runs, data_parallel.AXIS)
    shapes = jax.eval_shape(self.init, jax.random.key(0))
    return TrainState(
        learner=whole,
        actor=types.ActorState(index=split, key=whole, steps=whole),
        replay=storage.ReplayState(
            ring=shapes.replay.ring.replace(
                experience=jax.P(runs, None, data_parallel.AXIS),
                current_index=whole, is_full=whole),
            sampler=split, faults=whole),
        num_transitions=whole,
        replay_key=whole,
        reward_scale=split if shapes.reward_scale is not None else None)

  def init(
      self, key: chex.PRNGKey, legal: Bool[Array, ' A'] | None = None
  ) -> TrainState:
    """See `ReplayTrainer`; the acting indices differ between parts."""
    state = super().init(key, legal)
    _, key_actor, _ = jax.random.split(key, 3)
    own = self.agent.init_actor(
        data_parallel.own_key(key_actor), self.num_envs)
    return state._replace(actor=state.actor._replace(index=own.index))

  def warm_up(self, state: TrainState) -> tuple[TrainState, Int[Array, ' n']]:
    """See `ReplayTrainer`; draws by a key of this part."""
    after, action = super().warm_up(_with_own_key(state))
    return _with_next_key(after, state), action

  def act(
      self, state: TrainState, observation: Array, is_first: Bool[Array, ' n']
  ) -> tuple[TrainState, Int[Array, ' n']]:
    """See `ReplayTrainer`; draws by a key of this part."""
    after, action = super().act(_with_own_key(state), observation, is_first)
    return _with_next_key(after, state), action

  def _next_uids(self, state: TrainState) -> Int[Array, ' n']:
    # As of environments part * n, part * n + 1, ... of all N.
    return super()._next_uids(state) + jnp.int32(
        data_parallel.part() * self.num_envs)

  def update(
      self, learner: types.LearnerState, replay: storage.ReplayState,
      replay_key: chex.PRNGKey,
      scale: reward_scale_lib.RewardScale | None = None,
  ) -> tuple[types.LearnerState, storage.ReplayState, types.Metrics]:
    """See `ReplayTrainer`; the batch is drawn from the replay of this part."""
    return super().update(
        learner, replay, data_parallel.own_key(replay_key), scale)

  def learn(
      self, state: TrainState, unroll: bool = False
  ) -> tuple[TrainState, types.Metrics]:
    """See `ReplayTrainer`; the scale is that of the rewards of all parts."""
    scale = state.reward_scale
    if scale is not None:
      state = state._replace(reward_scale=reward_scale_lib.of_parts(scale))
    state, metrics = super().learn(state, unroll)
    return state._replace(reward_scale=scale), metrics


def check_divides(name: str, value: int, num_parts: int):
  """Raises ValueError if D devices cannot have equal parts of something."""
  if value % num_parts:
    raise ValueError(
        f'devices_per_seed must divide {name}, {value}, got {num_parts}')


def _of_part(
    sampler: samplers.Sampler, batch_size: int, num_parts: int
) -> samplers.Sampler:
  """Returns the sampler of one part.

  Raises:
    ValueError: if what it draws from a part is not what it is to draw.
  """
  of_part = getattr(sampler, 'of_part', None)
  if of_part is None:
    raise ValueError(
        f'devices_per_seed {num_parts} needs a sampler with the method '
        f'of_part, such as Uniform or Mixed, got sampler {sampler}')
  return of_part(batch_size, num_parts)


def _with_own_key(state: TrainState) -> TrainState:
  return state._replace(actor=state.actor._replace(
      key=data_parallel.own_key(state.actor.key)))


def _with_next_key(after: TrainState, before: TrainState) -> TrainState:
  """Returns the state with a key that is again equal on all parts."""
  # No part has this number.
  key = jax.random.fold_in(before.actor.key, data_parallel.num_parts())
  return after._replace(actor=after.actor._replace(key=key))
