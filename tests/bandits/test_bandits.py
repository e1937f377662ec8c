"""Linear bandits: posteriors in closed form, factors in batch, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import bandits
from hyperjax import index as index_lib
from hyperjax.bandits import posterior as posterior_lib
from hyperjax.bandits import problems

DIM, NOISE, VARIANCE = 3, 0.5, 2.
PROBLEM = jax.jit(
    lambda key: bandits.random_problem(key, DIM, 20, VARIANCE, NOISE))(
        jax.random.key(2000))
AGENTS = {
    'thompson': bandits.ThompsonSampling(DIM, VARIANCE, NOISE),
    'hyperagent': bandits.HyperAgent(
        DIM, VARIANCE, NOISE, index_lib.Gaussian(4), index_lib.Sphere(4)),
    'ensemble': bandits.EnsembleSampling(DIM, VARIANCE, NOISE, 4),
    'lin_ucb': bandits.LinUCB(DIM, VARIANCE, NOISE),
    'langevin': bandits.LangevinSampling(DIM, VARIANCE, NOISE),
}
_every = pytest.mark.parametrize('name', AGENTS)
_run = jax.jit(bandits.run, static_argnums=(0, 3))
_many = jax.jit(
    lambda agent, problem, keys, num: jax.vmap(
        lambda key: bandits.run(agent, problem, key, num))(keys),
    static_argnums=(0, 3))


def _keys(num=3):
  return jax.vmap(jax.random.key)(jnp.arange(2000, 2000 + num))


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[] if name == 'hyperagent' else pytest.mark.slow)
    for name in AGENTS])
def test_a_seed_is_the_same_alone_and_among_many(name):
  _, many = _many(AGENTS[name], PROBLEM, _keys(), 40)
  _, alone = _run(AGENTS[name], PROBLEM, _keys()[1], 40)
  np.testing.assert_allclose(many[1], alone, atol=1e-4)


@_every
def test_regret_is_not_negative_and_falls(name):
  _, regrets = _many(AGENTS[name], PROBLEM, _keys(), 40)
  regrets = np.asarray(regrets)
  assert isinstance(AGENTS[name], bandits.Agent)
  assert (regrets >= -1e-5).all()
  values = np.asarray(PROBLEM.actions.features @ PROBLEM.theta)
  assert regrets[:, 20:].mean() < 0.5 * (values.max() - values.mean())


_X = np.float32(np.random.default_rng(0).normal(size=(30, DIM)))
_Y = np.float32(np.random.default_rng(1).normal(size=30))


def _closed_form(num=30):
  precision = np.eye(DIM) / VARIANCE + _X[:num].T @ _X[:num] / NOISE**2
  covariance = np.linalg.inv(precision)
  return covariance @ _X[:num].T @ _Y[:num] / NOISE**2, covariance


def _learned(agent, key=0):
  """Returns an agent's state after all observations, and their keys."""
  key_init, key = jax.random.split(jax.random.key(key))
  keys = jax.random.split(key, len(_X))

  def step(state, inputs):
    return agent.update(state, *inputs), None

  state, _ = jax.lax.scan(step, agent.init(key_init), (_X, _Y, keys))
  return state, key_init, keys


def test_the_posterior_is_that_of_ridge_regression():
  state, _, _ = _learned(AGENTS['thompson'])
  mean, covariance = _closed_form()
  np.testing.assert_allclose(state.mean, mean, atol=1e-4)
  np.testing.assert_allclose(state.covariance, covariance, atol=1e-5)


def test_the_gain_is_the_new_covariance_times_the_action():
  state, _, _ = _learned(AGENTS['thompson'])
  x = jnp.asarray(_X[3])
  after = posterior_lib.observe(state, x, jnp.float32(0.), NOISE)
  np.testing.assert_allclose(
      posterior_lib.gain(state, x, NOISE), after.covariance @ x / NOISE**2,
      rtol=1e-3)


@pytest.mark.parametrize('index', [
    index_lib.Sphere, index_lib.Gaussian, *(
        pytest.param(x, marks=pytest.mark.slow) for x in (
            index_lib.Cube, index_lib.Coordinate, index_lib.Sparse))])
def test_the_incremental_factor_is_that_of_the_batch(index):
  agent = bandits.HyperAgent(
      DIM, VARIANCE, NOISE, index_lib.Gaussian(4), index(4))
  state, key_init, keys = _learned(agent)
  z = np.stack([problems.perturbation(agent.perturbation, k) for k in keys])
  prior = np.asarray(agent.init(key_init).factor) / VARIANCE
  _, covariance = _closed_form()
  np.testing.assert_allclose(
      state.factor, covariance @ (prior + _X.T @ z / NOISE), atol=1e-4)


def test_the_factor_stands_for_the_covariance():
  agent = bandits.HyperAgent(
      DIM, VARIANCE, NOISE, index_lib.Gaussian(2000), index_lib.Sphere(2000))
  state, _, _ = _learned(agent)
  _, covariance = _closed_form()
  np.testing.assert_allclose(
      state.factor @ state.factor.T, covariance,
      atol=0.12 * covariance.max())


def test_members_of_an_ensemble_are_samples_of_the_posterior():
  agent = bandits.EnsembleSampling(DIM, VARIANCE, NOISE, 4000)
  members = np.asarray(_learned(agent)[0].factor)
  mean, covariance = _closed_form()
  std = np.sqrt(np.diag(covariance))
  np.testing.assert_allclose(
      members.mean(axis=1), mean, atol=5. * std.max() / 4000**0.5)
  np.testing.assert_allclose(np.cov(members), covariance,
                             atol=0.1 * covariance.max())


@pytest.mark.slow
def test_thompson_and_langevin_sample_the_posterior():
  mean, covariance = _closed_form()
  agent = bandits.LangevinSampling(DIM, VARIANCE, NOISE, num_steps=60)
  chains = jax.jit(jax.vmap(lambda key: _from_key(agent, key).theta))(
      jax.random.split(jax.random.key(0), 2000))
  std = np.sqrt(np.diag(covariance))
  np.testing.assert_allclose(
      np.mean(chains, axis=0), mean, atol=6. * std.max() / 2000**0.5)
  # Steps are of half the largest curvature's, so the variance is at most 4/3.
  ratio = np.var(chains, axis=0) / np.diag(covariance)
  assert (ratio > 0.85).all() and (ratio < 1.5).all()


def _from_key(agent, key):
  keys = jax.random.split(key, len(_X))
  state, _ = jax.lax.scan(
      lambda state, inputs: (agent.update(state, *inputs), None),
      agent.init(key), (_X, _Y, keys))
  return state


def test_the_best_action_is_the_best():
  theta = np.asarray(PROBLEM.theta)
  features = np.asarray(PROBLEM.actions.features)
  best = features[(features @ theta).argmax()]
  np.testing.assert_allclose(PROBLEM.actions.best(PROBLEM.theta), best)
  sphere = bandits.UnitSphere().best(PROBLEM.theta)
  np.testing.assert_allclose(
      sphere, theta / np.linalg.norm(theta), rtol=1e-5)


def test_an_agent_plays_on_the_sphere():
  problem = bandits.random_sphere(jax.random.key(0), DIM, VARIANCE, NOISE)
  _, regrets = _run(AGENTS['hyperagent'], problem, jax.random.key(1), 60)
  regrets = np.asarray(regrets)
  assert (regrets > -1e-5).all()
  assert regrets[40:].mean() < 0.3 * float(jnp.linalg.norm(problem.theta))


def test_problems_are_those_of_the_publication():
  problem = jax.jit(lambda key: bandits.random_problem(key, 50, 4000))(
      jax.random.key(0))
  lengths = np.square(np.asarray(problem.actions.features)).sum(-1)
  assert lengths.mean() == pytest.approx(50 / 15, rel=0.02)
  assert np.var(np.asarray(problem.theta)) == pytest.approx(10., rel=0.6)


@pytest.mark.parametrize('name', ['Gaussian', 'Sphere', 'OneHot'])
def test_references_and_perturbations_have_unit_moments(name):
  index = getattr(index_lib, name)(4)
  keys = jax.random.split(jax.random.key(0), 8000)
  zeta = np.asarray(jax.vmap(lambda key: problems.reference(index, key))(keys))
  z = np.asarray(problems.perturbation(index, keys[0], (8000,)))
  np.testing.assert_allclose(zeta.T @ zeta / 8000, np.eye(4), atol=0.12)
  assert np.square(z).sum(-1).mean() == pytest.approx(1., abs=0.05)


@pytest.mark.parametrize('make, expected', [
    (lambda: bandits.ThompsonSampling(0), 'dim of a bandit agent .* got 0'),
    (lambda: bandits.HyperAgent(
        3, reference=index_lib.NoIndex(), perturbation=index_lib.NoIndex()),
     'M, the dimension of the index, must be at least 1, got 0'),
    (lambda: bandits.HyperAgent(3, reference=index_lib.Gaussian(4)),
     'of one dimension M, got 4 and 16'),
    (lambda: bandits.HyperAgent(3, perturbation=index_lib.OneHot(16)),
     'perturbation must have mean 0, got OneHot'),
    (lambda: bandits.run(
        bandits.ThompsonSampling(2), bandits.make_problem([[0., 1.]], [0., 0.]),
        jax.random.key(0), -1), 'num_steps must be at least 0, got -1'),
    (lambda: bandits.EnsembleSampling(3, num_members=0), 'num_members .*got 0'),
    (lambda: bandits.LinUCB(3, alpha=-1.), 'alpha must be at least 0.*got -1'),
    (lambda: bandits.LangevinSampling(3, num_steps=0), 'num_steps .*got 0'),
    (lambda: bandits.LinUCB(3).act(
        bandits.LinUCB(3).init(jax.random.key(0)), bandits.UnitSphere(),
        jax.random.key(0)), 'LinUCB is for FiniteActions, got UnitSphere'),
    (lambda: bandits.make_problem(np.zeros((2, 3)), np.zeros(2)),
     r'got \(2, 3\) and \(2,\)'),
    (lambda: bandits.make_problem([[0., np.inf]], [0., 0.]),
     r'^features\[0, 1\] must be finite, got inf'),
    (lambda: bandits.make_problem([[0., 1.]], [0., 0.], 0.),
     'noise_std must be positive'),
    (lambda: bandits.random_problem(jax.random.key(0), 0), 'dim .* got 0'),
])
def test_what_cannot_be_is_refused(make, expected):
  with pytest.raises(ValueError, match=expected):
    make()


def test_a_problem_of_given_actions():
  problem = bandits.make_problem([[1., 0.], [0., 1.]], [0.5, 2.])
  np.testing.assert_array_equal(
      problem.actions.best(problem.theta), [0., 1.])
