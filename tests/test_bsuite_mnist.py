"""MNIST as a bandit, with a small generated set in MNIST's files."""

import functools
import gzip

from bsuite.environments import mnist as bsuite_mnist
from bsuite.utils import datasets
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax.environments import bsuite
from hyperjax.environments.bsuite import mnist
from tests import bsuite_pairs as pairs
from tests import mnist_files


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('images')
  mnist_files.write(folder)
  return folder


def test_files_are_read_as_bsuite_reads_them(folder):
  images = mnist.load(folder)
  (pixels, labels), _ = datasets.load_mnist(str(folder))
  assert images.pixels.dtype == pixels.dtype == np.int8
  np.testing.assert_array_equal(images.pixels, pixels)
  np.testing.assert_array_equal(images.labels, labels)
  # Bytes of 128 and more wrap.
  np.testing.assert_array_equal(
      images.pixels[:, 0, :4], [[0, 127, -128, -1]] * 12)


def test_equals_bsuite_step_for_step(folder, monkeypatch):
  monkeypatch.setattr(
      bsuite_mnist.datasets, 'load_mnist',
      functools.partial(datasets.load_mnist, str(folder)))
  theirs = bsuite_mnist.MNISTBandit()
  ours = bsuite.MNIST(mnist.load(folder))
  assert ours.observation_spec() == theirs.observation_spec()
  assert ours.action_spec().num_values == theirs.action_spec().num_values
  reset = jax.jit(ours.reset_with)
  for index in range(12):
    theirs._rng = pairs.Draws(integer=index)
    state, first = reset((), jnp.int32(index))
    pairs.check_same(first, theirs.reset())
    for action in (index % 10, (index + 1) % 10):
      _, *timesteps = pairs.step_both(ours, (), state, action, theirs)
      pairs.check_same(*timesteps)
      assert timesteps[0].reward == (1. if action == index % 10 else -1.)


def test_images_are_drawn_uniformly():
  pixels = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones(
      (2, 3), np.uint8)
  ours = bsuite.MNIST(mnist.Images(pixels, np.arange(10)))
  state, first = jax.device_get(pairs.many_resets(ours)(
      (), jax.random.split(jax.random.key(3), 10_000)))
  np.testing.assert_allclose(
      first.observation[:, 1, 2], state.label / 255, atol=1e-7)
  assert np.all(abs(np.bincount(state.label) - 1000) < 150)


@pytest.mark.parametrize('missing', [mnist.FILES, mnist.FILES[1:3]])
def test_missing_files_are_named(tmp_path, missing):
  mnist_files.write(tmp_path)
  for name in missing:
    (tmp_path / name).unlink()
  with pytest.raises(ValueError, match=f'lacks {", ".join(missing)}$'):
    mnist.load(tmp_path)
  with pytest.raises(ValueError, match='expected the four files of MNIST'):
    mnist.load(tmp_path / 'absent')


def _cut(path):
  path.write_bytes(path.read_bytes()[:-20])


def _shorter(path):
  path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))


@pytest.mark.parametrize('name, hurt, words', [
    (mnist.FILES[0], _cut, 'images-idx3-ubyte.gz cannot be read'),
    (mnist.FILES[0], lambda path: path.write_bytes(b'text'), 'cannot be read'),
    (mnist.FILES[0], lambda path: path.write_bytes(gzip.compress(b'')),
     'an idx file of bytes with 3 axes'),
    (mnist.FILES[0], _shorter, r'expected 9408 bytes .* got 9407'),
    (mnist.FILES[0], lambda path: mnist_files.write_idx(
        path, np.zeros((12, 4), np.uint8)), 'with 3 axes, got .* 00000802'),
    (mnist.FILES[1], lambda path: mnist_files.write_idx(
        path, np.zeros(12, np.uint8), 9), 'with 1 axes, got .* 00000901'),
    (mnist.FILES[1], lambda path: mnist_files.write_idx(
        path, np.zeros(11, np.uint8)), r'12 labels .* \(11,\)'),
    (mnist.FILES[1], lambda path: mnist_files.write_idx(
        path, np.arange(12, dtype=np.uint8)), 'labels of 0..9, got .* 0..11'),
])
def test_invalid_files_are_refused(tmp_path, name, hurt, words):
  mnist_files.write(tmp_path)
  hurt(tmp_path / name)
  with pytest.raises(ValueError, match=words):
    mnist.load(tmp_path)


@pytest.mark.parametrize('pixels, labels, words', [
    (np.zeros((2, 3, 3)), np.zeros(2, int), 'uint8 .* got float64'),
    (np.zeros((2, 3), np.uint8), np.zeros(2, int), r'\[n, H, W\], got'),
    (np.zeros((0, 3, 3), np.uint8), np.zeros(0, int), r'got .* \(0, 3, 3\)'),
    (np.zeros((2, 3, 3), np.uint8), np.zeros(2), 'integers, .* got float64'),
    (np.zeros((2, 3, 3), np.uint8), np.array([0, -1]), r'got some of -1..0'),
])
def test_invalid_images_are_refused(pixels, labels, words):
  with pytest.raises(ValueError, match=words):
    mnist.Images(pixels, labels)
