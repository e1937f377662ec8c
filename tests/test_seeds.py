"""One rule for every place that takes a seed."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import seeds

_REFUSED = [
    -1, 2**32, 1.5, 1., True, np.bool_(False), None, '3', [3], np.float32(1.),
    np.array([1, 2]),
]


@pytest.mark.parametrize('seed', [
    0, 7, 2**32 - 1, np.int64(7), np.uint32(2**32 - 1)], ids=repr)
def test_a_seed_is_an_integer(seed):
  checked = seeds.check_seed(seed)
  assert checked == seed and type(checked) is int
  np.testing.assert_array_equal(
      jax.random.key_data(seeds.to_key(seed)),
      jax.random.key_data(jax.random.key(int(seed))))


@pytest.mark.parametrize('seed', _REFUSED, ids=repr)
def test_what_is_no_seed_is_refused_and_named(seed):
  words = re.escape(f'{seed}' if isinstance(seed, int) else repr(seed))
  for check in (seeds.check_seed, seeds.to_key):
    with pytest.raises(ValueError, match=f'got {words}$'):
      check(seed)
  with pytest.raises(ValueError, match=f'got {words}$'):
    seeds.check_seeds([0, seed])


def test_seeds_that_differ_have_keys_that_differ():
  keys = [tuple(jax.random.key_data(seeds.to_key(seed)).tolist())
          for seed in (0, 1, 2**16, 2**31, 2**31 + 1, 2**32 - 1)]
  assert len(set(keys)) == len(keys)


def test_several_seeds():
  checked = seeds.check_seeds([0, np.int64(3), 2**32 - 1])
  assert checked.dtype == np.uint32
  np.testing.assert_array_equal(checked, [0, 3, 2**32 - 1])
  with pytest.raises(ValueError, match='at least one seed'):
    seeds.check_seeds([])


def test_a_key_is_a_key():
  typed, raw = jax.random.key(5), jax.random.PRNGKey(5)
  assert seeds.to_key(typed) is typed
  np.testing.assert_array_equal(
      jax.random.key_data(seeds.to_key(raw)), jax.random.key_data(typed))
  with pytest.raises(ValueError, match=r'array of keys of shape \(3,\)'):
    seeds.to_key(jax.random.split(typed, 3))
  with pytest.raises(ValueError, match='expected a seed'):
    seeds.to_key(jnp.zeros(3, jnp.uint32))
