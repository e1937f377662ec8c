"""Torsos: from one observation to features."""

from collections.abc import Callable, Sequence

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax import specs

Initializer = jax.nn.initializers.Initializer


class InputLayer(nn.Module):
  """A dense layer over a flattened observation or a category.

  A category is an index into the rows of the kernel: what a dense layer does to
  a one-hot vector, without the vector. So the layer computes the same function,
  with the same parameters, of a one-hot observation and of its number.

  Attributes:
    features: F, width of the output.
    spec: of the observation.
    kernel_init: of the kernel [inputs, F].
    use_bias: whether to add a bias, which begins at zero.
  """

  features: int
  spec: specs.ObservationSpec
  kernel_init: Initializer
  use_bias: bool = True

  @nn.compact
  def __call__(self, observation: Array) -> Float[Array, ' F']:
    num_values = self.spec.num_values
    if num_values is not None:
      if self.has_variable('params', 'kernel'):
        # Fewer rows than `num_values` where an update is of some rows only
        # (`hyperjax.lazy_rows`).
        kernel = self.get_variable('params', 'kernel')
      else:
        kernel = self.param('kernel', self.kernel_init,
                            (num_values, self.features))
      # The zero row for a number out of range: the zero vector's image. A
      # negative one would otherwise count from the end.
      row = jnp.where(observation < 0, kernel.shape[0], observation)
      x = jnp.take(kernel, row, axis=0, mode='fill', fill_value=0.)
    else:
      inputs = jnp.ravel(observation).astype(jnp.float32)
      kernel = self.param('kernel', self.kernel_init,
                          (inputs.size, self.features))
      x = inputs @ kernel
    if self.use_bias:
      x += self.param('bias', nn.initializers.zeros, (self.features,))
    return x


class MLPTorso(nn.Module):
  """Dense layers with an activation behind each, the last one included.

  Attributes:
    hidden_sizes: widths of the layers; the last one is F.
    spec: of the observation, an array of any shape or a category.
    kernel_init: of every kernel. Biases begin at zero.
    activation: applied to each number.
  """

  hidden_sizes: Sequence[int]
  spec: specs.ObservationSpec
  kernel_init: Initializer = nn.initializers.xavier_normal()
  activation: Callable[[Array], Array] = nn.relu

  @nn.compact
  def __call__(self, observation: Array) -> Float[Array, ' F']:
    first, *rest = self.hidden_sizes
    x = self.activation(
        InputLayer(first, self.spec, self.kernel_init)(observation))
    for size in rest:
      x = self.activation(nn.Dense(size, kernel_init=self.kernel_init)(x))
    return x
