"""What agents draw from: Dirichlet, Beta and Gaussian posteriors, chains."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import tabular
from hyperjax.tabular import dirichlet
from hyperjax.tabular import gaussian
from hyperjax.tabular import lmc_lsvi
from hyperjax.tabular import psrl
from tests.tabular import small


def test_the_dirichlet_posterior_of_psrl_is_counts_plus_the_prior():
  agent = tabular.PSRL(small.SIZES, prior_mass=1.5)
  statistics = small.seen()
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


def test_what_is_no_shape_of_a_gamma_ends_at_once():
  shape = jnp.array([-5., -0.5, jnp.nan, 0., 2.])
  draws = np.asarray(_gammas(shape))
  assert np.isneginf(draws[:4]).all() and np.isfinite(draws[4])


@pytest.mark.parametrize('sums, expected', [(-3., 1. / 7.), (9., 6. / 7.)])
def test_learned_rewards_outside_their_range_count_as_its_ends(sums, expected):
  statistics = small.seen()
  visits = jnp.full_like(statistics.visits, 5.)
  statistics = statistics._replace(
      counts=jnp.full_like(statistics.counts, 5. / statistics.counts.shape[-1]),
      reward_sums=jnp.full_like(visits, sums))
  rewards = jax.jit(jax.vmap(psrl.sample_rewards, in_axes=(None, 0)))(
      statistics, jax.random.split(jax.random.key(0), 2000))
  np.testing.assert_allclose(rewards.mean(0), expected, atol=0.02)


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
  statistics = small.seen()
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
  statistics, key = small.seen(), jax.random.key(0)
  expected = _posterior_mean(statistics, noise)
  agent = tabular.HyperAgent(small.SIZES, noise)
  state = agent.init(key)._replace(statistics=statistics)
  np.testing.assert_allclose(agent.values(state, key), expected, rtol=1e-5)
  np.testing.assert_allclose(
      tabular.RLSVI(small.SIZES, noise).values(statistics, key), expected,
      rtol=1e-5)


def test_rlsvi_draws_from_the_gaussian_posterior():
  statistics = small.seen()
  draws = small.draws_at_the_last_stage(
      tabular.RLSVI(small.SIZES, small.NOISE), statistics)
  visits = np.asarray(statistics.visits)[0]
  mean = np.asarray(statistics.reward_sums)[0] / (visits + 1.)
  std = 0.4 / np.sqrt(visits + 1.)
  np.testing.assert_allclose(
      draws.mean(0), mean, atol=5. * std.max() / 4000**0.5)
  np.testing.assert_allclose(draws.std(0), std, rtol=0.06)


def _mixed(step_size, num_steps, temperature=0.5):
  agent = tabular.LMCLSVI(
      small.SIZES, num_steps, temperature, step_size=step_size)
  state = agent.init(jax.random.key(0))._replace(statistics=small.seen())
  draws = jax.jit(jax.vmap(lambda key: agent.mix(
      state._replace(key=key)).values))(
          jax.random.split(jax.random.key(4), 3000))
  return np.asarray(draws)[:, -1]


def _slow_step(curvature):
  return 0.02 / curvature


def test_a_mixed_langevin_chain_has_rlsvis_law():
  draws = _mixed(_slow_step, 120)
  noise = gaussian.Noise((0.5,) * 4, (0.,) * 4)  # sigma^2 = T / 2.
  expected = small.draws_at_the_last_stage(
      tabular.RLSVI(small.SIZES, noise), small.seen())
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
  statistics = small.seen()
  curvature = np.asarray(statistics.visits)[0] + 1.
  eta = np.asarray(step_size(jnp.asarray(curvature)))
  keep = 1. - 2. * eta * curvature
  target = np.asarray(statistics.reward_sums)[0] / curvature
  np.testing.assert_allclose(
      draws.mean(0), (1. - keep**num_steps) * target, atol=0.06)
  variance = 2. * eta * temperature * sum(
      keep**(2 * j) for j in range(num_steps))
  np.testing.assert_allclose(draws.std(0), np.sqrt(variance), rtol=0.08)
