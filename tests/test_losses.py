"""Losses against enumeration, against one another and against formulas."""

import functools
import itertools
import math

from dm_env import specs as dm_specs
from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import acting
from hyperjax import data_noise
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import regularizers
from hyperjax import specs
from hyperjax import types

_DIM = 3
_ACTIONS = 3
_INPUTS = 4
_BATCH = 8
_SCALE = 0.5
_SPEC = specs.observation_spec(dm_specs.Array((_INPUTS,), np.float32))
_INDEX_KEY = jax.random.PRNGKey(11)
_NOISE_KEY = jax.random.PRNGKey(12)

# Programs here run once: optimising them costs more than it gains.
_jit = functools.partial(
    jax.jit, compiler_options={'xla_backend_optimization_level': 0})


@functools.cache
def _hypermodel(hidden_sizes=(8, 6)):
  init = jax.nn.initializers.normal(0.7)
  return nn.Sequential((
      networks.MLPTorso(hidden_sizes, _SPEC),
      networks.HypermodelHead(
          _ACTIONS, _DIM, mean_init=init, factor_init=init)))


_NETWORK = networks.AffineValue(_hypermodel(), _hypermodel(), _SCALE, 0.8)


@functools.cache
def _params(seed, network=_NETWORK):
  """Online and target variables that share their prior, as a learner's do."""
  init = _jit(network.init)
  one, two = (init(jax.random.PRNGKey(seed + i), _SPEC.zeros())
              for i in (0, 1))
  return one, {**one, 'params': two['params']}


def _batch(seed=0) -> types.Transition:
  rng = np.random.default_rng(seed)
  batch = types.Transition(
      observation=rng.normal(size=(_BATCH, _INPUTS)).astype(np.float32),
      action=rng.integers(_ACTIONS, size=_BATCH).astype(np.int32),
      reward=rng.normal(size=_BATCH).astype(np.float32),
      # Every third transition ends its episode.
      discount=np.where(
          np.arange(_BATCH) % 3 == 0, 0., 0.9).astype(np.float32),
      next_observation=rng.normal(size=(_BATCH, _INPUTS)).astype(np.float32),
      uid=rng.integers(1000, size=_BATCH).astype(np.int32))
  return jax.tree.map(jnp.asarray, batch)


_noise = data_noise.Perturbation


def _perturbations(scale, batch) -> np.ndarray:
  return np.asarray(_noise(scale).vectors(_NOISE_KEY, batch.uid, _DIM))


def _q(params, observations, indices, network=_NETWORK):
  """Q of each observation at its own index, [B, A]."""

  def value(s, z):
    return network.apply(params, network.apply(params, s), z, method='value')

  return jax.vmap(value)(observations, indices)


_compiled_q = _jit(_q, static_argnums=3)


def _targets(params, target_params, batch, index, double, network=_NETWORK,
             num_indices=1):
  """y of each transition, [B], in numpy from the values at each z'."""
  _, key_target = jax.random.split(_INDEX_KEY)
  total = 0.
  # Transitions 0 to K - 1 share K indices, and so on.
  groups = index.sample(key_target, (-(-_BATCH // num_indices), num_indices))
  for z in np.repeat(groups, num_indices, axis=0)[:_BATCH].swapaxes(0, 1):
    next_target = np.asarray(
        _compiled_q(target_params, batch.next_observation, z, network))
    chooser = next_target
    if double:
      chooser = np.asarray(
          _compiled_q(params, batch.next_observation, z, network))
    total += next_target[np.arange(_BATCH), chooser.argmax(axis=-1)]
  reward, discount = np.asarray(batch.reward), np.asarray(batch.discount)
  return reward + discount * total / num_indices


def _enumerated_loss(params, targets, perturbations, batch, points):
  """The mean over all z in `points` and over the batch."""

  def loss(z):
    q = _q(params, batch.observation, jnp.tile(z, (_BATCH, 1)))
    q = jnp.sum(q * jax.nn.one_hot(batch.action, _ACTIONS), axis=-1)
    return jnp.mean((targets + perturbations @ z - q)**2)

  return jnp.mean(jax.vmap(loss)(points))


_enumerated = _jit(jax.value_and_grad(_enumerated_loss))


def _assert_trees_close(one, two, **tolerance):
  assert jax.tree.structure(one) == jax.tree.structure(two)
  for (path, x), y in zip(
      jax.tree.leaves_with_path(one), jax.tree.leaves(two), strict=True):
    np.testing.assert_allclose(
        x, y, err_msg=jax.tree_util.keystr(path), **tolerance)


def _loss_fn(loss, target_params, batch):
  def loss_fn(params):
    return loss(
        params, target_params, types.Batch(batch), _INDEX_KEY, _NOISE_KEY)[0]
  return loss_fn


_CORNERS = np.array(
    list(itertools.product([-1., 1.], repeat=_DIM)), np.float32)
_SIGNED = math.sqrt(_DIM) * np.concatenate(
    [np.eye(_DIM), -np.eye(_DIM)]).astype(np.float32)


_POINTS = {
    index_lib.OneHot(_DIM): np.eye(_DIM, dtype=np.float32),
    index_lib.Cube(_DIM): _CORNERS,
    index_lib.Coordinate(_DIM): _SIGNED,
}


@pytest.mark.parametrize('index, sigma, double', [
    (index_lib.OneHot(_DIM), 0.7, True), (index_lib.OneHot(_DIM), 0.7, False),
    (index_lib.Cube(_DIM), 0., True), (index_lib.Coordinate(_DIM), 0.7, True),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in [
        (index_lib.OneHot(_DIM), 0., True), (index_lib.Cube(_DIM), 0.7, True),
        (index_lib.Cube(_DIM), 0.7, False),
        (index_lib.Coordinate(_DIM), 0., True),
        (index_lib.Coordinate(_DIM), 0.7, False)])], ids=repr)
def test_exact_is_enumeration(index, sigma, double, num_target_indices=1):
  params, target_params = _params(0)
  batch = _batch()
  loss = losses.ExactTD(_NETWORK, index, double, _noise(sigma),
                        num_target_indices=num_target_indices)
  value, gradient = _jit(jax.value_and_grad(
      _loss_fn(loss, target_params, batch)))(params)
  targets = _targets(params, target_params, batch, index, double,
                     num_indices=num_target_indices)
  expected, expected_gradient = _enumerated(
      params, targets, _perturbations(sigma, batch), batch, _POINTS[index])
  np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
  _assert_trees_close(gradient, expected_gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('num', [4, 5, pytest.param(
    16, marks=pytest.mark.slow)])
def test_a_target_is_averaged_over_its_indices(num):
  """Also where their number does not divide the batch, or is larger."""
  test_exact_is_enumeration(index_lib.Coordinate(_DIM), 0.7, True, num)


@pytest.mark.parametrize('index, sigma', [
    (index_lib.Sphere(_DIM), 0.7), (index_lib.OneHot(_DIM), 0.7),
    *(pytest.param(index, sigma, marks=pytest.mark.slow) for index, sigma in [
        (index_lib.Sphere(_DIM), 0.), (index_lib.OneHot(_DIM), 0.),
        *itertools.product(
            [index_lib.Gaussian(_DIM), index_lib.Cube(_DIM),
             index_lib.Coordinate(_DIM), index_lib.Sparse(_DIM, nonzeros=2)],
            [0., 0.7])])], ids=repr)
def test_sampled_converges_on_exact(index, sigma):
  """The error of the gradient falls as 1 / sqrt(K): it has no bias."""
  # A small network: most of the time is the tracing of it.
  network = networks.AffineValue(_hypermodel((6,)))
  params, target_params = _params(0, network)
  batch = _batch(1)

  def gradient(loss, key):
    g = jax.grad(lambda trained: loss(
        {**params, 'params': trained}, target_params, types.Batch(batch), key,
        _NOISE_KEY)[0])(params['params'])
    return jnp.concatenate([x.ravel() for x in jax.tree.leaves(g)])

  noise = _noise(sigma)
  num_samples = (4, 64, 1024)

  @_jit
  @jax.vmap
  def squared_errors(key):
    exact = gradient(losses.ExactTD(network, index, True, noise), key)
    sampled = [
        losses.SampledTD(network, index, True, losses.Independent(k), noise)
        for k in num_samples]
    return jnp.stack([
        jnp.sum((gradient(loss, key) - exact)**2)
        for loss in sampled]), jnp.sum(exact**2)

  errors, exact = squared_errors(jax.random.split(jax.random.PRNGKey(3), 48))
  rms = np.sqrt(np.mean(np.asarray(errors, np.float64), axis=0))
  for coarse, fine in itertools.pairwise(rms):
    assert 4. / 1.5 < coarse / fine < 4. * 1.5, rms
  # At K = 1024 it is within a few hundredths of the gradient itself.
  assert rms[-1] < 0.1 * math.sqrt(np.mean(exact))


@pytest.mark.parametrize('double', [True, False])
@pytest.mark.parametrize('make', [
    losses.ExactTD, losses.SampledTD], ids=['exact', 'sampled'])
def test_without_index_it_is_q_learning(make, double):
  network = networks.AffineValue(nn.Sequential((
      networks.MLPTorso((8, 6), _SPEC), networks.LinearHead(_ACTIONS))))
  params, target_params = _params(4, network)
  batch = _batch(2)
  index = index_lib.NoIndex()
  loss, metrics = _jit(make(network, index, double))(
      params, target_params, types.Batch(batch), _INDEX_KEY, _NOISE_KEY)
  params, target_params, batch = jax.device_get((params, target_params, batch))

  def q(variables, x):
    torso, head = (variables['params']['body'][f'layers_{i}'] for i in (0, 1))
    for layer in (torso['InputLayer_0'], torso['Dense_0']):
      x = np.maximum(x @ np.asarray(layer['kernel']) + layer['bias'], 0.)
    layer, = head.values()
    return x @ np.asarray(layer['kernel']) + layer['bias']

  squares = []
  chosen = {True: [], False: []}
  for i in range(_BATCH):
    next_online = q(params, batch.next_observation[i])
    next_target = q(target_params, batch.next_observation[i])
    chosen[True].append(np.argmax(next_online))
    chosen[False].append(np.argmax(next_target))
    y = batch.reward[i] + batch.discount[i] * next_target[chosen[double][i]]
    squares.append((y - q(params, batch.observation[i])[batch.action[i]])**2)
  assert chosen[True] != chosen[False]  # Else the test cannot tell them apart.
  assert (batch.discount == 0.).any() and (batch.discount > 0.).any()
  np.testing.assert_allclose(metrics['losses'], squares, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(loss, np.mean(squares), rtol=1e-5)
  np.testing.assert_array_equal(metrics['loss'], loss)


_both = pytest.mark.parametrize('loss', [
    losses.ExactTD(_NETWORK, index_lib.Sphere(_DIM), True, _noise(0.7)),
    losses.SampledTD(
        _NETWORK, index_lib.Sphere(_DIM), True, losses.Independent(5),
        _noise(0.7)),
], ids=['exact', 'sampled'])


@_both
def test_no_gradient_to_the_target_network(loss):
  params, target_params = _params(0)

  def loss_fn(target_params):
    return loss(params, target_params, types.Batch(_batch(3)), _INDEX_KEY,
                _NOISE_KEY)[0]

  value_and_grad = _jit(jax.value_and_grad(loss_fn))
  value, gradient = value_and_grad(target_params)
  for g in jax.tree.leaves(gradient):
    np.testing.assert_array_equal(g, 0.)
  # It does depend on the target network.
  assert abs(value - value_and_grad(params)[0]) > 1e-3


@_both
def test_no_gradient_through_the_target(loss):
  """The gradient is that of the same problem with its targets as rewards."""
  params, _ = _params(0)
  batch = _batch(4)
  # One network for both parts, where a leak would show the most.
  targets = _targets(params, params, batch, loss.index, double=True)
  fixed = batch._replace(
      reward=jnp.asarray(targets, jnp.float32),
      discount=jnp.zeros(_BATCH))
  gradient = _jit(jax.grad(lambda p: loss(
      p, p, types.Batch(batch), _INDEX_KEY, _NOISE_KEY)[0]))(params)
  expected = _jit(jax.grad(_loss_fn(loss, params, fixed)))(params)
  _assert_trees_close(gradient, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('index, sigma', [
    (index_lib.Sphere(_DIM), 0.7), (index_lib.Gaussian(_DIM), 0.),
    pytest.param(index_lib.Sphere(_DIM), 0., marks=pytest.mark.slow),
    pytest.param(index_lib.Gaussian(_DIM), 0.7, marks=pytest.mark.slow)],
    ids=repr)
def test_gradient_of_the_head(index, sigma):
  """dL/db_a = mean -2 (y - m) phi, dL/dA_ma = mean -2 c (u_m - v_m) phi."""
  params, target_params = _params(0)
  batch = _batch(5)
  loss = losses.ExactTD(_NETWORK, index, True, _noise(sigma))
  gradient = _jit(jax.grad(_loss_fn(loss, target_params, batch)))(params)
  got = gradient['params']['body']['layers_1']

  y = _targets(params, target_params, batch, index, double=True)
  u = _perturbations(sigma, batch)
  torso = params['params']['body']['layers_0']
  batch = jax.device_get(batch)
  second_moment = {'Sphere': 1 / _DIM, 'Gaussian': 1.}[type(index).__name__]
  mean = np.zeros((6, _ACTIONS))
  factors = np.zeros((_DIM, 6, _ACTIONS))
  for i in range(_BATCH):
    psi = np.asarray(
        _NETWORK.apply(params, jnp.asarray(batch.observation[i])))
    phi = batch.observation[i]
    for layer in (torso['InputLayer_0'], torso['Dense_0']):
      phi = np.maximum(phi @ np.asarray(layer['kernel']) + layer['bias'], 0.)
    a = batch.action[i]
    m, v = psi[0, a], psi[1:, a]
    mean[:, a] += -2. * _SCALE * (y[i] - m) * phi / _BATCH
    factors[:, :, a] += -2. * _SCALE * second_moment * np.outer(
        u[i] - v, phi) / _BATCH
  assert np.abs(mean).max() > 0.01 and np.abs(factors).max() > 0.01
  np.testing.assert_allclose(got['mean'], mean, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(got['factors'], factors, rtol=1e-4, atol=1e-5)


@_both
@pytest.mark.slow
def test_each_transition_has_its_own_indices(loss):
  """Copies of one transition differ in z', and in z where z is sampled."""
  params, target_params = _params(0)
  one = jax.tree.map(lambda x: x[1:2], _batch(6))
  assert one.discount[0] > 0.
  copies = jax.tree.map(lambda x: jnp.repeat(x, 400, axis=0), one)

  def value(batch, key):
    return loss(
        params, target_params, types.Batch(batch), key, _NOISE_KEY)[0]

  singles = _jit(jax.vmap(value, in_axes=(None, 0)))(
      one, jax.random.split(jax.random.PRNGKey(5), 400))
  std = np.std(singles)
  assert std > 1e-3
  # A batch of copies is a mean of independent draws: far less spread out.
  batches = _jit(jax.vmap(value, in_axes=(None, 0)))(
      copies, jax.random.split(jax.random.PRNGKey(6), 40))
  assert np.std(batches) < 2. * std / math.sqrt(400)
  assert abs(np.mean(batches) - np.mean(singles)) < 5. * std / math.sqrt(400)


def test_losses_are_hashable_and_equal_by_value():
  index = index_lib.Sphere(_DIM)
  one, two = (
      losses.SampledTD(
          _NETWORK, index, True, losses.Independent(4), _noise(0.1))
      for _ in range(2))
  assert one == two and hash(one) == hash(two)
  assert one != losses.SampledTD(
      _NETWORK, index, True, losses.Independent(5), _noise(0.1))


def test_gradient_penalty_is_the_squared_norm_and_has_its_gradient():
  index = index_lib.Coordinate(_DIM)
  params, target_params = _params(0)
  batch = _batch()
  plain = losses.ExactTD(_NETWORK, index, True, _noise(0.))
  coefficient = 3.
  penalised = regularizers.GradientPenalty(plain, _NETWORK, index, coefficient)

  def mean_value(trained):
    """By enumeration of the index."""
    variables = {**params, 'params': trained}
    points = np.sqrt(_DIM) * np.concatenate([np.eye(_DIM), -np.eye(_DIM)])
    q = jnp.mean(jnp.stack([
        _q(variables, batch.observation,
           jnp.tile(jnp.float32(z), (_BATCH, 1))) for z in points]), axis=0)
    return jnp.mean(q[jnp.arange(_BATCH), batch.action])

  def penalty(trained):
    """The derivative of a derivative, as the authors compute it."""
    gradient = jax.grad(mean_value)(trained)
    return coefficient * sum(
        jnp.sum(jnp.square(g)) for g in jax.tree.leaves(gradient))

  def value(loss):
    return lambda trained: loss(
        {**params, 'params': trained}, target_params, types.Batch(batch),
        _INDEX_KEY, _NOISE_KEY)[0]

  trained = params['params']
  found = [_jit(jax.value_and_grad(value(loss)))(trained)
           for loss in (penalised, plain)]
  expected = _jit(jax.value_and_grad(penalty))(trained)
  difference = jax.tree.map(lambda a, b: a - b, *found)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, rtol=1e-3, atol=1e-5), difference, expected)
  assert expected[0] > 0.01


def test_a_raw_perturbation_meets_a_gaussian_vector():
  """Its length is that of a Gaussian, and the gradient's mean is the exact's.

  So E (y + |x| u^T z - Q)^2 = E (y + u^T z - Q)^2 + terms without the weights
  for the mean length: with |u| = s the loss at Q = 0 is E y^2 + s^2.
  """
  index = index_lib.Sphere(_DIM)
  network = networks.AffineValue(_hypermodel(), scale=0.)
  params, target_params = _params(0, network)
  batch = _batch()
  zero = lambda x: jnp.zeros_like(x)
  batch = batch._replace(reward=zero(batch.reward),
                         discount=zero(batch.discount))

  def loss(noise):
    return losses.SampledTD(
        network, index, True, losses.Independent(20_000), noise)(
            params, target_params, types.Batch(batch), _INDEX_KEY,
            _NOISE_KEY)[0]

  # E (u^T x)^2 = |u|^2.
  np.testing.assert_allclose(
      loss(data_noise.RawPerturbation(2.)), 4., rtol=0.02)
  np.testing.assert_allclose(loss(_noise(2.)), 4. / _DIM, rtol=0.02)


def test_the_mean_length_of_a_gaussian_vector():
  x = np.random.default_rng(0).normal(size=(200_000, 4))
  np.testing.assert_allclose(
      index_lib.mean_gaussian_length(4), np.linalg.norm(x, axis=1).mean(),
      rtol=3e-3)


@_both
def test_weights_multiply_the_losses(loss):
  params, target_params = _params(0)
  batch = _batch(7)
  weights = jnp.asarray(
      np.random.default_rng(0).uniform(0., 2., _BATCH).astype(np.float32))

  @_jit
  def value_and_gradient(trained, weights):
    def fn(trained):
      return loss({**params, 'params': trained}, target_params,
                  types.Batch(batch, weights), _INDEX_KEY, _NOISE_KEY)
    return jax.value_and_grad(fn, has_aux=True)(trained)

  trained = params['params']
  (plain, metrics), gradient = value_and_gradient(trained, None)
  (ones, _), gradient_of_ones = value_and_gradient(
      trained, jnp.ones(_BATCH))
  np.testing.assert_allclose(plain, ones, rtol=1e-6)
  _assert_trees_close(gradient, gradient_of_ones, rtol=1e-5, atol=1e-6)

  (weighted, weighted_metrics), gradient = value_and_gradient(trained, weights)
  # Priorities are of the losses as they are.
  np.testing.assert_allclose(
      weighted_metrics['losses'], metrics['losses'], rtol=1e-5)
  np.testing.assert_allclose(
      weighted, np.mean(weights * metrics['losses']), rtol=1e-5)
  np.testing.assert_array_equal(weighted_metrics['loss'], weighted)
  parts = [value_and_gradient(trained, jnp.eye(_BATCH)[i])[1]
           for i in range(_BATCH)]
  _assert_trees_close(gradient, jax.tree.map(
      lambda *g: sum(w * x for w, x in zip(weights, g, strict=True)), *parts),
      rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('pairs, expected', [
    (losses.Independent(4), (False, 4, True)),
    (losses.Independent(4, tied=True), (True, 4, True)),
    (losses.Shared(4), (True, 4, False)),
    (losses.Shared(4, tied=False), (False, 4, False)),
    (losses.Members(), (True, _DIM, False)),
], ids=repr)
def test_pairs(pairs, expected):
  """Whether tied, K, and whether each transition has indices of its own."""
  tied, num, own = expected
  assert pairs.tied == tied
  z = np.asarray(pairs(index_lib.Gaussian(_DIM), jax.random.key(0), 6))
  assert z.shape == (6, num, _DIM)
  assert len(np.unique(z.reshape(6, -1), axis=0)) == (6 if own else 1)
  if not isinstance(pairs, losses.Members):
    assert len(np.unique(z[0], axis=0)) == num
    other = pairs(index_lib.Gaussian(_DIM), jax.random.key(1), 6)
    assert (z != np.asarray(other)).all()
  else:
    np.testing.assert_array_equal(z[0], np.eye(_DIM))


@pytest.mark.parametrize('make', [losses.Independent, losses.Shared])
def test_pairs_refuse_no_samples(make):
  with pytest.raises(ValueError, match='num_samples must.* got 0'):
    make(0)


@pytest.mark.parametrize('index, parts, message', [
    (index_lib.Gaussian, {'pairs': losses.Members()},
     'members are for a one-hot index, got Gaussian'),
    (index_lib.Sphere, {'noise': data_noise.BootstrapMask(0.5)},
     'bootstrap mask is for a one-hot index, got Sphere'),
    (index_lib.OneHot, {'noise': data_noise.RawPerturbation(0.1)},
     'raw perturbation is for an index on the unit sphere, got OneHot'),
    (index_lib.OneHot, {'noise': data_noise.BootstrapMask(
        0.5, data_noise.RawPerturbation(0.1))},
     'raw perturbation is for an index on the unit sphere, got OneHot')])
def test_parts_for_other_indices_are_refused(index, parts, message):
  with pytest.raises(ValueError, match=message):
    losses.SampledTD(_NETWORK, index(_DIM), True, **parts)


@pytest.mark.parametrize('pairs', [
    losses.Independent(2, tied=True), losses.Shared(2)], ids=repr)
def test_a_tied_target_is_taken_at_the_same_index(pairs):
  """Against NumPy, from the values at each pair."""
  params, target_params = _params(0)
  batch, index = _batch(8), index_lib.Gaussian(_DIM)
  _, metrics = _jit(losses.SampledTD(_NETWORK, index, True, pairs))(
      params, target_params, types.Batch(batch), _INDEX_KEY, _NOISE_KEY)
  z = pairs(index, jax.random.split(_INDEX_KEY)[0], _BATCH)
  rows, squares = np.arange(_BATCH), []
  for k in range(2):
    q = np.asarray(_compiled_q(params, batch.observation, z[:, k], _NETWORK))
    q_next, q_choose = (np.asarray(_compiled_q(
        p, batch.next_observation, z[:, k], _NETWORK))
        for p in (target_params, params))
    y = batch.reward + batch.discount * q_next[rows, q_choose.argmax(axis=1)]
    squares.append((y - q[rows, batch.action])**2)
  np.testing.assert_allclose(
      metrics['losses'], np.mean(squares, axis=0), rtol=1e-4, atol=1e-5)


def test_masks_and_offsets_are_of_the_squared_errors():
  """Each member's error by its mask and its noise, from the members alone."""
  network = networks.AffineValue(_hypermodel())
  params, target_params = _params(0, network)
  batch, index = _batch(9), index_lib.OneHot(_DIM)
  batch = batch._replace(discount=jnp.zeros(_BATCH))
  noise = data_noise.BootstrapMask(0.5, _noise(0.8, index_lib.Gaussian))
  _, metrics = _jit(losses.SampledTD(
      network, index, True, losses.Members(), noise))(
          params, target_params, types.Batch(batch), _INDEX_KEY, _NOISE_KEY)
  members = losses.Members()(index, _INDEX_KEY, _BATCH)
  offsets, masks = noise(_NOISE_KEY, batch.uid, members, _INDEX_KEY)
  assert set(np.unique(masks)) == {0., 1.}
  expected = 0.
  for k in range(_DIM):
    q = np.asarray(_compiled_q(
        params, batch.observation, members[:, k], network))
    error = batch.reward + offsets[:, k] - q[np.arange(_BATCH), batch.action]
    expected += masks[:, k] * error**2 / _DIM
  np.testing.assert_allclose(metrics['losses'], expected, rtol=1e-4, atol=1e-5)


def test_a_tied_target_is_not_optimistic():
  with pytest.raises(ValueError, match='tied .* got optimism UCB'):
    losses.SampledTD(
        _NETWORK, index_lib.Gaussian(_DIM), True, losses.Shared(2),
        optimism=acting.UCB(scale=1.))


@pytest.mark.parametrize('second_moment', [1., 0.25])
def test_head_l2_is_the_gradient_of_its_penalty(second_moment):
  """coefficient / |D| * mean over the weights of E_z (b + A z)^2."""
  coefficient, features, actions = 0.3, 5, 2
  rng = np.random.default_rng(0)
  params = {'head': {
      'mean': jnp.asarray(rng.normal(size=(features, actions)), jnp.float32),
      'factors': jnp.asarray(
          rng.normal(size=(_DIM, features, actions)), jnp.float32),
      'bias': jnp.ones(actions)}}
  optimizer = regularizers.head_l2(
      coefficient, second_moment, features * actions, num_first=10,
      num_per_update=2., num_most=13)
  zeros = jax.tree.map(jnp.zeros_like, params)

  def penalty(params, num):
    head = params['head']
    return coefficient / num * jnp.mean(
        head['mean']**2 + second_moment * jnp.sum(
            head['factors']**2, axis=0))

  state = optimizer.init(params)
  for num in (10., 12., 13., 13.):
    updates, state = optimizer.update(
        zeros, state, params, key=jax.random.key(0))
    _assert_trees_close(
        updates, jax.grad(penalty)(params, num), rtol=1e-5, atol=1e-8)
