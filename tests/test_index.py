"""Index distributions: moments, supports, shapes and errors."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import index as index_lib

_SAMPLES = 40_000

_DISTRIBUTIONS = [
    index_lib.Gaussian(5),
    index_lib.Sphere(5),
    index_lib.Cube(5),
    index_lib.Coordinate(5),
    index_lib.Sparse(5, nonzeros=3),
    index_lib.OneHot(5),
    # The edges of the range of M and s.
    index_lib.Gaussian(1),
    index_lib.Sphere(1),
    index_lib.Cube(1),
    index_lib.Coordinate(1),
    index_lib.Sparse(1, nonzeros=1),
    index_lib.Sparse(5, nonzeros=5),
    index_lib.OneHot(1),
]

_all = pytest.mark.parametrize('distribution', _DISTRIBUTIONS, ids=repr)


@functools.cache
def _samples(distribution) -> np.ndarray:
  sample = jax.jit(
      lambda key: distribution.sample(key, (_SAMPLES,)),
      # It runs once: optimising it costs more than it gains.
      compiler_options={'xla_backend_optimization_level': 0})
  z = sample(jax.random.PRNGKey(0))
  return np.asarray(z, np.float64)


def _assert_mean(x: np.ndarray, expected: np.ndarray):
  """The mean over axis 0 is as expected, within 5 standard errors."""
  error = np.abs(x.mean(axis=0) - expected)
  # float32's rounding, for what does not vary at all.
  bound = 5. * x.std(axis=0) / math.sqrt(len(x)) + 1e-6
  assert (error <= bound).all(), (error, bound)


@_all
def test_mean(distribution):
  _assert_mean(
      _samples(distribution), np.full(distribution.dim, distribution.mean))


@_all
def test_second_moment_is_a_multiple_of_the_identity(distribution):
  z = _samples(distribution)
  _assert_mean(z[:, :, None] * z[:, None, :],
               distribution.second_moment * np.eye(distribution.dim))


@pytest.mark.parametrize('distribution, mean, second_moment', [
    (index_lib.NoIndex(), 0., 0.),
    (index_lib.Gaussian(4), 0., 1.),
    (index_lib.Sphere(4), 0., 0.25),
    (index_lib.Cube(4), 0., 1.),
    (index_lib.Coordinate(4), 0., 1.),
    (index_lib.Sparse(4), 0., 1.),
    (index_lib.OneHot(4), 0.25, 0.25),
], ids=repr)
def test_published_moments(distribution, mean, second_moment):
  assert distribution.mean == pytest.approx(mean)
  assert distribution.second_moment == pytest.approx(second_moment)


@pytest.mark.parametrize('distribution, fourth_moment', [
    (index_lib.Gaussian(5), 3.),
    (index_lib.Sphere(5), 3. / (5 * 7)),
], ids=repr)
def test_fourth_moment(distribution, fourth_moment):
  """Tells a Gaussian and a uniform direction from others of like variance."""
  _assert_mean(_samples(distribution)**4, np.full(5, fourth_moment))


@pytest.mark.parametrize('dim', [1, 5])
def test_sphere_has_unit_norm(dim):
  norms = np.linalg.norm(_samples(index_lib.Sphere(dim)), axis=-1)
  np.testing.assert_allclose(norms, 1., atol=1e-5)


def _points(distribution) -> tuple[np.ndarray, np.ndarray]:
  """The distinct samples and how often each one was drawn."""
  return np.unique(
      np.round(_samples(distribution), 4), axis=0, return_counts=True)


def _assert_uniform(counts: np.ndarray):
  expected = counts.sum() / counts.size
  error = np.abs(counts - expected)
  assert (error < 5. * math.sqrt(expected)).all(), counts


def test_cube_is_uniform_on_its_corners():
  points, counts = _points(index_lib.Cube(5))
  assert set(np.unique(points)) == {-1., 1.}
  assert len(points) == 2**5
  _assert_uniform(counts)


def test_coordinate_is_uniform_on_signed_coordinates():
  points, counts = _points(index_lib.Coordinate(5))
  expected = math.sqrt(5) * np.concatenate([np.eye(5), -np.eye(5)])
  np.testing.assert_allclose(points, np.unique(np.round(expected, 4), axis=0))
  _assert_uniform(counts)


@pytest.mark.parametrize('nonzeros', [1, 2, 3, 5])
def test_sparse_is_uniform_on_its_support(nonzeros):
  points, counts = _points(index_lib.Sparse(5, nonzeros=nonzeros))
  assert ((points != 0.).sum(axis=-1) == nonzeros).all()
  np.testing.assert_allclose(
      np.abs(points[points != 0.]), math.sqrt(5 / nonzeros), atol=1e-4)
  assert len(points) == math.comb(5, nonzeros) * 2**nonzeros
  _assert_uniform(counts)


def test_one_hot_is_uniform_on_coordinates():
  points, counts = _points(index_lib.OneHot(5))
  np.testing.assert_array_equal(points, np.unique(np.eye(5), axis=0))
  _assert_uniform(counts)


@pytest.mark.parametrize(
    'distribution', [*_DISTRIBUTIONS, index_lib.NoIndex()], ids=repr)
@pytest.mark.parametrize('shape', [(), (3, 5)])
def test_shape_and_dtype(distribution, shape):
  z = jax.eval_shape(
      lambda key: distribution.sample(key, shape), jax.random.PRNGKey(0))
  assert z.shape == (*shape, distribution.dim)
  assert z.dtype == jnp.float32
  if shape == ():  # The default.
    assert jax.eval_shape(distribution.sample, jax.random.PRNGKey(0)) == z


@pytest.mark.parametrize(
    'distribution', [d for d in _DISTRIBUTIONS if d.dim > 1], ids=repr)
def test_samples_are_independent(distribution):
  """Neighbours in a batch are uncorrelated, entry by entry."""
  z = _samples(distribution) - distribution.mean
  _assert_mean(z[:-1:2, :, None] * z[1::2, None, :],
               np.zeros((distribution.dim, distribution.dim)))


@_all
def test_is_hashable_and_equal_by_value(distribution):
  fields = {'nonzeros': distribution.nonzeros} if isinstance(
      distribution, index_lib.Sparse) else {}
  same = type(distribution)(distribution.dim, **fields)
  assert same == distribution
  assert hash(same) == hash(distribution)
  assert type(distribution)(9, **fields) != distribution


@pytest.mark.parametrize('distribution', [
    index_lib.Gaussian, index_lib.Sphere, index_lib.Cube, index_lib.Coordinate,
    index_lib.Sparse, index_lib.OneHot])
@pytest.mark.parametrize('dim', [0, -3])
def test_refuses_a_dimension_below_one(distribution, dim):
  with pytest.raises(ValueError, match=rf'^dim of an index.*got {dim}$'):
    distribution(dim)


@pytest.mark.parametrize('nonzeros', [-1, 0, 6])
def test_sparse_refuses_nonzeros_out_of_range(nonzeros):
  with pytest.raises(
      ValueError, match=rf'nonzeros .*dimension 5 .* got {nonzeros}$'):
    index_lib.Sparse(5, nonzeros=nonzeros)


def test_no_index_refuses_a_dimension():
  with pytest.raises(ValueError, match='got 3'):
    index_lib.NoIndex(3)
