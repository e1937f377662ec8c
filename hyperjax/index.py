"""Reference distributions of the index z in R^M.

An index selects one member of an approximate posterior: Q(s, a; z) with a fresh
z is one sample of the value function. Each distribution defines its dimension,
how to sample, and its first two moments,

  E[z] = mean * 1   and   E[z z^T] = second_moment * I,

which is all that the closed form of the squared TD error needs
(`hyperjax.losses.ExactTD`).

The Gaussian and the sphere are from HyperAgent (Li et al., 2024), the cube,
coordinate and sparse distributions from Ensemble++ (Li et al., 2024, appendix
E); one-hot indices make ensembles. `Sphere` has radius 1, as in the authors'
code for reinforcement learning. All distributions except `Sphere` and `OneHot`
have the isotropic scaling E[z z^T] = I of the bandit papers.
"""

import dataclasses
import math
from typing import Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax import checks


@runtime_checkable
class IndexDistribution(Protocol):
  """A distribution of z in R^M."""

  @property
  def dim(self) -> int:
    """M, dimension of z."""
    ...

  @property
  def mean(self) -> float:
    """Common value of the entries of E[z]."""
    ...

  @property
  def second_moment(self) -> float:
    """Constant c of E[z z^T] = c I."""
    ...

  def sample(
      self, key: chex.PRNGKey, shape: tuple[int, ...] = ()
  ) -> Float[Array, '... M']:
    """Returns independent samples, float32 [*shape, M]."""
    ...


@dataclasses.dataclass(frozen=True)
class NoIndex:
  """The empty index, M = 0, of a plain value function."""

  dim: int = 0

  def __post_init__(self):
    checks.fields(self, 'NoIndex', dim=checks.integer(0, 0))

  @property
  def mean(self) -> float:
    """See `IndexDistribution`."""
    return 0.

  @property
  def second_moment(self) -> float:
    """See `IndexDistribution`."""
    return 0.

  def sample(
      self, key: chex.PRNGKey, shape: tuple[int, ...] = ()
  ) -> Float[Array, '... M']:
    """See `IndexDistribution`."""
    del key
    return jnp.zeros((*shape, 0), jnp.float32)


@dataclasses.dataclass(frozen=True)
class _Isotropic:
  """Mean 0 and E[z z^T] = I, unless a subclass overrides them."""

  dim: int

  def __post_init__(self):
    checks.fields(self, 'an index', dim=checks.COUNT)

  @property
  def mean(self) -> float:
    """See `IndexDistribution`."""
    return 0.

  @property
  def second_moment(self) -> float:
    """See `IndexDistribution`."""
    return 1.


@dataclasses.dataclass(frozen=True)
class Gaussian(_Isotropic):
  """z ~ N(0, I)."""

  def sample(
      self, key: chex.PRNGKey, shape: tuple[int, ...] = ()
  ) -> Float[Array, '... M']:
    """See `IndexDistribution`."""
    return jax.random.normal(key, (*shape, self.dim), jnp.float32)


@dataclasses.dataclass(frozen=True)
class Sphere(_Isotropic):
  """z uniform on the unit sphere S^{M-1}, hence E[z z^T] = I / M."""

  @property
  def second_moment(self) -> float:
    """See `IndexDistribution`."""
    return 1. / self.dim

  def sample(
      self, key: chex.PRNGKey, shape: tuple[int, ...] = ()
  ) -> Float[Array, '... M']:
    """See `IndexDistribution`."""
    z = jax.random.normal(key, (*shape, self.dim), jnp.float32)
    return z / jnp.linalg.norm(z, axis=-1, keepdims=True)


@dataclasses.dataclass(frozen=True)
class Cube(_Isotropic):
  """z uniform on the corners {-1, 1}^M."""

  def sample(
      self, key: chex.PRNGKey, shape: tuple[int, ...] = ()
  ) -> Float[Array, '... M']:
    """See `IndexDistribution`."""
    return jax.random.rademacher(key, (*shape, self.dim), jnp.float32)


@dataclasses.dataclass(frozen=True)
class Coordinate(_Isotropic):
  """z uniform on the 2M signed coordinates +-sqrt(M) e_i."""

  def sample(
      self, key: chex.PRNGKey, shape: tuple[int, ...] = ()
  ) -> Float[Array, '... M']:
    """See `IndexDistribution`."""
    key_i, key_sign = jax.random.split(key)
    i = jax.random.randint(key_i, shape, 0, self.dim)
    sign = jax.random.rademacher(key_sign, (*shape, 1), jnp.float32)
    return math.sqrt(self.dim) * sign * jax.nn.one_hot(
        i, self.dim, dtype=jnp.float32)


@dataclasses.dataclass(frozen=True)
class Sparse(_Isotropic):
  """z with s uniformly chosen entries of +-sqrt(M / s); the others are 0.

  Attributes:
    nonzeros: s, number of nonzero entries, 1..M.
  """

  nonzeros: int = 2

  def __post_init__(self):
    super().__post_init__()
    checks.fields(self, f'an index of dimension {self.dim}',
                  nonzeros=checks.integer(1, self.dim))

  def sample(
      self, key: chex.PRNGKey, shape: tuple[int, ...] = ()
  ) -> Float[Array, '... M']:
    """See `IndexDistribution`."""
    key_order, key_sign = jax.random.split(key)
    order = jax.random.uniform(key_order, (*shape, self.dim), jnp.float32)
    rank = jnp.argsort(jnp.argsort(order, axis=-1), axis=-1)
    sign = jax.random.rademacher(key_sign, (*shape, self.dim), jnp.float32)
    scale = math.sqrt(self.dim / self.nonzeros)
    return jnp.where(rank < self.nonzeros, scale * sign, 0.)


@dataclasses.dataclass(frozen=True)
class OneHot:
  """z uniform on the M coordinate vectors e_i: one member of an ensemble."""

  dim: int

  def __post_init__(self):
    checks.fields(self, 'an index', dim=checks.COUNT)

  @property
  def mean(self) -> float:
    """See `IndexDistribution`."""
    return 1. / self.dim

  @property
  def second_moment(self) -> float:
    """See `IndexDistribution`."""
    return 1. / self.dim

  def sample(
      self, key: chex.PRNGKey, shape: tuple[int, ...] = ()
  ) -> Float[Array, '... M']:
    """See `IndexDistribution`."""
    i = jax.random.randint(key, shape, 0, self.dim)
    return jax.nn.one_hot(i, self.dim, dtype=jnp.float32)


def mean_gaussian_length(dim: int) -> float:
  """Returns E|x| of x ~ N(0, I) in R^dim: the mean of the chi distribution."""
  return math.sqrt(2.) * math.exp(
      math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))
