"""Prioritized sampling (Schaul et al., 2016)."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import checks
from hyperjax import schedules
from hyperjax.replay import samplers
from hyperjax.replay import sum_tree


class PrioritizedState(NamedTuple):
  """Priorities of all slots.

  Attributes:
    nodes: tree of priorities, see `hyperjax.replay.sum_tree`.
    largest: largest priority of the run, float32 []; new entries have it.
    num_updates: number of updates so far, int32 [].
  """

  nodes: Float[Array, '...']
  largest: Float[Array, '...']
  num_updates: Int[Array, '...']


@dataclasses.dataclass(frozen=True)
class Prioritized:
  """Draws in proportion to priorities, with importance weights.

  Schaul et al. (2016): transition i has the probability P_i = p_i / sum_j p_j
  with p_i = (loss_i + offset)^exponent, and the weight (n P_i)^-correction,
  divided by the largest weight of the batch, where n is the number of
  transitions. New transitions have the largest priority of the run.

  Attributes:
    exponent: exponent of the loss, at least 0. For a squared TD error, 0.3 is
      the published 0.6 of its absolute value; 0 draws uniformly.
    correction: exponent of the importance weights, in [0, 1]: 0 for no weights,
      1 for unbiased updates; a number, or a schedule of the number of updates.
    offset: positive number added to every loss.
  """

  exponent: float = 0.3
  correction: float | schedules.Schedule = 0.4
  offset: float = 1e-6

  def __post_init__(self):
    checks.fields(
        self, 'Prioritized', exponent=checks.NONNEGATIVE,
        offset=checks.positive, correction=schedules.check_fraction)

  @property
  def needs_losses(self) -> bool:
    """See `Sampler`."""
    return True

  @property
  def needs_nonnegative_losses(self) -> bool:
    """Whether negative losses are faults: a power of one is NaN."""
    return True

  def init(self, num_slots) -> samplers.SamplerState:
    """See `Sampler`."""
    return PrioritizedState(
        sum_tree.init(num_slots), jnp.float32(1.), jnp.int32(0))

  def add(self, state, slots, drawable) -> samplers.SamplerState:
    """See `Sampler`."""
    return state._replace(nodes=sum_tree.set_priorities(
        state.nodes, slots, jnp.where(drawable, state.largest, 0.)))

  def sample(self, state, key, batch_size, ring) -> Int[Array, ' B']:
    """See `Sampler`."""
    del ring
    return sum_tree.sample(state.nodes, key, batch_size)

  def weights(self, state, slots, ring) -> Float[Array, ' B']:
    """See `Sampler`."""
    num_items = ring.num_streams * ring.num_ages
    probabilities = (sum_tree.get_priorities(state.nodes, slots)
                     / sum_tree.total(state.nodes))
    correction = self.correction
    if callable(correction):
      correction = jnp.clip(correction(state.num_updates), 0., 1.)
    weights = (num_items * probabilities)**-correction
    return weights / jnp.max(weights)

  def update(self, state, slots, losses) -> samplers.SamplerState:
    """See `Sampler`."""
    priorities = (losses + self.offset)**self.exponent
    return PrioritizedState(
        sum_tree.set_priorities(state.nodes, slots, priorities),
        jnp.maximum(state.largest, jnp.max(priorities)),
        state.num_updates + 1)
