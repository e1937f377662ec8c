"""Value functions: affine in the index, fixed priors, cells as numbers."""

import functools
import math

import chex
from dm_env import specs as dm_specs
from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperjax import agents
from hyperjax import data_noise
from hyperjax import index as index_lib
from hyperjax import networks
from hyperjax import specs
from hyperjax import targets
from hyperjax import types
from hyperjax.agents import presets
from hyperjax.agents import priors

_N = 4  # A DeepSea of _N x _N cells.
_ACTIONS = 3

# Programs here run a few times: optimising them costs more than it gains.
_jit = functools.partial(
    jax.jit, compiler_options={'xla_backend_optimization_level': 0})

_CONFIG = presets.hyperagent_thompson_deep_sea(
    hidden_sizes=(8, 6), index_dim=5, scale=0.5, mean_std=2.,
    prior=priors.Hypermodel(scale=3., std=2., mean_std=2.),
    noise=data_noise.Perturbation(0.1), learning_rate=1e-2,
    target=targets.Periodic(3))


def _agent(spec, config=_CONFIG):
  return agents.HyperAgent(spec, _ACTIONS, config)


@functools.cache
def _numbers():
  return _agent(dm_specs.DiscreteArray(_N * _N))


@functools.cache
def _grids():
  return _agent(dm_specs.Array((_N, _N), np.float32))


@functools.cache
def _init(agent):
  return _jit(agent.init)


@functools.cache
def _q_values(agent):
  return _jit(agent.q_values)


def _grid(cells) -> jax.Array:
  """Cells as one-hot grids; cell _N * _N, the end, as the all-zero grid."""
  return jnp.eye(_N * _N + 1)[cells][:, :-1].reshape(-1, _N, _N)


def _batch(seed, size=16) -> types.Transition:
  rng = np.random.default_rng(seed)
  batch = types.Transition(
      observation=rng.integers(_N * _N, size=size).astype(np.int32),
      action=rng.integers(_ACTIONS, size=size).astype(np.int32),
      reward=rng.normal(size=size).astype(np.float32),
      discount=0.9 * rng.integers(2, size=size).astype(np.float32),
      next_observation=rng.integers(
          _N * _N + 1, size=size).astype(np.int32),
      uid=rng.permutation(size).astype(np.int32))
  return jax.tree.map(jnp.asarray, batch)


def _as_grids(batch: types.Transition) -> types.Transition:
  return batch._replace(
      observation=_grid(batch.observation),
      next_observation=_grid(batch.next_observation))


def _numpy_mlp(torso, x, normalise=lambda x: x):
  layers = (torso['InputLayer_0'], torso['Dense_0'])
  for layer in layers:
    x = np.maximum(
        normalise(x @ np.asarray(layer['kernel']) + layer['bias']), 0.)
  return x


def _generated_value(hypermodel, x, z) -> np.ndarray:
  """<w_a(z), phi(s)> with w_a(z) = b_a + A_a z written out."""
  phi = _numpy_mlp(hypermodel['layers_0'], x)
  b = np.asarray(hypermodel['layers_1']['mean'])
  factors = np.asarray(hypermodel['layers_1']['factors'])
  values = []
  for a in range(_ACTIONS):
    matrix = factors[:, :, a].T  # [F, M]
    values.append(phi @ (b[:, a] + matrix @ z))
  return np.array(values)


def _perturbed(params, seed=5):
  """Other values everywhere, so that no bias is zero."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(
      lambda x: x + rng.normal(size=x.shape).astype(np.float32) / 2., params)


def test_affine_value_is_the_generated_weights_times_the_features():
  agent = _grids()
  params = _perturbed(_init(agent)(jax.random.PRNGKey(0)).params)
  trained = params['params']['body']
  prior, = params['prior'].values()
  rng = np.random.default_rng(1)
  observations = rng.normal(size=(6, _N, _N)).astype(np.float32)
  indices = rng.normal(size=(6, 5)).astype(np.float32)
  expected = [
      0.5 * _generated_value(trained, s.ravel(), z)
      + 3. * _generated_value(prior['weights'], s.ravel(), z)
      for s, z in zip(observations, indices, strict=True)]
  np.testing.assert_allclose(
      _q_values(agent)(params, jnp.asarray(observations), jnp.asarray(indices)),
      expected,
      rtol=1e-4, atol=1e-4)


def test_plain_value_is_dense_layers():
  agent = agents.DQN(
      dm_specs.Array((3,), np.float32), 2,
      agents.DQNConfig(hidden_sizes=(8, 6)))
  params = _perturbed(_init(agent)(jax.random.PRNGKey(0)).params)
  assert set(params) == {'params'}
  body = params['params']['body']
  x = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
  dense, = body['layers_1'].values()
  expected = _numpy_mlp(body['layers_0'], x) @ dense['kernel'] + dense['bias']
  np.testing.assert_allclose(
      _q_values(agent)(params, jnp.asarray(x), jnp.zeros((5, 0))), expected,
      rtol=1e-4, atol=1e-5)


def test_no_prior_where_there_is_none():
  agent = _agent(
      dm_specs.DiscreteArray(4),
      agents.HyperAgentConfig(hidden_sizes=(4,), prior=None))
  assert set(_init(agent)(jax.random.PRNGKey(0)).params) == {'params'}


def test_prior_and_trained_part_are_drawn_independently():
  params = _init(_numbers())(jax.random.PRNGKey(0)).params
  prior, = params['prior'].values()
  for kernel in ('InputLayer_0', 'Dense_0'):
    one = params['params']['body']['layers_0'][kernel]['kernel']
    two = prior['weights']['layers_0'][kernel]['kernel']
    assert (one != two).all()


def test_prior_has_no_gradient():
  agent = _numbers()
  params = _init(agent)(jax.random.PRNGKey(0)).params
  key = jax.random.PRNGKey(1)
  gradients = _jit(jax.grad(
      lambda p: agent.components.loss(
          p, params, types.Batch(_batch(0)), key, key)[0]))(params)
  assert set(gradients) == {'params', 'prior'}
  assert jax.tree.leaves(gradients['prior'])
  for g in jax.tree.leaves(gradients['prior']):
    np.testing.assert_array_equal(g, 0.)
  assert optax.tree.norm(gradients['params']) > 1e-3


def test_optimiser_never_meets_the_prior():
  agent = _numbers()
  before = _init(agent)(jax.random.PRNGKey(0))
  learner = before
  update = _jit(agent.update)
  for t in range(7):
    learner, _ = update(learner, _batch(t))
  for x, y in zip(jax.tree.leaves(before.params['prior']),
                  jax.tree.leaves(learner.params['prior']), strict=True):
    np.testing.assert_array_equal(x, y)
  for x, y in zip(jax.tree.leaves(before.params['params']),
                  jax.tree.leaves(learner.params['params']), strict=True):
    assert not np.array_equal(x, y)
  # Neither its moments nor the target network hold a copy of the prior.
  moments = optax.tree_utils.tree_get(learner.opt_state, 'mu')
  structure = jax.tree.structure(learner.params['params'])
  assert jax.tree.structure(moments) == structure
  assert jax.tree.structure(learner.target_params) == structure


def test_fixed_prior_is_its_network():
  network = nn.Sequential((nn.Dense(4), nn.relu, nn.Dense(2)))
  prior = networks.FixedPrior(network)
  x = jnp.arange(3.)
  variables = prior.init(jax.random.PRNGKey(0), x)
  assert set(variables) == {'prior'}
  np.testing.assert_array_equal(
      prior.apply(variables, x),
      network.apply({'params': variables['prior']['weights']}, x))


def _spread(agent, params, observations):
  """Standard deviation of Q(s, a; z) over a Gaussian index, [N, A]."""
  psi = jax.vmap(lambda s: agent.network.apply(params, s))(observations)
  return np.linalg.norm(psi[:, 1:], axis=1)


def test_uniform_prior_is_the_same_everywhere():
  agent = _agent(dm_specs.DiscreteArray(400), agents.HyperAgentConfig(
      scale=0., prior=priors.Uniform(0.7)))
  params = _init(agent)(jax.random.PRNGKey(0)).params
  cells = jnp.arange(400)
  psi = jax.vmap(lambda s: agent.network.apply(params, s))(cells)
  np.testing.assert_array_equal(psi[:, 0], 0.)
  np.testing.assert_allclose(_spread(agent, params, cells), 0.7, rtol=1e-5)
  # Knowing one cell says nothing of another: no direction is common to all.
  assert np.linalg.norm(psi.mean(axis=0), axis=0).max() < 0.7 / 5.
  # The end of an episode is no cell.
  np.testing.assert_array_equal(agent.network.apply(params, jnp.int32(400)), 0.)


# The priors of HyperAgent where observations are no categories.

_GAUSSIAN, _SPHERE = index_lib.Gaussian(4), index_lib.Sphere(4)


def _prior(spec, index, scale=1., hidden_sizes=(16, 16)):
  """The network of a uniform prior, and its scale."""
  prior = priors.Uniform(scale)
  torso = functools.partial(networks.MLPTorso, hidden_sizes, spec)
  return prior.network(spec, 2, index, torso), prior.scale


def _range_spec(dim, bounded, low=0., high=1.):
  shape = () if dim is None else (dim,)
  return specs.observation_spec(
      dm_specs.BoundedArray(shape, np.float32, low, high) if bounded
      else dm_specs.Array(shape, np.float32))


@functools.cache
def _psi(network, num_priors):
  """psi of several priors at observations [N, ...], [priors, N, M+1, A]."""

  @_jit
  def psi(observations):
    def one(key):
      variables = network.init(key, observations[0])
      psi, _ = jax.vmap(lambda s: network.apply(variables, s))(observations)
      return psi

    return jax.lax.map(one, jax.random.split(jax.random.key(5), num_priors))

  return psi


@pytest.mark.parametrize('index, bounded, dim', [
    (_GAUSSIAN, True, 1), (_SPHERE, False, 6), (_GAUSSIAN, False, 50),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in [
        (_SPHERE, True, 1), (_GAUSSIAN, False, 1), (_GAUSSIAN, True, 6),
        (_GAUSSIAN, False, 6), (_SPHERE, True, 6), (_SPHERE, True, 50)])],
    ids=repr)
def test_spread_of_a_uniform_prior_is_its_scale(index, bounded, dim):
  """At an observation of zeros too, and far out of the range."""
  spec = _range_spec(dim, bounded)
  network, scale = _prior(spec, index, scale=0.7)
  rng = np.random.default_rng(dim)
  observations = np.concatenate([
      np.zeros((1, dim)), rng.uniform(size=(5, dim)),
      rng.normal(size=(5, dim)), 100. * rng.normal(size=(2, dim))])
  psi = scale * _psi(network, 3)(jnp.float32(observations))
  np.testing.assert_array_equal(psi[:, :, 0], 0.)  # Mean 0.
  z = index.sample(jax.random.key(0), (20_000,))
  std = np.std(np.einsum('zm,pnma->zpna', z, psi[:, :, 1:]), axis=0)
  np.testing.assert_allclose(std, 0.7, rtol=0.05)
  exact = np.sqrt(index.second_moment) * np.linalg.norm(psi[:, :, 1:], axis=2)
  np.testing.assert_allclose(exact, 0.7, rtol=1e-5)


def _correlation(psi) -> np.ndarray:
  """Between the values over the index at neighbours [priors, 2, N, M+1, A]."""
  one, two = np.moveaxis(psi[:, :, :, 1:], 1, 0)
  dot = np.sum(one * two, axis=2)
  return dot / np.linalg.norm(one, axis=2) / np.linalg.norm(two, axis=2)


@pytest.mark.parametrize('dim', [
    1, 50, *(pytest.param(dim, marks=pytest.mark.slow) for dim in (2, 6))])
def test_a_uniform_prior_tells_neighbours_apart(dim):
  """A tenth of the range apart, in one coordinate."""
  network, _ = _prior(_range_spec(dim, True), index_lib.Gaussian(4))
  rng = np.random.default_rng(dim)
  one = rng.uniform(0., 0.9, size=(30, dim))
  two = one.copy()
  two[np.arange(30), rng.integers(dim, size=30)] += 0.1
  psi = _psi(network, 20)(jnp.float32(np.concatenate([one, two])))
  correlation = _correlation(np.asarray(psi).reshape(20, 2, 30, 5, 2))
  assert correlation.mean() < 0.9
  assert correlation.mean() > 0.  # But it is no white noise either.


def _between(dim, one, two):
  """Correlation of a prior's draws at two observations without a range."""
  network, _ = _prior(_range_spec(dim, False), index_lib.Gaussian(4))
  psi = np.asarray(_psi(network, 50)(jnp.float32([one, two])))
  return _correlation(psi[:, :, None]).mean()


@pytest.mark.parametrize('dim', [1, 20, 400])
def test_a_uniform_prior_without_a_range_is_smooth_and_local(dim):
  """Draws differ by the distance for each number, whatever their number is."""
  rng = np.random.default_rng(dim)
  signs = rng.choice([-1., 1.], size=dim)
  x = 2. + rng.uniform(size=dim)
  assert _between(dim, x, x + 0.1 * signs) > 0.9
  assert _between(dim, x, x + 0.5 * signs) < 0.8
  assert abs(_between(dim, x, x + 2. * signs)) < 0.2


def test_a_uniform_prior_is_smooth_in_each_of_twenty_bits():
  """One of twenty bits changes a draw little, and all of them much."""
  bits = np.float32(np.random.default_rng(0).integers(2, size=20))
  other = bits.copy()
  other[3] = 1. - other[3]
  assert _between(20, bits, other) > 0.8
  assert _between(20, bits, 1. - bits) < 0.3


@pytest.mark.parametrize('dim', [10, 400])
def test_a_uniform_prior_is_independent_at_one_hot_observations(dim):
  one, two = np.eye(dim)[[2, 5]]
  assert abs(_between(dim, one, two)) < 0.2


@pytest.mark.parametrize('low, high', [
    (-1., 1.), pytest.param(0., 255., marks=pytest.mark.slow)])
def test_a_uniform_prior_knows_the_range_of_its_spec(low, high):
  """What is drawn depends on the place in the range alone."""
  index = index_lib.Gaussian(4)
  unit, _ = _prior(_range_spec(3, True), index)
  other, _ = _prior(_range_spec(3, True, low, high), index)
  s = np.random.default_rng(0).uniform(size=(4, 3))
  np.testing.assert_allclose(
      _psi(unit, 2)(jnp.float32(s)),
      _psi(other, 2)(jnp.float32(low + (high - low) * s)),
      rtol=1e-3, atol=1e-3)


def test_bounds_that_say_nothing_are_no_bounds():
  """Infinite ones, those of a type, and a range of no width."""
  index = index_lib.Gaussian(4)
  limit = float(np.finfo(np.float32).max)
  spec = specs.observation_spec(dm_specs.BoundedArray(
      (4,), np.float32, [-np.inf, -limit, 1., 0.], [np.inf, limit, 1., 2.]))
  network, _ = _prior(spec, index)
  plain, _ = _prior(_range_spec(4, False), index)
  s = np.random.default_rng(0).uniform(size=(4, 4)).astype(np.float32)
  psi = _psi(network, 2)(s)
  assert np.isfinite(psi).all()
  np.testing.assert_allclose(
      psi, _psi(plain, 2)(s * np.float32([1., 1., 1., 2.25])),
      rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('dtype, low, high, is_range', [
    (np.int32, -2**31, 2**31 - 1, False), (np.uint32, 0, 2**32 - 1, False),
    (np.int32, 0, 2**31 - 1, False), (np.uint32, 0, 10**6, True),
    (np.uint8, 0, 255, True), (np.int16, -2**15, 2**15 - 1, True)])
def test_limits_of_a_wide_integer_are_no_bounds(dtype, low, high, is_range):
  spec = specs.observation_spec(dm_specs.BoundedArray((2,), dtype, low, high))
  features = networks.PriorFeatures(spec, num_features=50)
  x = jnp.asarray([[0, 0], [0, 1]], dtype)
  phi, variables = features.init_with_output(jax.random.key(0), x[0])
  nearly = np.allclose(phi, features.apply(variables, x[1]), atol=0.05)
  assert nearly == is_range


@pytest.mark.parametrize(
    'shape', [(), pytest.param((1,), marks=pytest.mark.slow)])
def test_a_uniform_prior_tells_the_cells_of_a_corridor_apart(shape):
  """Ten cells as one number from 0 to 9, with bounds and without."""
  index = index_lib.Gaussian(4)
  for bounded in (True, False):
    spec = specs.observation_spec(
        dm_specs.BoundedArray(shape, np.float32, 0., 9.) if bounded
        else dm_specs.Array(shape, np.float32))
    network, _ = _prior(spec, index)
    cells = jnp.arange(10.).reshape(10, *shape)
    psi = np.asarray(_psi(network, 20)(cells))
    neighbours = _correlation(np.stack([psi[:, :-1], psi[:, 1:]], axis=1))
    assert neighbours.mean() < 0.9
    ends = _correlation(np.stack([psi[:, :1], psi[:, -1:]], axis=1))
    assert abs(ends.mean()) < 0.25


@pytest.mark.parametrize('bounded, scale, constant', [
    (True, 1. / 4.5, 2.), (False, 0.5, 0.3 / 0.5)])
def test_prior_features_have_an_odd_gaussian_kernel(bounded, scale, constant):
  features = networks.PriorFeatures(
      _range_spec(1, bounded), num_features=50_000)
  x = jnp.float32([[0.], [0.1], [0.3], [1.]])
  variables = features.init(jax.random.key(0), x[0])
  phi = jax.vmap(lambda s: features.apply(variables, s))(x)
  units = np.concatenate([x / scale, np.full((4, 1), constant)], axis=1)
  gaussian = lambda x: np.exp(-np.sum(np.square(x), axis=-1) / 2.)
  kernel = (gaussian(units[:, None] - units) - gaussian(units[:, None] + units))
  np.testing.assert_allclose(phi @ phi.T, kernel, atol=0.02)


@pytest.mark.parametrize('size', [1, 4, 100])
def test_a_step_in_a_range_changes_draws_alike_wherever_it_is(size):
  """A tenth of the range of one number, at the lower end and in the middle."""
  features = networks.PriorFeatures(_range_spec(size, True), num_features=5_000)
  found = []
  for start in (0., 0.5):
    x = jnp.full((2, size), start).at[1, 0].add(0.1)
    variables = features.init(jax.random.key(0), x[0])
    phi = np.stack([features.apply(variables, s) for s in x])
    phi /= np.linalg.norm(phi, axis=1, keepdims=True)
    found.append(phi[0] @ phi[1])
  np.testing.assert_allclose(found, np.exp(-0.45**2 / 2.), atol=0.02)


def test_prior_features_are_sines():
  features = networks.PriorFeatures(_range_spec(2, False), num_features=50)
  x = jnp.asarray([0.3, -40.], jnp.float32)
  phi, variables = features.init_with_output(jax.random.key(0), x)
  scaled = np.append(x, 0.3) / (np.sqrt(2.) / 2.)
  angles = scaled @ np.float64(variables['params']['frequencies'])
  assert np.abs(angles).max() > 50.
  np.testing.assert_allclose(phi, np.sin(angles) / 5., atol=1e-5)


def test_a_correction_is_linear_in_the_features_of_its_prior():
  """Q's psi is scale f + prior_scale (prior + correction), at first without."""
  spec = _range_spec(6, False)
  agent = agents.HyperAgent(spec, 3, agents.HyperAgentConfig(
      scale=0.5, prior=priors.Uniform(0.7), hidden_sizes=(5,)))
  params = _init(agent)(jax.random.key(0)).params
  s = jnp.float32(np.random.default_rng(0).normal(size=6))
  psi = functools.partial(agent.network.apply, mutable=False)
  before = psi(params, s)
  weights = params['params']['correction']['correction']
  assert weights.shape == (4, 128, 3) and not np.any(weights)
  w = np.random.default_rng(1).normal(size=weights.shape)
  trained = {**params['params'], 'correction': {'correction': jnp.float32(w)}}
  frequencies = np.asarray(
      params['prior']['FixedPrior_0']['weights']['network']['features'][
          'frequencies'])
  phi = np.sin(np.append(s, 0.3) / (np.sqrt(6.) / 2.) @ frequencies) / 8.
  change = psi({**params, 'params': trained}, s) - before
  np.testing.assert_array_equal(change[0], 0.)
  np.testing.assert_allclose(
      change[1:], 0.7 * np.einsum('f,mfa->ma', phi, w), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('shape', [
    pytest.param((6,), marks=pytest.mark.ci), (5, 5)])
@pytest.mark.slow
def test_a_prior_is_taken_away_where_there_are_data_and_only_there(shape):
  spec = specs.observation_spec(dm_specs.Array(shape, np.float32))
  agent = agents.HyperAgent(spec, 2, agents.HyperAgentConfig())
  rng = np.random.default_rng(0)
  one = lambda num: jnp.float32(rng.normal(size=(num, *shape)))
  seen, unseen = one(64), 2. * one(64)
  batch = types.Batch(types.Transition(
      jnp.repeat(seen, 2, axis=0), jnp.tile(jnp.arange(2), 64),
      jnp.zeros(128), jnp.zeros(128), jnp.repeat(seen, 2, axis=0),
      jnp.arange(128)))
  learner = _init(agent)(jax.random.key(0))
  assert np.mean(_spread(agent, learner.params, seen)) > 0.9
  learner, _ = jax.jit(lambda learner: jax.lax.scan(
      lambda learner, _: (agent.update(learner, batch)[0], None),
      learner, length=1000))(learner)
  assert np.mean(_spread(agent, learner.params, seen)) < 0.03
  assert np.mean(_spread(agent, learner.params, unseen)) > 0.5


def test_a_uniform_prior_on_frames_tells_frames_apart():
  index = index_lib.Gaussian(4)
  spec = specs.observation_spec(
      dm_specs.BoundedArray((2, 36, 36), np.uint8, 0, 255))
  torso = functools.partial(networks.DataEfficientTorso, (16,), spec)
  network = priors.Uniform(1.).network(spec, 2, index, torso)
  rng = np.random.default_rng(0)
  frames = np.zeros((4, 2, 36, 36), np.uint8)
  frames[1:] = rng.integers(256, size=(3, 2, 36, 36))
  psi = np.asarray(_psi(network, 5)(jnp.asarray(frames)))
  np.testing.assert_allclose(
      np.linalg.norm(psi[:, :, 1:], axis=2), 1., rtol=1e-5)
  from_zeros = _correlation(np.stack(
      [np.repeat(psi[:, :1], 3, axis=1), psi[:, 1:]], axis=1))
  assert from_zeros.mean() < 0.9


@pytest.mark.parametrize('make, message', [
    (lambda: priors.Uniform(0.), r'scale .*\(None for .*\) must be positive'),
    (lambda: priors.Uniform(math.nan), 'scale .* must be finite, got nan'),
    (lambda: priors.Hypermodel(scale=-0.5), r'scale .* got -0\.5'),
    (lambda: priors.Hypermodel(std=-0.5), r'std .* got -0\.5'),
    (lambda: priors.Hypermodel(mean_std=-0.5), r'mean_std .* got -0\.5'),
])
def test_priors_refuse_a_setting_and_name_it(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_what_was_never_seen_stays_uncertain():
  scale = 0.3
  config = presets.hyperagent_optimistic(
      batch_size=64, prior=priors.Uniform(scale), lazy_adam=False)
  agent = _agent(dm_specs.DiscreteArray(_N * _N), config)
  learner = _init(agent)(jax.random.PRNGKey(0))
  update = _jit(agent.update)
  seen = _N * _N // 2
  for t in range(400):
    batch = _batch(t, 64)
    learner, _ = update(learner, batch._replace(
        observation=batch.observation % seen,
        reward=jnp.zeros(64), discount=jnp.zeros(64)))
  spread = _spread(agent, learner.params, jnp.arange(_N * _N))
  assert spread[:seen].max() < 0.1 * scale
  assert spread[seen:].min() > 0.5 * scale


def test_initialisers():
  key = jax.random.PRNGKey(3)
  shape = (4, 30, 20)  # [M, F, A]
  sphere = networks.initializers.sphere(2.)(key, shape[1:])
  assert np.linalg.norm(sphere) == pytest.approx(2., rel=1e-5)
  rows = networks.initializers.factor_sphere(3.)(key, shape)
  np.testing.assert_allclose(np.linalg.norm(rows, axis=0), 3., rtol=1e-5)
  xavier = np.asarray(networks.initializers.factor_xavier(key, shape))
  std = math.sqrt(2. / (4 + 30 * 20))
  # The standard error of a standard deviation is std / sqrt(2 n).
  assert abs(xavier.std() - std) < 5. * std / math.sqrt(2 * xavier.size)
  assert abs(xavier.mean()) < 5. * std / math.sqrt(xavier.size)


def _assert_trees_close(one, two, **tolerance):
  assert jax.tree.structure(one) == jax.tree.structure(two)
  for (path, x), y in zip(
      jax.tree.leaves_with_path(one), jax.tree.leaves(two), strict=True):
    np.testing.assert_allclose(
        x, y, err_msg=jax.tree_util.keystr(path), **tolerance)


def test_number_and_grid_have_the_same_initial_params():
  key = jax.random.PRNGKey(4)
  _assert_trees_close(
      _init(_numbers())(key).params, _init(_grids())(key).params, rtol=0.)


def test_number_and_grid_have_the_same_values():
  """For every cell, and for N * N, which is the all-zero grid."""
  params = _perturbed(_init(_numbers())(jax.random.PRNGKey(4)).params)
  cells = jnp.arange(_N * _N + 1)
  assert not _grid(cells)[-1].any()
  z = jax.random.normal(jax.random.PRNGKey(0), (cells.size, 5))
  q = _q_values(_numbers())(params, cells, z)
  assert np.isfinite(q).all()
  np.testing.assert_allclose(
      q, _q_values(_grids())(params, _grid(cells), z), rtol=1e-5, atol=1e-5)


def test_a_category_of_one_byte_has_the_zero_vector_too():
  layer = networks.InputLayer(
      3, specs.observation_spec(dm_specs.DiscreteArray(128, dtype=np.int8)),
      networks.initializers.xavier, use_bias=False)
  x, _ = layer.init_with_output(jax.random.key(0), jnp.int8(-1))
  np.testing.assert_array_equal(x, np.zeros(3))


def test_a_normalised_layer_of_one_unit_is_refused():
  with pytest.raises(ValueError, match=r'one unit alone .* got \(8, 1\)'):
    networks.LayerNormTorso((8, 1), _range_spec(2, False))


@pytest.mark.parametrize('number', [-1, -_N * _N, _N * _N, 10**6])
def test_any_number_out_of_range_is_the_zero_vector(number):
  """As `specs.ObservationSpec` says; negative ones do not count from behind."""
  params = _perturbed(_init(_numbers())(jax.random.PRNGKey(4)).params)
  z = jnp.ones((1, 5))
  np.testing.assert_allclose(
      _q_values(_numbers())(params, jnp.array([number]), z),
      _q_values(_grids())(params, jnp.zeros((1, _N, _N)), z),
      rtol=1e-5, atol=1e-5)


def test_number_and_grid_have_the_same_gradients():
  params = _perturbed(_init(_numbers())(jax.random.PRNGKey(4)).params)
  key = jax.random.PRNGKey(1)
  batch = _batch(0)
  # A successor's encoding has no gradient; so the end is an observation too.
  batch = batch._replace(observation=batch.observation.at[:3].set(_N * _N))

  def gradient(agent, batch):
    return _jit(jax.grad(
        lambda p: agent.components.loss(
            p, params, types.Batch(batch), key, key)[0]))(params)

  numbers = gradient(_numbers(), batch)
  kernel = numbers['params']['body']['layers_0']['InputLayer_0']['kernel']
  seen = np.unique(batch.observation[batch.observation < _N * _N])
  unseen = np.setdiff1d(np.arange(_N * _N), seen)
  assert unseen.size
  np.testing.assert_array_equal(kernel[unseen], 0.)
  assert np.abs(kernel[seen]).max() > 1e-3
  _assert_trees_close(
      numbers, gradient(_grids(), _as_grids(batch)), rtol=1e-4, atol=1e-4)


def test_number_and_grid_learn_the_same():
  learners = []
  for agent, encode in ((_numbers(), lambda x: x), (_grids(), _as_grids)):
    learner = _init(agent)(jax.random.PRNGKey(4))
    update = _jit(agent.update)
    for t in range(20):
      learner, _ = update(learner, encode(_batch(t)))
    learners.append(learner)
  _assert_trees_close(
      learners[0].params, learners[1].params, rtol=1e-3, atol=1e-4)
  # Far from where they began, or else their closeness says nothing.
  before = _init(_numbers())(jax.random.PRNGKey(4)).params
  moved = optax.tree.norm(
      jax.tree.map(jnp.subtract, before, learners[0].params))
  assert moved > 0.5


@pytest.mark.parametrize(
    'size, published', [
        (10, 2.16), pytest.param(20, 1.38, marks=pytest.mark.slow),
        pytest.param(50, 0.54, marks=pytest.mark.slow)])
def test_initial_spread_over_the_index_is_the_published_one(size, published):
  """Root-mean-square standard deviation of Q over z, at the start.

  Theirs was measured in szrlee/HyperAgent at 014902c. Theirs and ours are
  means over a few seeds.
  """
  agent = agents.HyperAgent(
      dm_specs.DiscreteArray(size**2), 2,
      presets.hyperagent_paper_deep_sea())
  cells = jnp.arange(size**2)

  @_jit
  def mean_variance(key):
    params = agent.network.init(key, agent.observation_spec.zeros())
    psi = jax.vmap(lambda s: agent.network.apply(params, s))(cells)
    factors = psi[:, 1:]  # [cells, M, A]; E[z z^T] = I / M.
    return jnp.mean(jnp.sum(jnp.square(factors), axis=1)) / factors.shape[1]

  keys = jax.random.split(jax.random.PRNGKey(0), 12)
  spread = math.sqrt(np.mean([mean_variance(key) for key in keys]))
  assert spread == pytest.approx(published, rel=0.1)


@pytest.mark.parametrize('observation', [
    np.arange(24.).reshape(2, 3, 4), np.arange(24, dtype=np.uint8),
    np.float32(3.)])
def test_torso_flattens_any_array(observation):
  spec = specs.ObservationSpec(
      np.shape(observation), observation.dtype.name, None)
  torso = networks.MLPTorso((7, 5), spec)
  observation = jnp.asarray(observation)
  params = torso.init(jax.random.PRNGKey(0), observation)
  features = torso.apply(params, observation)
  assert features.shape == (5,)
  expected = _numpy_mlp(
      params['params'], np.ravel(observation).astype(np.float32))
  np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('size', [0., 1., 1e6])
def test_layer_norm_torso_normalises_before_each_activation(size):
  spec = specs.observation_spec(dm_specs.Array((6,), np.float32))
  torso = networks.LayerNormTorso(
      (16, 5), spec, bias_init=networks.initializers.uniform_bias)
  s = jnp.float32(size * np.random.default_rng(0).normal(size=6))
  params = torso.init(jax.random.key(0), s)
  expected = _numpy_mlp(
      params['params'], np.float64(s), lambda x: (x - x.mean()) / x.std())
  np.testing.assert_allclose(
      torso.apply(params, s), expected, rtol=1e-3, atol=1e-3)
  gradient = jax.grad(lambda p: jnp.sum(torso.apply(p, s)[:2]))(params)
  chex.assert_tree_all_finite(gradient)


def test_layer_norm_torso_has_features_zero_where_all_are_equal():
  """As at a category whose row of weights is 0."""
  torso = networks.LayerNormTorso(
      (8, 5), specs.observation_spec(dm_specs.DiscreteArray(3)))
  params = jax.tree.map(
      jnp.zeros_like, torso.init(jax.random.key(0), jnp.int32(1)))
  features, gradient = jax.value_and_grad(
      lambda p: jnp.sum(torso.apply(p, jnp.int32(1))))(params)
  assert features == 0.
  chex.assert_tree_all_finite(gradient)


def test_categories_look_alike_until_they_are_seen():
  """With layer normalisation; without it their features are random."""
  spec = specs.observation_spec(dm_specs.DiscreteArray(50))
  categories = jnp.arange(50)
  spreads = []
  for kind in (networks.MLPTorso, networks.LayerNormTorso):
    torso = kind((64, 64), spec)
    params = torso.init(jax.random.key(0), spec.zeros())
    params['params']['InputLayer_0']['bias'] += jnp.linspace(-0.1, 0.1, 64)
    features = jax.vmap(torso.apply, (None, 0))(params, categories)
    spreads.append(jnp.std(features, axis=0).mean() / jnp.abs(features).mean())
  mlp, layer_norm = spreads
  assert layer_norm < 0.05 < 0.5 < mlp


def test_layer_norm_leaves_the_prior_of_categories_as_it_is():
  """Whose own activation is another one."""
  spec = specs.observation_spec(dm_specs.DiscreteArray(9))
  outputs = []
  for torso in (networks.MLPTorso, networks.LayerNormTorso):
    network = priors.Uniform().network(
        spec, 2, _GAUSSIAN, functools.partial(torso, (6, 6), spec))
    outputs.append(network.init_with_output(jax.random.key(0), jnp.int32(4))[0])
  np.testing.assert_array_equal(*outputs)


def test_biases_of_layers_are_uniform_with_their_inputs():
  spec = specs.observation_spec(dm_specs.Array((25,), np.float32))
  torso = networks.MLPTorso(
      (100, 400), spec, bias_init=networks.initializers.uniform_bias)
  params = torso.init(jax.random.key(0), spec.zeros())['params']
  for name, bound in (('InputLayer_0', 0.2), ('Dense_0', 0.1)):
    bias = np.asarray(params[name]['bias'])
    assert np.abs(bias).max() <= bound
    assert np.std(bias) == pytest.approx(bound / math.sqrt(3.), rel=0.2)
  # So there are features at an observation of zeros.
  assert np.any(torso.apply({'params': params}, spec.zeros()))
