"""MNIST of bsuite: name the digit in an image, in one step.

The reward is 1 for the right digit, else -1. The observation after the step is
all zero.

Equal to `bsuite.environments.mnist.MNISTBandit` step for step, except that the
image is drawn from a PRNG key. bsuite reads the bytes of the images as int8, so
pixels of 128 and more are negative, and so they are here. Nothing is
downloaded: the images are given as arrays, or `load` reads them from a folder.
"""

import dataclasses
import gzip
import math
import pathlib
import struct
from typing import NamedTuple
import zlib

import chex
from dm_env import specs
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int
import numpy as np

from hyperjax import checks
from hyperjax import types
from hyperjax.environments import timesteps

# bsuite trains on the first two, but wants all four.
FILES = ('train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz',
         't10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz')
_NUM_DIGITS = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
  """Images with their digits.

  Two objects are never equal, so that programs are shared by those who share
  the object; the images are constants of a program.

  Attributes:
    pixels: bytes of the images, uint8 [n, H, W] or the same bytes as int8.
    labels: digits, integers 0..9 [n].
  """

  pixels: np.ndarray
  labels: np.ndarray

  def __post_init__(self):
    pixels, labels = np.asarray(self.pixels), np.asarray(self.labels)
    if pixels.dtype not in (np.uint8, np.int8) or (
        pixels.ndim != 3 or not pixels.size):
      raise ValueError(
          f'expected pixels of type uint8 and shape [n, H, W], got '
          f'{pixels.dtype} and {pixels.shape}')
    if labels.dtype.kind not in 'iu' or labels.shape != pixels.shape[:1]:
      raise ValueError(
          f'expected {len(pixels)} labels that are integers, one per image, '
          f'got {labels.dtype} and the shape {labels.shape}')
    if labels.min() < 0 or labels.max() >= _NUM_DIGITS:
      raise ValueError(
          f'expected labels of 0..{_NUM_DIGITS - 1}, got some of '
          f'{labels.min()}..{labels.max()}')
    object.__setattr__(self, 'pixels', pixels.astype(np.int8))
    object.__setattr__(self, 'labels', labels.astype(np.int32))


class MNISTState(NamedTuple):
  """The digit that is asked for.

  Attributes:
    label: digit, 0..9, int32 [].
  """

  label: Int[Array, '']


@dataclasses.dataclass(frozen=True)
class MNIST:
  """Classification as a bandit; see the module. It has no parameters.

  Attributes:
    images: images that are drawn uniformly. They are no parameters because
      they are the same for all copies, which would each keep them all.
  """

  images: Images

  def __post_init__(self):
    checks.fields(self, images=checks.instance(Images))

  @property
  def max_episode_length(self) -> int:
    """1, length of every episode."""
    return 1

  def observation_spec(self) -> specs.Array:
    """Returns the spec of an image, [H, W]."""
    return specs.Array(
        self.images.pixels.shape[1:], np.float32, 'observation')

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of the ten digits."""
    return specs.DiscreteArray(_NUM_DIGITS, np.int32, 'action')

  def params(self) -> tuple[()]:
    """Returns the parameters: none, since all copies are equal."""
    return ()

  def reset(
      self, params: tuple[()], key: chex.PRNGKey
  ) -> tuple[MNISTState, types.TimeStep]:
    """Begins an episode with a uniformly random image."""
    index = jax.random.randint(key, (), 0, len(self.images.labels), jnp.int32)
    return self.reset_with(params, index)

  def reset_with(
      self, params: tuple[()], index: Int[Array, '']
  ) -> tuple[MNISTState, types.TimeStep]:
    """Begins an episode with a given image.

    Args:
      params: empty.
      index: number of the image, 0..n-1, int32 [].
    """
    del params
    image = jnp.asarray(self.images.pixels)[index].astype(jnp.float32) / 255
    state = MNISTState(jnp.asarray(self.images.labels)[index])
    return state, timesteps.first(image)

  def step(
      self, params: tuple[()], state: MNISTState, action: Int[Array, ''],
      key: chex.PRNGKey,
  ) -> tuple[MNISTState, types.TimeStep]:
    """Names a digit, which is not random and ends the episode."""
    del params, key
    observation = jnp.zeros(self.images.pixels.shape[1:], jnp.float32)
    return state, timesteps.after_step(
        jnp.where(action == state.label, 1., -1.), jnp.bool_(True),
        observation)


def load(folder: str | pathlib.Path) -> Images:
  """Reads the images of training from MNIST's four files.

  Args:
    folder: folder with the `FILES`, as they are published (idx, gzip).

  Raises:
    ValueError: if a file is missing, which is named, or is no file of MNIST.
  """
  folder = pathlib.Path(folder)
  missing = [name for name in FILES if not (folder / name).is_file()]
  if missing:
    raise ValueError(
        f'expected the four files of MNIST in {folder}, which lacks '
        f'{", ".join(missing)}')
  pixels, labels = (
      _read(folder / name, num_axes)
      for name, num_axes in zip(FILES[:2], (3, 1), strict=True))
  try:
    return Images(pixels, labels)
  except ValueError as error:
    raise ValueError(f'the files in {folder} are invalid: {error}') from error


def _read(path: pathlib.Path, num_axes: int) -> np.ndarray:
  """Returns the bytes of an idx file with a number of axes, uint8."""
  try:
    content = gzip.decompress(path.read_bytes())
  except (OSError, EOFError, zlib.error) as error:
    raise ValueError(f'{path} cannot be read: {error}') from error
  # Two zeros, 8 for uint8, the number of axes; then the length of each axis.
  header = struct.Struct(f'>4B{num_axes}I')
  if len(content) < header.size or tuple(content[:4]) != (0, 0, 8, num_axes):
    raise ValueError(
        f'expected {path} to be an idx file of bytes with {num_axes} axes, got '
        f'the first bytes {content[:4].hex()}')
  shape = header.unpack_from(content)[4:]
  num_bytes = len(content) - header.size
  if num_bytes != math.prod(shape):
    raise ValueError(
        f'expected {math.prod(shape)} bytes after the header of {path}, for '
        f'the shape {shape}, got {num_bytes}')
  return np.frombuffer(content, np.uint8, offset=header.size).reshape(shape)
