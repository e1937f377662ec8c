"""Seeds: what is one, and what is refused."""

import jax
import numpy as np
import pytest

from hyperjax import seeds


@pytest.mark.parametrize('seed', [
    3, np.int64(3), np.int8(3), np.uint32(3), np.array(3)[()]])
def test_integers_are_seeds(seed):
  assert seeds.check_seed(seed) == 3 and type(seeds.check_seed(seed)) is int
  np.testing.assert_array_equal(
      jax.random.key_data(seeds.to_key(seed)),
      jax.random.key_data(jax.random.key(3)))


@pytest.mark.parametrize('seed, got', [
    (2**32 + 3, '4294967299'), (np.int64(2**32 + 3), '4294967299'),
    (-1, '-1'), (np.int64(-1), '-1'), (0.2, '0.2'), (3., '3.0'),
    (np.float32(3.), '3.0'), (True, 'True'), (np.bool_(True), 'True'),
    (None, 'None'), ('3', "'3'"), ([3], r'\[3\]')])
def test_refuses_what_would_be_changed(seed, got):
  for check in (seeds.check_seed, seeds.to_key,
                lambda seed: seeds.check_seeds([0, seed])):
    with pytest.raises(ValueError, match=f'expected a seed.*got .*{got}'):
      check(seed)


def test_the_last_seed_is_not_the_first():
  last = jax.random.key_data(seeds.to_key(2**32 - 1))
  assert (last != jax.random.key_data(seeds.to_key(0))).any()
  assert seeds.check_seeds([0, 2**32 - 1]).tolist() == [0, 2**32 - 1]


def test_keys_are_keys(unchecked):
  expected = jax.random.key_data(jax.random.key(3))
  for key in (jax.random.key(3), jax.random.PRNGKey(3)):
    np.testing.assert_array_equal(
        jax.random.key_data(seeds.to_key(key)), expected)
  with pytest.raises(ValueError, match=r'one PRNG key.*shape \(2,\)'):
    seeds.to_key(jax.random.split(jax.random.key(3)))
  with pytest.raises(ValueError, match='at least one seed'):
    seeds.check_seeds([])
  for seed in (5, None, '12'):
    with pytest.raises(ValueError, match='expected a sequence of seeds, got'):
      seeds.check_seeds(seed)
