"""Agents that are optimistic: UCBVI, Bayes-UCBVI, and tables of targets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import tabular
from hyperjax.tabular import base
from hyperjax.tabular import ucbvi
from tests.tabular import small


@pytest.mark.parametrize('bonus, expected', [
    (ucbvi.Hoeffding(2.), 2. * 0.5 * 3. / 2.),
    (ucbvi.Bernstein(2.), 2. * (0.5 / 2. + 3. / 4.)),
    (ucbvi.ChernoffHoeffding(7.), 7. / 2.),
], ids=repr)
def test_bonuses_are_their_formulas(bonus, expected):
  four = jnp.full((1, 1), 4.)
  assert float(bonus.bonus(four, four / 16., jnp.float32(3.))[0, 0]) == (
      pytest.approx(expected))


def test_ucbvi_is_optimistic_and_then_exact():
  agent = tabular.UCBVI(small.SIZES)
  state = agent.init(jax.random.key(0))
  np.testing.assert_array_equal(
      state.values, np.full((4, 3, 2), np.reshape([4., 3., 2., 1.], (4, 1, 1))))
  episode = small.episode([0, 1, 2, 2, 2], [1, 1, 1, 1], [0., 0., 1., 1.])
  after = agent.update(state, episode)
  # State 0, action 0 was not seen; the last stage of 2 gives 1, and its bonus.
  assert after.values[0, 0, 0] == 4. and after.values[3, 2, 1] == 1.
  counts = 1e6 * small.RIVER.transitions
  sure = state._replace(statistics=base.Statistics(
      counts, 1e6 * small.RIVER.rewards[:1], None))
  q = tabular.backward_induction(
      small.RIVER.transitions, small.RIVER.rewards)
  found = agent.update(sure, episode).values
  assert (np.asarray(found) >= np.asarray(q) - 1e-4).all()
  np.testing.assert_allclose(found, q, atol=0.01)


def test_bayes_ucbvi_is_optimistic_and_then_exact():
  agent = tabular.BayesUCBVI(small.SIZES)
  key = jax.random.key(0)
  state = agent.init(key, small.RIVER.rewards)
  left = np.array([4., 3., 2., 1.])
  values = jax.jit(agent.values)
  # Nothing was seen: all leads to the optimistic state.
  np.testing.assert_allclose(
      values(state, key),
      small.RIVER.rewards + (left - 1.)[:, None, None], rtol=1e-5)
  sure = state._replace(counts=1e6 * small.RIVER.transitions)
  q = tabular.backward_induction(
      small.RIVER.transitions, small.RIVER.rewards)
  np.testing.assert_allclose(values(sure, key), q, atol=0.01)


def test_the_theorem_of_bayes_ucbvi_has_many_draws():
  agent = tabular.BayesUCBVI.theorem(small.SIZES, 1000)
  assert agent.optimistic_reward == 2. and agent.num_samples > 100


def test_incremental_tables_are_weighted_means_of_targets():
  agent = tabular.IncrementalBayesUCBVI(small.SIZES, num_tables=2)
  state = jax.jit(agent.init)(jax.random.key(0))
  prior, update = np.asarray(state.weights), jax.jit(agent.update)
  for _ in range(2):
    before = state
    state = update(
        state, small.episode([0, 1, 1, 0, 1], [1, 0, 1, 1], [0., 0., 0., 0.5]))
  new = np.asarray(state.weights - before.weights)
  # The last stage's target is the reward alone.
  first = np.asarray(before.weights - prior)[3, 0, 1]
  expected = (prior[3, 0, 1] * 1. + (first + new[3, 0, 1]) * 0.5) / (
      prior[3, 0, 1] + first + new[3, 0, 1])
  np.testing.assert_allclose(state.values[3, 0, 1], expected, rtol=1e-5)
  assert (np.asarray(state.values[0, 2]) == 4.).all()


def test_q_learning_takes_the_rate_of_the_visits():
  agent = tabular.QLearning(small.SIZES, epsilon=0.)
  state = agent.init(jax.random.key(0))
  episode = small.episode([0, 1, 1, 0, 1], [1, 0, 1, 1], [0., 0., 0., 0.5])
  state = agent.update(state, episode)
  assert state.values[3, 0, 1, 0] == 0.5  # Rate 5 / 5.
  state = agent.update(state, episode._replace(
      rewards=np.float32([0., 0., 0., 1.])))
  assert float(state.values[3, 0, 1, 0]) == pytest.approx(
      0.5 + 5. / 6. * 0.5)
  assert float(state.values[2, 1, 1, 0]) == pytest.approx(5. / 6. * 0.5)
