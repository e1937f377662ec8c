"""Common parts of both storages: the state, the protocol, checks."""

import math
from typing import Any, NamedTuple, Protocol, runtime_checkable

import chex
import jax
from jax import core
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt

from hyperjax import arrays
from hyperjax import checks
from hyperjax import data_parallel
from hyperjax import faults
from hyperjax import schedules
from hyperjax import specs
from hyperjax import types
from hyperjax.replay import returns
from hyperjax.replay import samplers


class ReplayState(NamedTuple):
  """State of a replay.

  Attributes:
    ring: flashbax's trajectory buffer; the stored data are its `experience`,
      every leaf [streams, length, ...].
    sampler: state of the sampler.
    faults: what was wrong with losses that gave priorities, uint32 [], see
      `hyperjax.faults`.
  """

  ring: Any
  sampler: samplers.SamplerState
  faults: UInt[Array, '...']


@runtime_checkable
class Replay(Protocol):
  """The interface of both storages to a trainer."""

  @property
  def spec(self) -> specs.ObservationSpec:
    """Spec of the observations of the transitions."""
    ...

  @property
  def capacity(self) -> int:
    """Number of steps kept."""
    ...

  @property
  def sampler(self) -> samplers.Sampler:
    """Sampler of the transitions."""
    ...

  def init(self) -> ReplayState:
    """Returns an empty replay, allocated in full."""
    ...

  def sample(
      self, state: ReplayState, key: chex.PRNGKey,
      num_updates: Int[Array, ''] | None = None,
  ) -> types.Batch:
    """Draws transitions [B]; from an empty replay meaningless ones.

    The batch's `faults` tell whether the replay was empty.

    Args:
      state: state of the replay.
      key: PRNG key.
      num_updates: number of updates since the newest reset, int32 [], of which
        the schedules of n and discount are functions; None if there is none.
    """
    ...

  def update_priorities(
      self, state: ReplayState, batch: types.Batch,
      losses: Float[Array, ' B'],
  ) -> ReplayState:
    """Returns the state with the losses [B] of a batch of this replay."""
    ...


class SampledReplay:
  """Base of the storages: what they do alike with their sampler.

  Attributes:
    spec: spec of the observations.
    capacity: number of steps kept.
    batch_size: B.
    discount: factor of the discounts of the entries, or a schedule of it.
    n_step: n, or a schedule of it.
    num_envs: N.
    sampler: sampler of the slots.
    sequence_length: K, number of steps of the sequences in a batch.
  """

  spec: specs.ObservationSpec
  capacity: int
  batch_size: int
  discount: float | schedules.Schedule
  n_step: int | schedules.Linear
  num_envs: int
  sampler: samplers.Sampler
  sequence_length: int

  def __post_init__(self):
    checks.fields(
        self, 'a replay',
        spec=specs.check_spec,
        # Refused by `memory.check_fits` where memory does not hold it.
        capacity=checks.integer(1, maximum=2**63 - 1),
        batch_size=checks.COUNT,
        n_step=returns.check_n_step,
        discount=schedules.check_fraction,
        num_envs=checks.COUNT,
        sampler=checks.component(samplers.Sampler),
        sequence_length=checks.integer(0))
    if self.batch_size > self.capacity:
      raise ValueError(
          f'batch_size must be at most the capacity of the replay, '
          f'{self.capacity}, got {self.batch_size}')

  @property
  def max_n_step(self) -> int:
    """Largest n."""
    n = self.n_step
    return n if isinstance(n, int) else round(max(n.start, n.end))

  @property
  def num_following(self) -> int:
    """Number of steps that a transition or its sequence may take."""
    return max(self.max_n_step, self.sequence_length)

  def _current(self, num_updates) -> tuple[Any, Any]:
    """Returns n and the discount after a number of updates.

    Raises:
      ValueError: if there is a schedule, but no number of updates.
    """
    n, discount = self.n_step, self.discount
    if not (callable(n) or callable(discount)):
      return n, discount
    if num_updates is None:
      raise ValueError(
          f'n_step and discount follow schedules, so that sample needs '
          f'num_updates, got n_step {n}, discount {discount} and num_updates '
          f'None')
    if callable(n):
      n = jnp.round(n(num_updates)).astype(jnp.int32)
    if callable(discount):
      discount = jnp.clip(discount(num_updates), 0., 1.).astype(jnp.float32)
    return n, discount

  def init(self) -> ReplayState:
    """Returns an empty replay, allocated in full."""
    raise TypeError(f'{type(self).__name__} is no storage')

  def update_priorities(
      self, state: ReplayState, batch: types.Batch,
      losses: Float[Array, ' B'],
  ) -> ReplayState:
    """Returns the state with the losses [B] of a batch of this replay.

    Call this method before anything is added: the keys of a batch are slots of
    the ring.

    Losses that are not finite are noted in the state's `faults`, and negative
    ones if the sampler's `needs_nonnegative_losses` is set.

    Raises:
      ValueError: if the batch comes from no replay, or the losses do not fit.
    """
    slots = drawn_slots(batch)
    losses = arrays.check_array('losses', losses, slots.shape, jnp.float32)
    if self.sampler.needs_losses:
      found = faults.of_losses(
          losses, getattr(self.sampler, 'needs_nonnegative_losses', False))
      state = state._replace(
          faults=state.faults | data_parallel.union(found))
    return state._replace(
        sampler=self.sampler.update(state.sampler, slots, losses))

  def num_bytes(self) -> int:
    """Returns the memory of one replay, in bytes; allocates nothing."""
    return sum(math.prod(x.shape) * x.dtype.itemsize
               for x in jax.tree.leaves(jax.eval_shape(self.init)))


def check_entries(entries: Any, like: Any, num: int) -> Any:
  """Returns what is added to a replay, in the dtypes that it is stored in.

  Args:
    entries: NamedTuple of arrays, each with a leading axis [num].
    like: shapes and dtypes of one entry, in a NamedTuple of the same class.
    num: number of entries, at least 1.

  Raises:
    ValueError: if the class, a shape or the kind of a number differs, or a
      number may not fit the stored dtype.
  """
  what = type(like).__name__
  if type(entries) is not type(like):
    raise ValueError(f'expected a {what}, got {type(entries).__name__}')
  if num < 1:
    raise ValueError(
        f'expected a {what} whose fields have a leading axis, of at least one '
        f'entry, got {jax.tree.map(jnp.shape, entries)}')
  return type(like)(*[
      arrays.check_array(f'{name} of a {what}', x, (num, *one.shape), one.dtype)
      for name, x, one in zip(like._fields, entries, like, strict=True)])


def check_holds(holds: Bool[Array, '']) -> UInt[Array, '']:
  """Returns the faults of sampling, uint32 [], from whether there is anything.

  Raises:
    ValueError: outside a compiled program, if there is nothing.
  """
  if not isinstance(holds, core.Tracer) and not holds:
    raise ValueError('the replay holds no transition: add one before sampling')
  return faults.where(~holds, faults.Fault.EMPTY_REPLAY)


def drawn_slots(batch: types.Batch) -> Int[Array, ' B']:
  """Returns the slots of a batch, int32 [B].

  Raises:
    ValueError: if the batch comes from no replay.
  """
  if batch.keys is None:
    raise ValueError('expected a batch drawn by a replay, got one without keys')
  return batch.keys


def ring_size(ring: Any, length: int) -> Int[Array, '']:
  """Returns the number of filled positions of a ring, int32 []."""
  return jnp.where(ring.is_full, length, ring.current_index).astype(jnp.int32)


def newest_position(ring: Any, length: int) -> Int[Array, '']:
  """Returns the position of the newest entry of a ring, int32 []."""
  return ((ring.current_index - 1) % length).astype(jnp.int32)
