"""The residual torso of IMPALA."""

from collections.abc import Sequence
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from hyperjax import checks
from hyperjax.networks import convolutions


class ImpalaTorso(convolutions.ImageTorso):
  """Residual convolutions of Espeholt et al. (2018), for images of any size.

  Each stage is a 3 x 3 convolution, a 3 x 3 maximum with stride 2 and residual
  blocks, x + conv(relu(conv(relu(x)))); an activation ends the last one. All
  are padded, so that a stage halves height and width, rounded up.

  Attributes:
    width_scale: factor of the widths.
    widths: number of features of each stage, before it is multiplied.
    num_blocks: number of residual blocks of each stage.
  """

  width_scale: int = dataclasses.field(default=1, kw_only=True)
  widths: Sequence[int] = dataclasses.field(default=(16, 32, 32), kw_only=True)
  num_blocks: int = dataclasses.field(default=2, kw_only=True)

  def __post_init__(self):
    checks.fields(self, 'a torso', width_scale=checks.COUNT,
                  widths=checks.widths(1), num_blocks=checks.COUNT)
    super().__post_init__()

  def convolve(self, image, scale) -> Float[Array, 'rows columns F']:
    """See `ImageTorso`."""
    x = image
    for width in self.widths:
      conv = lambda x, scale=1., width=self.width_scale * width: (
          convolutions.Conv(
              width, 3, kernel_init=self.kernel_init, bias_init=self.bias_init,
              input_scale=scale)(padded(x, (3, 3))))
      x, scale = max_pool(conv(x, scale)), 1.
      for _ in range(self.num_blocks):
        x += conv(self.activation(conv(self.activation(x))))
    return self.activation(x)


class WideImpalaTorso(ImpalaTorso):
  """`ImpalaTorso` of four times the width, as BBF has it."""

  width_scale: int = 4


class MinAtarImpalaTorso(ImpalaTorso):
  """`ImpalaTorso` for the images of MinAtar, 10 x 10 with C channels."""

  scale_input: bool = False
  channels_last: bool = True


def padded(
    image: Shaped[Array, 'H W C'], size: tuple[int, int]
) -> Shaped[Array, 'rows columns C']:
  """Pads an image with zeros, so that a convolution keeps its size.

  Args:
    image: the image.
    size: height and width of the kernel.
  """
  pads = [((k - 1) // 2, k // 2) for k in size]
  return jnp.pad(image, (*pads, (0, 0)))


def max_pool(image: Float[Array, 'H W C']) -> Float[Array, 'rows columns C']:
  """Returns the maxima of 3 x 3 pixels with stride 2, padded.

  The output has ceil(H / 2) rows; of an odd number of padded pixels the last
  side has one more, as with the padding 'SAME' of XLA.
  """
  # One axis after the other, as slices, whose gradient is fast in scans too.
  return _max_pool_rows(
      _max_pool_rows(image).swapaxes(0, 1)).swapaxes(0, 1)


def _max_pool_rows(x: Any) -> Any:
  num, stride = x.shape[0], 2
  rows = -(-num // stride)
  pad = max((rows - 1) * stride + 3 - num, 0)
  x = jnp.pad(x, ((pad // 2, pad - pad // 2), (0, 0), (0, 0)),
              constant_values=-jnp.inf)
  windows = [
      jax.lax.slice_in_dim(x, i, i + (rows - 1) * stride + 1, stride)
      for i in range(3)]
  return jnp.maximum(jnp.maximum(windows[0], windows[1]), windows[2])
