"""Agents: settings, acting, and the learner that they share."""

import copy
import dataclasses
import functools
import math
import pickle
import re

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
from hyperjax import networks
from hyperjax import replay
from hyperjax import specs
from hyperjax import targets
from hyperjax import types
from hyperjax.agents import presets
from hyperjax.agents import priors
from hyperjax.agents import td

_CELLS = 9
_ACTIONS = 3
_SPEC = dm_specs.DiscreteArray(_CELLS)
_NUMBERS = specs.ObservationSpec((3,), 'float32')

# Programs here run once or twice: optimising them costs more than it gains.
_jit = functools.partial(
    jax.jit, compiler_options={'xla_backend_optimization_level': 0})


@functools.cache  # So that an agent meets the programs compiled before.
def _hyperagent(**overrides) -> agents.HyperAgent:
  return agents.HyperAgent(
      _SPEC, _ACTIONS, presets.hyperagent_thompson_deep_sea(**{
          'hidden_sizes': (8, 8), 'noise': data_noise.Perturbation(0.1),
          'target': targets.Periodic(3), 'learning_rate': 1e-2, **overrides}))


@functools.cache
def _dqn(**overrides) -> agents.DQN:
  return agents.DQN(_SPEC, _ACTIONS, agents.DQNConfig(**{
      'hidden_sizes': (8, 8), 'target': targets.Periodic(3),
      'learning_rate': 1e-2, **overrides}))


@functools.cache
def _sampled(**overrides) -> agents.HyperAgent:
  return _hyperagent(num_index_samples=5, **overrides)


@functools.cache
def _init(agent):
  return _jit(agent.init)


@functools.cache
def _update(agent):
  return _jit(agent.update)


@functools.cache
def _q_values(agent):
  return _jit(agent.q_values)


_every_agent = pytest.mark.parametrize(
    'make', [_hyperagent, pytest.param(_sampled, marks=pytest.mark.slow), _dqn],
    ids=['exact', 'sampled', 'dqn'])


_two_agents = pytest.mark.parametrize(
    'make', [_hyperagent, _dqn], ids=['exact', 'dqn'])


# What both do by the same code; the other one takes longer.
_one_agent = pytest.mark.parametrize('make', [
    pytest.param(_hyperagent, marks=pytest.mark.slow), _dqn],
    ids=['exact', 'dqn'])


def _batch(seed, size=8, lead=()) -> types.Transition:
  """Transitions [*lead, size] in numpy, which slices without compiling."""
  rng = np.random.default_rng(seed)
  shape = (*lead, size)
  return types.Transition(
      observation=rng.integers(_CELLS, size=shape, dtype=np.int32),
      action=rng.integers(_ACTIONS, size=shape, dtype=np.int32),
      reward=rng.normal(size=shape).astype(np.float32),
      discount=(0.9 * (rng.random(shape) < 0.7)).astype(np.float32),
      next_observation=rng.integers(_CELLS, size=shape, dtype=np.int32),
      uid=rng.integers(10_000, size=shape, dtype=np.int32))


def _assert_trees(compare, one, two, **options):
  assert jax.tree.structure(one) == jax.tree.structure(two)
  for (path, x), y in zip(
      jax.tree.leaves_with_path(one), jax.tree.leaves(two), strict=True):
    compare(x, y, err_msg=jax.tree_util.keystr(path), **options)


def _assert_equal(one, two):
  _assert_trees(np.testing.assert_array_equal, one, two)


def _assert_close(one, two):
  _assert_trees(np.testing.assert_allclose, one, two, rtol=1e-4, atol=1e-5)


# Identity.


def _fresh(make):
  """An agent composed anew."""
  agent = make()
  return type(agent)(_SPEC, _ACTIONS, agent.config)


@_every_agent
def test_equal_settings_make_equal_agents(make):
  assert _fresh(make) is not _fresh(make)
  assert _fresh(make) == _fresh(make)
  assert hash(_fresh(make)) == hash(_fresh(make))
  for overrides in ({'discount': 0.5}, {'hidden_sizes': (8, 4)},
                    {'learning_rate': 0.5}, {'double': False}):
    assert make() != make(**overrides)


@_every_agent
def test_an_agent_is_a_static_argument(make):
  traces = []

  def init(agent, key):
    traces.append(agent)
    return agent.init(key)

  init = _jit(init, static_argnums=0)
  key = jax.random.PRNGKey(0)
  _assert_equal(init(_fresh(make), key), init(_fresh(make), key))
  assert len(traces) == 1  # The second agent found the first one's program.


def test_different_algorithms_differ():
  assert _dqn() != _hyperagent()
  assert _hyperagent() != _sampled()


# Learning.


@_one_agent
def test_update_scans_and_equals_the_loop(make):
  agent = make()
  batches = _batch(0, lead=(7,))
  learner = _init(agent)(jax.random.PRNGKey(1))
  scanned, metrics = _jit(
      functools.partial(jax.lax.scan, agent.update))(learner, batches)
  update = _update(agent)
  looped = []
  for t in range(7):
    learner, m = update(learner, jax.tree.map(lambda x, t=t: x[t], batches))
    looped.append(m)
  _assert_close(scanned, learner)
  _assert_close(metrics, jax.tree.map(lambda *x: jnp.stack(x), *looped))
  assert int(learner.steps) == 7
  assert metrics['loss'].shape == (7,)
  assert metrics['losses'].shape == batches.reward.shape
  for name, x in metrics.items():
    assert x.dtype == jnp.float32 and np.isfinite(x).all(), name
  np.testing.assert_allclose(
      metrics['loss'], metrics['losses'].mean(axis=1), rtol=1e-5)


@_one_agent
def test_update_vmaps_over_seeds_and_equals_each_alone(make):
  agent = make()
  keys = jax.random.split(jax.random.PRNGKey(2), 3)
  learners = _jit(jax.vmap(agent.init))(keys)
  batches = _batch(0, lead=(3,))
  together, metrics = _jit(jax.vmap(agent.update))(learners, batches)
  init, update = _init(agent), _update(agent)
  for i in range(3):
    alone, m = update(
        init(keys[i]), jax.tree.map(lambda x, i=i: x[i], batches))
    _assert_close(jax.tree.map(lambda x, i=i: x[i], together), alone)
    np.testing.assert_allclose(metrics['loss'][i], m['loss'], rtol=1e-4)
  kernels = together.params['params']['body']['layers_0']['Dense_0']['kernel']
  assert len(np.unique(np.asarray(kernels).reshape(3, -1), axis=0)) == 3


@_two_agents
@pytest.mark.parametrize('period', [1, 3])
def test_target_is_copied_every_period(make, period):
  """At steps 0, p, 2p..., from the params before the gradient step."""
  agent = make(target=targets.Periodic(period))
  learner = _init(agent)(jax.random.PRNGKey(3))
  _assert_equal(learner.target_params, learner.params['params'])
  # A wrong copy at first, so that the one at step 0 shows.
  learner = learner._replace(
      target_params=jax.tree.map(lambda x: x + 1., learner.target_params))
  update = _update(agent)
  for t in range(8):
    after, _ = update(learner, _batch(t))
    if t % period == 0:
      _assert_equal(after.target_params, learner.params['params'])
    else:
      _assert_equal(after.target_params, learner.target_params)
    for x, y in zip(jax.tree.leaves(after.params['params']),
                    jax.tree.leaves(learner.params['params']), strict=True):
      assert not np.array_equal(x, y)
    learner = after


@_two_agents
def test_target_takes_effect_in_the_step_that_copies_it(make):
  agent = make()
  learner = _init(agent)(jax.random.PRNGKey(3))
  stale = learner._replace(
      target_params=jax.tree.map(lambda x: x + 1., learner.target_params))
  update = _update(agent)
  _assert_equal(update(learner, _batch(0)), update(stale, _batch(0)))
  # Not so in a step that does not copy.
  one, two = (update(state._replace(steps=jnp.int32(1)), _batch(0))[1]['loss']
              for state in (learner, stale))
  assert abs(one - two) > 1e-3


@pytest.mark.parametrize('make, max_norm', [
    (_hyperagent, 0.5),
    pytest.param(_sampled, None, marks=pytest.mark.slow),
    pytest.param(_dqn, 0.5, marks=pytest.mark.slow)],
    ids=['exact', 'sampled', 'dqn'])
def test_update_is_the_gradient_step(make, max_norm):
  agent = make(max_gradient_norm=max_norm, adam_epsilon=1e-3)
  learner = _init(agent)(jax.random.PRNGKey(4))
  optimizer = optax.adam(1e-2, b1=0.9, b2=0.999, eps=1e-3)
  index_key, noise_key, _ = jax.random.split(learner.key, 3)

  @_jit
  def by_hand(trained, target, opt_state, batch, t):
    def loss_fn(trained):
      return agent.components.loss(
          {**learner.params, 'params': trained},
          {**learner.params, 'params': target},
          types.Batch(batch), jax.random.fold_in(index_key, t), noise_key)[0]

    loss, g = jax.value_and_grad(loss_fn)(trained)
    norm = jnp.sqrt(sum(jnp.sum(x**2) for x in jax.tree.leaves(g)))
    if max_norm is not None:
      g = jax.tree.map(
          lambda x: x * jnp.where(norm > max_norm, max_norm / norm, 1.), g)
    updates, opt_state = optimizer.update(g, opt_state)
    return optax.apply_updates(trained, updates), opt_state, loss, norm

  trained = learner.params['params']
  opt_state = optimizer.init(trained)
  state, target, norms = learner, None, []
  for t in range(5):
    batch = _batch(t)
    state, metrics = _update(agent)(state, batch)
    if t % 3 == 0:
      target = trained
    trained, opt_state, loss, norm = by_hand(
        trained, target, opt_state, batch, t)
    norms.append(norm)
    np.testing.assert_allclose(metrics['loss'], loss, rtol=1e-3)
    _assert_trees(np.testing.assert_allclose, state.params['params'], trained,
                  rtol=1e-3, atol=1e-4)
  if max_norm is not None:
    assert max(norms) > max_norm  # Else the limit was not met.
  np.testing.assert_array_equal(state.key, learner.key)


def test_updates_draw_fresh_indices_and_fixed_perturbations():
  """Of one batch, at two steps: z differs, u does not."""
  agent = _sampled(noise=data_noise.Perturbation(0.),
                   target=targets.Periodic(100))
  learner = _init(agent)(jax.random.PRNGKey(5))
  update = _update(agent)
  # Nothing but the step differs.
  at = [update(learner._replace(steps=jnp.int32(t)), _batch(0))[1]['loss']
        for t in (1, 1, 2)]
  assert at[0] == at[1] != at[2]
  # An exact loss of terminal transitions knows no index: u is all its chance.
  agent = _hyperagent(noise=data_noise.Perturbation(5.))
  update = _update(agent)
  batch = _batch(0)._replace(discount=np.zeros(8, np.float32))
  at = [update(learner._replace(steps=jnp.int32(t)), b)[1]['loss']
        for t, b in ((1, batch), (2, batch),
                     (1, batch._replace(uid=batch.uid + 1)))]
  assert at[0] == at[1]
  assert abs(at[0] - at[2]) > 1e-2


@_one_agent
def test_learns_the_rewards_of_a_bandit(make):
  agent = make()
  cells, actions = (x.ravel() for x in jnp.meshgrid(
      jnp.arange(_CELLS), jnp.arange(_ACTIONS)))
  rewards = (cells % 3 == actions) - 0.5
  batch = types.Transition(
      cells, actions, rewards, jnp.zeros(cells.size), cells,
      jnp.arange(cells.size))
  learner = _init(agent)(jax.random.PRNGKey(6))

  @_jit
  def run(learner):
    return jax.lax.scan(
        lambda state, _: agent.update(state, batch), learner, length=600)

  learner, metrics = run(learner)
  assert metrics['loss'][-1] < 0.2 * metrics['loss'][0]
  index = agent.index.sample(jax.random.PRNGKey(7), (_CELLS,))
  q = _q_values(agent)(learner.params, jnp.arange(_CELLS), index)
  np.testing.assert_array_equal(
      np.argmax(q, axis=-1), np.arange(_CELLS) % 3)


# Acting.


def _act(agent, params, actor, is_first):
  """Indices [T+1, N, M], observations [T, N] and actions [T, N]."""
  observations = np.random.default_rng(0).integers(
      _CELLS, size=is_first.shape, dtype=np.int32)

  def step(actor, inputs):
    actor, action = agent.select_action(params, actor, *inputs)
    return actor, (actor.index, action)

  _, (indices, actions) = _jit(functools.partial(jax.lax.scan, step))(
      actor, (observations, is_first))
  return (np.concatenate([actor.index[None], indices]), observations,
          np.asarray(actions))


def _redrawn(indices) -> np.ndarray:
  """Whether the index before and after a step differ, [T, N]."""
  changed = indices[1:] != indices[:-1]
  np.testing.assert_array_equal(changed.any(axis=-1), changed.all(axis=-1))
  return changed.any(axis=-1)


def test_a_new_index_at_the_first_step_only():
  agent = _hyperagent(acting=acting.Thompson(0.))
  params = _init(agent)(jax.random.PRNGKey(0)).params
  actor = agent.init_actor(jax.random.PRNGKey(1), 5)
  is_first = np.random.default_rng(2).random((60, 5)) < 0.3
  indices, _, _ = _act(agent, params, actor, is_first)
  np.testing.assert_array_equal(_redrawn(indices), is_first)
  # No two draws are the same, over time and over environments.
  drawn = indices[1:][is_first]
  assert len(np.unique(drawn, axis=0)) == len(drawn)


def test_a_new_index_at_every_step():
  agent = _hyperagent(acting=acting.Thompson(1.))
  params = _init(agent)(jax.random.PRNGKey(0)).params
  actor = agent.init_actor(jax.random.PRNGKey(1), 5)
  indices, _, _ = _act(agent, params, actor, np.zeros((30, 5), bool))
  assert _redrawn(indices).all()


@pytest.mark.parametrize('p', [0.05, 0.3])
def test_a_new_index_at_the_given_rate(p):
  agent = _hyperagent(acting=acting.Thompson(p))
  params = _init(agent)(jax.random.PRNGKey(0)).params
  actor = agent.init_actor(jax.random.PRNGKey(1), 20)
  is_first = np.zeros((500, 20), bool)
  is_first[::50] = True
  indices, _, _ = _act(agent, params, actor, is_first)
  redrawn = _redrawn(indices)
  assert redrawn[::50].all()
  rest = redrawn[~is_first].astype(float)
  assert abs(rest.mean() - p) < 5. * math.sqrt(p * (1. - p) / rest.size)
  # Each environment for itself: neighbours redraw together p^2 of the time.
  both = (redrawn[:, ::2] & redrawn[:, 1::2])[~is_first[:, ::2]]
  bound = 5. * math.sqrt(p**2 * (1. - p**2) / both.size)
  assert abs(both.mean() - p**2) < bound


def test_actions_are_greedy_for_the_index_in_use():
  agent = _hyperagent(acting=acting.Thompson(0.2))
  params = _init(agent)(jax.random.PRNGKey(0)).params
  actor = agent.init_actor(jax.random.PRNGKey(1), 6)
  is_first = np.zeros((40, 6), bool)
  is_first[::10] = True
  indices, observations, actions = _act(agent, params, actor, is_first)
  # After the redrawing: the index that the step returns.
  q_values = _jit(jax.vmap(agent.q_values, in_axes=(None, 0, 0)))
  q = q_values(params, observations, indices[1:])
  np.testing.assert_array_equal(actions, np.argmax(q, axis=-1))
  # The index matters: with another one, other actions.
  q = q_values(params, observations, -indices[1:])
  assert (actions != np.argmax(q, axis=-1)).mean() > 0.2


@pytest.mark.parametrize('epsilon', [0., 0.3])
def test_dqn_explores_at_the_rate_epsilon(epsilon):
  agent = _dqn(acting=acting.EpsilonGreedy(epsilon=epsilon))
  params = _init(agent)(jax.random.PRNGKey(0)).params
  num = 20_000
  actor = agent.init_actor(jax.random.PRNGKey(1), num)
  assert actor.index.shape == (num, 0)
  _, observations, actions = _act(
      agent, params, actor, np.zeros((1, num), bool))
  q = _q_values(agent)(params, observations[0], actor.index)
  assert (np.diff(np.sort(q[:_CELLS], axis=-1)) > 0.).all()  # No ties.
  rate = (actions[0] != np.argmax(q, axis=-1)).mean()
  expected = epsilon * (1. - 1. / _ACTIONS)
  assert abs(rate - expected) <= 5. * math.sqrt(
      expected * (1. - expected) / num)


@_every_agent
@pytest.mark.parametrize('num_envs', [1, 4])
def test_shapes_and_dtypes(make, num_envs):
  agent = make()
  key = jax.random.PRNGKey(0)
  learner = jax.eval_shape(agent.init, key)
  assert learner.steps.dtype == jnp.int32 and learner.steps.shape == ()
  actor = jax.eval_shape(lambda key: agent.init_actor(key, num_envs), key)
  observation = jnp.zeros(num_envs, jnp.int32)
  after, action = jax.eval_shape(
      agent.select_action, learner.params, actor, observation,
      jnp.ones(num_envs, bool))
  random_after, random_action = jax.eval_shape(
      agent.select_random_action, learner.params, actor)
  for a in (action, random_action):
    assert a.shape == (num_envs,) and a.dtype == jnp.int32
  for state in (actor, after, random_after):
    assert state.index.shape == (num_envs, agent.index.dim)
    assert state.index.dtype == jnp.float32
  q = jax.eval_shape(agent.q_values, learner.params, observation, actor.index)
  assert q.shape == (num_envs, _ACTIONS) and q.dtype == jnp.float32


def test_every_choice_has_a_new_key():
  agent = _hyperagent()
  params = _init(agent)(jax.random.PRNGKey(0)).params
  actor = agent.init_actor(jax.random.PRNGKey(1), 1)
  acted, _ = _jit(agent.select_action)(
      params, actor, np.zeros(1, np.int32), np.zeros(1, bool))
  random, _ = agent.select_random_action(params, actor)
  for after in (acted, random):
    assert (np.asarray(after.key) != np.asarray(actor.key)).any()


def test_random_actions_are_uniform_and_leave_the_index():
  agent = _hyperagent()
  params = {}
  actor = agent.init_actor(jax.random.PRNGKey(1), 6000)
  after, actions = agent.select_random_action(params, actor)
  counts = np.bincount(actions, minlength=_ACTIONS)
  assert counts.size == _ACTIONS
  assert (np.abs(counts - 2000) < 5. * math.sqrt(2000 * 2 / 3)).all()
  np.testing.assert_array_equal(after.index, actor.index)
  again = agent.select_random_action(params, after)[1]
  assert abs((actions == again).mean() - 1 / 3) < 0.05


@pytest.mark.parametrize('config', [
    pytest.param(dict(num_index_samples=2), marks=pytest.mark.slow),
    pytest.param(dict(), marks=pytest.mark.slow),
    pytest.param(dict(acting=acting.UCB(scale=1.)), marks=pytest.mark.slow),
    dict(acting=acting.SampledOptimism(num_draws=3),
         target_optimism=acting.SampledOptimism(num_draws=3))],
    ids=['sampled', 'exact', 'ucb', 'sampled_optimism'])
@pytest.mark.slow
def test_actions_that_are_not_legal_do_not_exist(config):
  agent = _hyperagent(**config)
  learner = _init(agent)(jax.random.PRNGKey(0))
  legal = jnp.arange(_ACTIONS) < _ACTIONS - 1
  params = networks.with_legal_actions(learner.params, legal)
  actor = agent.init_actor(jax.random.PRNGKey(1), 500)
  random = agent.select_random_action(params, actor)[1]
  observation = jnp.arange(500) % _CELLS
  chosen = agent.select_action(
      params, actor, observation, jnp.zeros(500, bool))[1]
  free = agent.select_action(
      learner.params, actor, observation, jnp.zeros(500, bool))[1]
  assert (free == _ACTIONS - 1).any()  # It would be chosen, were it legal.
  for actions in (random, chosen):
    assert set(np.unique(actions)) == set(range(_ACTIONS - 1))

  # Nor in a target: a wonderful illegal action changes no loss.
  batch = _batch(3)
  batch = batch._replace(action=batch.action % (_ACTIONS - 1))

  def loss(params, bonus):
    better = jax.tree_util.tree_map_with_path(
        lambda path, x: (x.at[..., -1].add(bonus)
                         if 'mean' in jax.tree_util.keystr(path) else x),
        params)
    return _update(agent)(learner._replace(
        params=better, target_params=better['params']), batch)[1]['loss']

  assert loss(params, 0.) == loss(params, 10.)
  assert loss(learner.params, 0.) < loss(learner.params, 10.)


# What agents refuse.


def _hyper(**bad):
  return lambda: agents.HyperAgentConfig(**bad)


def _plain(**bad):
  return lambda: agents.DQNConfig(**bad)


@pytest.mark.parametrize('make, message', [
    (_hyper(index_dim=0), 'index_dim must.* got 0'),
    (_hyper(num_index_samples=0), 'num_index_samples must.* got 0'),
    (_hyper(scale=-0.5), r'scale must.* got -0\.5'),
    (_hyper(mean_std=-0.5), r'mean_std must.* got -0\.5'),
    (_hyper(gradient_penalty=-0.5), r'gradient_penalty must.* got -0\.5'),
    (_hyper(head_l2=math.nan), 'head_l2 must.* got nan'),
    (_hyper(index=index_lib.OneHot), 'a uniform prior is for .* got OneHot'),
    (_hyper(index=index_lib.OneHot, prior=None, head_l2=0.1),
     'head_l2 is for .* got OneHot'),
    (_hyper(noise=data_noise.RawPerturbation(0.1)),
     'a raw perturbation is for .* got Gaussian'),
    (_plain(torso=networks.MLPTorso((8,), _NUMBERS)),
     'torso must be a class, .* got the torso MLPTorso'),
    (_plain(hidden_sizes=()), r'hidden_sizes must.* got \(\)'),
    (_plain(hidden_sizes=(8, 0)), 'hidden_sizes must.* got 0'),
    (_plain(discount=1.5), r'discount must.* got 1\.5'),
    (_plain(discount=-0.5), r'discount must.* got -0\.5'),
    (_plain(discount=math.nan), 'discount must.* got nan'),
    (_plain(learning_rate=-1.), 'learning_rate must.* got -1'),
    (_plain(adam_epsilon=-1.), 'adam_epsilon must.* got -1'),
    (_plain(adam_epsilon=0.), 'adam_epsilon must be positive.* got 0'),
    (_plain(max_gradient_norm=0.), 'max_gradient_norm must.* got 0'),
    (_plain(batch_size=0), 'batch_size must.* got 0'),
    (_plain(n_step=0), 'n_step must.* got 0'),
    (_plain(replay_capacity=0), 'replay_capacity must.* got 0'),
    (_plain(warmup_steps=0), 'warmup_steps must.* got 0'),
    (_plain(update_period=0), 'update_period must.* got 0'),
    (_plain(updates_per_period=0), 'updates_per_period must.* got 0'),
    (_plain(batch_size=51, replay_capacity=50, warmup_steps=1),
     'batch_size must be at most replay_capacity, 50, got 51'),
    (_plain(batch_size=1, replay_capacity=50, warmup_steps=51),
     'warmup_steps must be at most replay_capacity, 50, got 51'),
])
def test_refuses_a_setting_and_names_it(make, message):
  with pytest.raises(ValueError, match=f'^{message}'):
    make()


def test_layers_may_be_a_list():
  config = agents.DQNConfig(hidden_sizes=[8, 8])
  assert hash(config) == hash(agents.DQNConfig(hidden_sizes=(8, 8)))


def test_a_uniform_prior_takes_its_spread_from_its_scale_alone():
  agent = _hyperagent(prior=priors.Uniform(0.5), scale=0.)
  index = agent.index.sample(jax.random.key(1), (4000, 1))
  params = agent.init(jax.random.key(0)).params
  spread = np.std(jax.vmap(agent.q_values, in_axes=(None, None, 0))(
      params, jnp.zeros(1, jnp.int32), index), axis=0)
  np.testing.assert_allclose(spread, 0.5, rtol=0.1)


def test_refuses_through_the_preset_too():
  with pytest.raises(ValueError, match='index_dim must.* got 0'):
    presets.hyperagent_paper_deep_sea(index_dim=0)


@pytest.mark.parametrize('make', [agents.HyperAgent, agents.DQN])
def test_refuses_observations_of_another_shape(make):
  config = {agents.HyperAgent: agents.HyperAgentConfig,
            agents.DQN: agents.DQNConfig}[make](hidden_sizes=(4,))
  agent = make(dm_specs.Array((4,), np.float32), 2, config)
  learner = _init(agent)(jax.random.PRNGKey(0))
  actor = agent.init_actor(jax.random.PRNGKey(1), 3)
  wrong, right = jnp.zeros((3, 5)), jnp.zeros((3, 4))
  batch = types.Transition(
      right, jnp.zeros(3, jnp.int32), jnp.zeros(3), jnp.zeros(3), right,
      jnp.zeros(3, jnp.int32))
  calls = [
      lambda: agent.select_action(
          learner.params, actor, wrong, jnp.zeros(3, bool)),
      lambda: agent.q_values(
          learner.params, wrong, jnp.zeros((3, agent.index.dim))),
      lambda: agent.update(learner, batch._replace(observation=wrong)),
      lambda: agent.update(learner, batch._replace(next_observation=wrong)),
  ]
  for call in calls:
    with pytest.raises(ValueError) as error:
      call()
    assert '(4,)' in str(error.value) and '(3, 5)' in str(error.value)
  jax.eval_shape(agent.update, learner, batch)  # The right shape passes.


@pytest.mark.parametrize('num_envs', [1, 5])
def test_refuses_first_steps_of_other_environments(num_envs):
  agent = _hyperagent()
  params = _init(agent)(jax.random.PRNGKey(0)).params
  actor = agent.init_actor(jax.random.PRNGKey(1), 4)
  expected = re.escape('is_first of shape (4,)') + '.*' + re.escape(
      f'got ({num_envs},)')
  with pytest.raises(ValueError, match=expected):
    agent.select_action(
        params, actor, jnp.zeros(4, jnp.int32), jnp.ones(num_envs, bool))


@pytest.mark.parametrize('make', [agents.HyperAgent, agents.DQN])
def test_takes_dm_env_specs_of_discrete_actions_alone(make):
  assert make(_SPEC, dm_specs.DiscreteArray(4)).num_actions == 4
  assert make(_SPEC, dm_specs.DiscreteArray(4)) == make(_SPEC, 4)
  continuous = dm_specs.BoundedArray((2,), np.float32, -1., 1.)
  with pytest.raises(ValueError, match=re.escape(repr(continuous))):
    make(_SPEC, continuous)
  nested = {'cell': _SPEC}
  with pytest.raises(ValueError, match=re.escape(repr(nested))):
    make(nested, 4)


# The published settings.


def _fields(config) -> dict:
  """Without `asdict`, which makes dictionaries of components too."""
  return {field.name: getattr(config, field.name)
          for field in dataclasses.fields(config)}


def test_paper_atari():
  """What differs from DeepSea there, by the table of the authors' settings."""
  atari = _fields(presets.hyperagent_paper_atari())
  deep_sea = _fields(presets.hyperagent_paper_deep_sea())
  assert {k: v for k, v in atari.items() if v != deep_sea[k]} == {
      'scale': 0.1,
      'mean_std': None,
      'prior': priors.Hypermodel(scale=0.1, std=0.1, mean_std=None),
      'noise': data_noise.RawPerturbation(0.01),
      'gradient_penalty': 0.01,
      'head_l2': 0.01,
      'torso': networks.HyperAgentTorso,
      'hidden_sizes': (256,),
      'n_step': 5,
      'learning_rate': 1e-4,
      'batch_size': 32,
      'target': targets.Periodic(5),
      'replay_capacity': 100_000,
      'warmup_steps': 2000,
  }
  torso = networks.HyperAgentTorso
  assert (torso.scale_input, torso.normalize) == (False, True)


def test_paper_deep_sea():
  """Every value of the authors' code, szrlee/HyperAgent at 014902c."""
  config = presets.hyperagent_paper_deep_sea()
  assert config.acting.resample_probability == pytest.approx(
      1. - config.discount)
  assert _fields(config) == {
      'index_dim': 4,
      'index': index_lib.Sphere,  # noise_norm = 1.
      'num_index_samples': 20,
      'num_target_indices': 1,
      'scale': 1.,
      'mean_std': 1.,
      'random_biases': False,
      'prior': priors.Hypermodel(scale=10., std=1., mean_std=1.),
      'noise': data_noise.Perturbation(0.),
      'acting': acting.Thompson(resample_probability=0.01),
      'target_optimism': None,
      'hidden_sizes': (64, 64),
      'discount': 0.99,
      'reward_scaling': False,
      'double': True,
      'learning_rate': 1e-3,
      'adam_epsilon': 1.5e-4,
      'max_gradient_norm': 10.,
      'batch_size': 128,
      'target': targets.Periodic(4),
      'replay_capacity': 1_000_000,
      'sampler': replay.Uniform(),
      'warmup_steps': 128,
      'update_period': 1,
      'updates_per_period': 1,
      'torso': networks.MLPTorso,
      'n_step': 1,
      'weight_decay': 0.,
      'gradient_penalty': 0.,
      'head_l2': 0.,
      'lazy_adam': False,
      'sequence_length': 0,
      'augmentation': None,
      'resets': None,
  }


def test_the_former_default_is_the_optimist():
  """Its every value, as published with ABLATIONS.md."""
  assert _fields(presets.hyperagent_optimistic()) == {
      **_fields(presets.hyperagent_paper_deep_sea()),
      'index': index_lib.Gaussian,
      'num_index_samples': None,
      'random_biases': True,
      'prior': priors.Uniform(0.3),
      'acting': acting.UCB(scale=2.),
      'target_optimism': acting.UCB(scale=1.),
      'discount': 0.98,
      'adam_epsilon': 4e-5,
      'batch_size': 256,
      'updates_per_period': 4,
      'sampler': replay.Mixed(0.375, 1000, 0.375, 4),
      'lazy_adam': True,
  }


def test_the_default_is_a_posterior_sampler():
  config = agents.HyperAgentConfig()
  assert config.acting == acting.Thompson()
  assert config.target_optimism is None
  assert config.noise.scale > 0.
  assert config.sampler == replay.Uniform()
  assert not config.lazy_adam


@pytest.mark.parametrize('size, total, trained', [
    (10, 22_528, 11_264), (20, 60_928, 30_464), (30, 124_928, 62_464),
    (50, 329_728, 164_864)])
def test_paper_deep_sea_has_the_published_number_of_parameters(
    size, total, trained):
  agent = agents.HyperAgent(
      dm_specs.DiscreteArray(size**2), 2,
      presets.hyperagent_paper_deep_sea())
  params = jax.eval_shape(agent.init, jax.random.PRNGKey(0)).params

  def count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))

  assert count(params) == total
  assert count(params['params']) == trained


def test_paper_deep_sea_can_be_overridden():
  config = presets.hyperagent_paper_deep_sea(index_dim=8, discount=0.9)
  assert config == dataclasses.replace(
      presets.hyperagent_paper_deep_sea(), index_dim=8, discount=0.9)


def test_settings_reach_the_components():
  config = presets.hyperagent_paper_deep_sea(
      hidden_sizes=(8,), index_dim=6, noise=data_noise.Perturbation(0.5),
      double=False)
  agent = agents.HyperAgent(_SPEC, _ACTIONS, config)
  assert agent.index == index_lib.Sphere(6)
  components = agent.components
  assert components.acting == acting.Thompson(0.01)
  assert components.evaluation == acting.Thompson()
  assert components.target == targets.Periodic(4)
  assert isinstance(components.loss, losses.SampledTD)
  assert components.loss.pairs == losses.Independent(20)
  assert not components.loss.double
  assert components.loss.index == agent.index
  assert components.loss.noise.scale == 0.5
  exact = _hyperagent(index=index_lib.Cube, index_dim=6)
  assert isinstance(exact.components.loss, losses.ExactTD)
  assert exact.index == index_lib.Cube(6)
  # Unit norm, whatever the index.
  assert exact.components.loss.noise.distribution == index_lib.Sphere
  greedy = acting.EpsilonGreedy(epsilon=0.25)
  assert _dqn(acting=greedy).components.acting == greedy
  assert _dqn().index == index_lib.NoIndex()


# Components that an algorithm may choose.


def test_a_moving_average_follows_by_its_step_size():
  agent = _dqn(target=targets.MovingAverage(0.25))
  learner = _init(agent)(jax.random.PRNGKey(3))
  # A wrong target at first, so that the copy at step 0 shows.
  learner = learner._replace(
      target_params=jax.tree.map(lambda x: x + 1., learner.target_params))
  for t in range(5):
    after, _ = _update(agent)(learner, _batch(t))
    old, new = learner.target_params, learner.params['params']
    _assert_close(after.target_params, new if t == 0 else jax.tree.map(
        lambda x, y: 0.75 * x + 0.25 * y, old, new))
    learner = after


def test_a_moving_average_of_step_size_1_is_the_copy_of_every_update():
  one, two = (_dqn(target=target) for target in (
      targets.MovingAverage(1.), targets.Periodic(1)))
  learner = _init(one)(jax.random.PRNGKey(3))
  for t in range(3):
    expected, _ = _update(two)(learner, _batch(t))
    learner, _ = _update(one)(learner, _batch(t))
    _assert_close(learner, expected)


def test_targets_by_themselves():
  new, old = {'w': jnp.array([1., 2.])}, {'w': jnp.array([-1., 0.])}
  for steps, copied in ((0, True), (1, False), (4, False), (5, True)):
    np.testing.assert_array_equal(
        targets.Periodic(5)(new, old, jnp.int32(steps))['w'],
        (new if copied else old)['w'])
  average = targets.MovingAverage(0.5)
  np.testing.assert_array_equal(average(new, old, jnp.int32(0))['w'], [1., 2.])
  np.testing.assert_array_equal(average(new, old, jnp.int32(1))['w'], [0., 1.])


@pytest.mark.parametrize('make, message', [
    (lambda: targets.Periodic(0), 'period .* got 0'),
    (lambda: targets.MovingAverage(0.), 'step_size .* got 0'),
    (lambda: targets.MovingAverage(1.5), r'step_size .* got 1\.5'),
    (lambda: targets.MovingAverage(math.nan), 'step_size .* got nan'),
])
def test_targets_refuse_a_setting_and_name_it(make, message):
  with pytest.raises(ValueError, match=message):
    make()


@dataclasses.dataclass(frozen=True)
class _ActsByItsTarget(agents.DQN):

  def make_components(self):
    return dataclasses.replace(
        super().make_components(), acting_params=td.target_params)


def test_an_agent_may_act_by_its_target_network():
  config = agents.DQNConfig(
      hidden_sizes=(8, 8), target=targets.Periodic(100), learning_rate=1e-2)
  agent = _ActsByItsTarget(_SPEC, _ACTIONS, config)
  plain = agents.DQN(_SPEC, _ACTIONS, config)
  learner = _init(agent)(jax.random.PRNGKey(0))
  for t in range(3):
    learner, _ = _update(agent)(learner, _batch(t))
  _assert_equal(agent.acting_params(learner)['params'], learner.target_params)
  _assert_equal(plain.acting_params(learner), learner.params)
  # What is legal, and a prior, come along.
  learner = learner._replace(
      params={**learner.params, 'prior': {'w': 1.}, 'legal': {'actions': 2.}})
  params = agent.acting_params(learner)
  assert set(params) == {'params', 'prior', 'legal'}


@dataclasses.dataclass(frozen=True)
class _Forgets(agents.DQN):
  """Sets all its weights to a number at every third update."""

  def make_components(self):

    def before_update(learner, key):
      number = jax.random.uniform(key)
      return learner._replace(params=jax.tree.map(
          lambda x: jnp.where(learner.steps % 3 == 2, number, x),
          learner.params))

    return dataclasses.replace(
        super().make_components(), before_update=before_update)


def test_a_function_is_called_before_each_update():
  """With a key of its own each time; the update sees what it has done."""
  config = agents.DQNConfig(
      hidden_sizes=(8, 8), target=targets.Periodic(1), learning_rate=1e-2)
  agent, plain = (make(_SPEC, _ACTIONS, config)
                  for make in (_Forgets, agents.DQN))
  learner = _init(agent)(jax.random.PRNGKey(0))
  numbers = []
  for t in range(6):
    after, _ = _update(agent)(learner, _batch(t))
    if t % 3 == 2:
      # The target is copied after it, so it shows the number.
      number, = np.unique(np.concatenate(
          [x.ravel() for x in jax.tree.leaves(after.target_params)]))
      numbers.append(number)
      learner = learner._replace(params=jax.tree.map(
          lambda x, number=number: jnp.full_like(x, number), learner.params))
    expected, _ = _update(plain)(learner, _batch(t))
    _assert_close(after, expected)
    learner = after
  assert len(set(numbers)) == 2


def test_epsilon_on_a_schedule_of_the_actors_steps():
  agent = _dqn(acting=acting.EpsilonGreedy(
      epsilon=optax.linear_schedule(1., 0., 4)))
  params = _init(agent)(jax.random.PRNGKey(0)).params
  num = 5000
  actor = agent.init_actor(jax.random.PRNGKey(1), num)
  # Random actions of the warm-up are steps too.
  actor, _ = agent.select_random_action(params, actor)
  assert actor.steps == 1
  _, observations, actions = _act(
      agent, params, actor, np.zeros((5, num), bool))
  q = np.stack([
      _q_values(agent)(params, s, actor.index) for s in observations])
  rates = (actions != q.argmax(axis=-1)).mean(axis=1)
  for rate, epsilon in zip(rates, (0.75, 0.5, 0.25, 0., 0.), strict=True):
    expected = epsilon * (1. - 1. / _ACTIONS)
    assert abs(rate - expected) <= 5. * math.sqrt(
        expected * (1. - expected) / num)


def test_evaluation_is_greedy_for_one_index_an_episode():
  agent = _dqn(acting=acting.EpsilonGreedy(epsilon=1.))
  params = _init(agent)(jax.random.PRNGKey(0)).params
  actor = agent.init_evaluation(jax.random.PRNGKey(1), 50)
  observation = jnp.arange(50) % _CELLS
  _, action = agent.evaluate_action(
      params, actor, observation, jnp.zeros(50, bool))
  np.testing.assert_array_equal(action, np.argmax(
      _q_values(agent)(params, observation, actor.index), axis=-1))
  agent = _hyperagent(acting=acting.Thompson(1.))
  actor = agent.init_evaluation(jax.random.PRNGKey(1), 4)
  is_first = jnp.array([False, True, False, False])
  after, _ = agent.evaluate_action(
      _init(agent)(jax.random.PRNGKey(0)).params, actor,
      jnp.zeros(4, jnp.int32), is_first)
  np.testing.assert_array_equal(
      np.any(after.index != actor.index, axis=1), is_first)


@_one_agent
def test_weights_of_a_batch_reach_the_loss(make):
  agent = make()
  learner, batch = _init(agent)(jax.random.PRNGKey(0)), _batch(0)
  update = _update(agent)
  weights = jnp.asarray(np.linspace(0., 2., 8, dtype=np.float32))
  plain, metrics = update(learner, batch)
  _assert_equal(plain, update(learner, types.Batch(batch))[0])
  _assert_close(plain, update(learner, types.Batch(batch, jnp.ones(8)))[0])
  after, weighted = update(learner, types.Batch(batch, weights))
  np.testing.assert_allclose(
      weighted['losses'], metrics['losses'], rtol=1e-5)
  np.testing.assert_allclose(
      weighted['loss'], np.mean(weights * metrics['losses']), rtol=1e-5)
  # Adam's first step is of one length; its moments tell gradients apart.
  one, two = (jax.tree.leaves(optax.tree_utils.tree_get(x.opt_state, 'mu'))[0]
              for x in (after, plain))
  assert not np.allclose(one, two, rtol=0.05)


# Agents as values.


_all_agents = pytest.mark.parametrize('name', presets.AGENTS)


def _every(name) -> td.TDAgent:
  return presets.AGENTS[name](_SPEC, _ACTIONS)


@_all_agents
def test_agents_are_what_loops_expect(name):
  agent = _every(name)
  assert isinstance(agent, types.Agent)
  parts = agent.components
  assert isinstance(parts.loss, losses.Loss)
  assert isinstance(parts.target, targets.Target)
  for policy in (parts.acting, parts.evaluation):
    assert isinstance(policy, acting.Acting)
  assert isinstance(parts.index, index_lib.IndexDistribution)
  assert isinstance(agent.config.sampler, replay.Sampler)


@_all_agents
def test_pickled_and_copied_agents_are_equal(name):
  agent = _every(name)
  for again in (pickle.loads(pickle.dumps(agent)), copy.deepcopy(agent),
                copy.copy(agent)):
    assert again == agent and hash(again) == hash(agent)
    assert again.network == agent.network
  assert agent == _every(name)


def test_equal_agents_share_what_is_compiled_after_a_pickle():
  agent = _dqn()
  traces = []

  @functools.partial(jax.jit, static_argnums=0)
  def init(agent, key):
    traces.append(agent)
    return agent.init(key)

  init(agent, jax.random.key(0))
  init(pickle.loads(pickle.dumps(agent)), jax.random.key(0))
  assert len(traces) == 1


@_all_agents
def test_agents_have_no_settings_but_their_configs(name):
  agent = _every(name)
  with pytest.raises(TypeError, match='epsilon'):
    dataclasses.replace(agent, epsilon=.1)
  config = dataclasses.replace(agent.config, discount=0.5)
  other = dataclasses.replace(agent, config=config)
  assert type(other) is type(agent)
  assert other.config.discount == 0.5
  assert other == type(agent)(_SPEC, _ACTIONS, config)
  assert other != agent


@_all_agents
def test_replace_reaches_the_components(name):
  agent = dataclasses.replace(_every(name), config=dataclasses.replace(
      _every(name).config, target=targets.MovingAverage(0.5),
      double=not _every(name).config.double))
  assert agent.components.target == targets.MovingAverage(0.5)
  assert agent.components.loss != _every(name).components.loss
  assert dataclasses.replace(agent, num_actions=5).num_actions == 5


@pytest.mark.parametrize('agent, config', [
    (agents.DQN, agents.AdamLMCDQNConfig()),
    (agents.LangevinAdam, agents.AdamLMCDQNConfig()),
    (agents.BootDQN, agents.EnsemblePlusConfig())])
def test_a_config_that_extends_the_agents_is_another_algorithms(agent, config):
  with pytest.raises(ValueError, match='must be a .*, got that of .*Config'):
    agent(_NUMBERS, 2, config)


@pytest.mark.parametrize('agent, config', [
    (agents.BBF, agents.BBFConfig(
        acting=acting.UCB(), hidden_sizes=(2, 16), num_jumps=0,
        sequence_length=0, resets=None)),
    (agents.ENNDQN, agents.ENNDQNConfig(acting=acting.UCB()))])
def test_an_upper_confidence_bound_needs_affine_values(
    unchecked, agent, config):
  del unchecked
  agent = agent(_NUMBERS, 2, config)
  params = agent.init(jax.random.key(0)).params
  with pytest.raises(ValueError, match='affine in the index, .* got'):
    agent.select_action(params, agent.init_actor(jax.random.key(1), 2),
                        jnp.zeros((2, 3)), jnp.ones(2, bool))


def test_an_agent_without_components_is_refused():
  with pytest.raises(TypeError, match='TDAgent is no algorithm'):
    agents.TDAgent(_SPEC, _ACTIONS, agents.TDConfig())


# Presets.


def _domain(preset):
  """A spec that the preset is for."""
  if '_atari' in preset:
    return dm_specs.BoundedArray((4, 84, 84), np.uint8, 0, 255)
  if preset == 'minatar':
    return dm_specs.Array((10, 10, 4), np.float32)
  return _SPEC


_all_presets = pytest.mark.parametrize('agent, preset', [
    (agent, preset) for agent, all_presets in presets.PRESETS.items()
    for preset in all_presets])


def _preset(agent, preset) -> td.TDAgent:
  return presets.AGENTS[agent](
      _domain(preset), 6, presets.make(agent, preset))


@_all_presets
def test_every_preset_makes_an_agent(agent, preset):
  made = _preset(agent, preset)
  again = pickle.loads(pickle.dumps(made))
  assert again == made and hash(again) == hash(made)
  learner = jax.eval_shape(made.init, jax.random.key(0))
  assert networks.num_parameters(learner.params) > (
      0 if preset == 'random' else 1000)


@pytest.mark.slow
@_all_presets
def test_every_preset_makes_an_agent_that_learns(agent, preset):
  """As far as shapes go."""
  made = _preset(agent, preset)
  learner = jax.eval_shape(made.init, jax.random.key(0))
  spec, length = made.observation_spec, made.config.sequence_length
  batch = jax.eval_shape(lambda: types.Batch(types.Transition(
      jnp.zeros((2, *spec.shape), spec.dtype), jnp.zeros(2, jnp.int32),
      jnp.zeros(2), jnp.zeros(2), jnp.zeros((2, *spec.shape), spec.dtype),
      jnp.zeros(2, jnp.int32)), sequences=types.Sequences(
          jnp.zeros((2, length), jnp.int32),
          jnp.zeros((2, length, *spec.shape), spec.dtype),
          jnp.ones((2, length), bool)) if length else None))
  after, metrics = jax.eval_shape(made.update, learner, batch)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
      lambda x: (x.shape, x.dtype), learner)
  assert metrics['losses'].shape == (2,)


def test_presets_are_of_every_agent():
  assert presets.PRESETS.keys() == presets.AGENTS.keys()
  for agent, all_presets in presets.PRESETS.items():
    assert {'default', 'nature_atari', 'minatar'} <= all_presets.keys()
    for preset in all_presets:
      config = presets.make(agent, preset, discount=0.5)
      assert config.discount == 0.5
      assert config == dataclasses.replace(
          presets.make(agent, preset), discount=0.5)
      assert type(config) is type(presets.make(agent))


@pytest.mark.parametrize('agent, preset, words', [
    ('hyperagnet', 'default',
     "unknown agent 'hyperagnet'; did you mean hyperagent.*known: hyperagent,"),
    ('hyperagent', 'paper_atri',
     "unknown preset of hyperagent 'paper_atri'; did you mean .*paper_atari"),
    ('dqn', 'xyz', "unknown preset of dqn 'xyz'; known: default, nature_atari"),
])
def test_unknown_names_are_refused_with_near_ones(agent, preset, words):
  with pytest.raises(ValueError, match=words):
    presets.make(agent, preset)
