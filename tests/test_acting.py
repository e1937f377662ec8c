"""Greedy and epsilon-greedy choices, and the policies made of them."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
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
  values = jnp.tile(jnp.array([0., 1., 2., 9.]), (_NUM, 1))
  legal = jnp.array([True, True, True, False])
  actions = acting.epsilon_greedy(jax.random.PRNGKey(8), values, 1., legal)
  _assert_counts(_counts(actions, 4), [1 / 3, 1 / 3, 1 / 3, 0.])
  assert actions.dtype == jnp.int32


def test_a_value_does_not_make_an_action_illegal():
  """However low; and only the mask does, however high the value."""
  values = jnp.tile(jnp.array([0., -6e5, -1e30, 1e30]), (_NUM, 1))
  legal = jnp.array([True, True, True, False])
  actions = acting.epsilon_greedy(jax.random.PRNGKey(14), values, 0.3, legal)
  _assert_counts(_counts(actions, 4), [0.8, 0.1, 0.1, 0.])
  # Where all that is legal is as bad as can be.
  values = jnp.tile(jnp.array([-math.inf, -6e5, 0.]), (100, 1))
  for mask, expected in (([True, False, False], {0}),
                         ([True, True, False], {1})):
    actions = acting.greedy(jax.random.PRNGKey(15), values, jnp.array(mask))
    assert set(np.unique(actions)) == expected


def _ucb(index, scale, psi):
  value = lambda z: psi[0] + z @ psi[1:]
  return acting.UCB(scale=scale).values(
      index, value, psi, jnp.zeros(index.dim, jnp.float32))


@pytest.mark.parametrize('index', [
    index_lib.Gaussian(3), index_lib.Sphere(3), index_lib.Cube(3)])
def test_ucb_is_mean_plus_deviations(index):
  psi = jax.random.normal(jax.random.PRNGKey(9), (4, 5))
  z = index.sample(jax.random.PRNGKey(10), (200_000,))
  values = np.asarray(psi[0] + z @ psi[1:])
  bound = _ucb(index, 1.5, psi)
  np.testing.assert_allclose(
      bound, values.mean(axis=0) + 1.5 * values.std(axis=0), atol=0.03)


def test_ucb_of_a_one_hot_index_is_over_the_members():
  psi = jnp.array([[0., 0.], [1., 4.], [3., 4.]])
  bound = _ucb(index_lib.OneHot(2), 2., psi)
  np.testing.assert_allclose(bound, [2. + 2. * 1., 4.], atol=1e-3)


def test_ucb_does_not_look_at_the_index_that_is_drawn():
  psi = jax.random.normal(jax.random.PRNGKey(9), (4, 5))
  value = lambda z: psi[0] + z @ psi[1:]
  one, two = (acting.UCB(scale=1.).values(
      index_lib.Gaussian(3), value, psi, jnp.full(3, z)) for z in (0., 7.))
  np.testing.assert_array_equal(one, two)


def test_sampled_optimism_tends_to_the_upper_bound():
  """The expected maximum of 5 Gaussians is 1.163 deviations up."""
  index = index_lib.Gaussian(4)
  psi = jax.random.normal(jax.random.PRNGKey(11), (5, 3))
  optimism = acting.SampledOptimism(num_draws=5, quantile=1.)
  assert optimism.num_indices == 5
  indices = index.sample(jax.random.PRNGKey(12), (50_000, 5))
  sampled = jax.vmap(lambda zs: optimism.values(
      index, lambda z: psi[0] + z @ psi[1:], psi, zs))(indices)
  np.testing.assert_allclose(
      np.mean(sampled, axis=0), _ucb(index, 1.163, psi), atol=0.05)


def test_thompson_takes_the_values_at_its_index():
  psi = jax.random.normal(jax.random.PRNGKey(11), (5, 3))
  z = jnp.arange(4.)
  assert acting.Thompson().num_indices is None
  np.testing.assert_array_equal(
      acting.Thompson().values(
          index_lib.Gaussian(4), lambda z: psi[0] + z @ psi[1:], psi, z),
      psi[0] + z @ psi[1:])


@pytest.mark.parametrize('policy', [
    acting.Thompson(), acting.UCB(), acting.SampledOptimism(),
    acting.EpsilonGreedy(epsilon=0.)], ids=repr)
def test_policies_choose_the_greedy_legal_action(policy):
  values = jax.random.normal(jax.random.PRNGKey(2), (500, 3))
  legal = jnp.array([True, False, True])
  key, steps = jax.random.PRNGKey(3), jnp.int32(0)
  for mask in (None, legal):
    np.testing.assert_array_equal(
        policy.choose(key, values, mask, steps),
        acting.greedy(key, values, mask))


def test_no_illegal_action_even_where_values_are_not_numbers():
  values = jnp.tile(jnp.array([5., math.nan, math.nan, 5.]), (1000, 1))
  legal = jnp.array([False, True, True, False])
  for epsilon in (0., 0.5, 1.):
    actions = acting.epsilon_greedy(
        jax.random.PRNGKey(13), values, epsilon, legal)
    assert set(np.unique(actions)) == {1, 2}


@functools.cache
def _choose(policy):
  return jax.jit(policy.choose)


def test_epsilon_on_a_schedule():
  policy = acting.EpsilonGreedy(
      epsilon=optax.linear_schedule(1., 0.1, 100))
  values = jnp.tile(jnp.array([0., 5.]), (_NUM, 1))
  for steps, epsilon in ((0, 1.), (50, 0.55), (100, 0.1), (10**6, 0.1)):
    actions = _choose(policy)(
        jax.random.PRNGKey(steps), values, None, jnp.int32(steps))
    _assert_counts(_counts(actions, 2), [epsilon / 2, 1. - epsilon / 2])


@pytest.mark.parametrize('schedule, value', [
    (lambda step: 1.5 - 0. * step, '1.5'),
    (lambda step: step * 1e-6, '10.0'),  # Late: at step 10^7.
    (lambda step: 0.5 - step, '-0.5'),
    (lambda step: step * math.nan, 'nan'),
    (optax.linear_schedule(0.5, -0.25, 10), '-0.25'),
])
def test_a_schedule_that_leaves_its_range_is_refused(schedule, value):
  with pytest.raises(
      ValueError, match=rf'epsilon at step \d+ must be .* got {value}$'):
    acting.EpsilonGreedy(epsilon=schedule)


@pytest.mark.parametrize('make, message', [
    (lambda: acting.EpsilonGreedy(epsilon=-0.1), r'epsilon must.* got -0\.1'),
    (lambda: acting.EpsilonGreedy(epsilon=1.1), r'epsilon must.* got 1\.1'),
    (lambda: acting.EpsilonGreedy(epsilon=math.nan), 'epsilon must.* got nan'),
    (lambda: acting.Thompson(resample_probability=1.5),
     r'resample_probability must.* got 1\.5'),
    (lambda: acting.EpsilonGreedy(resample_probability=-0.5),
     r'resample_probability must.* got -0\.5'),
    (lambda: acting.UCB(scale=-1.), 'scale .* got -1'),
    (lambda: acting.UCB(scale=math.inf), 'scale .* got inf'),
    (lambda: acting.SampledOptimism(num_draws=0), 'num_draws must.* got 0'),
    (lambda: acting.SampledOptimism(quantile=1.5), r'quantile must.* got 1\.5'),
])
def test_refuses_a_setting_and_names_it(make, message):
  with pytest.raises(ValueError, match=message):
    make()


@pytest.mark.parametrize('policy, same, other', [
    (acting.Thompson(0.1), acting.Thompson(0.1), acting.Thompson(0.2)),
    (acting.UCB(scale=2.), acting.UCB(scale=2.), acting.UCB(scale=1.)),
    (acting.EpsilonGreedy(epsilon=0.1), acting.EpsilonGreedy(epsilon=0.1),
     acting.EpsilonGreedy(epsilon=0.2)),
])
def test_policies_are_hashable_and_equal_by_value(policy, same, other):
  assert policy == same and hash(policy) == hash(same)
  assert policy != other


def test_the_first_argument_is_the_one_of_the_class():
  """Not the probability of a new index, which they have in common."""
  assert acting.Thompson(0.1).resample_probability == 0.1
  assert acting.EpsilonGreedy(0.5).epsilon == 0.5
  assert acting.UCB(2.).scale == 2.
  assert acting.SampledOptimism(3, 0.5) == acting.SampledOptimism(
      num_draws=3, quantile=0.5)
  for policy in (acting.EpsilonGreedy(0.5), acting.UCB(1.),
                 acting.SampledOptimism(1)):
    assert policy.resample_probability == 0.
