"""Convolutions as matrix products, and the torsos of Atari agents.

A convolution here is a matrix product with the patches of the image. XLA's own
convolution on a CPU is 8 to 20 times slower inside `lax.scan` than outside, and
becomes an even slower grouped convolution when agents with different kernels
are mapped over it (jaxlib 0.10). A matrix product is fast in both cases.
"""

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from hyperjax import checks
from hyperjax import specs
from hyperjax.networks import initializers
from hyperjax.networks import torsos


class Conv(nn.Module):
  """`flax.linen.Conv` with padding 'VALID' for one image, of equal parameters.

  Attributes:
    features: F, number of output channels.
    kernel_size: (height, width) in pixels, or one number for both.
    strides: (down, across) in pixels, or one number for both.
    kernel_init: initialiser of the kernel [height, width, C, F].
    use_bias: whether to add a bias [F].
    bias_init: initialiser of the bias; called with the shape of the kernel, of
      which it initialises the last axis.
    input_scale: factor of the image.
  """

  features: int
  kernel_size: int | tuple[int, int]
  strides: int | tuple[int, int] = 1
  kernel_init: initializers.Initializer = initializers.xavier
  use_bias: bool = True
  bias_init: initializers.Initializer = initializers.zero_bias
  input_scale: float = 1.

  def __post_init__(self):
    checks.fields(
        self, 'a convolution', features=checks.COUNT, kernel_size=_pixels,
        strides=_pixels, kernel_init=checks.function, use_bias=checks.flag,
        bias_init=checks.function, input_scale=checks.real())
    super().__post_init__()

  @nn.compact
  def __call__(
      self, image: Shaped[Array, 'H W C']) -> Float[Array, 'rows columns F']:
    """Returns the convolution of one image of any numeric dtype, as float32.

    Raises:
      ValueError: if the kernel is larger than the image.
    """
    size, strides = _pair(self.kernel_size), _pair(self.strides)
    if image.shape[0] < size[0] or image.shape[1] < size[1]:
      raise ValueError(
          f'expected an image no smaller than the kernel, which is of shape '
          f'{size}, got an image of shape {image.shape}')
    shape = (*size, image.shape[-1], self.features)
    kernel = self.param('kernel', self.kernel_init, shape, jnp.float32)
    # Patches of uint8 frames are copied as such, a quarter of the bytes, and
    # `input_scale` scales the kernel, which is smaller than the patches.
    x = _patches(image, size, strides).astype(jnp.float32)
    x = x @ (self.input_scale * kernel.reshape(-1, self.features))
    if self.use_bias:
      x += self.param('bias', self.bias_init, shape, jnp.float32)
    return x


class ImageTorso(nn.Module):
  """Base of torsos of images: a subclass has the layers before the dense ones.

  Attributes:
    hidden_sizes: widths of the dense layers; the last one is F.
    spec: spec of the observation, a stack of frames [stack, H, W], or an image
      [H, W, C].
    kernel_init: initialiser of every kernel.
    bias_init: initialiser of every bias, see `torsos.InputLayer`.
    scale_input: whether observations are divided by 255.
    normalize: whether the output of the convolutions is shifted and scaled to
      the range [0, 1], for each observation separately.
    activation: elementwise activation function.
    channels_last: whether observations are images [H, W, C].
    flatten: whether the features are a vector [F]; if not, and there are no
      dense layers, they are an image [rows, columns, F].

  Raises:
    ValueError: if observations are no stacks of frames; and, when the module is
      called, if the frames are too small.
  """

  hidden_sizes: Sequence[int]
  spec: specs.ObservationSpec
  kernel_init: initializers.Initializer = initializers.xavier
  bias_init: initializers.Initializer = initializers.zero_bias
  scale_input: bool = True
  normalize: bool = False
  activation: Callable[[Array], Array] = nn.relu
  channels_last: bool = dataclasses.field(default=False, kw_only=True)
  flatten: bool = dataclasses.field(default=True, kw_only=True)

  def __post_init__(self):
    checks.fields(
        self, 'a torso', hidden_sizes=checks.widths(0), spec=specs.check_spec,
        kernel_init=checks.function, bias_init=checks.function,
        scale_input=checks.flag, normalize=checks.flag,
        activation=checks.function, channels_last=checks.flag,
        flatten=checks.flag)
    super().__post_init__()
    if len(self.spec.shape) != 3:
      raise ValueError(
          f'expected stacks of frames, [stack, H, W], or images, [H, W, C], '
          f'got observations of shape {self.spec.shape}')

  def convolve(
      self, image: Shaped[Array, 'H W C'], scale: float
  ) -> Float[Array, 'rows columns F']:
    """Returns the features of one image, within `__call__`.

    Args:
      image: the image.
      scale: factor of its values.
    """
    raise TypeError(f'{type(self).__name__} has no layers')

  @nn.compact
  def __call__(
      self, observation: Shaped[Array, '_ _ _']) -> Float[Array, '...']:
    """Returns the features of one observation, see `flatten`."""
    x = observation if self.channels_last else jnp.moveaxis(observation, 0, -1)
    x = self.convolve(x, 1. / 255. if self.scale_input else 1.)
    if not (self.flatten or self.hidden_sizes):
      return min_max(x) if self.normalize else x
    x = jnp.ravel(x)
    if self.normalize:
      x = min_max(x)
    for i, size in enumerate(self.hidden_sizes):
      x = self.activation(torsos.Dense(
          size, self.kernel_init, self.bias_init, name=f'Dense_{i}')(x))
    return x


class ConvTorso(ImageTorso):
  """Convolutions, then dense layers, an activation after each.

  Attributes:
    layers: (features, kernel size, stride) of each convolution.
  """

  layers: Sequence[tuple[int, int, int]] = dataclasses.field(kw_only=True)

  def __post_init__(self):
    checks.fields(self, 'a torso', layers=_layers)
    super().__post_init__()

  def convolve(self, image, scale) -> Float[Array, 'rows columns F']:
    """See `ImageTorso`."""
    x = image
    for features, kernel_size, stride in self.layers:
      x = self.activation(Conv(
          features, kernel_size, stride, self.kernel_init,
          bias_init=self.bias_init, input_scale=scale)(x))
      scale = 1.
    return x


class NatureTorso(ConvTorso):
  """Torso of Mnih et al. (2015), for frames of about 84 x 84."""

  layers: Sequence[tuple[int, int, int]] = ((32, 8, 4), (64, 4, 2), (64, 3, 1))


class DataEfficientTorso(ConvTorso):
  """Torso of van Hasselt, Hessel and Aslanides (2019)."""

  layers: Sequence[tuple[int, int, int]] = ((32, 5, 5), (64, 5, 5))


class MinAtarTorso(ConvTorso):
  """Torso of Young and Tian (2019), for images of 10 x 10 with C channels."""

  scale_input: bool = False
  layers: Sequence[tuple[int, int, int]] = ((16, 3, 1),)
  channels_last: bool = True


class HyperAgentTorso(NatureTorso):
  """Torso of HyperAgent's released code: frames of 0..255, features normalised.

  The features after the convolutions are normalised, not the frames; the scale
  of the frames matters only relative to the biases of the convolutions.
  """

  scale_input: bool = False
  normalize: bool = True


class SmallHyperAgentTorso(DataEfficientTorso):
  """`HyperAgentTorso` with the data-efficient convolutions, for CPUs."""

  normalize: bool = True


def _pixels(name: str, value: Any) -> Any:
  """Checks a number of pixels, or two."""
  if not isinstance(value, Sequence) or isinstance(value, str):
    return checks.COUNT(name, value)
  if len(value) != 2:
    raise ValueError(f'{name} must be one integer or two, got {value!r}')
  return tuple(checks.COUNT(name, pixels) for pixels in value)


def _layers(name: str, value: Any) -> tuple[tuple[int, int, int], ...]:
  """Checks (features, kernel size, stride) of each convolution."""
  if not isinstance(value, Sequence) or any(
      not isinstance(layer, Sequence) or len(layer) != 3 for layer in value):
    raise ValueError(
        f'{name} must be (features, kernel size, stride) of each convolution, '
        f'got {value!r}')
  return tuple(
      tuple(checks.COUNT(name, number) for number in layer) for layer in value)


def _pair(x: int | tuple[int, int]) -> tuple[int, int]:
  return (x, x) if isinstance(x, int) else x


def _patches(
    image: Shaped[Array, 'H W C'], size: tuple[int, int],
    strides: tuple[int, int],
) -> Shaped[Array, 'rows columns inputs']:
  """Returns the inputs of each application of a kernel, in kernel order."""
  height, width, channels = image.shape
  rows, columns = (
      (n - k) // s + 1
      for n, k, s in zip((height, width), size, strides, strict=True))
  down, across = strides
  # Each row of the image is reshaped to blocks of `across` pixels, so that the
  # slices have no stride across and copy longer runs. A patch begins with a
  # block and needs perhaps only a part of the last one of its `blocks`.
  blocks = -(-size[1] // across)
  # Cuts or pads the image to whole blocks; no patch reads the padding.
  padding = (columns + blocks - 1) * across - width
  image = jax.lax.pad(image, jnp.zeros((), image.dtype),
                      ((0, 0, 0), (0, padding, 0), (0, 0, 0)))
  image = image.reshape(height, -1, across * channels)
  return jnp.concatenate(
      [jax.lax.slice(
          image,
          (i, j, 0),
          (i + (rows - 1) * down + 1, j + columns,
           min(across, size[1] - j * across) * channels),
          (down, 1, 1))
       for i in range(size[0]) for j in range(blocks)],
      axis=-1)


def min_max(
    x: Float[Array, '*F'], epsilon: float = 1e-8) -> Float[Array, '*F']:
  """Shifts and scales to [0, 1]; a constant becomes zero."""
  low, high = jnp.min(x), jnp.max(x)
  return (x - low) / (high - low + epsilon)
