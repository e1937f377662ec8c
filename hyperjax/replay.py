"""Replay: a thin layer over flashbax's item buffer.

A ring of transitions from which batches are drawn uniformly with replacement,
a part of each, if so wished, from the newest alone (after Zhang and Sutton,
2017, "A deeper look at experience replay", who add the very newest one): what
has just been found is learned while it is news.
Observations are stored as the environment gives them, so an encoded one (a
DeepSea cell is one integer) keeps the replay small.
"""

import dataclasses
from typing import Any

import chex
import flashbax as fbx
import jax
import jax.numpy as jnp
import psutil

from hyperjax import specs
from hyperjax import types

ReplayState = Any


@dataclasses.dataclass(frozen=True)
class Replay:
  """A replay of transitions; pure functions over a `ReplayState`.

  Attributes:
    spec: of the observations.
    capacity: transitions kept; the oldest are overwritten.
    batch_size: B, transitions in a sample.
    recent_fraction: of a sample, that is drawn from the `recent_window` newest.
    recent_window: in transitions.
  """

  spec: specs.ObservationSpec
  capacity: int
  batch_size: int
  recent_fraction: float = 0.
  recent_window: int = 1000

  def __post_init__(self):
    if self.batch_size > self.capacity:
      raise ValueError(
          f'batch_size must be at most the capacity of the replay, '
          f'{self.capacity}, got {self.batch_size}')

  @property
  def _buffer(self):
    return fbx.make_item_buffer(
        max_length=self.capacity, min_length=1,
        sample_batch_size=self.batch_size, add_batches=True)

  def init(self) -> ReplayState:
    """An empty replay, allocated in full."""
    return self._buffer.init(types.Transition(
        observation=self.spec.zeros(),
        action=jnp.int32(0),
        reward=jnp.float32(0.),
        discount=jnp.float32(0.),
        next_observation=self.spec.zeros(),
        uid=jnp.int32(0)))

  def add(
      self, state: ReplayState, transitions: types.Transition) -> ReplayState:
    """Stores transitions [N]; N is at most the capacity."""
    return self._buffer.add(state, transitions)

  def sample(self, state: ReplayState, key: chex.PRNGKey) -> types.Transition:
    """Draws transitions [B]; the replay must not be empty."""
    num_recent = round(self.recent_fraction * self.batch_size)
    if not num_recent:
      return self._buffer.sample(state, key).experience
    size = jnp.where(state.is_full, self.capacity, state.current_index)
    is_recent = jnp.arange(self.batch_size) < num_recent
    oldest = jnp.where(
        is_recent, jnp.minimum(size, self.recent_window), size)
    age = jax.random.randint(key, (self.batch_size,), 0, oldest)
    position = (state.current_index - 1 - age) % self.capacity
    return jax.tree.map(lambda x: x[0, position], state.experience)

  def num_bytes(self) -> int:
    """Memory of one replay, in bytes; nothing is allocated to find out."""
    return sum(x.size * x.dtype.itemsize
               for x in jax.tree.leaves(jax.eval_shape(self.init)))


def available_bytes(device: jax.Device) -> int | None:
  """Memory that a device can still give, in bytes; None if it does not say."""
  stats = device.memory_stats()
  if stats and 'bytes_limit' in stats:
    return stats['bytes_limit'] - stats.get('bytes_in_use', 0)
  if device.platform == 'cpu':
    return psutil.virtual_memory().available
  return None


def check_fits(replay: Any, num_replays: int, device: jax.Device):
  """Refuses replays that a device cannot hold, before they are allocated.

  Args:
    replay: of one agent, a `Replay` or a `frames.FrameReplay`.
    num_replays: how many the device will hold.
    device: where.

  Raises:
    MemoryError: with the size that was asked for and what is there, in GB.
  """
  needed = num_replays * replay.num_bytes()
  available = available_bytes(device)
  if available is not None and needed > available:
    raise MemoryError(
        f'{num_replays} replays of {replay.capacity} steps need '
        f'{needed / 1e9:.1f} GB, but {device} has {available / 1e9:.1f} GB '
        f'left; lower replay_capacity, the number of seeds, or the size of an '
        f'observation')
