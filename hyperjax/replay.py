"""Replay: a thin layer over flashbax's item buffer.

A ring of transitions from which batches are drawn with replacement: uniformly
or, a part of each batch if so wished,
  from the newest alone (after Zhang and Sutton, 2017, "A deeper look at
    experience replay", who add the very newest one): what has just been found
    is learned while it is news;
  by how large their loss was when they were last drawn (after Schaul et al.,
    2016, "Prioritized experience replay"): what is not yet learned is drawn
    more often. In the place of their sum tree there are tournaments: each place
    in the batch goes to the one of largest loss among a few that are drawn
    uniformly. That asks for no exponent, and no transition is drawn more than
    that many times as often as uniformly. There are no importance weights, as
    is fitting where the loss of what is learned tends to 0; where rewards are
    noisy, so are the priorities.
Observations are stored as the environment gives them, so an encoded one (a
DeepSea cell is one integer) keeps the replay small.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import flashbax as fbx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import psutil

from hyperjax import specs
from hyperjax import types


class ReplayState(NamedTuple):
  """What was stored.

  Attributes:
    buffer: flashbax's state; transitions are in `experience`.
    losses: of each place of the ring when it was last drawn, float32
      [capacity], infinite for what never was; None without prioritisation.
  """

  buffer: Any
  losses: Float[Array, '...'] | None


@dataclasses.dataclass(frozen=True)
class Replay:
  """A replay of transitions; pure functions over a `ReplayState`.

  Attributes:
    spec: of the observations.
    capacity: transitions kept; the oldest are overwritten.
    batch_size: B, transitions in a sample.
    recent_fraction: of a sample, that is drawn from the `recent_window` newest.
    recent_window: in transitions.
    prioritized_fraction: of a sample, that is drawn by tournaments; `record`
      tells their outcome. What is neither is drawn uniformly.
    tournament_size: transitions in a tournament.
  """

  spec: specs.ObservationSpec
  capacity: int
  batch_size: int
  recent_fraction: float = 0.
  recent_window: int = 1000
  prioritized_fraction: float = 0.
  tournament_size: int = 4

  def __post_init__(self):
    if self.batch_size > self.capacity:
      raise ValueError(
          f'batch_size must be at most the capacity of the replay, '
          f'{self.capacity}, got {self.batch_size}')
    # What is neither is drawn uniformly. (0.9 and 0.1 are a little over 1.)
    if self.recent_fraction + self.prioritized_fraction > 1. + 1e-6:
      raise ValueError(
          f'recent_fraction and prioritized_fraction must be at most 1 '
          f'together, got {self.recent_fraction} and '
          f'{self.prioritized_fraction}')

  @property
  def _buffer(self):
    return fbx.make_item_buffer(
        max_length=self.capacity, min_length=1,
        sample_batch_size=self.batch_size, add_batches=True)

  def init(self) -> ReplayState:
    """An empty replay, allocated in full."""
    buffer = self._buffer.init(types.Transition(
        observation=self.spec.zeros(),
        action=jnp.int32(0),
        reward=jnp.float32(0.),
        discount=jnp.float32(0.),
        next_observation=self.spec.zeros(),
        uid=jnp.int32(0)))
    losses = None
    if self.prioritized_fraction:
      losses = jnp.full(self.capacity, jnp.inf, jnp.float32)
    return ReplayState(buffer, losses)

  def _position(self, buffer: Any, age: Array | int) -> Array:
    """Where in the ring a transition lies; the newest has age 0."""
    return (buffer.current_index - 1 - age) % self.capacity

  def add(
      self, state: ReplayState, transitions: types.Transition) -> ReplayState:
    """Stores transitions [N]; N is at most the capacity."""
    buffer = self._buffer.add(state.buffer, transitions)
    losses = state.losses
    if losses is not None:
      ages = jnp.arange(transitions.uid.shape[0])
      losses = losses.at[self._position(buffer, ages)].set(jnp.inf)
    return ReplayState(buffer, losses)

  def sample(self, state: ReplayState, key: chex.PRNGKey) -> types.Transition:
    """Draws transitions [B]; the replay must not be empty."""
    buffer = state.buffer
    num_recent = round(self.recent_fraction * self.batch_size)
    num_prioritized = round(self.prioritized_fraction * self.batch_size)
    if not num_recent and not num_prioritized:
      return self._buffer.sample(buffer, key).experience
    size = jnp.where(buffer.is_full, self.capacity, buffer.current_index)
    is_recent = jnp.arange(self.batch_size) < num_recent
    oldest = jnp.where(
        is_recent, jnp.minimum(size, self.recent_window), size)
    age = jax.random.randint(key, (self.batch_size,), 0, oldest)
    position = self._position(buffer, age)
    if num_prioritized:
      entrants = jax.random.randint(
          jax.random.fold_in(key, 1), (num_prioritized, self.tournament_size),
          0, size)
      winner = jnp.argmax(state.losses[entrants], axis=1, keepdims=True)
      position = position.at[self.batch_size - num_prioritized:].set(
          jnp.take_along_axis(entrants, winner, axis=1)[:, 0])
    return jax.tree.map(lambda x: x[0, position], buffer.experience)

  def record(
      self, state: ReplayState, transitions: types.Transition,
      losses: Float[Array, ' B'],
  ) -> ReplayState:
    """Notes the losses [B] that transitions [B] of this replay just had.

    They are found by their uids, which must be consecutive numbers in the order
    in which the transitions were added. Without priorities nothing is noted.
    """
    if state.losses is None:
      return state
    newest = self._position(state.buffer, 0)
    age = state.buffer.experience.uid[0, newest] - transitions.uid
    position = self._position(state.buffer, age)
    # One that was drawn twice may have two losses, if a target is sampled.
    noted = state.losses.at[position].set(-jnp.inf).at[position].max(losses)
    return state._replace(losses=noted)

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
