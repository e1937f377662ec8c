"""Common parts of both storages: the state, the protocol, n-step returns."""

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
from hyperjax import specs
from hyperjax import types
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

  def sample(self, state: ReplayState, key: chex.PRNGKey) -> types.Batch:
    """Draws transitions [B]; from an empty replay meaningless ones.

    The batch's `faults` tell whether the replay was empty.
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
    n_step: n.
    num_envs: N.
    sampler: sampler of the slots.
  """

  spec: specs.ObservationSpec
  capacity: int
  batch_size: int
  n_step: int
  num_envs: int
  sampler: samplers.Sampler

  def __post_init__(self):
    checks.fields(
        self, 'a replay',
        spec=specs.check_spec,
        # Refused by `memory.check_fits` where memory does not hold it.
        capacity=checks.integer(1, maximum=2**63 - 1),
        batch_size=checks.COUNT,
        n_step=checks.COUNT,
        num_envs=checks.COUNT,
        sampler=checks.component(samplers.Sampler))
    if self.batch_size > self.capacity:
      raise ValueError(
          f'batch_size must be at most the capacity of the replay, '
          f'{self.capacity}, got {self.batch_size}')

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


class NStep(NamedTuple):
  """An n-step return.

  Attributes:
    reward: discounted sum of the rewards, float32 [].
    discount: product of the discounts, float32 [].
    num_steps: number of steps in the return, int32 [].
  """

  reward: Float[Array, '']
  discount: Float[Array, '']
  num_steps: Int[Array, '']


def n_step_return(
    rewards: Float[Array, ' n'], discounts: Float[Array, ' n'],
    exists: Bool[Array, ' n'],
) -> NStep:
  """Returns the return of up to n steps.

    reward = sum_k (prod_{j<k} discount_j) reward_k

  Args:
    rewards: reward of each step, float32 [n].
    discounts: gamma times the environment's discount of each step, float32 [n].
      The return ends after a step with discount 0.
    exists: whether each step has been taken in the same episode, bool [n].
  """
  discounts = jnp.cumprod(jnp.where(exists, discounts, 1.))
  weights = jnp.concatenate([jnp.ones(1, jnp.float32), discounts[:-1]])
  counts = exists & (weights > 0.)
  return NStep(
      reward=weights @ jnp.where(counts, rewards, 0.),
      discount=discounts[-1],
      num_steps=jnp.sum(counts, dtype=jnp.int32))
