"""What all tabular agents have in common, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import index as index_lib
from hyperjax import tabular
from hyperjax.tabular import base
from hyperjax.tabular import gaussian
from hyperjax.tabular import presets
from tests.tabular import small

EPISODES = 60
_every = pytest.mark.parametrize('name', small.AGENTS)
_many = jax.jit(
    lambda agent, mdp, keys, num: jax.vmap(
        lambda key: tabular.run(agent, mdp, key, num))(keys),
    static_argnums=(0, 3))


@jax.jit
def _regret_of_the_best(mdp):
  q = tabular.backward_induction(mdp.transitions, mdp.rewards)
  policy = jnp.argmax(q, axis=-1).astype(jnp.int32)
  return tabular.optimal_value(mdp) - tabular.policy_value(mdp, policy)


_values = jax.jit(jax.vmap(tabular.policy_value, in_axes=(None, 0)))
# Compiling both takes some seconds for each agent.
_QUICK = ('hyperagent',)


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[] if name in _QUICK else pytest.mark.slow)
    for name in small.AGENTS])
def test_a_seed_is_the_same_alone_and_among_many(name):
  agent = small.AGENTS[name]
  _, many = _many(agent, small.CHAIN, small.keys(), EPISODES)
  _, alone = small.run(agent, small.CHAIN, small.keys()[1], EPISODES)
  np.testing.assert_allclose(many[1], alone, atol=1e-6)


@pytest.mark.slow
def test_more_episodes_begin_with_the_same_ones():
  agent = small.AGENTS['hyperagent']
  _, many = small.run(agent, small.CHAIN, small.keys()[1], EPISODES)
  _, fewer = small.run(agent, small.CHAIN, small.keys()[1], 20)
  np.testing.assert_allclose(fewer, many[:20], atol=1e-6)


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[] if name in (
        'hyperagent', 'psrl', 'q_learning') else pytest.mark.slow)
    for name in small.AGENTS])
def test_regret_is_never_negative_and_below_uniform_play(name):
  _, regrets = _many(small.AGENTS[name], small.CHAIN, small.keys(), EPISODES)
  regrets = np.asarray(regrets)
  assert (regrets >= -1e-5).all()
  policies = np.random.default_rng(0).integers(0, 2, (200, 4, 3), np.int32)
  best = float(tabular.optimal_value(small.CHAIN))
  uniform = best - np.asarray(_values(small.CHAIN, policies)).mean()
  assert regrets[:, 30:].mean() < uniform


@_every
def test_is_hashable_equal_by_value_and_implements_the_protocol(name):
  agent = small.AGENTS[name]
  assert isinstance(agent, tabular.Agent)
  same = presets.scaled(
      small.SIZES, gaussian.scaled(4, 0.3), dim=3)[name]
  assert same == agent and hash(same) == hash(agent)


@pytest.mark.parametrize('pooled', [True, False])
def test_counts_are_those_of_the_episodes(pooled):
  sizes = small.RIVER.sizes(pooled)
  statistics = base.no_statistics(sizes)
  for _ in range(2):
    statistics = base.count(sizes, statistics, small.episode(
        [0, 1, 1, 0, 1], [1, 0, 1, 1], [0., 0.5, 1., 0.]))
  stages = [0, 0, 0, 0] if pooled else [0, 1, 2, 3]
  expected = np.zeros((sizes.stages, 3, 2, 3))
  for h, s, a, after in zip(
      stages, [0, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], strict=True):
    expected[h, s, a, after] += 2.
  np.testing.assert_array_equal(statistics.counts, expected)
  np.testing.assert_array_equal(statistics.visits, expected.sum(-1))
  assert statistics.rewards[stages[1], 1, 0] == 0.5
  assert statistics.rewards[stages[2], 1, 1] == 1.


def test_the_policy_of_dynamic_programming_has_no_regret():
  for mdp in (small.RIVER, small.CHAIN, small.GRID):
    assert abs(float(_regret_of_the_best(mdp))) < 1e-5


def test_theorems_constants():
  noise = gaussian.theorem(5)
  assert noise.sigmas == pytest.approx((75.**0.5,) * 5)
  assert noise.prior_means == (5.,) * 5
  assert noise.prior_mass == 3. and not noise.clip
  agents = presets.theorem(small.SIZES, 100)
  assert agents.keys() == small.AGENTS.keys()
  assert agents['lmc_lsvi'].num_steps > 1000


@pytest.mark.parametrize('make, expected', [
    (lambda: tabular.HyperAgent(
        small.SIZES, small.NOISE, index_lib.NoIndex(), index_lib.NoIndex()),
     'M, the dimension of the index, must be at least 1, got 0'),
    (lambda: tabular.EnsemblePlus(small.SIZES, small.NOISE, 0),
     'dim of an index must be at least 1, got 0'),
    (lambda: tabular.HyperAgent(
        small.SIZES, small.NOISE, index_lib.Gaussian(3)),
     'of one dimension M, got 3 and 16'),
    (lambda: tabular.RLSVI(small.SIZES, gaussian.scaled(5)),
     'expected sigmas for 4 stages, got 5'),
    (lambda: gaussian.theorem(4, 2.), 'at least 3.0, got 2'),
    (lambda: gaussian.Noise((0.1, -0.2), (0., 0.)), r'sigmas\[1\] .*got -0.2'),
    (lambda: gaussian.Noise((0.1,), (0., 0.)), 'got 1 and 2'),
    (lambda: tabular.PSRL(small.SIZES, -1.), 'prior_mass must be positive'),
    (lambda: tabular.BayesUCBVI(small.SIZES, 0), 'num_samples .* got 0'),
    (lambda: tabular.IncrementalBayesUCBVI(small.SIZES, 0), 'num_tables'),
    (lambda: tabular.LMCLSVI(small.SIZES, 0), 'num_steps .* got 0'),
    (lambda: tabular.QLearning(small.SIZES, 1.5), 'epsilon .* got 1.5'),
    (lambda: tabular.HyperAgent(
        small.SIZES, small.NOISE, perturbation=index_lib.OneHot(16)),
     'perturbation must have mean 0, got OneHot'),
    (lambda: tabular.UCBVI.theorem(small.SIZES, 0), 'num_episodes .* got 0'),
    (lambda: tabular.UCBVI.theorem(small.SIZES, 9, 0.), 'failure .* got 0'),
    (lambda: tabular.BayesUCBVI.theorem(small.SIZES, 9, 2.), 'failure .*got 2'),
    (lambda: tabular.LMCLSVI.theorem(small.SIZES, 0), 'num_episodes .* got 0'),
    (lambda: tabular.run(
        tabular.PSRL(tabular.Sizes(3, 4, 4)), small.RIVER, jax.random.key(0),
        5), r'the agent, \(4, 3, 4\), got \(4, 3, 2\)'),
    (lambda: tabular.run(
        tabular.PSRL(small.SIZES), small.RIVER, jax.random.key(0), -1),
     'num_episodes must be at least 0, got -1'),
    (lambda: tabular.UCBVI(small.SIZES, 0.5), 'bonus must be a Bonus'),
    (lambda: tabular.PSRL(small.SIZES).init(
        jax.random.key(0), jnp.zeros((3, 3, 2))),
     r'known rewards of shape \(4, 3, 2\), got \(3, 3, 2\)'),
])
def test_agents_refuse_what_cannot_be(make, expected, unchecked):
  with pytest.raises(ValueError, match=expected):
    make()
