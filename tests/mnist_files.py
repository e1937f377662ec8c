"""A small set of images in the files of MNIST."""

import gzip

import numpy as np

from hyperjax.environments.bsuite import mnist


def write(folder, num_train=12, num_test=3, size=28):
  """Writes random images, of which some bytes are 127, 128 and 255."""
  rng = np.random.default_rng(0)
  arrays = []
  for num in (num_train, num_test):
    images = rng.integers(0, 256, (num, size, size), np.uint8)
    images[:, 0, :4] = [0, 127, 128, 255]
    arrays += [images, np.arange(num, dtype=np.uint8) % 10]
  for name, array in zip(mnist.FILES, arrays, strict=True):
    write_idx(folder / name, array)
  return arrays[:2]


def write_idx(path, array, dtype_code=8):
  header = bytes([0, 0, dtype_code, array.ndim]) + np.array(
      array.shape, '>u4').tobytes()
  path.write_bytes(gzip.compress(header + array.tobytes()))
