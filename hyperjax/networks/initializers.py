"""Initialisers, each one object or cached, so that equal networks are equal."""

from collections.abc import Callable
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

# Called with a key, a shape and, if need be, a dtype.
Initializer = Callable[..., Array]

# Xavier-normal, of Glorot and Bengio (2010).
xavier = nn.initializers.xavier_normal()


def zero_bias(key, shape, dtype=jnp.float32):
  """Initialises the bias of a layer [inputs, outputs] at zero, [outputs]."""
  del key
  return jnp.zeros(shape[-1:], dtype)


def uniform_bias(key, shape, dtype=jnp.float32):
  """Initialises a bias uniformly within 1 / sqrt(inputs) of zero, [outputs].

  For layers [..., inputs, outputs], as PyTorch does. With it a network has
  features, and gradients, at an observation of zeros too.
  """
  num_inputs = 1
  for size in shape[:-1]:
    num_inputs *= size
  bound = num_inputs**-0.5
  return jax.random.uniform(key, shape[-1:], dtype, -bound, bound)


@functools.cache
def normal(std: float) -> Initializer:
  """Returns independent N(0, std^2)."""
  return nn.initializers.normal(std)


@functools.cache
def truncated(num_batch_axes: int = 0) -> Initializer:
  """Returns a normal, truncated at 2 standard deviations of 1 / sqrt(inputs).

  The truncation leaves a standard deviation of 0.88 / sqrt(inputs).

  Args:
    num_batch_axes: leading axes of an array [..., inputs, outputs] that are
      neither.
  """
  return nn.initializers.variance_scaling(
      0.87962566103423978**2, 'fan_in', 'truncated_normal',
      batch_axis=tuple(range(num_batch_axes)))


@functools.cache
def sphere(scale: float) -> Initializer:
  """Returns one uniform vector of length `scale` for the whole array.

  The authors' initialisation of b (`sphere`): entries of root mean square
  scale / sqrt(size), small beside the factors.
  """

  def init(key, shape, dtype=jnp.float32):
    x = jax.random.normal(key, shape, dtype)
    return scale * x / jnp.linalg.norm(x)

  return init


def factor_xavier(key, shape, dtype=jnp.float32):
  """Initialises factors [M, F, A] as Xavier-normal with fans (M, A F).

  As the authors take them: the map z -> w(z) is a dense layer from R^M to
  R^{A F}, so the standard deviation is sqrt(2 / (M + A F)).
  """
  index_dim, num_features, num_actions = shape
  std = jnp.sqrt(2. / (index_dim + num_features * num_actions))
  return (std * jax.random.normal(key, shape, dtype)).astype(dtype)


@functools.cache
def factor_sphere(scale: float) -> Initializer:
  """Returns, for each feature and action, a uniform vector in R^M.

  Li et al. (2024), appendix A: each row of the prior's A is uniform on the
  unit sphere, so that each generated weight varies equally over the index.

  Args:
    scale: length of the vectors.
  """

  def init(key, shape, dtype=jnp.float32):
    x = jax.random.normal(key, shape, dtype)
    return scale * x / jnp.linalg.norm(x, axis=0, keepdims=True)

  return init
