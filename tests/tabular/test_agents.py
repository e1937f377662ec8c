"""What all tabular agents have in common, and the posteriors of each."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import index as index_lib
from hyperjax import tabular
from hyperjax.tabular import base
from hyperjax.tabular import dirichlet
from hyperjax.tabular import gaussian
from hyperjax.tabular import hyperagent
from hyperjax.tabular import lmc_lsvi
from hyperjax.tabular import presets
from hyperjax.tabular import psrl
from hyperjax.tabular import ucbvi
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


def _keys(num=3):
  return jax.vmap(jax.random.key)(jnp.arange(2000, 2000 + num))


# Compiling both takes some seconds for each agent.
_QUICK = ('hyperagent',)


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[] if name in _QUICK else pytest.mark.slow)
    for name in small.AGENTS])
def test_a_seed_is_the_same_alone_and_among_many(name):
  agent = small.AGENTS[name]
  _, many = _many(agent, small.CHAIN, _keys(), EPISODES)
  _, alone = small.run(agent, small.CHAIN, _keys()[1], EPISODES)
  np.testing.assert_allclose(many[1], alone, atol=1e-6)


@pytest.mark.slow
def test_more_episodes_begin_with_the_same_ones():
  agent = small.AGENTS['hyperagent']
  _, many = small.run(agent, small.CHAIN, _keys()[1], EPISODES)
  _, fewer = small.run(agent, small.CHAIN, _keys()[1], 20)
  np.testing.assert_allclose(fewer, many[:20], atol=1e-6)


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[] if name in (
        'hyperagent', 'psrl', 'q_learning') else pytest.mark.slow)
    for name in small.AGENTS])
def test_regret_is_never_negative_and_below_uniform_play(name):
  _, regrets = _many(small.AGENTS[name], small.CHAIN, _keys(), EPISODES)
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


def _seen(sizes=small.SIZES, rewards=None):
  """Statistics of some uniformly random episodes."""
  statistics = base.no_statistics(sizes, rewards)
  rng = np.random.default_rng(5)
  for _ in range(6):
    statistics = base.count(sizes, statistics, small.episode(
        rng.integers(0, 3, 5), rng.integers(0, 2, 4), rng.random(4)))
  return statistics


def test_the_dirichlet_posterior_of_psrl_is_counts_plus_the_prior():
  agent = tabular.PSRL(small.SIZES, prior_mass=1.5)
  statistics = _seen()
  masses = np.asarray(agent.posterior(statistics))
  np.testing.assert_allclose(masses, statistics.counts + 0.5, rtol=1e-6)
  draws = np.asarray(jax.jit(jax.vmap(dirichlet.dirichlet, in_axes=(0, None)))(
      jax.random.split(jax.random.key(0), 4000), masses))
  total = masses.sum(-1, keepdims=True)
  mean = masses / total
  variance = mean * (1. - mean) / (total + 1.)
  np.testing.assert_allclose(draws.mean(0), mean, atol=0.04)
  np.testing.assert_allclose(draws.var(0), variance, atol=0.01)


_gammas = jax.jit(
    lambda shape: dirichlet.log_gamma(jax.random.key(1), shape))


@pytest.mark.parametrize('shape', [0.05, 0.3, 1., 2.5, 40.])
def test_gamma_samples_have_the_moments_of_a_gamma(shape):
  draws = np.exp(np.asarray(_gammas(jnp.full(40_000, shape)), np.float64))
  error = 5. / len(draws)**0.5
  assert draws.mean() == pytest.approx(shape, abs=error * shape**0.5)
  fourth = 3. * shape**2 + 6. * shape  # Central moment.
  assert draws.var() == pytest.approx(
      shape, abs=error * (fourth - shape**2)**0.5)
  assert np.log(draws + 1.).mean() > 0.
  assert np.isneginf(dirichlet.log_gamma(
      jax.random.key(0), jnp.zeros(2))).all()


def test_unknown_rewards_are_drawn_from_their_beta_posterior():
  statistics = _seen()
  draws = np.asarray(jax.jit(jax.vmap(
      psrl.sample_rewards, in_axes=(None, 0)))(
          statistics, jax.random.split(jax.random.key(0), 4000)))
  a = 1. + np.asarray(statistics.reward_sums)
  total = 2. + np.asarray(statistics.visits)
  np.testing.assert_allclose(draws.mean(0), a / total, atol=0.03)
  known = jnp.ones((4, 3, 2)) * 0.25
  assert psrl.sample_rewards(
      statistics._replace(known=known), jax.random.key(0)) is known


def _posterior_mean(statistics, noise):
  """Backward induction of the posterior's mean, pair by pair."""
  counts = np.asarray(statistics.counts, np.float64)
  value, q = np.zeros(3), np.zeros((4, 3, 2))
  for h in reversed(range(4)):
    for s in range(3):
      for a in range(2):
        n = counts[0, s, a].sum()
        total = float(statistics.reward_sums[0, s, a]) + counts[0, s, a] @ value
        q[h, s, a] = (total + noise.prior_mass * noise.prior_means[h]) / (
            n + noise.prior_mass)
    value = q[h].max(-1)
    if noise.clip:
      value = np.clip(value, 0., 4 - h)
  return q


@pytest.mark.parametrize('noise', [
    dataclasses.replace(gaussian.scaled(4), sigmas=(0.,) * 4),
    dataclasses.replace(gaussian.theorem(4), sigmas=(0.,) * 4),
], ids=['scaled', 'theorem'])
def test_without_noise_rlsvi_and_hyperagent_plan_with_the_mean(noise):
  statistics, key = _seen(), jax.random.key(0)
  expected = _posterior_mean(statistics, noise)
  agent = tabular.HyperAgent(small.SIZES, noise)
  state = agent.init(key)._replace(statistics=statistics)
  np.testing.assert_allclose(agent.values(state, key), expected, rtol=1e-5)
  np.testing.assert_allclose(
      tabular.RLSVI(small.SIZES, noise).values(statistics, key), expected,
      rtol=1e-5)


def _draws_at_the_last_stage(agent, state):
  """4000 samples of the last stage's values, [.., S, A], without a next one."""
  return np.asarray(jax.jit(jax.vmap(
      agent.values, in_axes=(None, 0)))(
          state, jax.random.split(jax.random.key(3), 4000)))[:, -1]


_NOISE = gaussian.scaled(4, 0.4)


def test_rlsvi_draws_from_the_gaussian_posterior():
  statistics = _seen()
  draws = _draws_at_the_last_stage(
      tabular.RLSVI(small.SIZES, _NOISE), statistics)
  visits = np.asarray(statistics.visits)[0]
  mean = np.asarray(statistics.reward_sums)[0] / (visits + 1.)
  std = 0.4 / np.sqrt(visits + 1.)
  np.testing.assert_allclose(
      draws.mean(0), mean, atol=5. * std.max() / 4000**0.5)
  np.testing.assert_allclose(draws.std(0), std, rtol=0.06)


def test_hyperagents_variance_is_the_length_of_its_vectors():
  agent = tabular.HyperAgent(small.SIZES, _NOISE)
  state = agent.init(jax.random.key(0))._replace(statistics=_seen())
  draws = _draws_at_the_last_stage(agent, state)
  relative = np.asarray(agent.relative_variance(state))[0]
  visits = np.asarray(state.statistics.visits)[0]
  np.testing.assert_allclose(
      draws.std(0), 0.4 * np.sqrt(relative / (visits + 1.)), rtol=0.06)


def _episodes(num):
  """Episodes of nonsense, along a leading axis."""
  rng = np.random.default_rng(0)
  return tabular.Episode(
      jnp.asarray(rng.integers(0, 3, (num, 5)), jnp.int32),
      jnp.asarray(rng.integers(0, 2, (num, 4)), jnp.int32),
      jnp.asarray(rng.random((num, 4)), jnp.float32))


@pytest.mark.parametrize('perturbation', [
    index_lib.Sphere(8), index_lib.Sparse(8),
    *(pytest.param(x, marks=pytest.mark.slow) for x in (
        index_lib.Gaussian(8), index_lib.Cube(8), index_lib.Coordinate(8)))],
                         ids=repr)
def test_the_mean_of_the_relative_variance_is_one(perturbation):
  """Over z, at whatever number of visits: the lemma's interval is around 1."""
  agent = tabular.HyperAgent(
      small.SIZES, _NOISE, index_lib.Gaussian(8), perturbation)
  episodes = _episodes(8)
  relative = np.asarray(jax.jit(jax.vmap(lambda key: agent.relative_variance(
      agent.batch_state(agent.init(key), episodes))))(_keys(200)))
  error = 5. * float(relative.std()) / 1200**0.5
  assert relative.mean() == pytest.approx(1., abs=error)


def test_before_any_visit_the_sphere_has_rlsvis_variance_exactly():
  agent = tabular.HyperAgent(small.SIZES, _NOISE)
  state = agent.init(jax.random.key(7))
  np.testing.assert_allclose(agent.relative_variance(state), 1., rtol=1e-5)


@pytest.mark.parametrize('pooled', [True, False])
def test_the_incremental_and_the_batch_form_agree(pooled):
  agent = tabular.HyperAgent(small.RIVER.sizes(pooled), _NOISE)
  initial, episodes = agent.init(jax.random.key(2)), _episodes(30)
  step = jax.jit(lambda state, e: (agent.update(state, e), None))
  state, _ = jax.lax.scan(step, initial, episodes)
  batch = jax.jit(agent.batch_state)(initial, episodes)
  np.testing.assert_allclose(state.sums, batch.sums, atol=1e-5)
  np.testing.assert_array_equal(
      state.statistics.counts, batch.statistics.counts)
  np.testing.assert_allclose(
      state.statistics.reward_sums, batch.statistics.reward_sums, atol=1e-5)
  assert state.num_steps == batch.num_steps == 120


def test_an_index_is_shared_as_the_scheme_says():
  sizes, key = small.SIZES, jax.random.key(0)
  per_state = hyperagent.per_state(index_lib.Gaussian(2), key, sizes)
  per_episode = hyperagent.per_episode(index_lib.Gaussian(2), key, sizes)
  assert len(np.unique(np.reshape(per_state, (-1, 2)), axis=0)) == 12
  assert len(np.unique(np.reshape(per_episode, (-1, 2)), axis=0)) == 1


def test_a_member_of_ensemble_plus_has_the_same_noise_again():
  agent = tabular.EnsemblePlus(small.SIZES, _NOISE, num_members=3)
  state = agent.init(jax.random.key(0))._replace(statistics=_seen())
  draws = _draws_at_the_last_stage(agent, state)
  assert len(np.unique(draws.round(5).reshape(4000, -1), axis=0)) == 3


def _mixed(step_size, num_steps, temperature=0.5):
  agent = tabular.LMCLSVI(
      small.SIZES, num_steps, temperature, step_size=step_size)
  state = agent.init(jax.random.key(0))._replace(statistics=_seen())
  draws = jax.jit(jax.vmap(lambda key: agent.mix(
      state._replace(key=key)).values))(
          jax.random.split(jax.random.key(4), 3000))
  return np.asarray(draws)[:, -1]


def _slow_step(curvature):
  return 0.02 / curvature


def test_a_mixed_langevin_chain_has_rlsvis_law():
  draws = _mixed(_slow_step, 120)
  noise = gaussian.Noise((0.5,) * 4, (0.,) * 4)  # sigma^2 = T / 2.
  expected = _draws_at_the_last_stage(
      tabular.RLSVI(small.SIZES, noise), _seen())
  np.testing.assert_allclose(draws.mean(0), expected.mean(0), atol=0.05)
  np.testing.assert_allclose(draws.std(0), expected.std(0), rtol=0.08)
  # All quantiles, not only two moments.
  levels = np.linspace(0.05, 0.95, 7)
  scale = expected.std(0)
  np.testing.assert_allclose(
      np.quantile(draws, levels, axis=0) / scale,
      np.quantile(expected, levels, axis=0) / scale, atol=0.17)


@pytest.mark.parametrize('step_size', [
    lmc_lsvi.common_step, lmc_lsvi.coordinate_step])
def test_a_langevin_chain_is_a_linear_recursion(step_size):
  num_steps, temperature = 5, 0.5
  draws = _mixed(step_size, num_steps, temperature)
  statistics = _seen()
  curvature = np.asarray(statistics.visits)[0] + 1.
  eta = np.asarray(step_size(jnp.asarray(curvature)))
  keep = 1. - 2. * eta * curvature
  target = np.asarray(statistics.reward_sums)[0] / curvature
  np.testing.assert_allclose(
      draws.mean(0), (1. - keep**num_steps) * target, atol=0.06)
  variance = 2. * eta * temperature * sum(
      keep**(2 * j) for j in range(num_steps))
  np.testing.assert_allclose(draws.std(0), np.sqrt(variance), rtol=0.08)


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
        small.SIZES, _NOISE, index_lib.NoIndex(), index_lib.NoIndex()),
     'M, the dimension of the index, must be at least 1, got 0'),
    (lambda: tabular.EnsemblePlus(small.SIZES, _NOISE, 0),
     'dim of an index must be at least 1, got 0'),
    (lambda: tabular.HyperAgent(small.SIZES, _NOISE, index_lib.Gaussian(3)),
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
    (lambda: tabular.UCBVI(small.SIZES, 0.5), 'bonus must be a Bonus'),
    (lambda: tabular.PSRL(small.SIZES).init(
        jax.random.key(0), jnp.zeros((3, 3, 2))),
     r'known rewards of shape \(4, 3, 2\), got \(3, 3, 2\)'),
])
def test_agents_refuse_what_cannot_be(make, expected, unchecked):
  with pytest.raises(ValueError, match=expected):
    make()
