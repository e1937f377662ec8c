"""Greedy and epsilon-greedy choices."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import acting
from hyperjax import index as index_lib

_NUM = 20_000


def _counts(actions, num_actions) -> np.ndarray:
  return np.bincount(np.asarray(actions), minlength=num_actions)


def _assert_counts(counts, probabilities):
  """Binomial counts, each within 5 standard deviations."""
  p = np.asarray(probabilities)
  num = counts.sum()
  bound = 5. * np.sqrt(num * p * (1. - p))
  assert (np.abs(counts - num * p) <= bound).all(), (counts, num * p)


def test_greedy_breaks_ties_uniformly():
  values = jnp.tile(jnp.array([1., 3., -2., 3., 3.]), (_NUM, 1))
  actions = acting.greedy(jax.random.PRNGKey(0), values)
  _assert_counts(_counts(actions, 5), [0., 1 / 3, 0., 1 / 3, 1 / 3])


def test_ties_of_neighbours_are_broken_independently():
  a = np.asarray(acting.greedy(jax.random.PRNGKey(1), jnp.zeros((_NUM, 2))))
  agree = a[::2] == a[1::2]
  _assert_counts(_counts(agree, 2), [0.5, 0.5])


@pytest.mark.parametrize('shape', [(3,), (50, 3), (4, 5, 3)])
def test_greedy_is_argmax_without_ties(shape):
  # Negative values too, far below what the lottery for ties gives to losers.
  values = 100. * jax.random.normal(jax.random.PRNGKey(2), shape) - 200.
  actions = acting.greedy(jax.random.PRNGKey(3), values)
  np.testing.assert_array_equal(actions, np.argmax(values, axis=-1))
  assert actions.shape == shape[:-1]
  assert actions.dtype == jnp.int32


@pytest.mark.parametrize('epsilon', [0.1, 0.5, 1.])
def test_epsilon_greedy_rates(epsilon):
  num_actions, best = 4, 2
  values = jnp.tile(jnp.array([0., 1., 5., 4.]), (_NUM, 1))
  actions = acting.epsilon_greedy(jax.random.PRNGKey(4), values, epsilon)
  probabilities = np.full(num_actions, epsilon / num_actions)
  probabilities[best] += 1. - epsilon
  _assert_counts(_counts(actions, num_actions), probabilities)
  assert actions.dtype == jnp.int32


def test_epsilon_greedy_breaks_ties():
  values = jnp.tile(jnp.array([1., 1., 0., 0.]), (_NUM, 1))
  actions = acting.epsilon_greedy(jax.random.PRNGKey(5), values, 0.2)
  _assert_counts(_counts(actions, 4), [0.45, 0.45, 0.05, 0.05])


def test_epsilon_zero_is_greedy():
  key = jax.random.PRNGKey(6)
  values = jax.random.normal(key, (1000, 3))
  actions = acting.epsilon_greedy(key, values, 0.)
  np.testing.assert_array_equal(actions, np.argmax(values, axis=-1))
  np.testing.assert_array_equal(actions, acting.greedy(key, values))


def test_exploration_of_neighbours_is_independent():
  values = jnp.tile(jnp.array([0., 1.]), (_NUM, 1))
  a = np.asarray(acting.epsilon_greedy(jax.random.PRNGKey(7), values, 1.))
  both = np.mean(a[::2] * a[1::2])
  assert abs(both - 0.25) < 5. * math.sqrt(0.25 * 0.75 / (_NUM / 2))


def test_exploration_is_uniform_over_what_is_legal():
  values = jnp.tile(jnp.array([0., 1., 2., acting.ILLEGAL]), (_NUM, 1))
  actions = acting.epsilon_greedy(jax.random.PRNGKey(8), values, 1.)
  _assert_counts(_counts(actions, 4), [1 / 3, 1 / 3, 1 / 3, 0.])
  assert actions.dtype == jnp.int32


def _upper_bound(index, scale, psi):
  value = lambda z: psi[0] + z @ psi[1:]
  return acting.UpperBound(index, scale)(value, psi, None)


@pytest.mark.parametrize('index', [
    index_lib.Gaussian(3), index_lib.Sphere(3), index_lib.Cube(3)])
def test_upper_bound_is_mean_plus_deviations(index):
  psi = jax.random.normal(jax.random.PRNGKey(9), (4, 5))
  z = index.sample(jax.random.PRNGKey(10), (200_000,))
  values = np.asarray(psi[0] + z @ psi[1:])
  bound = _upper_bound(index, 1.5, psi)
  np.testing.assert_allclose(
      bound, values.mean(axis=0) + 1.5 * values.std(axis=0), atol=0.03)


def test_upper_bound_of_a_one_hot_index_is_over_the_members():
  psi = jnp.array([[0., 0.], [1., 4.], [3., 4.]])
  bound = _upper_bound(index_lib.OneHot(2), 2., psi)
  np.testing.assert_allclose(bound, [2. + 2. * 1., 4.], atol=1e-3)


def test_sampled_optimism_tends_to_the_upper_bound():
  """The expected maximum of 5 Gaussians is 1.163 deviations up."""
  index = index_lib.Gaussian(4)
  psi = jax.random.normal(jax.random.PRNGKey(11), (5, 3))
  indices = index.sample(jax.random.PRNGKey(12), (50_000, 5))
  sampled = jax.vmap(lambda zs: acting.SampledOptimism(5, 1.)(
      lambda z: psi[0] + z @ psi[1:], psi, zs))(indices)
  np.testing.assert_allclose(
      np.mean(sampled, axis=0),
      _upper_bound(index, 1.163, psi), atol=0.05)


def test_no_illegal_action_even_where_values_are_not_numbers():
  values = jnp.tile(
      jnp.array([acting.ILLEGAL, math.nan, math.nan, acting.ILLEGAL]),
      (1000, 1))
  for epsilon in (0., 0.5, 1.):
    actions = acting.epsilon_greedy(jax.random.PRNGKey(13), values, epsilon)
    assert set(np.unique(actions)) == {1, 2}
