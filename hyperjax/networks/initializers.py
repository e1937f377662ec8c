"""Initialisers, cached or single objects, so that equal networks are equal."""

from collections.abc import Callable
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from hyperjax import checks

# A function of a PRNG key, a shape and, optionally, a dtype.
Initializer = Callable[..., Array]

# Xavier-normal (Glorot and Bengio, 2010).
xavier = nn.initializers.xavier_normal()
xavier_uniform = nn.initializers.xavier_uniform()


def zero_bias(key, shape, dtype=jnp.float32):
  """Initialises the bias [outputs] of a layer [inputs, outputs] at zero."""
  del key
  return jnp.zeros(shape[-1:], dtype)


def uniform_bias(key, shape, dtype=jnp.float32):
  """Initialises a bias [outputs] uniformly within 1 / sqrt(inputs) of zero.

  The initialisation of PyTorch, for layers [..., inputs, outputs]. With it a
  network has nonzero features and gradients at an observation of zeros.
  """
  num_inputs = 1
  for size in shape[:-1]:
    num_inputs *= size
  bound = num_inputs**-0.5
  return jax.random.uniform(key, shape[-1:], dtype, -bound, bound)


@functools.cache
def normal(std: float) -> Initializer:
  """Returns an initialiser of independent N(0, std^2) entries."""
  checks.NONNEGATIVE('std', std)
  return nn.initializers.normal(std)


@functools.cache
def truncated(num_batch_axes: int = 0) -> Initializer:
  """Returns an initialiser of normal entries truncated at 2 / sqrt(inputs).

  Before the truncation the standard deviation is 1 / sqrt(inputs), after it
  0.88 / sqrt(inputs).

  Args:
    num_batch_axes: number of leading axes of an array [..., inputs, outputs]
      that are neither inputs nor outputs.
  """
  return nn.initializers.variance_scaling(
      0.87962566103423978**2, 'fan_in', 'truncated_normal',
      batch_axis=tuple(range(num_batch_axes)))


@functools.cache
def sphere(scale: float) -> Initializer:
  """Returns an initialiser of the whole array as one vector of given length.

  The authors' initialisation of b (`sphere`): entries of root mean square scale
  / sqrt(size), small relative to the factors.

  Args:
    scale: length of the vector, whose direction is uniform.
  """
  checks.NONNEGATIVE('scale', scale)

  def init(key, shape, dtype=jnp.float32):
    x = jax.random.normal(key, shape, dtype)
    return scale * x / jnp.linalg.norm(x)

  return init


def factor_xavier(key, shape, dtype=jnp.float32):
  """Initialises factors [M, F, A] as Xavier-normal with fans (M, A F).

  The authors' choice of fans: the map z -> w(z) is a dense layer from R^M to
  R^{A F}, so the standard deviation is sqrt(2 / (M + A F)).
  """
  index_dim, num_features, num_actions = shape
  std = jnp.sqrt(2. / (index_dim + num_features * num_actions))
  return (std * jax.random.normal(key, shape, dtype)).astype(dtype)


@functools.cache
def factor_sphere(scale: float) -> Initializer:
  """Returns an initialiser of a uniform vector in R^M per feature and action.

  Li et al. (2024), appendix A: each row of the prior's A is uniform on the unit
  sphere, so that each generated weight varies equally over the index.

  Args:
    scale: length of the vectors.
  """
  checks.NONNEGATIVE('scale', scale)

  def init(key, shape, dtype=jnp.float32):
    x = jax.random.normal(key, shape, dtype)
    return scale * x / jnp.linalg.norm(x, axis=0, keepdims=True)

  return init
