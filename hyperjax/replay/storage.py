"""Common parts of both storages: the state, the protocol, n-step returns."""

import math
from typing import Any, NamedTuple, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hyperjax import specs
from hyperjax import types
from hyperjax.replay import samplers


class ReplayState(NamedTuple):
  """State of a replay.

  Attributes:
    ring: flashbax's trajectory buffer; the stored data are its `experience`,
      every leaf [streams, length, ...].
    sampler: state of the sampler.
  """

  ring: Any
  sampler: samplers.SamplerState


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
    """Draws transitions [B]; the replay must hold at least one."""
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
    sampler: sampler of the slots.
  """

  sampler: samplers.Sampler

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

    Raises:
      ValueError: if the batch comes from no replay.
    """
    return state._replace(sampler=self.sampler.update(
        state.sampler, drawn_slots(batch), losses))

  def num_bytes(self) -> int:
    """Returns the memory of one replay, in bytes; allocates nothing."""
    return sum(math.prod(x.shape) * x.dtype.itemsize
               for x in jax.tree.leaves(jax.eval_shape(self.init)))


def check_sizes(capacity: int, batch_size: int, n_step: int, num_envs: int):
  """Raises ValueError for invalid sizes of a replay."""
  for name, value in (('capacity', capacity), ('batch_size', batch_size),
                      ('n_step', n_step), ('num_envs', num_envs)):
    if value < 1:
      raise ValueError(f'{name} of a replay must be at least 1, got {value}')
  if batch_size > capacity:
    raise ValueError(
        f'batch_size must be at most the capacity of the replay, '
        f'{capacity}, got {batch_size}')


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
