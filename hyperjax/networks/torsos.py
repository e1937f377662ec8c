"""Torsos: maps from one observation to features."""

from collections.abc import Callable, Sequence

from flax import linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax import checks
from hyperjax import specs
from hyperjax.networks import initializers
from hyperjax.networks import tables

# Initial standard deviation of categories' rows where layers are normalised.
_CATEGORY_STD = 1e-3


class InputLayer(nn.Module):
  """A dense layer on a flattened observation or a category.

  A category selects a row of the kernel, which equals the product of the kernel
  and a one-hot vector. So a layer of the same parameters computes the same
  function of a one-hot observation and of its number.

  Attributes:
    features: F, width of the output.
    spec: spec of the observation.
    kernel_init: initialiser of the kernel [inputs, F].
    use_bias: whether to add a bias [F].
    bias_init: initialiser of the bias; called with the shape (inputs, F), of
      which it initialises the last axis.
  """

  features: int
  spec: specs.ObservationSpec
  kernel_init: initializers.Initializer
  use_bias: bool = True
  bias_init: initializers.Initializer = initializers.zero_bias

  def __post_init__(self):
    checks.fields(
        self, 'a layer', features=checks.COUNT, spec=specs.check_spec,
        kernel_init=checks.function, use_bias=checks.flag,
        bias_init=checks.function)
    super().__post_init__()

  @nn.compact
  def __call__(self, observation: Array) -> Float[Array, ' F']:
    """Returns the layer's output for one observation, float32 [F]."""
    num_values = self.spec.num_values
    shape = (self.spec.num_inputs, self.features)
    if num_values is not None:
      if self.has_variable('params', 'kernel'):
        # `self.param` would check the shape, but a lazy update has fewer rows
        # than `num_values` (`hyperjax.lazy_adam`).
        kernel = nn.meta.unbox(self.get_variable('params', 'kernel'))
      else:
        kernel = self.param(
            'kernel', tables.table(self.kernel_init), shape, jnp.float32)
      # A number out of range stands for the zero vector, so its row is zero.
      # A negative number would otherwise count from the end.
      observation = observation.astype(jnp.int32)  # One byte may be too few.
      row = jnp.where(observation < 0, kernel.shape[0], observation)
      x = jnp.take(kernel, row, axis=0, mode='fill', fill_value=0.)
    else:
      inputs = jnp.ravel(observation).astype(jnp.float32)
      x = inputs @ self.param(
          'kernel', self.kernel_init, shape, jnp.float32)
    if self.use_bias:
      x += self.param('bias', self.bias_init, shape, jnp.float32)
    return x


class Dense(nn.Module):
  """`flax.linen.Dense` whose initial bias may depend on the number of inputs.

  Attributes:
    features: F, width of the output.
    kernel_init: initialiser of the kernel [inputs, F].
    bias_init: initialiser of the bias, see `InputLayer`.
  """

  features: int
  kernel_init: initializers.Initializer
  bias_init: initializers.Initializer = initializers.zero_bias

  def __post_init__(self):
    checks.fields(
        self, 'a layer', features=checks.COUNT, kernel_init=checks.function,
        bias_init=checks.function)
    super().__post_init__()

  @nn.compact
  def __call__(self, x: Float[Array, ' inputs']) -> Float[Array, ' F']:
    """Returns the layer's output, float32 [F]."""
    shape = (x.size, self.features)
    kernel = self.param('kernel', self.kernel_init, shape, jnp.float32)
    return x @ kernel + self.param('bias', self.bias_init, shape, jnp.float32)


class MLPTorso(nn.Module):
  """Dense layers with an activation after each, the last one included.

  Attributes:
    hidden_sizes: widths of the layers; the last one is F.
    spec: spec of the observation, an array of any shape or a category.
    kernel_init: initialiser of every kernel.
    bias_init: initialiser of every bias, see `InputLayer`.
    activation: elementwise activation function.
  """

  hidden_sizes: Sequence[int]
  spec: specs.ObservationSpec
  kernel_init: initializers.Initializer = initializers.xavier
  bias_init: initializers.Initializer = initializers.zero_bias
  activation: Callable[[Array], Array] = nn.relu

  def __post_init__(self):
    checks.fields(
        self, 'a torso', hidden_sizes=checks.widths(1), spec=specs.check_spec,
        kernel_init=checks.function, bias_init=checks.function,
        activation=checks.function)
    super().__post_init__()

  @nn.compact
  def __call__(self, observation: Array) -> Float[Array, ' F']:
    """Returns the features of one observation, float32 [F]."""
    first, *rest = self.hidden_sizes
    x = self.activation(InputLayer(
        first, self.spec, self._input_init(), bias_init=self.bias_init
    )(observation))
    for i, size in enumerate(rest):
      x = self.activation(Dense(
          size, self.kernel_init, self.bias_init, name=f'Dense_{i}')(x))
    return x

  def _input_init(self) -> initializers.Initializer:
    """Returns the initialiser of the first kernel."""
    return self.kernel_init


def normalized_relu(x: Float[Array, '*B F']) -> Float[Array, '*B F']:
  """Returns the positive part of x, normalised to mean 0 and variance 1.

  Layer normalisation (Ba, Kiros and Hinton, 2016, "Layer normalization")
  without a trained scale and shift, before the activation.
  """
  # The variance of `standardize` itself can be negative where x is large.
  variance = jnp.var(x, axis=-1, keepdims=True)
  return nn.relu(nn.standardize(x, variance=variance, epsilon=1e-6))


class LayerNormTorso(MLPTorso):
  """`MLPTorso` with layer normalisation before every activation.

  Its features are bounded, whatever the observation and the weights are, so
  that values hardly grow where there are no data. It has the parameters of
  `MLPTorso`. A torso with another activation has no normalisation.

  The row of a category begins at N(0, 0.001^2), not at `kernel_init`. So all
  that has not been seen looks alike as soon as the bias has grown, in the place
  of having values at random.

  Raises:
    ValueError: if a layer has one unit.
  """

  activation: Callable[[Array], Array] = normalized_relu

  def __post_init__(self):
    super().__post_init__()
    if self.activation is normalized_relu and min(self.hidden_sizes) < 2:
      raise ValueError(
          f'hidden_sizes of a torso with layer normalisation must be at least '
          f'2, since one unit alone is always 0, got {self.hidden_sizes}')

  def _input_init(self) -> initializers.Initializer:
    is_normalized = self.activation is normalized_relu
    if self.spec.num_values is None or not is_normalized:
      return super()._input_init()
    return initializers.normal(_CATEGORY_STD)
