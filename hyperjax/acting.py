"""Acting: from the values of actions, at one or several indices, to actions."""

from collections.abc import Callable
import dataclasses
from typing import Any, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hyperjax import index as index_lib

# Calls of an actor so far, int32 [], to a number.
Schedule = Callable[[Array], Array]


def greedy(
    key: chex.PRNGKey, values: Float[Array, '*N A'],
    legal: Bool[Array, ' A'] | None = None,
) -> Int[Array, '*N']:
  """Returns the legal action of largest value, ties broken uniformly.

  Args:
    key: used for the ties.
    values: Q, float32 [..., A]. A value that is not a number counts as 0, so
      that actions are legal until whoever runs the agent stops it.
    legal: which actions the environment has; None for all.

  Returns:
    Actions, int32 [...].
  """
  values = jnp.where(jnp.isnan(values), 0., values)
  if legal is not None:
    values = jnp.where(legal, values, -jnp.inf)
  is_best = values == jnp.max(values, axis=-1, keepdims=True)
  lottery = jax.random.uniform(key, values.shape, jnp.float32)
  return jnp.argmax(jnp.where(is_best, lottery, -1.), axis=-1).astype(jnp.int32)


def epsilon_greedy(
    key: chex.PRNGKey, values: Float[Array, '*N A'],
    epsilon: float | Float[Array, ''], legal: Bool[Array, ' A'] | None = None,
) -> Int[Array, '*N']:
  """Returns a uniform legal action with probability epsilon, else the greedy.

  Args:
    key: for the choice, the random action and the ties.
    values: Q, float32 [..., A].
    epsilon: probability in [0, 1].
    legal: which actions the environment has; None for all.

  Returns:
    Actions, int32 [...].
  """
  key_greedy, key_explore, key_random = jax.random.split(key, 3)
  explore = jax.random.bernoulli(key_explore, epsilon, values.shape[:-1])
  # Greedy where all actions are worth the same: any legal one.
  random = greedy(key_random, jnp.zeros_like(values), legal)
  return jnp.where(explore, random, greedy(key_greedy, values, legal))


@runtime_checkable
class Optimism(Protocol):
  """Turns the distribution of Q(s, .; z) over z into values."""

  @property
  def num_indices(self) -> int | None:
    """K, number of indices to draw; None for one index without the axis K."""
    ...

  def values(
      self, distribution: index_lib.IndexDistribution,
      value: Callable[[Array], Array], encoding: Any,
      index: Float[Array, '...'],
  ) -> Float[Array, ' A']:
    """Returns the values of one state.

    Args:
      distribution: of the index z.
      value: from an index [M] to the values [A] of the state.
      encoding: the network's encoding of the state.
      index: draws of z, [K, M], or [M] where `num_indices` is None.
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
    """Returns actions.

    Args:
      key: of this step.
      values: of N states.
      legal: which actions the environment has; None for all.
      steps: number of steps before this one.
    """
    ...


@dataclasses.dataclass(frozen=True)
class Thompson:
  """Greedy for one index that is drawn for each episode: posterior sampling.

  For a value function without index (M = 0) this is the greedy policy.

  Attributes:
    resample_probability: probability of a new index before each step within
      an episode; 1 for a new index at every step.
  """

  resample_probability: float = 0.

  def __post_init__(self):
    _check_probability('resample_probability', self.resample_probability)

  @property
  def num_indices(self) -> int | None:
    """See `Optimism`."""
    return None

  def values(self, distribution, value, encoding, index) -> Float[Array, ' A']:
    """Returns the values at the index."""
    del distribution, encoding
    return value(index)

  def choose(self, key, values, legal, steps) -> Int[Array, ' N']:
    """Returns greedy actions."""
    del steps
    return greedy(key, values, legal)


@dataclasses.dataclass(frozen=True)
class EpsilonGreedy(Thompson):
  """A uniformly random action with probability epsilon, else the greedy one.

  Attributes:
    epsilon: probability, or a schedule from the number of steps to it, such as
      `optax.linear_schedule` makes.
  """

  epsilon: float | Schedule = 0.05

  def __post_init__(self):
    super().__post_init__()
    if not callable(self.epsilon):
      _check_probability('epsilon', self.epsilon)
      return
    # A schedule may leave [0, 1] late: look far.
    for step in (0, 1, 10, 10**3, 10**5, 10**7, 2**31 - 1):
      _check_probability(
          f'epsilon at step {step}',
          float(self.epsilon(jnp.asarray(step, jnp.int32))))

  def choose(self, key, values, legal, steps) -> Int[Array, ' N']:
    """Returns epsilon-greedy actions."""
    if callable(self.epsilon):
      epsilon = jnp.clip(self.epsilon(steps), 0., 1.).astype(jnp.float32)
      return epsilon_greedy(key, values, epsilon, legal)
    if self.epsilon == 0.:  # Known when traced: nothing is drawn for it.
      return greedy(key, values, legal)
    return epsilon_greedy(key, values, self.epsilon, legal)


@dataclasses.dataclass(frozen=True)
class SampledOptimism(Thompson):
  """The values at a quantile over several indices, of each action by itself.

  Optimistic index sampling of Li et al. (2023, section 3.3); their code takes
  the quantile 0.8 over 5 indices where the paper writes a maximum.

  Attributes:
    num_draws: K, number of indices, at least 1.
    quantile: in [0, 1]; 1 is the maximum.
  """

  num_draws: int = 5
  quantile: float = 0.8

  def __post_init__(self):
    super().__post_init__()
    if self.num_draws < 1:
      raise ValueError(f'num_draws must be at least 1, got {self.num_draws}')
    _check_probability('quantile', self.quantile)

  @property
  def num_indices(self) -> int | None:
    """See `Optimism`."""
    return self.num_draws

  def values(self, distribution, value, encoding, index) -> Float[Array, ' A']:
    """Returns the values at the quantile over the indices."""
    del distribution, encoding
    return jnp.quantile(jax.vmap(value)(index), self.quantile, axis=0)


@dataclasses.dataclass(frozen=True)
class UCB(Thompson):
  """An upper confidence bound: mean plus a multiple of the standard deviation.

  Both are over the index and in closed form, for a value function affine in z,
  whose encoding is psi, [M+1, A]. What `SampledOptimism` estimates from draws:
  for a Gaussian index the expected maximum of five is 1.16 standard deviations
  above the mean. The index that is drawn is not looked at.

  Attributes:
    scale: number of standard deviations, at least 0.
  """

  scale: float = 1.

  def __post_init__(self):
    super().__post_init__()
    if not 0. <= self.scale < float('inf'):
      raise ValueError(
          f'the scale of an upper confidence bound must be at least 0, got '
          f'{self.scale}')

  def values(self, distribution, value, encoding, index) -> Float[Array, ' A']:
    """Returns the upper confidence bounds."""
    del index
    shift = distribution.mean * jnp.sum(encoding[1:], axis=0)
    variance = (distribution.second_moment
                * jnp.sum(jnp.square(encoding[1:]), axis=0)
                - jnp.square(shift))
    mean = value(jnp.full(distribution.dim, distribution.mean, jnp.float32))
    return mean + self.scale * jnp.sqrt(jnp.maximum(variance, 0.))


def _check_probability(name: str, value: float):
  if not 0. <= value <= 1.:
    raise ValueError(f'{name} must be between 0 and 1, got {value}')
