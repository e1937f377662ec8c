"""Perturbations belong to a transition, through its uid alone."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import index as index_lib
from hyperjax.perturbation import Perturbation

_DIM = 4
_SIGMA = 0.3
_KEY = jax.random.PRNGKey(7)
_PERTURBATION = Perturbation(index_lib.Sphere(_DIM), _SIGMA)


def _batch(key, uids, perturbation=_PERTURBATION) -> np.ndarray:
  return np.asarray(
      jax.jit(jax.vmap(perturbation, in_axes=(None, 0)))(key, uids))


def test_is_a_function_of_key_and_uid_alone():
  uids = jnp.array([5, 0, 2_000_000_000, 5, 12, 0])
  batch = _batch(_KEY, uids)
  # The same alone as anywhere in a batch, compiled or not, and at each call.
  for u, uid in zip(batch, uids, strict=True):
    np.testing.assert_allclose(u, _PERTURBATION(_KEY, uid), rtol=1e-6)
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
  u = _batch(
      _KEY, jnp.arange(200), Perturbation(index_lib.Sphere(_DIM), scale))
  np.testing.assert_allclose(np.linalg.norm(u, axis=-1), scale, rtol=1e-5)


def test_scale_zero_gives_zeros():
  u = _batch(_KEY, jnp.arange(7), Perturbation(index_lib.Sphere(_DIM), 0.))
  np.testing.assert_array_equal(u, np.zeros((7, _DIM), np.float32))
  assert u.dtype == np.float32


def test_no_index_gives_an_empty_vector():
  assert Perturbation(index_lib.NoIndex(), 0.)(_KEY, jnp.int32(3)).shape == (0,)


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
  same = Perturbation(index_lib.Sphere(_DIM), _SIGMA)
  assert same == _PERTURBATION
  assert hash(same) == hash(_PERTURBATION)
