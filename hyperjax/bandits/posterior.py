"""The Gaussian posterior of theta, updated in O(d^2).

With the gain g = Sigma x / (s^2 + x^T Sigma x) of an observation y = <x, theta>
+ noise of variance s^2,

  mu <- mu + g (y - x^T mu),     Sigma <- Sigma - g x^T Sigma

Instead of Sigma a root S is kept, S S^T = Sigma, by Potter's formula: with
v = S^T x, S <- S - S v v^T / (c + s sqrt(c)), c = s^2 + |v|^2. The covariance
then stays positive in float32, and exact samples need no decomposition.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Posterior(NamedTuple):
  """A Gaussian distribution of theta.

  Attributes:
    mean: mu, float32 [d].
    root: S of Sigma = S S^T, float32 [d, d].
  """

  mean: Float[Array, ' d']
  root: Float[Array, 'd d']

  @property
  def covariance(self) -> Float[Array, 'd d']:
    """Sigma, float32 [d, d]."""
    return self.root @ self.root.T


def prior(dim: int, variance: float) -> Posterior:
  """Returns N(0, variance I) in R^dim."""
  return Posterior(jnp.zeros(dim), variance**0.5 * jnp.eye(dim))


def gain(
    posterior: Posterior, x: Float[Array, ' d'], noise_std: float
) -> Float[Array, ' d']:
  """Returns the gain g of an observation at x, float32 [d]."""
  v = posterior.root.T @ x
  return posterior.root @ v / (noise_std**2 + v @ v)


def observe(
    posterior: Posterior, x: Float[Array, ' d'], y: Float[Array, ''],
    noise_std: float,
) -> Posterior:
  """Returns the posterior after an observation.

  Args:
    posterior: posterior before.
    x: action, [d].
    y: its reward.
    noise_std: s, standard deviation of the reward's noise.
  """
  v = posterior.root.T @ x
  total = noise_std**2 + v @ v
  rv = posterior.root @ v
  mean = posterior.mean + rv * (y - x @ posterior.mean) / total
  root = posterior.root - jnp.outer(rv, v) / (
      total + noise_std * jnp.sqrt(total))
  return Posterior(mean, root)
