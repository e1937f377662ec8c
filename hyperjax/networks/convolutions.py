"""Convolutions, as matrix products, and the torsos of Atari agents.

A convolution here is a matrix product of the image's patches. On a CPU XLA's
own convolution takes 8 to 20 times as long inside `lax.scan` as outside, and
where agents with kernels of their own are mapped over it becomes a grouped
convolution, slower again (jaxlib 0.10). A matrix product stays fast in both.
"""

from collections.abc import Callable, Sequence
import dataclasses

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from hyperjax import specs
from hyperjax.networks import initializers
from hyperjax.networks import torsos

Initializer = jax.nn.initializers.Initializer


class Conv(nn.Module):
  """`flax.linen.Conv` with padding 'VALID' over one image, its parameters too.

  Attributes:
    features: F, channels of the output.
    kernel_size: (height, width), or one number for both.
    strides: (down, across), or one number for both.
    kernel_init: of the kernel [height, width, C, F].
    use_bias: whether to add a bias [F].
    bias_init: of the bias; called with the kernel's shape, of which it
      initialises the last axis.
    input_scale: what the image is multiplied by.
  """

  features: int
  kernel_size: int | tuple[int, int]
  strides: int | tuple[int, int] = 1
  kernel_init: Initializer = initializers.xavier
  use_bias: bool = True
  bias_init: Initializer = initializers.zero_bias
  input_scale: float = 1.

  @nn.compact
  def __call__(
      self, image: Shaped[Array, 'H W C']) -> Float[Array, 'rows columns F']:
    """The convolution of one image of any type of number, as float32.

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
    # Frames are of uint8: they are moved in that type, a quarter of the bytes,
    # and the kernel is scaled, which is smaller than all the patches.
    x = _patches(image, size, strides).astype(jnp.float32)
    x = x @ (self.input_scale * kernel.reshape(-1, self.features))
    if self.use_bias:
      x += self.param('bias', self.bias_init, shape, jnp.float32)
    return x


class ConvTorso(nn.Module):
  """Convolutions, then dense layers, an activation after each.

  Attributes:
    hidden_sizes: widths of the dense layers; the last one is F.
    spec: of the observation, a stack of frames [stack, H, W].
    kernel_init: of every kernel.
    bias_init: of every bias, see `torsos.InputLayer`.
    scale_input: whether observations are divided by 255.
    normalize: whether the output of the convolutions is shifted and scaled to
      reach from 0 to 1, in each example by itself.
    activation: applied to each number.
    layers: (features, kernel size, stride) of each convolution.

  Raises:
    ValueError: for observations that are no stack of frames, at once, and for
      frames that are too small, when it is called.
  """

  hidden_sizes: Sequence[int]
  spec: specs.ObservationSpec
  kernel_init: Initializer = initializers.xavier
  bias_init: Initializer = initializers.zero_bias
  scale_input: bool = True
  normalize: bool = False
  activation: Callable[[Array], Array] = nn.relu
  layers: Sequence[tuple[int, int, int]] = dataclasses.field(kw_only=True)

  def __post_init__(self):
    super().__post_init__()
    if len(self.spec.shape) != 3:
      raise ValueError(
          f'expected stacks of frames, [stack, H, W], got observations of '
          f'shape {self.spec.shape}')

  @nn.compact
  def __call__(
      self, observation: Shaped[Array, 'stack H W']) -> Float[Array, ' F']:
    x = jnp.moveaxis(observation, 0, -1)
    scale = 1. / 255. if self.scale_input else 1.
    for features, kernel_size, stride in self.layers:
      x = self.activation(Conv(
          features, kernel_size, stride, self.kernel_init,
          bias_init=self.bias_init, input_scale=scale)(x))
      scale = 1.
    x = jnp.ravel(x)
    if self.normalize:
      x = _min_max(x)
    for i, size in enumerate(self.hidden_sizes):
      x = self.activation(torsos.Dense(
          size, self.kernel_init, self.bias_init, name=f'Dense_{i}')(x))
    return x


class NatureTorso(ConvTorso):
  """The torso of Mnih et al. (2015), for frames of about 84 x 84."""

  layers: Sequence[tuple[int, int, int]] = ((32, 8, 4), (64, 4, 2), (64, 3, 1))


class DataEfficientTorso(ConvTorso):
  """The torso of van Hasselt, Hessel and Aslanides (2019)."""

  layers: Sequence[tuple[int, int, int]] = ((32, 5, 5), (64, 5, 5))


class HyperAgentTorso(NatureTorso):
  """What the authors of HyperAgent run: frames from 0 to 255, normalized.

  The features of the convolutions are, not the frames; so the frames' scale
  matters beside the convolutions' biases only.
  """

  scale_input: bool = False
  normalize: bool = True


class SmallHyperAgentTorso(DataEfficientTorso):
  """The same idea with the data-efficient convolutions: for CPUs."""

  normalize: bool = True


def _pair(x: int | tuple[int, int]) -> tuple[int, int]:
  return (x, x) if isinstance(x, int) else tuple(x)


def _patches(
    image: Shaped[Array, 'H W C'], size: tuple[int, int],
    strides: tuple[int, int],
) -> Shaped[Array, 'rows columns inputs']:
  """What each application of a kernel sees, in the kernel's own order."""
  height, width, channels = image.shape
  rows, columns = (
      (n - k) // s + 1
      for n, k, s in zip((height, width), size, strides, strict=True))
  down, across = strides
  # Rows of the image are seen as blocks of as many pixels as the stride across:
  # then there is no stride across, and there are longer runs to copy. A patch
  # begins with a block; the last one of its `blocks` it may not need in full.
  blocks = -(-size[1] // across)
  # To whole blocks the image is cut, or filled up with what no patch reads.
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


def _min_max(x: Float[Array, ' F']) -> Float[Array, ' F']:
  """Shifts and scales to [0, 1]; what is constant becomes zero."""
  low, high = jnp.min(x), jnp.max(x)
  return (x - low) / (high - low + 1e-8)
