"""bsuite's environments in JAX against the real ones, one step at a time."""

from bsuite.environments import bandit as bsuite_bandit
from bsuite.environments import cartpole as bsuite_cartpole
from bsuite.environments import catch as bsuite_catch
from bsuite.environments import discounting_chain as bsuite_discounting_chain
from bsuite.environments import memory_chain as bsuite_memory_chain
from bsuite.environments import mountain_car as bsuite_mountain_car
from bsuite.environments import umbrella_chain as bsuite_umbrella_chain
from bsuite.experiments.cartpole_swingup import (
  cartpole_swingup as bsuite_swingup,
)
import hypothesis
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax.environments import bsuite
from hyperjax.environments.bsuite import cartpole
from hyperjax.environments.bsuite import cartpole_swingup
from hyperjax.environments.bsuite import catch
from hyperjax.environments.bsuite import discounting_chain
from hyperjax.environments.bsuite import memory_chain
from hyperjax.environments.bsuite import mountain_car
from hyperjax.environments.bsuite import umbrella_chain
from tests import bsuite_pairs as pairs

# Every shape compiles a program, so that shapes are from short lists.
_settings = hypothesis.settings(
    max_examples=60, deadline=None, derandomize=True)
_seeds = st.integers(0, 2**32 - 1)
_bits = st.integers(0, 1)
_NUM_SAMPLES = 10_000


def _floats(low, high):
  low, high = float(np.float32(low)), float(np.float32(high))
  return st.floats(low, high, width=32).map(np.float32)


@_settings
@hypothesis.given(_seeds, st.sampled_from([2, 3, 11]), st.data())
def test_bandit(seed, num_actions, data):
  ours = bsuite.Bandit(num_actions)
  theirs = bsuite_bandit.SimpleBandit(seed, num_actions)
  params = ours.params_from_seed(seed)
  action = data.draw(st.integers(0, num_actions - 1))
  _, *timesteps = pairs.step_both(ours, params, (), action, theirs)
  pairs.check_same(*timesteps)
  pairs.check_same(
      pairs.resetter(ours)(params, pairs.KEY)[1], theirs.reset())


@_settings
@hypothesis.given(
    st.sampled_from([(10, 5), (2, 1), (3, 4)]), st.integers(0, 2), st.data())
def test_catch(shape, action, data):
  rows, columns = shape
  ours, theirs = bsuite.Catch(*shape), bsuite_catch.Catch(*shape)
  theirs.reset()
  column = st.integers(0, columns - 1)
  state = catch.CatchState(*map(np.int32, (
      data.draw(st.integers(0, rows - 2)), data.draw(column),
      data.draw(column))))
  _, *timesteps = pairs.step_both(ours, (), state, action, theirs)
  pairs.check_same(*timesteps)


_poles = st.builds(
    cartpole.CartpoleState, _floats(-3.2, 3.2), _floats(-8, 8),
    st.one_of(_floats(-0.7, 0.7), _floats(-np.pi, np.pi)), _floats(-9, 9),
    st.one_of(st.integers(0, 1000), st.integers(997, 1000)).map(np.int32))


def _clear(theirs, *thresholds):
  """Discards states in which rounding decides."""
  state = theirs._state
  for value, threshold in (
      (np.cos(state.theta), thresholds[0]), (abs(state.x), 3.),
      *((abs(state.x), x) for x in thresholds[1:]),
      (abs(state.theta_dot), 1.)):
    hypothesis.assume(abs(value - threshold) > 1e-5)


@_settings
@hypothesis.given(_poles, st.integers(0, 2))
def test_cartpole(state, action):
  ours, theirs = bsuite.Cartpole(), bsuite_cartpole.Cartpole()
  _, *timesteps = pairs.step_both(ours, (), state, action, theirs)
  _clear(theirs, 0.8)
  pairs.check_same(*timesteps)


@_settings
@hypothesis.given(_poles, st.integers(0, 2), _floats(-1, 1), _floats(0, 3))
def test_cartpole_swingup(state, action, height, x_reward):
  ours = bsuite.CartpoleSwingup()
  theirs = bsuite_swingup.CartpoleSwingup(
      float(height), x_reward_threshold=float(x_reward))
  next_state, *timesteps = pairs.step_both(
      ours, ours.params(float(height), float(x_reward)),
      cartpole_swingup.SwingupState(state, np.int32(7)), action, theirs)
  _clear(theirs, height, x_reward)
  pairs.check_same(*timesteps)
  upright = 7 + theirs.bsuite_info()['total_upright']
  assert ours.episode_log(next_state)['num_upright'] == upright


@_settings
@hypothesis.given(
    st.one_of(_floats(-1.2, 0.6), st.just(np.float32(-1.2))),
    _floats(-0.07, 0.07),
    st.one_of(st.integers(0, 999), st.integers(996, 999)), st.integers(0, 2))
def test_mountain_car(position, velocity, t, action):
  ours, theirs = bsuite.MountainCar(), bsuite_mountain_car.MountainCar()
  state = mountain_car.MountainCarState(position, velocity, np.int32(t))
  _, *timesteps = pairs.step_both(ours, (), state, action, theirs)
  hypothesis.assume(abs(theirs._position - 0.5) > 1e-6)
  pairs.check_same(*timesteps)


@_settings
@hypothesis.given(
    _seeds, st.integers(0, 4), st.integers(0, 4),
    st.one_of(st.integers(0, 99), st.sampled_from([0, 2, 9, 29, 99])))
def test_discounting_chain(seed, context, action, t):
  ours = bsuite.DiscountingChain()
  theirs = bsuite_discounting_chain.DiscountingChain(seed)
  state = discounting_chain.DiscountingChainState(
      np.int32(context if t else -1), np.int32(t))
  _, *timesteps = pairs.step_both(
      ours, ours.params_from_seed(seed), state, action, theirs)
  pairs.check_same(*timesteps)


@_settings
@hypothesis.given(
    st.sampled_from([1, 3]), st.integers(1, 100), _bits, st.data())
def test_memory_chain(num_bits, length, action, data):
  ours = bsuite.MemoryChain(num_bits)
  theirs = bsuite_memory_chain.MemoryChain(length, num_bits)
  t = data.draw(st.one_of(
      st.integers(0, length), st.sampled_from([0, length - 1, length])))
  state = memory_chain.MemoryChainState(
      np.array(data.draw(st.lists(
          _bits, min_size=num_bits, max_size=num_bits)), np.int32),
      np.int32(data.draw(st.integers(0, num_bits - 1))), np.int32(t))
  _, *timesteps = pairs.step_both(
      ours, ours.params(length), state, action, theirs)
  pairs.check_same(*timesteps)


@_settings
@hypothesis.given(
    st.sampled_from([0, 4]), st.integers(1, 100), st.tuples(_bits, _bits),
    _bits, st.booleans(), st.data())
def test_umbrella_chain(num, length, weather, action, positive, data):
  ours = bsuite.UmbrellaChain(num)
  theirs = bsuite_umbrella_chain.UmbrellaChain(length, num)
  t = data.draw(st.one_of(
      st.integers(0, length - 1), st.sampled_from([0, length - 1])))
  state = umbrella_chain.UmbrellaChainState(*map(np.int32, (*weather, t)))
  bits = np.array(
      data.draw(st.lists(st.booleans(), min_size=num, max_size=num)), bool)
  theirs._rng = pairs.Draws(positive, bits)
  _, *timesteps = pairs.step_both(
      ours, ours.params(length), state, action, theirs, np.bool_(positive),
      bits)
  pairs.check_same(*timesteps)


def _zero_pole():
  # An unstable equilibrium, which nothing leaves.
  return cartpole.CartpoleState(*map(np.float32, (0, 0, 0, 0)), np.int32(0))


@pytest.mark.parametrize('ours, theirs, state, num_steps', [
    (bsuite.Cartpole(), bsuite_cartpole.Cartpole(), _zero_pole(), 1001),
    (bsuite.CartpoleSwingup(), bsuite_swingup.CartpoleSwingup(),
     cartpole_swingup.SwingupState(_zero_pole(), np.int32(0)), 1001),
    (bsuite.MountainCar(), bsuite_mountain_car.MountainCar(),
     mountain_car.MountainCarState(
         np.float32(-0.5), np.float32(0.), np.int32(0)), 1000)],
    ids=['cartpole', 'cartpole_swingup', 'mountain_car'])
def test_time_ends_an_episode_with_discount_0(ours, theirs, state, num_steps):
  assert ours.max_episode_length == num_steps
  pairs.copy_state(state, theirs)
  step = pairs.stepper(ours)
  params, action = ours.params(), jnp.int32(1)
  for t in range(1, num_steps + 1):
    state, timestep = step(params, state, action, pairs.KEY)
    expected = theirs.step(1)
    assert bool(timestep.last()) == expected.last() == (t == num_steps)
  assert timestep.discount == expected.discount == 0.
  np.testing.assert_allclose(
      timestep.observation, expected.observation, atol=1e-3)


def _uniform(samples, low, high):
  samples = np.asarray(samples, float)
  assert samples.min() >= low and samples.max() <= high
  width = high - low
  margin = 4 * width / np.sqrt(12 * len(samples))
  assert samples.mean() == pytest.approx((low + high) / 2, abs=margin)
  assert samples.std() == pytest.approx(width / np.sqrt(12), rel=0.03)


def _even(samples, num_values):
  """Asserts that integers are spread evenly over 0..num_values-1."""
  counts = np.bincount(np.ravel(samples), minlength=num_values)
  assert len(counts) == num_values
  expected = counts.sum() / num_values
  assert np.all(abs(counts - expected) < 5 * np.sqrt(expected))


def _resets(environment, params):
  keys = jax.random.split(jax.random.key(7), _NUM_SAMPLES)
  return jax.device_get(pairs.many_resets(environment)(params, keys))


def test_first_states_are_distributed_as_in_bsuite():
  state, timestep = _resets(bsuite.Catch(), ())
  _even(state.ball_column, 5)
  assert np.all(timestep.observation[:, 9, 2] == 1.)
  state, timestep = _resets(bsuite.Cartpole(), ())
  for value in state[:4]:
    _uniform(value, -0.05, 0.05)
  assert np.abs(np.corrcoef(state[:4]) - np.eye(4)).max() < 0.05
  np.testing.assert_allclose(
      timestep.observation[:, 0, 3], np.cos(state.theta), atol=1e-6)
  swingup = bsuite.CartpoleSwingup()
  state, timestep = _resets(swingup, swingup.params())
  _uniform(np.mod(state.cartpole.theta, 2 * np.pi), np.pi - 0.0501,
           np.pi + 0.0501)
  assert np.all(abs(state.cartpole.theta) <= np.float32(np.pi))
  _uniform(state.cartpole.theta_dot, -0.05, 0.05)
  assert timestep.observation.shape == (_NUM_SAMPLES, 1, 8)
  state, timestep = _resets(bsuite.MountainCar(), ())
  _uniform(state.position, -0.6, -0.4)
  assert np.all(state.velocity == 0.) and np.all(state.t == 0)
  memory = bsuite.MemoryChain(3)
  state, timestep = _resets(memory, memory.params(1))
  _even(state.context, 2)
  _even(state.query, 3)
  np.testing.assert_array_equal(
      timestep.observation[:, 0, 2:], 2 * state.context - 1)
  # At length 1 the first observation is the deciding one.
  np.testing.assert_array_equal(timestep.observation[:, 0, 1], state.query)
  umbrella = bsuite.UmbrellaChain(4)
  state, timestep = _resets(umbrella, umbrella.params(20))
  _even(2 * state.needs_umbrella + state.has_umbrella, 4)
  np.testing.assert_array_equal(
      timestep.observation[:, 0, :2],
      np.stack([state.needs_umbrella, state.has_umbrella], axis=-1))
  _even(timestep.observation[:, 0, 3:].astype(int) @ [8, 4, 2, 1], 16)


def test_umbrella_chain_draws_rewards_and_distractors():
  environment = bsuite.UmbrellaChain(4)
  params = environment.params(20)
  state, _ = pairs.resetter(environment)(params, pairs.KEY)
  keys = jax.random.split(jax.random.key(8), _NUM_SAMPLES)
  _, timestep = jax.device_get(
      pairs.many_steps(environment)(params, state, jnp.int32(0), keys))
  bits = timestep.observation[:, 0, 3:].astype(int) @ [8, 4, 2, 1]
  _even(2 * bits + (timestep.reward > 0.), 32)
  assert set(timestep.reward) == {-1., 1.}


@pytest.mark.parametrize('make, words', [
    (lambda: bsuite.Bandit(1), 'num_actions must be at least 2, got 1'),
    (lambda: bsuite.Bandit().params_from_seed(-1), 'seed of 0'),
    (lambda: bsuite.Catch(rows=1), 'rows must be at least 2, got 1'),
    (lambda: bsuite.Catch(columns=2.), 'columns must be an integer'),
    (lambda: bsuite.CartpoleSwingup().params(1.5), 'height_threshold must be'),
    (lambda: bsuite.CartpoleSwingup().params(0., np.nan), 'must be finite'),
    (lambda: bsuite.DiscountingChain().params_from_seed(True), 'seed'),
    (lambda: bsuite.MemoryChain(0), 'num_bits must be at least 1'),
    (lambda: bsuite.MemoryChain(1, 5).params(6), 'memory_length must be at mo'),
    (lambda: bsuite.UmbrellaChain(-1), 'num_distractors must be at least 0'),
    (lambda: bsuite.UmbrellaChain(1, 5).params(0), 'chain_length must be at l'),
    (lambda: bsuite.Task(bsuite.Catch), 'got the class Catch'),
    (lambda: bsuite.Task(bsuite.Catch()).params((), -1.), 'noise_scale must'),
    (lambda: bsuite.Task(bsuite.Catch()).params((), 0., np.inf),
     'reward_scale must be finite'),
])
@pytest.mark.usefixtures('unchecked')
def test_invalid_settings_are_refused(make, words):
  with pytest.raises(ValueError, match=words):
    make()


@pytest.mark.parametrize('environment, params', [
    (bsuite.Bandit(3), bsuite.Bandit(4).params_from_seed(0)),
    *((environment, jax.tree.map(lambda x: x[None], params))
      for environment, params in [
          (bsuite.CartpoleSwingup(), bsuite.CartpoleSwingup().params()),
          (bsuite.DiscountingChain(),
           bsuite.DiscountingChain().params_from_seed(0)),
          (bsuite.MemoryChain(), bsuite.MemoryChain().params(2)),
          (bsuite.UmbrellaChain(2), bsuite.UmbrellaChain(2).params(2)),
          (bsuite.Task(bsuite.Catch()), bsuite.Task(bsuite.Catch()).params(())),
      ])])
@pytest.mark.usefixtures('unchecked')
def test_parameters_of_other_shapes_are_refused(environment, params):
  def episode(params):
    state, _ = environment.reset(params, pairs.KEY)
    return environment.step(params, state, jnp.int32(0), pairs.KEY)

  with pytest.raises(ValueError, match='expected .* of shape'):
    jax.eval_shape(episode, params)
