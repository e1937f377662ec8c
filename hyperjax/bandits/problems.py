"""Linear bandits: sets of actions, problems and exact regret.

An action is a vector x in R^d; its reward is <x, theta> plus Gaussian noise.
Shapes beyond the legend of `hyperjax.types`: d dimension, X number of actions,
T steps.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import numpy as np

from hyperjax import checks
from hyperjax import index as index_lib


@runtime_checkable
class Actions(Protocol):
  """A set of actions; a pytree."""

  def best(self, theta: Float[Array, ' d']) -> Float[Array, ' d']:
    """Returns the action with the largest <x, theta>, float32 [d]."""
    ...


class FiniteActions(NamedTuple):
  """Finitely many actions.

  Attributes:
    features: x of each action, float32 [X, d].
  """

  features: Float[Array, 'X d']

  def best(self, theta: Float[Array, ' d']) -> Float[Array, ' d']:
    """See `Actions`."""
    return self.features[jnp.argmax(self.features @ theta)]


class UnitSphere(NamedTuple):
  """All vectors of length 1."""

  def best(self, theta: Float[Array, ' d']) -> Float[Array, ' d']:
    """See `Actions`."""
    return theta / jnp.maximum(jnp.linalg.norm(theta), 1e-30)


class Problem(NamedTuple):
  """A linear bandit.

  Attributes:
    actions: set of actions.
    theta: true parameter, float32 [d].
    noise_std: standard deviation of the rewards' noise, float32 [].
  """

  actions: Actions
  theta: Float[Array, ' d']
  noise_std: Float[Array, '']


def make_problem(
    features: Any, theta: Any, noise_std: float = 1.) -> Problem:
  """Returns a bandit of finitely many actions after checking it; on the host.

  Args:
    features: x of each action, [X, d].
    theta: true parameter, [d].
    noise_std: standard deviation of the rewards' noise, above 0.

  Raises:
    ValueError: if the shapes do not fit or an entry is not finite, naming the
      first such entry.
  """
  x, w = np.asarray(features, np.float32), np.asarray(theta, np.float32)
  if x.ndim != 2 or 0 in x.shape or w.shape != x.shape[1:]:
    raise ValueError(
        f'expected features of shape [X, d] with X and d of at least 1, and '
        f'theta of shape [d], got {x.shape} and {w.shape}')
  for name, values in (('features', x), ('theta', w)):
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
      entry = tuple(int(i) for i in wrong[0])
      raise ValueError(
          f'{name}[{", ".join(map(str, entry))}] must be finite, got '
          f'{values[entry]}')
  return Problem(
      FiniteActions(jnp.asarray(x)), jnp.asarray(w),
      jnp.float32(checks.positive('noise_std', noise_std)))


def random_problem(
    key: chex.PRNGKey, dim: int = 50, num_actions: int = 10_000,
    prior_variance: float = 10., noise_std: float = 1.,
) -> Problem:
  """Returns the bandit of published experiments (Li et al., 2024).

  Actions are uniform on [-1/sqrt(5), 1/sqrt(5)]^d, so that their squared length
  is d / 15 on average, and theta ~ N(0, prior_variance I).

  Args:
    key: PRNG key.
    dim: d.
    num_actions: X.
    prior_variance: variance of an entry of theta.
    noise_std: standard deviation of the rewards' noise.
  """
  for name, value in (('dim', dim), ('num_actions', num_actions)):
    checks.COUNT(name, value)
  key_actions, key_theta = jax.random.split(key)
  features = jax.random.uniform(
      key_actions, (num_actions, dim), minval=-5**-0.5, maxval=5**-0.5)
  return Problem(
      FiniteActions(features), _theta(key_theta, dim, prior_variance),
      jnp.float32(checks.positive('noise_std', noise_std)))


def random_sphere(
    key: chex.PRNGKey, dim: int = 10, prior_variance: float = 10.,
    noise_std: float = 1.,
) -> Problem:
  """Returns a bandit of the unit sphere's actions; see `random_problem`."""
  checks.COUNT('dim', dim)
  return Problem(
      UnitSphere(), _theta(key, dim, prior_variance),
      jnp.float32(checks.positive('noise_std', noise_std)))


def _theta(
    key: chex.PRNGKey, dim: int, prior_variance: float) -> Float[Array, ' d']:
  variance = checks.positive('prior_variance', prior_variance)
  return variance**0.5 * jax.random.normal(key, (dim,))


def reference(
    index: index_lib.IndexDistribution, key: chex.PRNGKey
) -> Float[Array, ' M']:
  """Returns a sample of an index, scaled to E[z z^T] = I, float32 [M]."""
  return index.sample(key) / index.second_moment**0.5


def perturbation(
    index: index_lib.IndexDistribution, key: chex.PRNGKey,
    shape: tuple[int, ...] = (),
) -> Float[Array, '... M']:
  """Returns samples of an index, scaled to E|z|^2 = 1, float32 [*shape, M]."""
  return index.sample(key, shape) / (index.second_moment * index.dim)**0.5
