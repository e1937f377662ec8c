"""Samplers: distributions of the transitions that are drawn from a storage.

A storage is a ring of `num_streams` streams that grow together; a slot is the
number stream * length + position. A sampler draws slots and returns their
importance weights, and may keep a number per slot. Samplers are frozen and
hashable; their states are pytrees.
"""

import dataclasses
from typing import Any, NamedTuple, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hyperjax import checks

SamplerState = Any


class Drawable(NamedTuple):
  """The part of a ring that may be drawn from.

  Attributes:
    num_streams: number of streams, an int.
    length: number of positions of each stream, an int.
    newest: position of the newest entry, int32 [].
    first_age: age of the newest entry that may be drawn, an int; the newest
      entry of the ring has age 0.
    num_ages: number of consecutive ages that may be drawn, int32 [].
  """

  num_streams: int
  length: int
  newest: Int[Array, '']
  first_age: int
  num_ages: Int[Array, '']

  def slots(
      self, stream: Array | int, age: Int[Array, '...']
  ) -> Int[Array, '...']:
    """Returns the slots of entries by stream and age, int32 [...]."""
    position = (self.newest - age) % self.length
    return stream * self.length + position

  def uniform(
      self, key: chex.PRNGKey, shape: tuple[int, ...],
      num_ages: Int[Array, '...'] | None = None,
  ) -> Int[Array, '...']:
    """Draws slots uniformly, int32 `shape`.

    Args:
      key: PRNG key.
      shape: shape of the draws.
      num_ages: number of newest ages to draw from; None for all.
    """
    key_stream, key_age = jax.random.split(key)
    if num_ages is None:
      num_ages = self.num_ages
    oldest = self.first_age + num_ages - 1
    age = oldest - jax.random.randint(
        key_age, shape, 0, num_ages, jnp.int32)
    stream = 0
    if self.num_streams > 1:
      stream = jax.random.randint(
          key_stream, shape, 0, self.num_streams, jnp.int32)
    return self.slots(stream, age)


@runtime_checkable
class Sampler(Protocol):
  """Draws slots of a ring."""

  @property
  def needs_losses(self) -> bool:
    """Whether `update` uses the losses of the transitions drawn."""
    ...

  def init(self, num_slots: int) -> SamplerState:
    """Returns the state of an empty ring."""
    ...

  def add(
      self, state: SamplerState, slots: Int[Array, ' n'],
      drawable: Bool[Array, ' n'],
  ) -> SamplerState:
    """Adds new entries to the state.

    Args:
      state: state before.
      slots: slots of the new entries, int32 [n].
      drawable: whether the entries may be drawn, bool [n].
    """
    ...

  def sample(
      self, state: SamplerState, key: chex.PRNGKey, batch_size: int,
      ring: Drawable,
  ) -> Int[Array, ' B']:
    """Draws slots with replacement, int32 [B].

    Args:
      state: state of the sampler.
      key: PRNG key.
      batch_size: B.
      ring: part of the ring that may be drawn from.
    """
    ...

  def weights(
      self, state: SamplerState, slots: Int[Array, ' B'], ring: Drawable
  ) -> Float[Array, ' B'] | None:
    """Returns the importance weights of drawn slots, [B]; None for 1."""
    ...

  def update(
      self, state: SamplerState, slots: Int[Array, ' B'],
      losses: Float[Array, ' B'],
  ) -> SamplerState:
    """Returns the state with the losses [B] of drawn slots."""
    ...


@dataclasses.dataclass(frozen=True)
class Uniform:
  """Uniform draws from all transitions."""

  @property
  def needs_losses(self) -> bool:
    """See `Sampler`."""
    return False

  def init(self, num_slots) -> SamplerState:
    """See `Sampler`."""
    del num_slots
    return ()

  def add(self, state, slots, drawable) -> SamplerState:
    """See `Sampler`."""
    del slots, drawable
    return state

  def of_part(self, batch_size: int, num_parts: int) -> 'Uniform':
    """Returns the sampler of each of D replays that share the draws equally.

    A sampler without this method has only one replay.

    Args:
      batch_size: number of draws from all of them, a multiple of D.
      num_parts: D.
    """
    del batch_size, num_parts
    return self

  def sample(self, state, key, batch_size, ring) -> Int[Array, ' B']:
    """See `Sampler`."""
    del state
    return ring.uniform(key, (batch_size,))

  def weights(self, state, slots, ring) -> None:
    """See `Sampler`."""
    del state, slots, ring

  def update(self, state, slots, losses) -> SamplerState:
    """See `Sampler`."""
    del slots, losses
    return state


@dataclasses.dataclass(frozen=True)
class Mixed(Uniform):
  """Recent transitions, winners of tournaments by loss, and uniform draws.

  Recent transitions (after Zhang and Sutton, 2017, "A deeper look at experience
  replay", who add the newest transition to each batch) are learned sooner.

  Tournaments (after Schaul et al., 2016, "Prioritized experience replay"): each
  winner is the transition with the largest loss at its last draw, among a few
  drawn uniformly. There is no exponent to set, and no transition is drawn more
  than `tournament_size` times as often as uniformly. There are no importance
  weights, which is appropriate if the loss of a learned transition tends to 0;
  if rewards are noisy, so are the priorities.

  Attributes:
    recent_fraction: fraction of a batch from the newest transitions, in [0, 1].
    recent_window: number of newest transitions that this fraction is drawn
      from, at least 1.
    tournament_fraction: fraction of a batch from tournaments; at most 1
      together with `recent_fraction`.
    tournament_size: number of transitions in a tournament, at least 1.
  """

  recent_fraction: float = 0.375
  recent_window: int = 1000
  tournament_fraction: float = 0.375
  tournament_size: int = 4

  def __post_init__(self):
    checks.fields(
        self, recent_fraction=checks.FRACTION, recent_window=checks.COUNT,
        tournament_fraction=checks.FRACTION, tournament_size=checks.COUNT)
    # Tolerates rounding of the sum.
    if self.recent_fraction + self.tournament_fraction > 1. + 1e-6:
      raise ValueError(
          f'recent_fraction and tournament_fraction must be at most 1 '
          f'together, got {self.recent_fraction} and '
          f'{self.tournament_fraction}')

  @property
  def needs_losses(self) -> bool:
    """See `Sampler`."""
    return self.tournament_fraction > 0.

  def init(self, num_slots) -> SamplerState:
    """Returns the last loss of each slot, infinite before the first draw."""
    if not self.needs_losses:
      return ()
    return jnp.full(num_slots, jnp.inf, jnp.float32)

  def add(self, state, slots, drawable) -> SamplerState:
    """See `Sampler`."""
    if not self.needs_losses:
      return state
    return state.at[slots].set(jnp.where(drawable, jnp.inf, -jnp.inf))

  def _numbers(self, batch_size: int) -> tuple[int, int]:
    """Returns how many of a batch are recent, and how many of tournaments."""
    num_recent = round(self.recent_fraction * batch_size)
    return num_recent, min(round(self.tournament_fraction * batch_size),
                           batch_size - num_recent)

  def of_part(self, batch_size: int, num_parts: int) -> 'Mixed':
    """See `Uniform`; a tournament is among transitions of one replay.

    Raises:
      ValueError: if the D replays cannot have equal parts of the recent
        transitions, or of a batch's draws of each kind.
    """
    recent, tournaments = self._numbers(batch_size)
    for name, value in (
        ('recent_window of the sampler', self.recent_window if recent else 0),
        (f'recent_fraction {self.recent_fraction} of batch_size', recent),
        (f'tournament_fraction {self.tournament_fraction} of batch_size',
         tournaments)):
      if value % num_parts:
        raise ValueError(
            f'devices_per_seed must divide {name}, {value} transitions, got '
            f'{num_parts}')
    return dataclasses.replace(
        self,
        recent_fraction=recent / batch_size,
        recent_window=max(1, self.recent_window // num_parts),
        tournament_fraction=tournaments / batch_size)

  def sample(self, state, key, batch_size, ring) -> Int[Array, ' B']:
    """See `Sampler`; recent slots come first, winners of tournaments last."""
    num_recent, num_tournaments = self._numbers(batch_size)
    is_recent = jnp.arange(batch_size) < num_recent
    window = max(1, self.recent_window // ring.num_streams)
    num_ages = jnp.where(
        is_recent, jnp.minimum(ring.num_ages, window), ring.num_ages)
    age = ring.first_age + jax.random.randint(
        key, (batch_size,), 0, num_ages, jnp.int32)
    stream = 0
    if ring.num_streams > 1:
      stream = jax.random.randint(
          jax.random.fold_in(key, 2), (batch_size,), 0, ring.num_streams,
          jnp.int32)
    slots = ring.slots(stream, age)
    if num_tournaments:
      entrants = self._entrants(
          jax.random.fold_in(key, 1), num_tournaments, ring)
      winner = jnp.argmax(state[entrants], axis=1, keepdims=True)
      slots = slots.at[batch_size - num_tournaments:].set(
          jnp.take_along_axis(entrants, winner, axis=1)[:, 0])
    return slots

  def _entrants(self, key, num_tournaments, ring) -> Int[Array, 'n size']:
    shape = (num_tournaments, self.tournament_size)
    if ring.num_streams > 1 or ring.first_age:
      return ring.uniform(key, shape)
    # The drawable slots are 0..num_ages-1.
    return jax.random.randint(key, shape, 0, ring.num_ages, jnp.int32)

  def update(self, state, slots, losses) -> SamplerState:
    """See `Sampler`."""
    if not self.needs_losses:
      return state
    # A slot drawn twice may have two losses if targets are sampled.
    return state.at[slots].set(-jnp.inf).at[slots].max(losses)
