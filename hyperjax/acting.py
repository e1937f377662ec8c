"""From values to actions."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def greedy(key: chex.PRNGKey, values: Float[Array, '*N A']) -> Int[Array, '*N']:
  """The action of largest value, ties broken uniformly at random.

  Args:
    key: used for the ties.
    values: Q, float32 [..., A].

  Returns:
    Actions, int32 [...].
  """
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
  return jnp.where(
      explore,
      uniform(key_random, values.shape[:-1], values.shape[-1]),
      greedy(key_greedy, values))


def uniform(
    key: chex.PRNGKey, shape: tuple[int, ...], num_actions: int
) -> Int[Array, '*N']:
  """Uniformly random actions, int32 [*shape]."""
  return jax.random.randint(key, shape, 0, num_actions)


@dataclasses.dataclass(frozen=True)
class Optimism:
  """Values at a quantile over several indices, for each action by itself.

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

  def __call__(self, values: Float[Array, '*N K A']) -> Float[Array, '*N A']:
    """From values at K indices to optimistic ones."""
    return jnp.quantile(values, self.quantile, axis=-2)
