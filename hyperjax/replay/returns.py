"""Returns of n steps and sequences of K steps, for both storages."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hyperjax import checks
from hyperjax import schedules


def check_n_step(name: str, value: Any) -> int | schedules.Linear:
  """Checks n, or a schedule of it whose largest value is known."""
  if not isinstance(value, schedules.Linear):
    if callable(value):
      raise ValueError(
          f'{name} must be an integer or a schedule with a start and an end, '
          f'such as schedules.Geometric, got {value!r}')
    return checks.COUNT(name, value)
  for end in (value.start, value.end):
    if not 1. <= end <= checks.INT32_MAX:
      raise ValueError(
          f'{name} must be at least 1 from start to end, got {value}')
  return value


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
    exists: whether each step has been taken in the same episode, bool [n], and
      is one of the n.
  """
  discounts = jnp.cumprod(jnp.where(exists, discounts, 1.))
  weights = jnp.concatenate([jnp.ones(1, jnp.float32), discounts[:-1]])
  counts = exists & (weights > 0.)
  return NStep(
      reward=weights @ jnp.where(counts, rewards, 0.),
      discount=discounts[-1],
      num_steps=jnp.sum(counts, dtype=jnp.int32))


def sequence_steps(
    exists: Bool[Array, ' K'], discounts: Float[Array, ' K']
) -> tuple[Bool[Array, ' K'], Int[Array, ' K']]:
  """Returns which steps a sequence has, and the step for each of its places.

  Args:
    exists: whether each step has been taken in the same episode, bool [K].
    discounts: discount of each step, float32 [K]. The sequence ends after a
      step with discount 0.

  Returns:
    Whether each place has a step of its own, bool [K], and the numbers of the
    steps, int32 [K], in which the last one is repeated.
  """
  ends = (discounts == 0.).astype(jnp.int32)
  exists = exists & (jnp.cumsum(ends) - ends == 0)
  last = jnp.maximum(jnp.sum(exists, dtype=jnp.int32) - 1, 0)
  steps = jnp.arange(exists.shape[0], dtype=jnp.int32)
  return exists, jnp.minimum(steps, last)
