"""Heads: maps from features to the M+1 value heads psi, [M+1, A].

A value function that is affine in the index z,

  Q(s, a; z) = psi(s)[0, a] + sum_m z_m psi(s)[m, a],

consists of M+1 ordinary heads on one torso, and psi does not depend on z. So
psi is computed once per observation and contracted with each index last; no
weights are generated per index.
"""

from flax import linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax import checks
from hyperjax.networks import initializers


class LinearHead(nn.Module):
  """An ordinary output layer, the case M = 0.

  Attributes:
    num_actions: A.
    kernel_init: initialiser of the kernel [F, A]. The bias begins at zero.
  """

  num_actions: int
  kernel_init: initializers.Initializer = initializers.xavier

  def __post_init__(self):
    checks.fields(
        self, 'a head', num_actions=checks.COUNT, kernel_init=checks.function)
    super().__post_init__()

  @nn.compact
  def __call__(self, features: Float[Array, ' F']) -> Float[Array, '1 A']:
    """Returns the values as one head psi, float32 [1, A]."""
    layer = nn.Dense(self.num_actions, kernel_init=self.kernel_init)
    return layer(features)[None]


class HypermodelHead(nn.Module):
  """The last-layer linear hypermodel of Li et al. (2024), eq. 4.

  Output weights w_a(z) = b_a + A_a z give Q(s, a; z) = <w_a(z), phi(s)>. The
  output bias may be generated too, as in HyperDQN: c_a + d_a z.

  Attributes:
    num_actions: A.
    index_dim: M; 0 for a head that is the same at every index.
    mean_init: initialiser of b, shape [F, A].
    factor_init: initialiser of the matrix A, shape [M, F, A].
    bias: whether there is an output bias. It begins at zero.
  """

  num_actions: int
  index_dim: int
  mean_init: initializers.Initializer
  factor_init: initializers.Initializer
  bias: bool = False

  def __post_init__(self):
    checks.fields(
        self, 'a head', num_actions=checks.COUNT, index_dim=checks.integer(0),
        mean_init=checks.function, factor_init=checks.function,
        bias=checks.flag)
    super().__post_init__()

  @nn.compact
  def __call__(self, features: Float[Array, ' F']) -> Float[Array, 'heads A']:
    """Returns the heads psi, float32 [M+1, A]."""
    num_features, = features.shape
    mean = self.param('mean', self.mean_init,
                      (num_features, self.num_actions), jnp.float32)
    factors = self.param('factors', self.factor_init,
                         (self.index_dim, num_features, self.num_actions),
                         jnp.float32)
    weights = jnp.concatenate([mean[None], factors])
    psi = jnp.einsum('f,mfa->ma', features, weights)
    if self.bias:
      psi += self.param('bias', nn.initializers.zeros,
                        (self.index_dim + 1, self.num_actions), jnp.float32)
    return psi


class EnsembleHead(nn.Module):
  """K output layers on one torso, selected by a one-hot index.

  Attributes:
    num_members: K.
    num_actions: A.
    kernel_init: initialiser of each kernel [F, A]. Biases begin at zero.
  """

  num_members: int
  num_actions: int
  kernel_init: initializers.Initializer = initializers.xavier

  def __post_init__(self):
    checks.fields(
        self, 'an ensemble', num_members=checks.COUNT,
        num_actions=checks.COUNT, kernel_init=checks.function)
    super().__post_init__()

  @nn.compact
  def __call__(self, features: Float[Array, ' F']) -> Float[Array, 'heads A']:
    """Returns the heads psi, float32 [K+1, A]."""
    heads = nn.vmap(
        LinearHead,
        in_axes=None,  # pyright: ignore[reportArgumentType] Unannotated.
        axis_size=self.num_members, variable_axes={'params': 0},
        split_rngs={'params': True})
    values = heads(self.num_actions, self.kernel_init, name='heads')(features)
    return members_as_heads(values[:, 0])


class SeparateNetworks(nn.Module):
  """K networks that share nothing, selected by a one-hot index.

  Attributes:
    network: one of the networks, a module from an observation to [1, A].
    num_members: K.
  """

  network: nn.Module
  num_members: int

  def __post_init__(self):
    checks.fields(
        self, 'an ensemble', network=checks.instance(nn.Module),
        num_members=checks.COUNT)
    super().__post_init__()

  @nn.compact
  def __call__(self, observation: Array) -> Float[Array, 'heads A']:
    """Returns the heads psi, float32 [K+1, A]."""
    apply = nn.vmap(
        lambda network, s: network(s),
        in_axes=None,  # pyright: ignore[reportArgumentType] Unannotated.
        axis_size=self.num_members, variable_axes={'params': 0},
        split_rngs={'params': True})
    return members_as_heads(apply(self.network, observation)[:, 0])


def members_as_heads(values: Float[Array, 'K A']) -> Float[Array, 'heads A']:
  """Returns the heads psi of an ensemble, for Q(z) = z . values.

  Args:
    values: values of the K members, [K, A].

  Returns:
    A mean head of zeros, and the members: float32 [K+1, A].
  """
  return jnp.concatenate([jnp.zeros_like(values[:1]), values])

