"""What ties the algorithms together, and what tells them apart."""

import dataclasses
import functools

from dm_env import specs as dm_specs
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperjax import acting
from hyperjax import agents
from hyperjax import data_noise
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import optimizers
from hyperjax import types
from hyperjax.agents import presets

_SPEC = dm_specs.Array((3,), np.float32)
_ACTIONS, _BATCH = 2, 16
_SMALL = dict(hidden_sizes=(8,), batch_size=_BATCH, warmup_steps=_BATCH,
              replay_capacity=100)
_AGENTS = {
    'hyperagent': agents.HyperAgent(
        _SPEC, _ACTIONS, agents.HyperAgentConfig(**_SMALL)),
    'optimist': agents.HyperAgent(
        _SPEC, _ACTIONS, presets.hyperagent_optimistic(**_SMALL)),
    'optimistic': agents.HyperAgent(
        _SPEC, _ACTIONS,
        presets.hyperagent_paper_deep_sea_optimistic(**_SMALL)),
    'one_hot': agents.HyperAgent(
        _SPEC, _ACTIONS,
        presets.hyperagent_paper_deep_sea_one_hot(**_SMALL)),
    'boot_dqn': agents.BootDQN(
        _SPEC, _ACTIONS,
        agents.BootDQNConfig(
            num_members=3, noise=data_noise.BootstrapMask(0.5), **_SMALL)),
    'boot_dqn_shared': agents.BootDQN(
        _SPEC, _ACTIONS,
        agents.BootDQNConfig(num_members=3, shared_torso=True, **_SMALL)),
    'ensemble_plus': agents.EnsemblePlus(
        _SPEC, _ACTIONS, agents.EnsemblePlusConfig(num_members=3, **_SMALL)),
    'hyperdqn': agents.HyperDQN(
        _SPEC, _ACTIONS, agents.HyperDQNConfig(**_SMALL)),
    'enn_dqn': agents.ENNDQN(_SPEC, _ACTIONS, agents.ENNDQNConfig(**_SMALL)),
    'enn_acme': agents.ENNDQN(
        _SPEC, _ACTIONS, presets.enn_dqn_enn_acme_bsuite(**_SMALL)),
    'adam_lmcdqn': agents.AdamLMCDQN(
        _SPEC, _ACTIONS, agents.AdamLMCDQNConfig(**_SMALL)),
    'noisy_dqn': agents.NoisyDQN(
        _SPEC, _ACTIONS,
        agents.NoisyDQNConfig(**{**_SMALL, 'hidden_sizes': (8, 7)})),
    'sane': agents.SANE(
        _SPEC, _ACTIONS,
        agents.SANEConfig(**{**_SMALL, 'hidden_sizes': (8, 7)})),
    'q_sane': agents.SANE(
        _SPEC, _ACTIONS,
        agents.SANEConfig(
            latent_size=5, q_values_in=True,
            **{**_SMALL, 'hidden_sizes': (8, 7)})),
    'rainbow': agents.Rainbow(
        _SPEC, _ACTIONS,
        agents.RainbowConfig(**{**_SMALL, 'hidden_sizes': (8, 7)})),
    'langevin_adam': agents.LangevinAdam(
        _SPEC, _ACTIONS, agents.LangevinAdamConfig(**_SMALL)),
}


def make_batch(seed=0):
  rng = np.random.default_rng(seed)
  return jax.tree.map(jnp.asarray, types.Transition(
      observation=rng.normal(size=(_BATCH, 3)).astype(np.float32),
      action=rng.integers(_ACTIONS, size=_BATCH).astype(np.int32),
      reward=rng.normal(size=_BATCH).astype(np.float32),
      discount=rng.choice([0., 0.99], size=_BATCH).astype(np.float32),
      next_observation=rng.normal(size=(_BATCH, 3)).astype(np.float32),
      uid=np.arange(_BATCH, dtype=np.int32)))


def assert_close(a, b, **tolerance):
  jax.tree.map(
      lambda x, y: np.testing.assert_allclose(
          x, y, **{'rtol': 1e-5, 'atol': 1e-6, **tolerance}), a, b)


@functools.cache
def _gradient(loss):

  def value(trained, params, target, batch, key):
    return loss({**params, 'params': trained}, {**params, 'params': target},
                types.Batch(batch), key, jax.random.key(4))[0]

  return jax.jit(jax.grad(value))


def gradient(loss, params, target, batch, key=3):
  """Of the loss with respect to params['params']."""
  return _gradient(loss)(
      params['params'], params, target, batch, jax.random.key(key))


@functools.cache
def _init(agent):
  return jax.jit(agent.init)


@functools.cache
def _q_values(agent):
  return jax.jit(agent.q_values)


@functools.cache
def _update(agent):
  return jax.jit(agent.update)


# Of other settings, not of other parts.
_VARIANTS = {'one_hot', 'boot_dqn_shared', 'ensemble_plus', 'enn_acme',
             'q_sane', 'optimistic', 'optimist', 'langevin_adam', 'noisy_dqn'}


_UNCOMPILED = {'hyperagent', 'adam_lmcdqn', 'langevin_adam'}


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=pytest.mark.slow) if name in _VARIANTS else name
    for name in _AGENTS])
def test_every_agent_learns_and_keeps_its_prior(name):
  agent = _AGENTS[name]
  # For each kind of optimiser not compiled, which would give every array a
  # place of its own.
  init = agent.init if name in _UNCOMPILED else _init(agent)
  learner = init(jax.random.key(0))
  before = jax.tree.map(np.array, learner.params)
  # The state may be given away, as loops do: no array is in it twice.
  update = jax.jit(agent.update, donate_argnums=0)
  for seed in range(4):
    learner, metrics = update(learner, make_batch(seed))
    assert np.isfinite(metrics['loss'])
  changed = jax.tree.map(
      lambda a, b: not np.array_equal(a, b),
      before['params'], learner.params['params'])
  assert all(jax.tree.leaves(changed))
  assert_close(before.get('prior'), learner.params.get('prior'),
               rtol=0., atol=0.)
  actor = agent.init_actor(jax.random.key(1), 5)
  actor, action = jax.jit(agent.select_action)(
      learner.params, actor, jnp.ones((5, 3)), jnp.ones(5, bool))
  assert action.shape == (5,) and action.dtype == jnp.int32


@pytest.mark.parametrize('shared_torso, double', [
    (False, False),
    pytest.param(True, True, marks=pytest.mark.slow),
    pytest.param(True, False, marks=pytest.mark.slow),
    pytest.param(False, True, marks=pytest.mark.slow)])
def test_one_member_without_a_prior_is_dqn(shared_torso, double):
  boot = agents.BootDQN(_SPEC, _ACTIONS, agents.BootDQNConfig(
      num_members=1, prior_scale=0., shared_torso=shared_torso, double=double,
      **_SMALL))
  dqn = agents.DQN(_SPEC, _ACTIONS, agents.DQNConfig(double=double, **_SMALL))
  a, b = _init(boot)(jax.random.key(0)), _init(dqn)(jax.random.key(1))
  # The same weights, which the ensemble has with a leading axis of members.
  shape = jax.tree.map(jnp.shape, a.params['params'])
  leaves = jax.tree.leaves(b.params['params'])
  weights = [jnp.reshape(x, s) for x, s in zip(
      leaves, jax.tree.leaves(shape, is_leaf=lambda x: isinstance(x, tuple)),
      strict=True)]
  params = jax.tree.unflatten(jax.tree.structure(a.params['params']), weights)
  a = a._replace(params={'params': params}, target_params=params)
  for seed in range(5):
    a, _ = _update(boot)(a, make_batch(seed))
    b, _ = _update(dqn)(b, make_batch(seed))
  for x, y in zip(jax.tree.leaves(a.params), jax.tree.leaves(b.params),
                  strict=True):
    np.testing.assert_allclose(jnp.ravel(x), jnp.ravel(y), rtol=1e-5, atol=1e-6)


def test_one_hot_hyperagent_with_a_tied_target_is_an_ensemble():
  members = 4
  hyper = agents.HyperAgent(
      _SPEC, _ACTIONS, presets.hyperagent_thompson_deep_sea(
          index=index_lib.OneHot, index_dim=members, prior=None, **_SMALL))
  boot = agents.BootDQN(_SPEC, _ACTIONS, agents.BootDQNConfig(
      num_members=members, prior_scale=0., shared_torso=True, double=True,
      **_SMALL))
  tied = losses.SampledTD(
      hyper.network, hyper.index, True, losses.Members(),
      hyper.components.loss.noise)

  def both(key):  # The same torso and heads in both.
    h, b = _init(hyper)(key).params, _init(boot)(key).params
    torso = b['params']['body']['layers_0']
    kernel = b['params']['body']['layers_1']['heads']['Dense_0']['kernel']
    h = {'params': {'body': {
        'layers_0': torso,
        'layers_1': {**h['params']['body']['layers_1'],
                     'mean': jnp.zeros((8, _ACTIONS)), 'factors': kernel}}}}
    return h, b

  (h, b), (h_target, b_target) = both(jax.random.key(0)), both(
      jax.random.key(1))
  batch = make_batch()
  ours = gradient(tied, h, h_target['params'], batch)['body']
  theirs = gradient(boot.components.loss, b, b_target['params'], batch)['body']
  assert_close(ours['layers_0'], theirs['layers_0'])
  assert_close(ours['layers_1']['factors'],
               theirs['layers_1']['heads']['Dense_0']['kernel'])


def test_hyperdqn_and_hyperagent_differ_by_the_index_pairing():
  hyperdqn = _AGENTS['hyperdqn']
  assert hyperdqn.components.loss.pairs == losses.Shared(20, tied=True)
  pairing = dataclasses.replace(
      hyperdqn.components.loss, pairs=losses.Independent(20))
  hyperagent = losses.SampledTD(
      hyperdqn.network, hyperdqn.index, hyperdqn.config.double,
      losses.Independent(20), hyperdqn.config.noise)
  assert pairing == hyperagent

  # By hand: the indices are the same in the batch, and in the target.
  batch, key = make_batch(), jax.random.key(3)
  params = _init(hyperdqn)(jax.random.key(0)).params
  target = _init(hyperdqn)(jax.random.key(1)).params
  target = {**params, 'params': target['params']}
  loss, _ = hyperdqn.components.loss(
      params, target, types.Batch(batch), key, jax.random.key(4))
  indices = hyperdqn.index.sample(jax.random.split(key)[0], (20,))
  errors = []
  for z in indices:
    z = jnp.tile(z, (_BATCH, 1))
    q = _q_values(hyperdqn)(params, batch.observation, z)
    chosen = _q_values(hyperdqn)(
        params, batch.next_observation, z).argmax(axis=1)
    q_next = _q_values(hyperdqn)(target, batch.next_observation, z)
    y = batch.reward + batch.discount * q_next[jnp.arange(_BATCH), chosen]
    errors.append((y - q[jnp.arange(_BATCH), batch.action])**2)
  np.testing.assert_allclose(loss, np.mean(errors), rtol=1e-4)


def test_masks_choose_who_learns():
  agent = _AGENTS['boot_dqn']
  learner = _init(agent)(jax.random.key(0))
  batch = jax.tree.map(lambda x: x[:1], make_batch())
  loss = agent.components.loss
  grads = gradient(loss, learner.params, learner.target_params, batch)
  learns = [bool(np.any(x)) for x in
            jax.tree.leaves(grads['body']['network'])[-1]]
  def masks_of(uids):
    members = losses.Members()(agent.index, jax.random.key(0), len(uids))
    return loss.noise(
        jax.random.key(4), uids, members, jax.random.key(5))[1]

  assert learns == [bool(m) for m in masks_of(batch.uid)[0]]
  masks = masks_of(jnp.arange(3000))
  np.testing.assert_allclose(masks.mean(axis=0), 0.5, atol=0.04)
  np.testing.assert_allclose(np.corrcoef(masks.T), np.eye(3), atol=0.08)


def test_epinet_is_base_epinet_and_prior():
  agent = _AGENTS['enn_dqn']
  params = _init(agent)(jax.random.key(0)).params
  p, s = params['params'], jnp.array([0.3, -1., 2.])
  z = jnp.array([0.5, -0.2, 1., 0.1])
  layer = p['torso']['InputLayer_0']
  phi = np.maximum(s @ layer['kernel'] + layer['bias'], 0.)
  hidden = (s @ p['from_input']['kernel'] + phi @ p['from_features']['kernel']
            + z @ p['from_index'])
  epinet = (np.maximum(hidden, 0.) @ p['output']).reshape(4, _ACTIONS)
  prior = np.zeros((4, _ACTIONS))
  members = params['prior']['prior']['weights']['network']
  for m in range(4):
    one = jax.tree.map(lambda x, m=m: x[m], members)
    layer, out = one['layers_0']['InputLayer_0'], one['layers_1']['Dense_0']
    h = np.maximum(s @ layer['kernel'] + layer['bias'], 0.)
    prior[m] = h @ out['kernel'] + out['bias']
  expected = phi @ p['base']['kernel'] + z @ epinet + z @ prior
  np.testing.assert_allclose(
      _q_values(agent)(params, s[None], z[None])[0], expected, rtol=1e-5,
      atol=1e-6)
  # The torso learns from the base alone: the epinet's input is stopped.
  blind = {**params, 'params': {**p, 'base': {
      'kernel': jnp.zeros_like(p['base']['kernel'])}}}
  grads = gradient(agent.components.loss, blind, p, make_batch())
  assert not any(np.any(x) for x in jax.tree.leaves(grads['torso']))
  assert np.any(grads['from_features']['kernel'])


def test_noisy_value_generates_its_weights():
  agent = _AGENTS['noisy_dqn']
  params = _init(agent)(jax.random.key(0)).params
  p, s = params['params'], jnp.array([0.3, -1., 2.])
  z = agent.index.sample(jax.random.key(1))
  assert z.shape == (8 + 7 + 7 + _ACTIONS,)
  f = np.sign(z) * np.sqrt(np.abs(z))
  layer = p['torso']['InputLayer_0']
  x = np.maximum(s @ layer['kernel'] + layer['bias'], 0.)
  for i, (d, e) in enumerate(((f[:8], f[8:15]), (f[15:22], f[22:]))):
    kernel = p[f'mean_kernel_{i}'] + p[f'sigma_kernel_{i}'] * np.outer(d, e)
    x = x @ kernel + p[f'mean_bias_{i}'] + p[f'sigma_bias_{i}'] * e
    x = np.maximum(x, 0.) if i == 0 else x
  np.testing.assert_allclose(
      _q_values(agent)(params, s[None], z[None])[0], x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    'name', ['q_sane', pytest.param('sane', marks=pytest.mark.slow)])
def test_state_aware_noise_is_as_large_as_the_state_asks(name):
  agent = _AGENTS[name]
  params = _init(agent)(jax.random.key(0)).params
  p = params['params']
  z = agent.index.sample(jax.random.key(1))
  f = np.sign(z) * np.sqrt(np.abs(z))

  def dense(layer, x):
    return x @ layer['kernel'] + layer['bias']

  sigmas = []
  for s in jnp.array([[0.3, -1., 2.], [-3., 0.5, 1.]]):
    x = features = np.maximum(dense(p['torso']['InputLayer_0'], s), 0.)
    seen = features
    if name == 'q_sane':
      hidden = np.maximum(dense(p['layers_0'], features), 0.)
      seen = np.concatenate([features, dense(p['layers_1'], hidden)])
    sigma, = dense(p['sigma'], np.maximum(dense(p['latent'], seen), 0.))
    sigmas.append(float(sigma))
    for i, (d, e) in enumerate(((f[:8], f[8:15]), (f[15:22], f[22:]))):
      layer = p[f'layers_{i}']
      x = x @ (layer['kernel'] + sigma * np.outer(d, e)) + (
          layer['bias'] + sigma * e)
      x = np.maximum(x, 0.) if i == 0 else x
    np.testing.assert_allclose(
        _q_values(agent)(params, s[None], z[None])[0], x, rtol=1e-4, atol=1e-5)
  assert abs(sigmas[0] - sigmas[1]) > 1e-3


def test_optimism_acts_and_bootstraps_on_a_quantile():
  agent = _AGENTS['optimistic']
  params = _init(agent)(jax.random.key(0)).params
  actor = agent.init_actor(jax.random.key(1), 6)
  assert actor.index.shape == (6, 5, 4)
  observation = make_batch().observation[:6]
  actor, action = agent.select_action(
      params, actor, observation, jnp.zeros(6, bool))
  for n in range(6):
    values = np.stack([
        _q_values(agent)(params, observation[n:n + 1], z[None])[0]
        for z in actor.index[n]])
    assert action[n] == np.quantile(values, 0.8, axis=0).argmax()

  batch, key = make_batch(), jax.random.key(3)
  target = {
      **params, 'params': _init(agent)(jax.random.key(9)).params['params']}
  exact = losses.ExactTD(
      agent.network, agent.index, True,
      optimism=acting.SampledOptimism(num_draws=5, quantile=1.))
  next_target, chooser = exact._optimistic_next_values(
      params, target, batch, exact.optimism, key)
  indices = agent.index.sample(key, (_BATCH, 5))
  for values, p in ((next_target, target), (chooser, params)):
    expected = np.max([
        _q_values(agent)(p, batch.next_observation, indices[:, k])
        for k in range(5)], axis=0)
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_exact_optimism_acts_and_bootstraps_on_the_upper_bound():
  config = agents.HyperAgentConfig(
      target_optimism=acting.UCB(scale=1.5), acting=acting.UCB(scale=3.),
      **_SMALL)
  agent = agents.HyperAgent(_SPEC, _ACTIONS, config)
  params = _init(agent)(jax.random.key(0)).params
  target = {
      **params, 'params': _init(agent)(jax.random.key(9)).params['params']}
  batch = make_batch()

  def bound(params, s, scale):
    psi = agent.network.apply(params, s)
    return psi[0] + scale * np.linalg.norm(psi[1:], axis=0)

  actor = agent.init_actor(jax.random.key(1), 6)
  _, action = agent.select_action(
      params, actor, batch.observation[:6], jnp.zeros(6, bool))
  assert list(action) == [
      bound(params, s, 3.).argmax() for s in batch.observation[:6]]
  loss = agent.components.loss
  values = loss._optimistic_next_values(
      params, target, batch, loss.optimism, jax.random.key(3))
  for found, p in zip(values, (target, params), strict=True):
    np.testing.assert_allclose(
        found, [bound(p, s, 1.5) for s in batch.next_observation],
        rtol=1e-5, atol=1e-6)


def test_hyperdqn_begins_as_its_authors_weights_do():
  """Against NumPy: truncated normals of 1 / sqrt(inputs), no mean, prior 10."""
  num_cells, num_draws = 100, 2000
  agent = agents.HyperDQN(dm_specs.DiscreteArray(num_cells), _ACTIONS)
  init = jax.jit(jax.vmap(agent.init))
  params = init(jax.random.split(jax.random.key(0), 50)).params
  z = agent.index.sample(jax.random.key(1), (num_cells,))
  np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1., rtol=1e-5)
  q = jax.vmap(agent.q_values, in_axes=(0, None, None))(
      params, jnp.arange(num_cells), z)

  rng = np.random.default_rng(0)

  def truncated(*shape):
    x = rng.normal(size=(num_draws, *shape))
    while (outside := np.abs(x) >= 2.).any():
      x[outside] = rng.normal(size=outside.sum())
    return x

  expected = np.zeros(num_draws)
  angles = rng.uniform(0., 2. * np.pi, num_draws)
  indices = np.stack([np.cos(angles), np.sin(angles)], axis=1)
  for scale in (1., 10.):
    phi = np.maximum(truncated(64) / np.sqrt(num_cells), 0.)
    phi = np.maximum(
        np.einsum('di,dij->dj', phi, truncated(64, 64)) / np.sqrt(64), 0.)
    factors = truncated(2, 64) / np.sqrt(64)
    expected += scale * np.einsum('dm,dmi,di->d', indices, factors, phi)
  assert np.std(q) == pytest.approx(np.std(expected), rel=0.08)


@pytest.mark.parametrize(
    'index_samples', [None, pytest.param(3, marks=pytest.mark.slow)])
def test_two_kinds_of_optimism_at_once(index_samples):
  """One in acting, the other in the target: each has its own component."""
  agent = agents.HyperAgent(_SPEC, _ACTIONS, agents.HyperAgentConfig(
      acting=acting.SampledOptimism(num_draws=5),
      target_optimism=acting.UCB(scale=1.),
      num_index_samples=index_samples, **_SMALL))
  assert agent.components.acting.num_indices == 5
  assert agent.components.loss.optimism == acting.UCB(scale=1.)
  params = _init(agent)(jax.random.key(0)).params
  target = {
      **params, 'params': _init(agent)(jax.random.key(9)).params['params']}
  batch, key = make_batch(), jax.random.key(3)
  loss = agent.components.loss
  found, _ = loss._optimistic_next_values(
      params, target, batch, loss.optimism, key)
  psi = jax.vmap(lambda s: agent.network.apply(target, s))(
      batch.next_observation)
  np.testing.assert_allclose(
      found, psi[:, 0] + np.linalg.norm(psi[:, 1:], axis=1),
      rtol=1e-5, atol=1e-6)


def test_langevin_noise_has_the_variance_of_the_papers():
  params = {'w': jnp.zeros(40_000)}
  zeros, key = {'w': jnp.zeros(40_000)}, jax.random.key(0)
  lr, scale = 0.01, 0.3
  optimizer = optimizers.adam_lmc(lr, scale, 1.)
  state = optimizer.init(params)
  updates, _ = optimizer.update(zeros, state, params, key=key)
  assert np.var(updates['w']) == pytest.approx(scale**2 * 2 * lr, rel=0.03)
  assert abs(np.mean(updates['w'])) < 4 * scale * np.sqrt(2 * lr / 40_000)
  other, _ = optimizer.update(
      zeros, state, params, key=jax.random.key(1))
  assert abs(np.corrcoef(updates['w'], other['w'])[0, 1]) < 0.03

  # With a constant gradient g and t updates: v = (1 - b2^t) g^2.
  g, steps = 0.5, 3
  optimizer = optimizers.langevin_adam(lr, scale)
  state = optimizer.init(params)
  for t in range(steps):
    updates, state = optimizer.update(
        {'w': jnp.full(40_000, g)}, state, params,
        key=jax.random.fold_in(key, t))
  root = np.sqrt(1 - 0.999**steps) * g
  rate = lr * np.sqrt(1 - 0.999**steps) / (1 - 0.9**steps)
  assert np.var(updates['w']) == pytest.approx(
      scale**2 * 2 * rate / root, rel=0.03)
  assert np.mean(updates['w']) == pytest.approx(
      -lr, abs=4 * scale * np.sqrt(2 * rate / root / 40_000))


def test_weight_decay_is_of_weights_alone():
  params = {'kernel': jnp.array([[1., -2.]]), 'bias': jnp.array([3., 4.])}
  optimizer = optimizers.adam(0.1, 1e-8, weight_decay=0.5)
  updates, _ = optimizer.update(
      jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
  np.testing.assert_allclose(updates['kernel'], [[-0.05, 0.1]])
  np.testing.assert_array_equal(updates['bias'], [0., 0.])


def test_adam_lmc_without_noise_is_its_formula():
  optimizer = optimizers.adam_lmc(0.1, 0., 2., epsilon=1e-3)
  params = {'w': jnp.array([1., -2.])}
  state = optimizer.init(params)
  m = v = np.zeros(2)
  for t, g in enumerate(np.array([[1., 3.], [0.5, -1.]])):
    updates, state = optimizer.update(
        {'w': jnp.asarray(g, jnp.float32)}, state, params,
        key=jax.random.key(t))
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    np.testing.assert_allclose(
        updates['w'], -0.1 * (g + 2. * m / (np.sqrt(v) + 1e-3)), rtol=1e-4)


def test_langevin_noise_is_a_function_of_the_learners_key():
  agent = _AGENTS['adam_lmcdqn']
  one, same, other = (
      _init(agent)(jax.random.key(0))._replace(key=jax.random.key(seed))
      for seed in (5, 5, 6))
  one, same, other = (
      _update(agent)(x, make_batch())[0].params
      for x in (one, same, other))
  assert_close(one, same, rtol=0., atol=0.)
  with pytest.raises(AssertionError):
    assert_close(one, other, rtol=0., atol=0.)


@pytest.mark.parametrize('make, config', [
    (agents.AdamLMCDQN, agents.AdamLMCDQNConfig(
        noise_scale=0., adam_factor=0., learning_rate=0.5,
        max_gradient_norm=0.01, **_SMALL)),
    (agents.LangevinAdam, agents.LangevinAdamConfig(
        noise_scale=0., learning_rate=0.5, adam_epsilon=1e3,
        max_gradient_norm=0.01, **_SMALL))])
def test_langevin_dynamics_have_a_limit_on_the_gradient_too(make, config):
  agent = make(_SPEC, _ACTIONS, config)
  learner = _init(agent)(jax.random.key(0))
  batch = make_batch()
  batch = batch._replace(reward=1e4 * batch.reward)
  after, _ = _update(agent)(learner, batch)
  step = optax.tree.norm(jax.tree.map(
      lambda x, y: x - y, learner.params['params'], after.params['params']))
  assert 0. < step <= 0.5 * 0.01 * 1.001


_SGD = optax.with_extra_args_support(optax.scale(-0.1))


@dataclasses.dataclass(frozen=True)
class _PlainDescent(agents.DQN):

  def make_optimizer(self):
    return _SGD


def test_a_dqn_may_have_any_optimizer_of_optax():
  agent = _PlainDescent(_SPEC, _ACTIONS, agents.DQNConfig(**_SMALL))
  learner, batch = _init(agent)(jax.random.key(0)), make_batch()
  after, _ = _update(agent)(learner, batch)
  gradients = gradient(
      agent.components.loss, learner.params, learner.params['params'], batch)
  assert_close(after.params['params'], jax.tree.map(
      lambda x, g: x - 0.1 * g, learner.params['params'], gradients))


def test_a_tied_target_is_not_optimistic():
  loss = _AGENTS['hyperdqn'].components.loss
  with pytest.raises(ValueError, match='tied .* got optimism UCB'):
    dataclasses.replace(loss, optimism=acting.UCB(scale=1.))
