"""Noise belongs to a transition, through its uid alone."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import data_noise
from hyperjax import index as index_lib

_DIM = 4
_SIGMA = 0.3
_KEY = jax.random.PRNGKey(7)
_UPDATE_KEY = jax.random.PRNGKey(9)
_PERTURBATION = data_noise.Perturbation(_SIGMA)


@functools.cache
def _vectors(noise):
  return jax.jit(noise.vectors, static_argnums=2)


@functools.cache
def _call(noise):
  return jax.jit(noise)


def _batch(key, uids, noise=_PERTURBATION) -> np.ndarray:
  return np.asarray(_vectors(noise)(key, uids, _DIM))


def test_is_a_function_of_key_and_uid_alone():
  uids = jnp.array([5, 0, 2_000_000_000, 5, 12, 0])
  batch = _batch(_KEY, uids)
  # The same alone as anywhere in a batch, compiled or not, and at each call.
  for u, uid in zip(batch, uids, strict=True):
    np.testing.assert_allclose(
        u, _PERTURBATION.vectors(_KEY, uid[None], _DIM)[0], rtol=1e-6)
  np.testing.assert_array_equal(batch, _batch(_KEY, uids))
  np.testing.assert_array_equal(batch[::-1], _batch(_KEY, uids[::-1]))
  np.testing.assert_array_equal(batch[0], batch[3])


def test_differs_between_uids():
  u = _batch(_KEY, jnp.arange(500))
  assert len(np.unique(u, axis=0)) == 500


def test_differs_between_keys():
  uids = jnp.arange(500)
  one, two = _batch(_KEY, uids), _batch(jax.random.PRNGKey(8), uids)
  assert (one != two).all(axis=-1).all()


@pytest.mark.parametrize('scale', [0.3, 2.])
def test_length_is_scale(scale):
  u = _batch(_KEY, jnp.arange(200), data_noise.Perturbation(scale))
  np.testing.assert_allclose(np.linalg.norm(u, axis=-1), scale, rtol=1e-5)


def test_scale_zero_gives_zeros():
  u = _batch(_KEY, jnp.arange(7), data_noise.Perturbation(0.))
  np.testing.assert_array_equal(u, np.zeros((7, _DIM), np.float32))
  assert u.dtype == np.float32


def test_no_index_gives_an_empty_vector():
  noise = data_noise.Perturbation(0.)
  assert noise.vectors(_KEY, jnp.arange(3), 0).shape == (3, 0)
  offsets, weights = noise(
      _KEY, jnp.arange(3), jnp.zeros((3, 2, 0)), _UPDATE_KEY)
  np.testing.assert_array_equal(offsets, np.zeros((3, 2)))
  assert weights is None


@pytest.mark.parametrize('z', [
    np.array([1., 0., 0., 0.]), np.array([0.5, -0.5, 0.5, 0.5])])
def test_moments_of_the_moved_target(z):
  """For a unit z and over uids: E[u^T z] = 0, E[(u^T z)^2] = sigma^2 / M."""
  num = 40_000
  noise = _batch(_KEY, jnp.arange(num)).astype(np.float64) @ z
  for sample, expected in ((noise, 0.), (noise**2, _SIGMA**2 / _DIM)):
    bound = 5. * sample.std() / math.sqrt(num)
    assert abs(sample.mean() - expected) < bound


def test_neighbouring_uids_are_uncorrelated():
  u = _batch(_KEY, jnp.arange(40_000)).astype(np.float64)
  products = u[:-1:2, :, None] * u[1::2, None, :]
  bound = 5. * products.std(axis=0) / math.sqrt(len(products))
  assert (np.abs(products.mean(axis=0)) < bound).all()


def test_is_hashable_and_equal_by_value():
  same = data_noise.Perturbation(_SIGMA)
  assert same == _PERTURBATION
  assert hash(same) == hash(_PERTURBATION)
  assert data_noise.Perturbation(
      _SIGMA, index_lib.Gaussian) != _PERTURBATION
  assert data_noise.RawPerturbation(_SIGMA) != _PERTURBATION
  for one, two in ((data_noise.BootstrapMask(0.5, _PERTURBATION),
                    data_noise.BootstrapMask(0.5, same)),):
    assert one == two and hash(one) == hash(two)


def test_the_distribution_is_that_which_is_named():
  noise = data_noise.Perturbation(0.5, index_lib.Cube)
  u = _batch(_KEY, jnp.arange(200), noise)
  assert set(np.unique(np.abs(u))) == {np.float32(0.5)}


def _random_indices(batch_size, num, seed=0) -> jax.Array:
  rng = np.random.default_rng(seed)
  return jnp.asarray(
      rng.normal(size=(batch_size, num, _DIM)).astype(np.float32))


@pytest.mark.parametrize('update_key', [_UPDATE_KEY, jax.random.PRNGKey(10)])
def test_the_offset_is_the_vector_times_the_index(update_key):
  """Whatever the update."""
  uids, indices = jnp.array([3, 9, 3]), _random_indices(3, 5)
  offsets, weights = _call(_PERTURBATION)(_KEY, uids, indices, update_key)
  np.testing.assert_allclose(
      offsets, np.einsum('bm,bkm->bk', _batch(_KEY, uids), indices),
      rtol=1e-5, atol=1e-6)
  assert weights is None


def test_a_raw_perturbation_has_a_gaussian_length_for_every_index():
  """Drawn anew at every update; the vector is the transition's own."""
  raw = data_noise.RawPerturbation(_SIGMA)
  num = 20_000
  uids = jnp.array([3, 9])
  indices = index_lib.Sphere(_DIM).sample(jax.random.key(0), (2, num))
  plain, _ = _call(_PERTURBATION)(_KEY, uids, indices, _UPDATE_KEY)
  offsets, weights = _call(raw)(_KEY, uids, indices, _UPDATE_KEY)
  again, _ = _call(raw)(_KEY, uids, indices, _UPDATE_KEY)
  other, _ = _call(raw)(_KEY, uids, indices, jax.random.key(3))
  assert weights is None
  np.testing.assert_array_equal(offsets, again)
  lengths = np.asarray(offsets / plain, np.float64)
  # |x|^2 is chi-squared: mean M, variance 2 M.
  squares = lengths**2
  bound = 5. * math.sqrt(2. * _DIM / squares.size)
  assert abs(squares.mean() - _DIM) < bound
  assert (np.abs(lengths - np.asarray(other / plain)) > 1e-3).mean() > 0.99
  np.testing.assert_allclose(
      _batch(_KEY, uids, raw),
      lengths.mean() * _batch(_KEY, uids), rtol=0.02)


def test_masks_are_of_the_transition_and_meet_the_index():
  mask = data_noise.BootstrapMask(0.3)
  uids = jnp.arange(3000)
  members = jnp.broadcast_to(jnp.eye(_DIM), (3000, _DIM, _DIM))
  offsets, weights = _call(mask)(_KEY, uids, members, _UPDATE_KEY)
  np.testing.assert_array_equal(offsets, np.zeros((3000, _DIM)))
  assert set(np.unique(weights)) == {0., 1.}
  bound = 5. * math.sqrt(0.3 * 0.7 / 3000)
  assert (np.abs(np.mean(weights, axis=0) - 0.3) < bound).all()
  # Each member by itself, and each transition.
  assert np.abs(np.corrcoef(np.asarray(weights).T) - np.eye(_DIM)).max() < 0.08
  neighbours = np.corrcoef(weights[:-1, 0], weights[1:, 0])
  assert abs(neighbours[0, 1]) < 0.08
  # Kept for the life of the learner, wherever in a batch.
  _, again = _call(mask)(_KEY, uids[::-1], members, jax.random.key(3))
  np.testing.assert_array_equal(weights, again[::-1])
  _, other = _call(mask)(jax.random.PRNGKey(8), uids, members, _UPDATE_KEY)
  assert (np.asarray(weights) != np.asarray(other)).any()


def test_a_mask_leaves_its_offset_as_it_is():
  mask = data_noise.BootstrapMask(0.5, _PERTURBATION)
  uids, indices = jnp.arange(5), _random_indices(5, 2)
  offsets, _ = _call(mask)(_KEY, uids, indices, _UPDATE_KEY)
  expected, _ = _call(_PERTURBATION)(_KEY, uids, indices, _UPDATE_KEY)
  np.testing.assert_allclose(offsets, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('probability, expected', [(1., None), (0., 0.)])
def test_masks_of_all_and_of_none(probability, expected):
  members = jnp.broadcast_to(jnp.eye(_DIM), (9, _DIM, _DIM))
  _, weights = data_noise.BootstrapMask(probability)(
      _KEY, jnp.arange(9), members, _UPDATE_KEY)
  if expected is None:
    assert weights is None  # For 1.
  else:
    np.testing.assert_array_equal(weights, expected)


def test_a_mask_is_independent_of_its_offset():
  """Also of a distribution that splits its key."""
  noise = data_noise.BootstrapMask(
      0.5, data_noise.Perturbation(1., index_lib.Sparse))
  uids, members = jnp.arange(2000), jnp.tile(jnp.eye(8), (2000, 1, 1))
  offsets, masks = noise(_KEY, uids, members, _UPDATE_KEY)
  shares = [np.mean(np.asarray(masks)[where]) for where in (
      np.asarray(offsets) != 0., np.asarray(offsets) == 0.)]
  np.testing.assert_allclose(shares, 0.5, atol=0.03)


@pytest.mark.parametrize('make, message', [
    (lambda: data_noise.Perturbation(-0.5), r'scale .* got -0\.5'),
    (lambda: data_noise.Perturbation(math.nan), 'scale .* got nan'),
    (lambda: data_noise.Perturbation(math.inf), 'scale .* got inf'),
    (lambda: data_noise.RawPerturbation(-0.5), r'scale .* got -0\.5'),
    (lambda: data_noise.BootstrapMask(1.5), r'probability .* got 1\.5'),
    (lambda: data_noise.BootstrapMask(-0.5), r'probability .* got -0\.5'),
])
def test_refuses_a_setting_and_names_it(make, message):
  with pytest.raises(ValueError, match=message):
    make()
