"""Policies: maps from the values of actions to actions."""

from collections.abc import Callable
import dataclasses
from typing import Any, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hyperjax import arrays
from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax import schedules


def greedy(
    key: chex.PRNGKey, values: Float[Array, '*N A'],
    legal: Bool[Array, ' A'] | None = None,
) -> Int[Array, '*N']:
  """Returns the legal action of largest value, ties broken uniformly.

  Args:
    key: PRNG key of the ties.
    values: Q, float32 [..., A]. NaN counts as 0, so that actions stay legal
      until the diverged run is stopped.
    legal: mask of the legal actions, bool [A]; None if all are.

  Returns:
    Actions, int32 [...].

  Raises:
    ValueError: if the mask is not bool [A].
  """
  values = jnp.where(jnp.isnan(values), 0., values)
  if legal is not None:
    legal = arrays.check_array(
        'the mask of the legal actions', legal, values.shape[-1:], bool)
    values = jnp.where(legal, values, -jnp.inf)
  is_best = values == jnp.max(values, axis=-1, keepdims=True)
  if legal is not None:
    is_best &= legal  # For legal actions whose values are -inf themselves.
  lottery = jax.random.uniform(key, values.shape, jnp.float32)
  return jnp.argmax(jnp.where(is_best, lottery, -1.), axis=-1).astype(jnp.int32)


def epsilon_greedy(
    key: chex.PRNGKey, values: Float[Array, '*N A'],
    epsilon: float | Float[Array, ''], legal: Bool[Array, ' A'] | None = None,
) -> Int[Array, '*N']:
  """Returns a random legal action with probability epsilon, else the greedy.

  Args:
    key: PRNG key of the choice, the random action and the ties.
    values: Q, float32 [..., A].
    epsilon: probability in [0, 1].
    legal: mask of the legal actions, bool [A]; None if all are.

  Returns:
    Actions, int32 [...].
  """
  key_greedy, key_explore, key_random = jax.random.split(key, 3)
  explore = jax.random.bernoulli(key_explore, epsilon, values.shape[:-1])
  # With equal values, the greedy action is a uniformly random legal one.
  random = greedy(key_random, jnp.zeros_like(values), legal)
  return jnp.where(explore, random, greedy(key_greedy, values, legal))


def moments(
    distribution: index_lib.IndexDistribution,
    value: Callable[[Array], Array], encoding: Float[Array, 'heads A'],
) -> tuple[Float[Array, ' A'], Float[Array, ' A']]:
  """Returns mean and standard deviation over z of values affine in z.

    E_z Q(s, a; z) and sqrt(Var_z Q(s, a; z)), in closed form.

  Args:
    distribution: distribution of the index z.
    value: function from an index [M] to the values of the state [A].
    encoding: psi of the state, [M+1, A].

  Returns:
    Both float32 [A].

  Raises:
    ValueError: if the encoding is another one.
  """
  index = jnp.full(distribution.dim, distribution.mean, jnp.float32)
  heads = (distribution.dim + 1, *jax.eval_shape(value, index).shape)
  if getattr(encoding, 'shape', None) != heads:
    raise ValueError(
        f'expected values affine in the index, with an encoding of shape '
        f'{heads}, got {jax.tree.map(jnp.shape, encoding)}')
  shift = distribution.mean * jnp.sum(encoding[1:], axis=0)
  variance = (distribution.second_moment
              * jnp.sum(jnp.square(encoding[1:]), axis=0)
              - jnp.square(shift))
  return value(index), jnp.sqrt(jnp.maximum(variance, 0.))


@runtime_checkable
class Optimism(Protocol):
  """Maps the distribution of Q(s, .; z) over z to the values of actions."""

  @property
  def num_indices(self) -> int | None:
    """K, number of indices to draw; None for one index without the axis K."""
    ...

  def values(
      self, distribution: index_lib.IndexDistribution,
      value: Callable[[Array], Array], encoding: Any,
      index: Float[Array, '...'],
  ) -> Float[Array, ' A']:
    """Returns the values of one state, float32 [A].

    Args:
      distribution: distribution of the index z.
      value: function from an index [M] to the values of the state [A].
      encoding: network's encoding of the state.
      index: draws of z, [K, M]; [M] if `num_indices` is None.
    """
    ...


@runtime_checkable
class Acting(Optimism, Protocol):
  """Decides when an agent draws a new index, and its actions.

  The index is always new at the first step of an episode.
  """

  @property
  def resample_probability(self) -> float:
    """Probability of a new index at each later step of an episode."""
    ...

  def choose(
      self, key: chex.PRNGKey, values: Float[Array, 'N A'],
      legal: Bool[Array, ' A'] | None, steps: Int[Array, ''],
  ) -> Int[Array, ' N']:
    """Returns actions, int32 [N].

    Args:
      key: PRNG key of this step.
      values: values of N states, float32 [N, A].
      legal: mask of the legal actions, bool [A]; None if all are.
      steps: number of earlier steps, int32 [].
    """
    ...


@dataclasses.dataclass(frozen=True)
class Thompson:
  """Posterior sampling: greedy actions for one index per episode.

  For a value function without an index (M = 0) this is the greedy policy.

  Attributes:
    resample_probability: probability of a new index before each later step of
      an episode; 1 draws a new index at every step.
  """

  resample_probability: float = 0.

  def __post_init__(self):
    checks.fields(self, resample_probability=checks.FRACTION)

  @property
  def num_indices(self) -> int | None:
    """See `Optimism`."""
    return None

  def values(self, distribution, value, encoding, index) -> Float[Array, ' A']:
    """Returns the values at the index, float32 [A]."""
    del distribution, encoding
    return value(index)

  def choose(self, key, values, legal, steps) -> Int[Array, ' N']:
    """Returns greedy actions, int32 [N]."""
    del steps
    return greedy(key, values, legal)


@dataclasses.dataclass(frozen=True)
class EpsilonGreedy(Thompson):
  """Random actions with probability epsilon, else greedy ones.

  Attributes:
    epsilon: probability in [0, 1], or a schedule from the number of steps to
      the probability, such as `schedules.Linear`.
  """

  epsilon: float | schedules.Schedule = 0.05
  # By name alone here, so that the first argument is this class's own.
  resample_probability: float = dataclasses.field(default=0., kw_only=True)

  def __post_init__(self):
    super().__post_init__()
    checks.fields(self, epsilon=schedules.check_fraction)

  def choose(self, key, values, legal, steps) -> Int[Array, ' N']:
    """Returns epsilon-greedy actions, int32 [N]."""
    if callable(self.epsilon):
      epsilon = jnp.clip(self.epsilon(steps), 0., 1.).astype(jnp.float32)
      return epsilon_greedy(key, values, epsilon, legal)
    if self.epsilon == 0.:  # Static, so no random numbers are drawn.
      return greedy(key, values, legal)
    return epsilon_greedy(key, values, self.epsilon, legal)


@dataclasses.dataclass(frozen=True)
class SampledOptimism(Thompson):
  """Quantile of the value of each action over several indices.

  Optimistic index sampling of Li et al. (2023, section 3.3); their code takes
  the quantile 0.8 of 5 indices where the paper takes the maximum.

  Attributes:
    num_draws: K, number of indices, at least 1.
    quantile: quantile in [0, 1]; 1 is the maximum.
  """

  num_draws: int = 5
  quantile: float = 0.8
  # By name alone here, so that the first argument is this class's own.
  resample_probability: float = dataclasses.field(default=0., kw_only=True)

  def __post_init__(self):
    super().__post_init__()
    checks.fields(self, num_draws=checks.COUNT, quantile=checks.FRACTION)

  @property
  def num_indices(self) -> int | None:
    """See `Optimism`."""
    return self.num_draws

  def values(self, distribution, value, encoding, index) -> Float[Array, ' A']:
    """Returns the quantile of the values over the indices, float32 [A]."""
    del distribution, encoding
    return jnp.quantile(jax.vmap(value)(index), self.quantile, axis=0)


@dataclasses.dataclass(frozen=True)
class UCB(Thompson):
  """Upper confidence bound: mean plus a multiple of the standard deviation.

    UCB(s, a) = E_z Q(s, a; z) + scale * sqrt(Var_z Q(s, a; z)),

  in closed form, for a value function affine in z, whose encoding is psi, [M+1,
  A]. `SampledOptimism` estimates such a bound from draws: for a Gaussian index
  the expected maximum of five draws is 1.16 standard deviations above the mean.
  The bound does not depend on the drawn index.

  Attributes:
    scale: number of standard deviations, at least 0.
  """

  scale: float = 1.
  # By name alone here, so that the first argument is this class's own.
  resample_probability: float = dataclasses.field(default=0., kw_only=True)

  def __post_init__(self):
    super().__post_init__()
    checks.fields(
        self, 'an upper confidence bound', scale=checks.NONNEGATIVE)

  def values(self, distribution, value, encoding, index) -> Float[Array, ' A']:
    """Returns the upper confidence bounds, float32 [A]."""
    del index
    mean, std = moments(distribution, value, encoding)
    return mean + self.scale * std
