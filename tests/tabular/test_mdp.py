"""Planning against enumeration, episodes against the MDP, and bad input."""

import itertools

import hypothesis
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import tabular
from hyperjax.tabular import environments
from tests.tabular import small

_solve = jax.jit(tabular.backward_induction, static_argnums=2)
_value = jax.jit(tabular.policy_value)
_best = jax.jit(tabular.optimal_value)


def _value_by_forward_sums(p, r, policy, start=0):
  """The expected sum of rewards, by the distribution of the state."""
  at, total = np.eye(p.shape[1])[start], 0.
  for h, actions in enumerate(policy):
    states = np.arange(p.shape[1])
    total += at @ r[h, states, actions]
    at = at @ p[h, states, actions]
  return total


def test_the_optimal_value_is_the_best_of_all_policies():
  p, r = small.random_arrays()
  mdp = tabular.make_mdp(p, r)
  policies = [np.reshape(x, (3, 3)) for x in itertools.product(
      range(2), repeat=9)]
  values = [_value_by_forward_sums(p, r, policy) for policy in policies]
  assert float(_best(mdp)) == pytest.approx(max(values), abs=1e-5)
  for i in range(0, len(policies), 100):
    assert float(_value(mdp, jnp.int32(policies[i]))) == pytest.approx(
        values[i], abs=1e-5)


def test_shared_stages_are_the_same_at_every_stage():
  p, r = small.random_arrays()
  for q, expected in zip(
      _solve(p[:1], r, False), _solve(np.repeat(p[:1], 3, 0), r, False),
      strict=True):
    np.testing.assert_allclose(q, expected, atol=1e-6)


@hypothesis.given(st.integers(0, 2**31 - 1))
@hypothesis.settings(max_examples=30, deadline=None)
def test_values_and_policies_of_random_mdps(seed):
  p, r = small.random_arrays(seed)
  q = np.asarray(_solve(p, r, False))
  left = np.arange(3, 0, -1)[:, None, None]
  assert (q >= 0.).all() and (q <= left + 1e-5).all()
  mdp = tabular.make_mdp(p, r)
  greedy = jnp.asarray(q.argmax(axis=-1), jnp.int32)
  best = float(_best(mdp))
  assert float(_value(mdp, greedy)) == pytest.approx(best, abs=1e-5)
  policy = np.random.default_rng(seed).integers(0, 2, (3, 3), np.int32)
  assert float(_value(mdp, policy)) <= best + 1e-5


def test_clipping_keeps_values_between_zero_and_the_steps_left():
  p, r = small.random_arrays()
  high, low = (np.asarray(_solve(p, r + shift, True)) for shift in (9., -9.))
  # The last stage has no value after it; the others have the clipped one.
  np.testing.assert_allclose(high[-1], r[-1] + 9., rtol=1e-6)
  np.testing.assert_allclose(high[0], r[0] + 9. + 2., rtol=1e-6)
  np.testing.assert_allclose(low[0], r[0] - 9., rtol=1e-6)


def test_episodes_follow_the_transitions():
  p, r = small.random_arrays()
  p = p.copy()
  p[:, :, :, 1] = 0.  # An impossible state.
  p /= p.sum(axis=-1, keepdims=True)
  mdp = tabular.make_mdp(p, r)
  policy = np.int32([[0, 1, 0], [1, 0, 1], [0, 0, 1]])
  num = 20_000
  episodes = jax.jit(jax.vmap(tabular.play, in_axes=(None, None, 0)))(
      mdp, policy, jax.random.split(jax.random.key(0), num))
  assert (episodes.states[:, 0] == 0).all()
  assert (episodes.states != 1).all()
  for h in range(3):
    states = np.asarray(episodes.states[:, h])
    np.testing.assert_array_equal(episodes.actions[:, h], policy[h, states])
    np.testing.assert_allclose(
        episodes.rewards[:, h], r[h, states, policy[h, states]], rtol=1e-6)
    for s in (0, 2):
      after = np.asarray(episodes.states[:, h + 1])[states == s]
      if len(after):
        share = np.bincount(after, minlength=3) / len(after)
        np.testing.assert_allclose(
            share, p[h, s, policy[h, s]], atol=5. * (0.25 / len(after))**0.5)
  mean = np.asarray(episodes.rewards.sum(axis=1))
  assert mean.mean() == pytest.approx(
      float(_value(mdp, policy)), abs=5. * float(mean.std()) / num**0.5)


def _broken(name, entry, value):
  p, r = (x.copy() for x in small.random_arrays())
  (p if name == 'p' else r)[entry] = value
  return p, r


@pytest.mark.parametrize('arguments, expected', [
    (_broken('p', (1, 2, 0), [0.5, 0.5, 0.2]),
     r'^the sum of transitions\[1, 2, 0\] must be 1, got 1\.2'),
    (_broken('p', (1, 0, 1), [-0.5, 1., 0.5]),
     r'^transitions\[1, 0, 1, 0\] must be a probability, got -0\.5'),
    (_broken('p', (0, 0, 0, 1), np.nan),
     r'^transitions\[0, 0, 0, 1\] must be a probability, got nan'),
    (_broken('r', (2, 1, 0), 1.5),
     r'^rewards\[2, 1, 0\] must be between 0.0 and 1.0, got 1.5'),
    (_broken('r', (0, 1, 1), -0.1),
     r'^rewards\[0, 1, 1\] must be between 0.0 and 1.0, got -0.1'),
    ((np.ones((2, 3, 2, 3)) / 3., np.zeros((3, 3, 2))),
     r'^expected transitions of shape \(3, 3, 2, 3\) or \(1, 3, 2, 3\)'),
    ((np.ones((1, 0, 2, 0)), np.zeros((3, 0, 2))),
     r'^expected rewards of shape \[H, S, A\] .* got \(3, 0, 2\)'),
])
def test_an_mdp_that_cannot_be_names_the_first_entry(arguments, expected):
  with pytest.raises(ValueError, match=expected):
    tabular.make_mdp(*arguments)


def test_rewards_may_have_another_range():
  p, r = small.random_arrays()
  tabular.make_mdp(p, -r, lowest=-1.)
  with pytest.raises(ValueError, match='the start must be at most 2, got 3'):
    tabular.make_mdp(p, r, start=3)


@pytest.mark.parametrize('name', ['num_states', 'num_actions', 'horizon'])
@pytest.mark.parametrize('value', [0, -1, 1.5])
def test_sizes_below_one_are_refused(name, value, unchecked):
  sizes = {'num_states': 2, 'num_actions': 2, 'horizon': 2, name: value}
  with pytest.raises(ValueError, match=f'^{name} of an MDP must be .*{value}'):
    tabular.Sizes(**sizes)


@pytest.mark.parametrize('policy, expected', [
    (np.zeros((4, 2), np.int32), r'shape \(4, 3\) .*got \(4, 2\)'),
    (np.zeros(4, np.int32), r'shape \(4, 3\) .*got \(4,\)'),
    (np.zeros((4, 3), np.float32), r'shape .* type int32, got .*float32'),
])
def test_a_policy_of_another_shape_is_refused(policy, expected, unchecked):
  for function in (
      lambda: tabular.policy_value(small.RIVER, policy),
      lambda: tabular.play(small.RIVER, policy, jax.random.key(0)),
      lambda: tabular.check_policy(policy, small.SIZES)):
    with pytest.raises(ValueError, match=f'^expected a policy of {expected}'):
      function()


def test_an_action_that_is_not_there_is_named():
  policy = np.zeros((4, 3), np.int32)
  tabular.check_policy(policy, small.SIZES)
  policy[2, 1] = 2
  with pytest.raises(
      ValueError, match=r'^policy\[2, 1\] must be an action of 0..1, got 2'):
    tabular.check_policy(policy, small.SIZES)


@pytest.mark.parametrize('mdp, value', [
    (environments.river_swim(), 3.3973),
    (environments.grid_world(), 9.482),
    (environments.deep_sea(10), 0.99),
    (environments.chain(3, 1), 0.05),
], ids=['river_swim', 'grid_world', 'deep_sea', 'chain'])
def test_optimal_values_that_are_known(mdp, value):
  assert float(_best(mdp)) == pytest.approx(value, abs=1e-3)
  np.testing.assert_allclose(mdp.transitions.sum(axis=-1), 1., atol=1e-6)


def test_swimming_left_for_ever_pays_little():
  mdp = environments.river_swim()
  left = jnp.zeros((20, 6), jnp.int32)
  assert float(_value(mdp, left)) == pytest.approx(0.1, abs=1e-6)


def test_deep_sea_is_the_environment_of_the_deep_agents():
  from hyperjax.environments import deep_sea
  size = 4
  environment = deep_sea.DeepSea(size)
  params = environment.params_from_seed(3)
  mdp = environments.deep_sea(size, params.action_mapping)
  step, key = jax.jit(environment.step), jax.random.key(0)
  for actions in itertools.product(range(2), repeat=size):
    state, _ = environment.reset(params, key)
    column, total, expected = 0, 0., 0.
    for h, action in enumerate(actions):
      state, timestep = step(params, state, jnp.int32(action), key)
      total += float(timestep.reward)
      expected += float(mdp.rewards[h, column, action])
      column = int(mdp.transitions[h, column, action].argmax())
      # N after an end with the treasure.
      assert column == min(int(state.column), size - 1)
    assert total == pytest.approx(expected, abs=1e-6)


def test_a_grid_of_two_cells_a_side():
  mdp = environments.grid_world(2, 3)
  # From (0, 0): down succeeds with 0.8, else right; up stays.
  np.testing.assert_allclose(
      mdp.transitions[0, 0, 1], [0., 0.2, 0.8, 0.], atol=1e-6)
  np.testing.assert_allclose(mdp.transitions[0, 0, 0], [1., 0., 0., 0.])


def test_random_mdps_have_the_prior_of_the_theorems():
  keys = jax.random.split(jax.random.key(1), 2000)
  mdps = jax.jit(jax.vmap(environments.random_mdp))(keys)
  rows = np.asarray(mdps.transitions, np.float64)
  assert rows.shape == (2000, 5, 5, 3, 5)
  # Of Dir(3/5, ...): mean 1/5, variance (1/5)(4/5) / (3 + 1).
  error = 5. / rows[..., 0].size**0.5
  assert rows[..., 0].mean() == pytest.approx(0.2, abs=error)
  assert rows[..., 0].var() == pytest.approx(0.04, abs=error)
  assert np.asarray(mdps.rewards).mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize('make, expected', [
    (lambda: environments.river_swim(1), 'num_states must be at least 2'),
    (lambda: environments.grid_world(5, 0), 'horizon must be at least 1'),
    (lambda: environments.chain(failure=1.5), 'failure must be between'),
    (lambda: environments.deep_sea(3, np.zeros((2, 2), np.int32)),
     r'an action_mapping of shape \(3, 3\), got \(2, 2\)'),
    (lambda: environments.random_mdp(jax.random.key(0), prior_mass=0.),
     'prior_mass must be positive, got 0'),
])
def test_environments_refuse_what_cannot_be(make, expected, unchecked):
  with pytest.raises(ValueError, match=expected):
    make()
