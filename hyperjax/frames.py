"""Stacks of frames, and a replay that keeps each frame once.

A transition between two stacks of four frames, n steps apart, is 8 frames of
which the replay of a stream holds all already: so it holds the stream, one
frame a step (7 kB on Atari), and puts stacks and n-step returns together when
it is sampled. On flashbax's trajectory buffer, whose ring has a time axis.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import flashbax as fbx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hyperjax import specs
from hyperjax import types

FrameReplayState = Any


def push(
    stack: Array, frame: Array, is_first: Bool[Array, '']) -> Array:
  """The stack after a new frame; the first of an episode fills it.

  Args:
    stack: oldest first, [stack, H, W].
    frame: [H, W].
    is_first: whether it is the first of its episode.
  """
  pushed = jnp.concatenate([stack[1:], frame[None]])
  return jnp.where(is_first, jnp.broadcast_to(frame, stack.shape), pushed)


class Entry(NamedTuple):
  """One time step of a stream, with the action that led to it.

  Attributes:
    frame: [H, W].
    action: taken before this time step, int32 []; means nothing at the first
      one of an episode, as reward and discount do.
    reward: float32 [].
    discount: the environment's, float32 [].
    is_first: whether an episode begins here, bool [].
    uid: of the transition that begins here, int32 [].
  """

  frame: Array
  action: Int[Array, '...']
  reward: Float[Array, '...']
  discount: Float[Array, '...']
  is_first: Bool[Array, '...']
  uid: Int[Array, '...']


@dataclasses.dataclass(frozen=True)
class FrameReplay:
  """A replay of N streams of frames; pure functions over its state.

  Batches are drawn uniformly, with replacement, from all transitions that the
  streams hold, but for those whose stack has lost its oldest frame to newer
  ones.

  Attributes:
    spec: of a stack, [stack, H, W].
    num_envs: N, streams that grow together.
    capacity: frames kept, of all streams together; the oldest are overwritten.
    batch_size: B, transitions in a sample.
    discount: gamma, of one step.
    n_step: steps of a return. It ends earlier where the episode or the life
      does, and at the newest frame.
  """

  spec: specs.ObservationSpec
  num_envs: int
  capacity: int
  batch_size: int
  discount: float
  n_step: int = 1

  def __post_init__(self):
    if len(self.spec.shape) != 3:
      raise ValueError(
          f'expected stacks of frames, [stack, H, W], got observations of '
          f'shape {self.spec.shape}')
    if self.n_step < 1:
      raise ValueError(f'n_step must be at least 1, got {self.n_step}')
    # One more: the newest step may begin a game.
    least = (self.stack + self.n_step + 1) * self.num_envs
    if self.capacity < least:
      raise ValueError(
          f'the capacity of a replay of {self.num_envs} streams must be at '
          f'least {least}, for a stack of {self.stack} and {self.n_step} steps '
          f'each, got {self.capacity}')

  @property
  def stack(self) -> int:
    """Frames in an observation."""
    return self.spec.shape[0]

  @property
  def length(self) -> int:
    """T, frames kept of each stream."""
    return self.capacity // self.num_envs

  @property
  def _buffer(self):
    # Only its ring is used: which sequences it would sample does not matter.
    return fbx.make_trajectory_buffer(
        add_batch_size=self.num_envs, sample_batch_size=self.batch_size,
        sample_sequence_length=1, period=1, min_length_time_axis=1,
        max_length_time_axis=self.length)

  def init(self) -> FrameReplayState:
    """An empty replay, allocated in full."""
    return self._buffer.init(Entry(
        frame=jnp.zeros(self.spec.shape[1:], self.spec.dtype),
        action=jnp.int32(0),
        reward=jnp.float32(0.),
        discount=jnp.float32(0.),
        is_first=jnp.bool_(False),
        uid=jnp.int32(0)))

  def add(self, state: FrameReplayState, entries: Entry) -> FrameReplayState:
    """Stores one time step of each stream; every field is [N, ...].

    The first one of a stream begins an episode.
    """
    return self._buffer.add(state, jax.tree.map(lambda x: x[:, None], entries))

  def sample(
      self, state: FrameReplayState, key: chex.PRNGKey) -> types.Transition:
    """Draws transitions [B]; the replay must hold at least one.

    A position is drawn again until a transition begins there.
    """
    entries = state.experience
    size = jnp.where(state.is_full, self.length, state.current_index)
    # The newest time step has no successor; in a ring that has come round, the
    # oldest ones have no stack.
    num_ages = size - 1 - jnp.where(state.is_full, self.stack - 1, 0)

    def draw(key):
      key_env, key_age = jax.random.split(key)
      env = jax.random.randint(key_env, (self.batch_size,), 0, self.num_envs)
      age = 1 + jax.random.randint(key_age, (self.batch_size,), 0, num_ages)
      return env, age

    def begins(env, age):
      return ~entries.is_first[env, self._position(state, age - 1)]

    def redraw(carry):
      key, env, age = carry
      key, key_draw = jax.random.split(key)
      accepted = begins(env, age)
      fresh_env, fresh_age = draw(key_draw)
      return (key, jnp.where(accepted, env, fresh_env),
              jnp.where(accepted, age, fresh_age))

    key, key_draw = jax.random.split(key)
    _, env, age = jax.lax.while_loop(
        lambda carry: ~jnp.all(begins(*carry[1:])), redraw,
        (key, *draw(key_draw)))
    return jax.vmap(self._transition, in_axes=(None, 0, 0))(state, env, age)

  def _position(self, state, age):
    return (state.current_index - 1 - age) % self.length

  def _transition(self, state, env, age) -> types.Transition:
    """The transition that begins `age` steps before the newest time step."""
    entries = state.experience
    ages = age - 1 - jnp.arange(self.n_step)
    following = self._position(state, ages)
    # Steps of this episode that have been taken.
    exists = (ages >= 0) & (jnp.cumsum(entries.is_first[env, following]) == 0)
    discounts = jnp.cumprod(jnp.where(
        exists, self.discount * entries.discount[env, following], 1.))
    weights = jnp.concatenate([jnp.ones(1), discounts[:-1]])
    # Those that count: none behind a lost life, which ends the return.
    counts = exists & (weights > 0.)
    rewards = jnp.where(counts, entries.reward[env, following], 0.)
    return types.Transition(
        observation=self._stack(state, env, age),
        action=entries.action[env, following[0]],
        reward=weights @ rewards,
        discount=discounts[-1],
        next_observation=self._stack(state, env, age - jnp.sum(counts)),
        uid=entries.uid[env, self._position(state, age)])

  def _stack(self, state, env, age) -> Array:
    """The observation, [stack, H, W], oldest frame first."""
    back = jnp.arange(self.stack)
    is_first = state.experience.is_first[
        env, self._position(state, age + back)]
    # Frames before the first of the episode are that one.
    begin = jnp.where(jnp.any(is_first), jnp.argmax(is_first), self.stack)
    position = self._position(state, age + jnp.minimum(back, begin)[::-1])
    return state.experience.frame[env, position]

  def num_bytes(self) -> int:
    """Memory of one replay, in bytes; nothing is allocated to find out."""
    return sum(x.size * x.dtype.itemsize
               for x in jax.tree.leaves(jax.eval_shape(self.init)))
