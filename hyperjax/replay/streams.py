"""Streams of time steps: a replay that stores each observation once.

Two stacks of four frames, n steps apart, consist of 8 frames that occur in
other stacks too. So the replay stores one frame per step (7 kB on Atari) and
assembles stacks and n-step returns when it is sampled. Observations that are
not stacks are stored whole, once instead of twice. The storage is flashbax's
trajectory buffer, whose ring has a time axis.
"""

import dataclasses
from typing import NamedTuple

import chex
import flashbax as fbx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hyperjax import checks
from hyperjax import faults
from hyperjax import schedules
from hyperjax import specs
from hyperjax import types
from hyperjax.replay import returns
from hyperjax.replay import samplers
from hyperjax.replay import storage


def push(stack: Array, frame: Array, is_first: Bool[Array, '']) -> Array:
  """Returns the stack after a new frame; the first of an episode fills it.

  Args:
    stack: stack of frames, oldest first, [stack, H, W].
    frame: new frame, [H, W].
    is_first: whether the frame is the first of its episode, bool [].
  """
  pushed = jnp.concatenate([stack[1:], frame[None]])
  return jnp.where(is_first, jnp.broadcast_to(frame, stack.shape), pushed)


class Entry(NamedTuple):
  """One time step of a stream, with the action that led to it.

  Attributes:
    observation: frame [H, W] if observations are stacks of frames, else the
      whole observation.
    action: action before this time step, int32 []. At a first time step action,
      reward and discount are meaningless.
    reward: reward of the action, float32 [].
    discount: environment's discount, float32 [].
    is_first: whether the time step begins an episode, bool [].
    uid: uid of the transition that begins at this time step, int32 [].
  """

  observation: Array
  action: Int[Array, '...']
  reward: Float[Array, '...']
  discount: Float[Array, '...']
  is_first: Bool[Array, '...']
  uid: Int[Array, '...']


# Of a slot by its sampler, before it is drawn uniformly.
_MAX_DRAWS = 20
# In a replay with transitions, one begins in about every second slot or more.
_LAST_DRAW = 1000


@dataclasses.dataclass(frozen=True)
class StreamReplay(storage.SampledReplay):
  """A replay of N streams; pure functions of a `storage.ReplayState`.

  Batches are drawn from all transitions in the streams, except those whose
  oldest frame has been overwritten.

  Attributes:
    spec: spec of an observation.
    capacity: number of time steps kept, in all streams together; the oldest are
      overwritten.
    batch_size: B, number of transitions in a sample.
    discount: gamma per step, or a schedule of it.
    n_step: n, number of steps of a return, or a schedule of it. A return ends
      earlier at the end of the episode or life, and at the newest time step.
    num_envs: N, number of streams, which grow together.
    sampler: distribution of the draws.
    stacked: whether an observation is a stack [stack, H, W] of stored frames.
    sequence_length: K, number of steps of the sequences in a batch; 0 for none.

  Raises:
    ValueError: if a size is invalid, or `stacked` does not fit the spec.
  """

  spec: specs.ObservationSpec
  capacity: int
  batch_size: int
  discount: float | schedules.Schedule
  n_step: int | schedules.Linear = 1
  num_envs: int = 1
  sampler: samplers.Sampler = samplers.Uniform()
  stacked: bool = False
  sequence_length: int = 0

  def __post_init__(self):
    super().__post_init__()
    checks.fields(self, 'a replay', stacked=checks.flag)
    if self.stacked and len(self.spec.shape) != 3:
      raise ValueError(
          f'expected stacks of frames, [stack, H, W], got observations of '
          f'shape {self.spec.shape}')
    # One more step, since the newest one may begin an episode.
    least = (self.stack + self.num_following + 1) * self.num_envs
    if self.capacity < least:
      raise ValueError(
          f'the capacity of a replay of {self.num_envs} streams must be at '
          f'least {least}, for a stack of {self.stack} and '
          f'{self.num_following} steps each, got {self.capacity}')

  @property
  def stack(self) -> int:
    """Number of frames in an observation."""
    return self.spec.shape[0] if self.stacked else 1

  @property
  def length(self) -> int:
    """T, number of time steps kept per stream."""
    return self.capacity // self.num_envs

  @property
  def _buffer(self):
    # Only the ring and `add` are used.
    return fbx.make_trajectory_buffer(
        add_batch_size=self.num_envs, sample_batch_size=1,
        sample_sequence_length=1, period=1, min_length_time_axis=1,
        max_length_time_axis=self.length)

  def _empty(self) -> Entry:
    """Returns a time step of zeros."""
    shape = self.spec.shape[1:] if self.stacked else self.spec.shape
    return Entry(
        observation=jnp.zeros(shape, self.spec.dtype),
        action=jnp.int32(0),
        reward=jnp.float32(0.),
        discount=jnp.float32(0.),
        is_first=jnp.bool_(False),
        uid=jnp.int32(0))

  def init(self) -> storage.ReplayState:
    """Returns an empty replay, allocated in full."""
    return storage.ReplayState(
        self._buffer.init(self._empty()),
        self.sampler.init(self.num_envs * self.length), faults.none())

  def add(
      self, state: storage.ReplayState, entries: Entry) -> storage.ReplayState:
    """Stores one time step of each stream; every field is [N, ...].

    The first time step of a stream must begin an episode.

    Raises:
      ValueError: if a shape or the kind of a number is wrong.
    """
    entries = storage.check_entries(
        entries, jax.eval_shape(self._empty), self.num_envs)
    ring = self._buffer.add(
        state.ring, jax.tree.map(lambda x: x[:, None], entries))
    streams = self.length * jnp.arange(self.num_envs)
    newest = state.ring.current_index
    never = jnp.zeros(self.num_envs, bool)
    # The new time steps end a transition; none begins with them as yet.
    changed = [(newest, never), (newest - 1, ~entries.is_first)]
    if self.stack > 1:
      # What has just lost the oldest frame of its stack.
      changed.append((newest + self.stack - 1, never))
    positions, drawable = zip(*changed, strict=True)
    return state._replace(ring=ring, sampler=self.sampler.add(
        state.sampler,
        jnp.concatenate([streams + p % self.length for p in positions]),
        jnp.concatenate(drawable)))

  def _drawable(self, state: storage.ReplayState) -> samplers.Drawable:
    # The newest time step has no successor, and the oldest ones of a full ring
    # have no stack (nor are they drawn in the few steps before it is full).
    size = storage.ring_size(state.ring, self.length)
    return samplers.Drawable(
        num_streams=self.num_envs, length=self.length,
        newest=storage.newest_position(state.ring, self.length), first_age=1,
        num_ages=jnp.minimum(size - 1, self.length - self.stack))

  def sample(
      self, state: storage.ReplayState, key: chex.PRNGKey,
      num_updates: Int[Array, ''] | None = None,
  ) -> types.Batch:
    """Draws transitions [B], see `storage.Replay`.

    A slot is drawn again until a transition begins there, after a while
    uniformly: none may begin in the few slots that a sampler prefers. If none
    is found at all, the replay counts as empty.

    Raises:
      ValueError: if the replay is empty; in a compiled program the batch's
        `faults` tell it. If there is a schedule, but no number of updates.
    """
    n, discount = self._current(num_updates)
    ring = self._drawable(state)
    is_first = state.ring.experience.is_first.reshape(-1)

    def draw(key):
      return self.sampler.sample(state.sampler, key, self.batch_size, ring)

    def begins(slots):
      age = (ring.newest - slots) % self.length
      follower = ring.slots(slots // self.length, age - 1)
      return (age >= 1) & (age <= ring.num_ages) & ~is_first[follower]

    def redraw(carry):
      key, slots, num_draws = carry
      key, key_draw = jax.random.split(key)
      fresh = jnp.where(
          num_draws < _MAX_DRAWS, draw(key_draw),
          ring.uniform(key_draw, (self.batch_size,)))
      return key, jnp.where(begins(slots), slots, fresh), num_draws + 1

    key, key_draw = jax.random.split(key)
    _, slots, _ = jax.lax.while_loop(
        lambda carry: ~jnp.all(begins(carry[1])) & (carry[2] < _LAST_DRAW),
        redraw, (key, draw(key_draw), jnp.int32(1)))
    found = storage.check_holds(jnp.all(begins(slots)))
    envs, ages = slots // self.length, (ring.newest - slots) % self.length
    transitions = jax.vmap(self._transition, in_axes=(None, 0, 0, None, None))(
        state, envs, ages, n, discount)
    sequences = None
    if self.sequence_length:
      sequences = jax.vmap(self._sequence, in_axes=(None, 0, 0))(
          state, envs, ages)
    return types.Batch(
        transitions, self.sampler.weights(state.sampler, slots, ring), slots,
        found, sequences)

  def _position(self, state, age):
    return (state.ring.current_index - 1 - age) % self.length

  def _following(self, state, env, age, num):
    """Returns the positions of the time steps after one, and which exist."""
    ages = age - 1 - jnp.arange(num)
    following = self._position(state, ages)
    # The steps of this episode that the stream holds.
    is_first = state.ring.experience.is_first[env, following]
    return following, (ages >= 0) & (jnp.cumsum(is_first) == 0)

  def _sequence(self, state, env, age) -> types.Sequences:
    """Returns the K steps after a time step, without the axis of the batch."""
    entries = state.ring.experience
    following, exists = self._following(state, env, age, self.sequence_length)
    exists, steps = returns.sequence_steps(
        exists, entries.discount[env, following])
    return types.Sequences(
        entries.action[env, following[steps]],
        jax.vmap(self._observation, in_axes=(None, None, 0))(
            state, env, age - 1 - steps),
        exists)

  def _transition(self, state, env, age, n, discount) -> types.Transition:
    """Returns the transition that begins `age` steps before the newest one."""
    entries = state.ring.experience
    following, exists = self._following(state, env, age, self.max_n_step)
    if callable(self.n_step):
      exists &= jnp.arange(self.max_n_step) < n
    result = returns.n_step_return(
        entries.reward[env, following],
        discount * entries.discount[env, following], exists)
    return types.Transition(
        observation=self._observation(state, env, age),
        action=entries.action[env, following[0]],
        reward=result.reward,
        discount=result.discount,
        next_observation=self._observation(state, env, age - result.num_steps),
        uid=entries.uid[env, self._position(state, age)])

  def _observation(self, state, env, age) -> Array:
    """Returns the observation at a time step, a stack oldest frame first."""
    entries = state.ring.experience
    if not self.stacked:
      return entries.observation[env, self._position(state, age)]
    back = jnp.arange(self.stack)
    is_first = entries.is_first[env, self._position(state, age + back)]
    # The first frame of the episode stands for those before it.
    begin = jnp.where(jnp.any(is_first), jnp.argmax(is_first), self.stack)
    position = self._position(state, age + jnp.minimum(back, begin)[::-1])
    return entries.observation[env, position]
