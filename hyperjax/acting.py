"""From values to actions."""

from collections.abc import Callable
import dataclasses
from typing import Any, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import index as index_lib

# The value of an action that the environment does not have.
ILLEGAL = -1e6


def greedy(key: chex.PRNGKey, values: Float[Array, '*N A']) -> Int[Array, '*N']:
  """The action of largest value, ties broken uniformly at random.

  Args:
    key: used for the ties.
    values: Q, float32 [..., A]. One that is not a number counts as 0, so that
      actions are legal until whoever runs the agent stops it.

  Returns:
    Actions, int32 [...].
  """
  values = jnp.where(jnp.isnan(values), 0., values)
  is_best = values == jnp.max(values, axis=-1, keepdims=True)
  lottery = jax.random.uniform(key, values.shape)
  return jnp.argmax(jnp.where(is_best, lottery, -1.), axis=-1).astype(jnp.int32)


def epsilon_greedy(
    key: chex.PRNGKey, values: Float[Array, '*N A'], epsilon: float
) -> Int[Array, '*N']:
  """A uniformly random action with probability epsilon, else the greedy one.

  Args:
    key: for the choice, the random action and the ties.
    values: Q, float32 [..., A].
    epsilon: probability in [0, 1]. At 0 nothing is drawn for it.

  Returns:
    Actions, int32 [...].
  """
  if epsilon == 0.:
    return greedy(key, values)
  key_greedy, key_explore, key_random = jax.random.split(key, 3)
  explore = jax.random.bernoulli(key_explore, epsilon, values.shape[:-1])
  # Greedy where all legal actions are worth the same: any of them.
  random = greedy(key_random, jnp.where(values <= ILLEGAL / 2., ILLEGAL, 0.))
  return jnp.where(explore, random, greedy(key_greedy, values))


@runtime_checkable
class Optimism(Protocol):
  """How to turn the distribution of Q(s, .; z) over z into optimistic values.

  Attributes:
    num_indices: K, indices that it wants.
  """

  num_indices: int

  def __call__(
      self, value: Callable[[Array], Array], encoding: Any,
      indices: Float[Array, 'K M'],
  ) -> Float[Array, ' A']:
    """Optimistic values of one state.

    Args:
      value: from an index [M] to the values [A] of the state.
      encoding: the network's, of the state.
      indices: K draws.
    """


@dataclasses.dataclass(frozen=True)
class SampledOptimism:
  """The values at a quantile over several indices, each action by itself.

  Optimistic index sampling of Li et al. (2023, section 3.3); their code takes
  the quantile 0.8 over 5 indices where the paper writes a maximum.

  Attributes:
    num_indices: K, at least 1.
    quantile: in [0, 1]; 1 is the maximum.
  """

  num_indices: int = 5
  quantile: float = 0.8

  def __post_init__(self):
    if self.num_indices < 1:
      raise ValueError(
          f'num_indices must be at least 1, got {self.num_indices}')
    if not 0. <= self.quantile <= 1.:
      raise ValueError(
          f'quantile must be between 0 and 1, got {self.quantile}')

  def __call__(self, value, encoding, indices) -> Float[Array, ' A']:
    del encoding
    return jnp.quantile(jax.vmap(value)(indices), self.quantile, axis=0)


@dataclasses.dataclass(frozen=True)
class UpperBound:
  """Mean plus a multiple of the standard deviation over the index, exactly.

  For a value function affine in z, whose encoding is psi, [M+1, A]. What
  `SampledOptimism` estimates from draws: for a Gaussian index the expected
  maximum of five is 1.16 standard deviations above the mean.

  Attributes:
    index: the distribution of z.
    scale: of the standard deviation.
  """

  index: index_lib.IndexDistribution
  scale: float
  num_indices: int = dataclasses.field(default=1, init=False)  # Not looked at.

  def __call__(self, value, encoding, indices) -> Float[Array, ' A']:
    del indices
    shift = self.index.mean * jnp.sum(encoding[1:], axis=0)
    variance = (self.index.second_moment
                * jnp.sum(jnp.square(encoding[1:]), axis=0)
                - jnp.square(shift))
    mean = value(jnp.full(self.index.dim, self.index.mean))
    return mean + self.scale * jnp.sqrt(jnp.maximum(variance, 0.))
