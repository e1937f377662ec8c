"""A ring of transitions, on flashbax.

Observations are stored as the environment returns them, so an encoded
observation (a DeepSea cell is one integer) keeps the replay small.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import flashbax as fbx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from hyperjax import arrays
from hyperjax import faults
from hyperjax import schedules
from hyperjax import specs
from hyperjax import types
from hyperjax.replay import returns
from hyperjax.replay import samplers
from hyperjax.replay import storage


class Stored(NamedTuple):
  """An entry of the ring.

  Attributes:
    transition: transition of one step.
    is_last: whether its episode ends with this step, by termination or
      truncation.
  """

  transition: types.Transition
  is_last: Bool[Array, '...']


@dataclasses.dataclass(frozen=True)
class TransitionReplay(storage.SampledReplay):
  """A replay of transitions; pure functions of a `storage.ReplayState`.

  Attributes:
    spec: spec of the observations.
    capacity: number of transitions kept; the oldest are overwritten.
    batch_size: B, number of transitions in a sample.
    n_step: n, number of steps of a return, or a schedule of it. A return ends
      earlier at the end of the episode and at the newest transition.
    num_envs: N, number of environments whose transitions are added together.
    sampler: distribution of the draws.
    discount: factor of each stored discount, or a schedule of it; 1 if what is
      stored has gamma in it.
    sequence_length: K, number of steps of the sequences in a batch; 0 for none.

  Raises:
    ValueError: if a size is invalid, or the capacity holds fewer than n or K
      steps of each environment.
  """

  spec: specs.ObservationSpec
  capacity: int
  batch_size: int
  n_step: int | schedules.Linear = 1
  num_envs: int = 1
  sampler: samplers.Sampler = samplers.Uniform()
  discount: float | schedules.Schedule = 1.
  sequence_length: int = 0

  def __post_init__(self):
    super().__post_init__()
    if self.num_following * self.num_envs > self.capacity:
      raise ValueError(
          f'the capacity of a replay of {self.num_envs} environments and '
          f'{self.num_following} steps must be at least '
          f'{self.num_following * self.num_envs}, got {self.capacity}')

  @property
  def _buffer(self):
    # Only the ring and `add` are used.
    return fbx.make_trajectory_buffer(
        add_batch_size=1, sample_batch_size=1, sample_sequence_length=1,
        period=1, min_length_time_axis=1, max_length_time_axis=self.capacity)

  def _empty(self) -> types.Transition:
    """Returns a transition of zeros."""
    return types.Transition(
        observation=self.spec.zeros(),
        action=jnp.int32(0),
        reward=jnp.float32(0.),
        discount=jnp.float32(0.),
        next_observation=self.spec.zeros(),
        uid=jnp.int32(0))

  def init(self) -> storage.ReplayState:
    """Returns an empty replay, allocated in full."""
    ring = self._buffer.init(Stored(self._empty(), is_last=jnp.bool_(False)))
    return storage.ReplayState(
        ring, self.sampler.init(self.capacity), faults.none())

  def add(
      self, state: storage.ReplayState, transitions: types.Transition,
      is_last: Bool[Array, ' N'] | None = None,
  ) -> storage.ReplayState:
    """Stores the transitions of one step of N environments.

    Args:
      state: state before.
      transitions: transitions of one step each, [N]. For returns and sequences
        of one step any number up to the capacity is accepted.
      is_last: whether each transition ends its episode, bool [N]. Required for
        more than one step.

    Raises:
      ValueError: if the number of transitions, a shape or the kind of a number
        is wrong, or `is_last` is missing.
    """
    num = arrays.leading_axis(transitions)
    transitions = storage.check_entries(
        transitions, jax.eval_shape(self._empty), num)
    if self.num_following > 1 and (is_last is None or num != self.num_envs):
      raise ValueError(
          f'returns or sequences of {self.num_following} steps need the '
          f'transitions of all {self.num_envs} environments and is_last, got '
          f'{num} transitions and is_last {is_last}')
    if num > self.capacity:
      raise ValueError(
          f'expected at most {self.capacity} transitions, the capacity of the '
          f'replay, got {num}')
    if is_last is None:
      is_last = jnp.zeros(num, bool)
    is_last = arrays.check_array('is_last', is_last, (num,), bool)
    ring = self._buffer.add(state.ring, jax.tree.map(
        lambda x: x[None], Stored(transitions, is_last)))
    slots = (state.ring.current_index + jnp.arange(num)) % self.capacity
    return state._replace(ring=ring, sampler=self.sampler.add(
        state.sampler, slots, jnp.ones(num, bool)))

  def end_episodes(self, state: storage.ReplayState) -> storage.ReplayState:
    """Truncates the episodes after the newest transition of each environment.

    For episodes that were abandoned. Returns and sequences of several steps
    then end there, as they would run on into the next episodes otherwise.
    """
    newest = storage.newest_position(state.ring, self.capacity)
    slots = (newest - jnp.arange(self.num_envs)) % self.capacity
    stored = state.ring.experience
    ring = state.ring.replace(experience=stored._replace(
        is_last=stored.is_last.at[0, slots].set(True)))
    return state._replace(ring=ring)

  def sample(
      self, state: storage.ReplayState, key: chex.PRNGKey,
      num_updates: Int[Array, ''] | None = None,
  ) -> types.Batch:
    """Draws transitions [B], see `storage.Replay`.

    Raises:
      ValueError: if the replay is empty; in a compiled program the batch's
        `faults` tell it. If there is a schedule, but no number of updates.
    """
    n, discount = self._current(num_updates)
    ring = samplers.Drawable(
        num_streams=1, length=self.capacity,
        newest=storage.newest_position(state.ring, self.capacity),
        first_age=0, num_ages=storage.ring_size(state.ring, self.capacity))
    found = storage.check_holds(ring.num_ages > 0)
    slots = self.sampler.sample(state.sampler, key, self.batch_size, ring)
    if self.max_n_step == 1:
      transitions = jax.tree.map(
          lambda x: x[0, slots], state.ring.experience.transition)
      if self.discount != 1.:
        transitions = transitions._replace(
            discount=discount * transitions.discount)
    else:
      transitions = jax.vmap(self._n_step, in_axes=(None, None, 0, None, None))(
          state, ring.newest, slots, n, discount)
    sequences = None
    if self.sequence_length:
      sequences = jax.vmap(self._sequence, in_axes=(None, None, 0))(
          state, ring.newest, slots)
    return types.Batch(
        transitions, self.sampler.weights(state.sampler, slots, ring), slots,
        found, sequences)

  def _following(
      self, state: storage.ReplayState, newest: Int[Array, ''],
      slot: Int[Array, ''], num: int,
  ) -> tuple[Int[Array, ' num'], Bool[Array, ' num']]:
    """Returns the positions of the steps from a slot on, and which exist."""
    age = (newest - slot) % self.capacity
    # The next step of the same environment is N slots later.
    ages = age - self.num_envs * jnp.arange(num)
    position = (newest - ages) % self.capacity
    is_last = state.ring.experience.is_last[0, position]
    ended = jnp.cumsum(is_last) - is_last  # Before the step.
    return position, (ages >= 0) & (ended == 0)

  def _sequence(
      self, state: storage.ReplayState, newest: Int[Array, ''],
      slot: Int[Array, ''],
  ) -> types.Sequences:
    """Returns the K steps from a slot on, without the axis of the batch."""
    stored = state.ring.experience.transition
    position, exists = self._following(
        state, newest, slot, self.sequence_length)
    exists, steps = returns.sequence_steps(exists, stored.discount[0, position])
    position = position[steps]
    return types.Sequences(
        stored.action[0, position], stored.next_observation[0, position],
        exists)

  def _n_step(
      self, state: storage.ReplayState, newest: Int[Array, ''],
      slot: Int[Array, ''], n: Any, discount: Any,
  ) -> types.Transition:
    """Returns the transition of up to n steps that begins in a slot."""
    stored = state.ring.experience
    position, exists = self._following(state, newest, slot, self.max_n_step)
    discounts = stored.transition.discount[0, position]
    if callable(self.n_step):
      exists &= jnp.arange(self.max_n_step) < n
    if self.discount != 1.:
      discounts = discount * discounts
    result = returns.n_step_return(
        stored.transition.reward[0, position], discounts, exists)
    first = jax.tree.map(lambda x: x[0, slot], stored.transition)
    last = position[result.num_steps - 1]
    return first._replace(
        reward=result.reward, discount=result.discount,
        next_observation=stored.transition.next_observation[0, last])
