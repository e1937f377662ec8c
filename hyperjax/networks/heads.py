"""Heads: from features to the M+1 value heads psi, of shape [M+1, A].

A value function that is affine in the index z,

  Q(s, a; z) = psi(s)[0, a] + sum_m z_m psi(s)[m, a],

is M+1 ordinary heads on one torso, and psi does not depend on z. So psi is
computed once for an observation and contracted with z last, whatever the
number of indices; weights are never generated for each index.

The initialisers are cached, so that networks of equal settings are equal.
"""

import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Initializer = jax.nn.initializers.Initializer


class LinearHead(nn.Module):
  """An ordinary output layer, the case M = 0.

  Attributes:
    num_actions: A.
    kernel_init: of the kernel [F, A]. The bias begins at zero.
  """

  num_actions: int
  kernel_init: Initializer = nn.initializers.xavier_normal()

  @nn.compact
  def __call__(self, features: Float[Array, 'F']) -> Float[Array, '1 A']:
    layer = nn.Dense(self.num_actions, kernel_init=self.kernel_init)
    return layer(features)[None]


class HypermodelHead(nn.Module):
  """The last-layer linear hypermodel of Li et al. (2024), eq. 4.

  Output weights w_a(z) = b_a + A_a z give Q(s, a; z) = <w_a(z), phi(s)>. There
  is no output bias.

  Attributes:
    num_actions: A.
    index_dim: M.
    mean_init: of b, shape [F, A].
    factor_init: of the matrix A, shape [M, F, A].
  """

  num_actions: int
  index_dim: int
  mean_init: Initializer
  factor_init: Initializer

  @nn.compact
  def __call__(self, features: Float[Array, 'F']) -> Float[Array, 'heads A']:
    num_features, = features.shape
    mean = self.param('mean', self.mean_init, (num_features, self.num_actions))
    factors = self.param('factors', self.factor_init,
                         (self.index_dim, num_features, self.num_actions))
    weights = jnp.concatenate([mean[None], factors])
    return jnp.einsum('f,mfa->ma', features, weights)


@functools.cache
def sphere_init(scale: float) -> Initializer:
  """The whole array is one uniform vector of length `scale`.

  The authors' initialisation of b (`sphere`): entries of root mean square
  scale / sqrt(size), small beside the factors.
  """

  def init(key, shape, dtype=jnp.float32):
    x = jax.random.normal(key, shape, dtype)
    return scale * x / jnp.linalg.norm(x)

  return init


@functools.cache
def factor_xavier_init() -> Initializer:
  """Xavier-normal with fans (M, A F), as the authors take them.

  The map z -> w(z) is a dense layer from R^M to R^{A F}: the standard
  deviation is sqrt(2 / (M + A F)).
  """

  def init(key, shape, dtype=jnp.float32):
    index_dim, num_features, num_actions = shape
    std = jnp.sqrt(2. / (index_dim + num_features * num_actions))
    return std * jax.random.normal(key, shape, dtype)

  return init


@functools.cache
def factor_sphere_init(scale: float) -> Initializer:
  """For each feature and action a uniform vector in R^M of length `scale`.

  Li et al. (2024), appendix A: each row of the prior's A is uniform on the
  unit sphere, so that each generated weight varies equally over the index.
  """

  def init(key, shape, dtype=jnp.float32):
    x = jax.random.normal(key, shape, dtype)
    return scale * x / jnp.linalg.norm(x, axis=0, keepdims=True)

  return init
