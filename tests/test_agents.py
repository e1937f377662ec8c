"""Agents: settings, acting, and the learner that they share."""

import dataclasses
import functools
import math
import re

from dm_env import specs as dm_specs
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperjax import agents
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import types

_CELLS = 9
_ACTIONS = 3
_SPEC = dm_specs.DiscreteArray(_CELLS)

# Programs here run once or twice: optimising them costs more than it gains.
_jit = functools.partial(
    jax.jit, compiler_options={'xla_backend_optimization_level': 0})


@functools.cache  # So that an agent meets the programs compiled before.
def _hyperagent(**overrides) -> agents.HyperAgent:
  return agents.HyperAgent(_SPEC, _ACTIONS, agents.HyperAgentConfig.thompson(**{
      'hidden_sizes': (8, 8), 'perturbation_scale': 0.1, 'target_period': 3,
      'learning_rate': 1e-2, **overrides}))


@functools.cache
def _dqn(**overrides) -> agents.DQN:
  return agents.DQN(_SPEC, _ACTIONS, agents.DQNConfig(**{
      'hidden_sizes': (8, 8), 'target_period': 3, 'learning_rate': 1e-2,
      **overrides}))


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
    'make', [_hyperagent, _sampled, _dqn], ids=['exact', 'sampled', 'dqn'])


_two_agents = pytest.mark.parametrize(
    'make', [_hyperagent, _dqn], ids=['exact', 'dqn'])


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


@_two_agents
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


@_two_agents
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
  agent = make(target_period=period)
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
    (_hyperagent, 0.5), (_sampled, None), (_dqn, 0.5)],
    ids=['exact', 'sampled', 'dqn'])
def test_update_is_the_gradient_step(make, max_norm):
  agent = make(max_gradient_norm=max_norm, adam_epsilon=1e-3)
  learner = _init(agent)(jax.random.PRNGKey(4))
  optimizer = optax.adam(1e-2, b1=0.9, b2=0.999, eps=1e-3)
  index_key, perturbation_key = jax.random.split(learner.key)

  @_jit
  def by_hand(trained, target, opt_state, batch, t):
    def loss_fn(trained):
      return agent.loss(
          {**learner.params, 'params': trained},
          {**learner.params, 'params': target},
          batch, jax.random.fold_in(index_key, t), perturbation_key)[0]

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
  agent = _sampled(perturbation_scale=0., target_period=100)
  learner = _init(agent)(jax.random.PRNGKey(5))
  update = _update(agent)
  # Nothing but the step differs.
  at = [update(learner._replace(steps=jnp.int32(t)), _batch(0))[1]['loss']
        for t in (1, 1, 2)]
  assert at[0] == at[1] != at[2]
  # An exact loss of terminal transitions knows no index: u is all its chance.
  agent = _hyperagent(perturbation_scale=5.)
  update = _update(agent)
  batch = _batch(0)._replace(discount=np.zeros(8, np.float32))
  at = [update(learner._replace(steps=jnp.int32(t)), b)[1]['loss']
        for t, b in ((1, batch), (2, batch),
                     (1, batch._replace(uid=batch.uid + 1)))]
  assert at[0] == at[1]
  assert abs(at[0] - at[2]) > 1e-2


@_two_agents
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
  agent = _hyperagent(resample_probability=0.)
  params = _init(agent)(jax.random.PRNGKey(0)).params
  actor = agent.init_actor(jax.random.PRNGKey(1), 5)
  is_first = np.random.default_rng(2).random((60, 5)) < 0.3
  indices, _, _ = _act(agent, params, actor, is_first)
  np.testing.assert_array_equal(_redrawn(indices), is_first)
  # No two draws are the same, over time and over environments.
  drawn = indices[1:][is_first]
  assert len(np.unique(drawn, axis=0)) == len(drawn)


def test_a_new_index_at_every_step():
  agent = _hyperagent(resample_probability=1.)
  params = _init(agent)(jax.random.PRNGKey(0)).params
  actor = agent.init_actor(jax.random.PRNGKey(1), 5)
  indices, _, _ = _act(agent, params, actor, np.zeros((30, 5), bool))
  assert _redrawn(indices).all()


@pytest.mark.parametrize('p', [0.05, 0.3])
def test_a_new_index_at_the_given_rate(p):
  agent = _hyperagent(resample_probability=p)
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
  agent = _hyperagent(resample_probability=0.2)
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
  agent = _dqn(epsilon=epsilon)
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
    dict(), dict(acting_optimism_scale=1.), dict(optimism_indices=3),
    dict(num_index_samples=2)])
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
    (_hyper(prior_scale=-0.5), r'prior_scale must.* got -0\.5'),
    (_hyper(prior_std=-0.5), r'prior_std must.* got -0\.5'),
    (_hyper(perturbation_scale=-0.5), r'perturbation_scale must.* got -0\.5'),
    (_hyper(resample_probability=1.5),
     r'resample_probability must.* got 1\.5'),
    (_hyper(prior_scale=math.nan), 'prior_scale must.* got nan'),
    (_hyper(index=index_lib.OneHot), 'uniform_prior is for .* got OneHot'),
    (_hyper(index=index_lib.OneHot, uniform_prior=False, head_ridge=0.1),
     'head_ridge is for .* got OneHot'),
    (_hyper(raw_perturbation=True), 'raw_perturbation is for .* got Gaussian'),
    (_plain(epsilon=-0.1), r'epsilon must.* got -0\.1'),
    (_plain(epsilon=1.1), r'epsilon must.* got 1\.1'),
    (_plain(hidden_sizes=()), r'hidden_sizes must.* got \(\)'),
    (_plain(hidden_sizes=(8, 0)), 'hidden_sizes must.* got 0'),
    (_plain(discount=1.5), r'discount must.* got 1\.5'),
    (_plain(discount=-0.5), r'discount must.* got -0\.5'),
    (_plain(discount=math.nan), 'discount must.* got nan'),
    (_plain(learning_rate=-1.), 'learning_rate must.* got -1'),
    (_plain(adam_epsilon=-1.), 'adam_epsilon must.* got -1'),
    (_plain(max_gradient_norm=0.), 'max_gradient_norm must.* got 0'),
    (_plain(batch_size=0), 'batch_size must.* got 0'),
    (_plain(target_period=0), 'target_period must.* got 0'),
    (_plain(replay_capacity=0), 'replay_capacity must.* got 0'),
    (_plain(min_replay_size=0), 'min_replay_size must.* got 0'),
    (_hyper(acting_optimism_scale=-1.),
     'acting_optimism_scale must.* got -1'),
    (_plain(recent_fraction=-0.1), r'recent_fraction must.* got -0\.1'),
    (_plain(prioritized_fraction=1.1),
     r'prioritized_fraction must.* got 1\.1'),
    (_plain(tournament_size=0), 'tournament_size must.* got 0'),
    (_plain(steps_per_update=0), 'steps_per_update must.* got 0'),
    (_plain(updates_per_step=0), 'updates_per_step must.* got 0'),
    (_plain(batch_size=51, replay_capacity=50, min_replay_size=1),
     'batch_size must be at most replay_capacity, 50, got 51'),
    (_plain(batch_size=1, replay_capacity=50, min_replay_size=51),
     'min_replay_size must be at most replay_capacity, 50, got 51'),
])
def test_refuses_a_setting_and_names_it(make, message):
  with pytest.raises(ValueError, match=f'^{message}'):
    make()


def test_layers_may_be_a_list():
  config = agents.DQNConfig(hidden_sizes=[8, 8])
  assert hash(config) == hash(agents.DQNConfig(hidden_sizes=(8, 8)))


def test_a_uniform_prior_takes_its_spread_from_its_scale_alone():
  def spread(**settings):
    agent = _hyperagent(prior_scale=0.5, uniform_prior=True, scale=0.,
                        **settings)
    index = agent.index.sample(jax.random.key(1), (4000, 1))
    params = agent.init(jax.random.key(0)).params
    return np.std(jax.vmap(agent.q_values, in_axes=(None, None, 0))(
        params, jnp.zeros(1, jnp.int32), index), axis=0)

  np.testing.assert_allclose(spread(), 0.5, rtol=0.1)
  np.testing.assert_array_equal(spread(prior_std=0.), spread(prior_std=3.))


def test_refuses_through_the_preset_too():
  with pytest.raises(ValueError, match='index_dim must.* got 0'):
    agents.HyperAgentConfig.paper_deep_sea(index_dim=0)


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


def test_paper_atari():
  """What differs from DeepSea there, by the table of the authors' settings."""
  atari = dataclasses.asdict(agents.HyperAgentConfig.paper_atari())
  deep_sea = dataclasses.asdict(agents.HyperAgentConfig.paper_deep_sea())
  assert {k: v for k, v in atari.items() if v != deep_sea[k]} == {
      'scale': 0.1,
      'prior_scale': 0.1,
      'prior_std': 0.1,
      'xavier_mean': True,
      'perturbation_scale': 0.01,
      'raw_perturbation': True,
      'gradient_penalty': 0.01,
      'head_ridge': 0.01,
      'torso': networks.HyperAgentTorso,
      'hidden_sizes': (256,),
      'n_step': 5,
      'learning_rate': 1e-4,
      'batch_size': 32,
      'target_period': 5,
      'replay_capacity': 100_000,
      'min_replay_size': 2000,
  }
  torso = networks.HyperAgentTorso
  assert (torso.scale_input, torso.normalise) == (False, True)


def test_paper_deep_sea():
  """Every value of the authors' code, szrlee/HyperAgent at 014902c."""
  config = agents.HyperAgentConfig.paper_deep_sea()
  assert dataclasses.asdict(config) == {
      'index_dim': 4,
      'index': index_lib.Sphere,  # noise_norm = 1.
      'num_index_samples': 20,
      'scale': 1.,
      'prior_scale': 10.,
      'prior_std': 1.,
      'perturbation_scale': 0.,
      'resample_probability': pytest.approx(1. - 0.99),
      'hidden_sizes': (64, 64),
      'discount': 0.99,
      'double': True,
      'learning_rate': 1e-3,
      'adam_epsilon': 1.5e-4,
      'max_gradient_norm': 10.,
      'batch_size': 128,
      'target_period': 4,
      'replay_capacity': 1_000_000,
      'min_replay_size': 128,
      'steps_per_update': 1,
      'updates_per_step': 1,
      'optimism_indices': 1,
      'optimism_quantile': 0.8,
      'optimism_scale': 0.,
      'acting_optimism_scale': 0.,
      'uniform_prior': False,
      'torso': networks.MLPTorso,
      'n_step': 1,
      'xavier_mean': False,
      'raw_perturbation': False,
      'gradient_penalty': 0.,
      'head_ridge': 0.,
      'recent_fraction': 0.,
      'recent_window': 1000,
      'prioritized_fraction': 0.,
      'tournament_size': 4,
      'lazy_rows': False,
  }


@pytest.mark.parametrize('size, total, trained', [
    (10, 22_528, 11_264), (20, 60_928, 30_464), (30, 124_928, 62_464),
    (50, 329_728, 164_864)])
def test_paper_deep_sea_has_the_published_number_of_parameters(
    size, total, trained):
  agent = agents.HyperAgent(
      dm_specs.DiscreteArray(size**2), 2,
      agents.HyperAgentConfig.paper_deep_sea())
  params = jax.eval_shape(agent.init, jax.random.PRNGKey(0)).params

  def count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))

  assert count(params) == total
  assert count(params['params']) == trained


def test_paper_deep_sea_can_be_overridden():
  config = agents.HyperAgentConfig.paper_deep_sea(index_dim=8, discount=0.9)
  assert config == dataclasses.replace(
      agents.HyperAgentConfig.paper_deep_sea(), index_dim=8, discount=0.9)


def test_settings_reach_the_components():
  config = agents.HyperAgentConfig.paper_deep_sea(
      hidden_sizes=(8,), index_dim=6, perturbation_scale=0.5, double=False)
  agent = agents.HyperAgent(_SPEC, _ACTIONS, config)
  assert agent.index == index_lib.Sphere(6)
  assert agent.resample_probability == 0.01
  assert agent.epsilon == 0.
  assert isinstance(agent.loss, losses.SampledTD)
  assert agent.loss.indices == losses.FreshIndices(20)
  assert not agent.loss.double
  assert agent.loss.index == agent.index
  assert agent.loss.perturbation.scale == 0.5
  exact = _hyperagent(index=index_lib.Cube, index_dim=6)
  assert isinstance(exact.loss, losses.ExactTD)
  assert exact.index == index_lib.Cube(6)
  # Unit norm, whatever the index.
  assert exact.loss.perturbation.distribution == index_lib.Sphere(6)
  assert _dqn(epsilon=0.25).epsilon == 0.25
  assert _dqn().index == index_lib.NoIndex()
