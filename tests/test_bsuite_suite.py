"""bsuite's ids: their environments, parameters, logs, and names."""

import functools

import bsuite
from bsuite import sweep
from bsuite.environments import catch as bsuite_catch
from bsuite.environments import mnist as bsuite_mnist
from bsuite.utils import datasets
from bsuite.utils import wrappers
import hypothesis
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax.environments import DeepSea
from hyperjax.environments import base
from hyperjax.environments.bsuite import catch
from hyperjax.environments.bsuite import mnist
from hyperjax.environments.bsuite import suite
from hyperjax.environments.bsuite import task
from hyperjax.environments.bsuite import umbrella_chain
from hyperjax.loops import OnDeviceLoop
from tests import bsuite_pairs as pairs
from tests import mnist_files
from tests import small


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('images')
  mnist_files.write(folder)
  return folder


@pytest.fixture(scope='module')
def all_programs(folder):
  return suite.programs(suite.ids('SWEEP'), mnist.load(folder))


def _theirs(bsuite_id):
  environment = bsuite.load_from_id(bsuite_id)
  return environment, getattr(environment, 'raw_env', environment)


def _params_of(theirs, raw):
  """Returns the parameters of bsuite's environments by our names."""
  values = {
      'noise_scale': getattr(theirs, '_noise_scale', 0.),
      'reward_scale': getattr(theirs, '_reward_scale', 1.)}
  name = type(raw).__name__
  if name == 'SimpleBandit':
    values['arm_rewards'] = raw._rewards
  elif name == 'DeepSea':
    values['action_mapping'] = raw._action_mapping
  elif name == 'DiscountingChain':
    values['bonus_arm'] = np.argmax(raw._rewards)
  elif name == 'MemoryChain':
    values['memory_length'] = raw._memory_length
  elif name == 'UmbrellaChain':
    values['chain_length'] = raw._chain_length
  elif name == 'CartpoleSwingup':
    values['height_threshold'] = raw._height_threshold
    values['x_reward_threshold'] = raw._x_reward_threshold
  return values


def test_all_ids_have_the_specs_and_settings_of_bsuite(
    all_programs, folder, monkeypatch):
  monkeypatch.setattr(
      bsuite_mnist.datasets, 'load_mnist',
      functools.partial(datasets.load_mnist, str(folder)))
  seen = []
  for program in all_programs:
    environment = program.environment
    params = jax.device_get(program.params)
    flat = params.environment._asdict() if params.environment else {}
    flat |= dict(noise_scale=params.noise_scale,
                 reward_scale=params.reward_scale)
    for i, bsuite_id in enumerate(program.bsuite_ids):
      theirs, raw = _theirs(bsuite_id)
      spec, expected = environment.observation_spec(), theirs.observation_spec()
      assert (spec, type(spec), spec.name, spec.dtype) == (
          expected, type(expected), expected.name, expected.dtype)
      spec, expected = environment.action_spec(), theirs.action_spec()
      assert spec.num_values == expected.num_values
      assert spec.dtype == np.int32
      values = _params_of(theirs, raw)
      assert flat.keys() == values.keys()
      for name, value in values.items():
        np.testing.assert_array_equal(
            flat[name][i], np.asarray(value, flat[name].dtype))
      assert program.num_episodes[i] == theirs.bsuite_num_episodes
      # What decides whether right may fail is not among the parameters.
      assert getattr(environment.environment, 'stochastic', None) == (
          not raw._deterministic if hasattr(raw, '_deterministic') else None)
    seen += program.bsuite_ids
  assert sorted(seen) == sorted(sweep.SWEEP) and len(seen) == 468


def test_ids_of_equal_shapes_are_one_program(all_programs):
  num_ids = {program.bsuite_ids[0]: len(program.bsuite_ids)
             for program in all_programs}
  for family in ('bandit', 'cartpole', 'catch', 'mnist', 'mountain_car'):
    assert num_ids.pop(f'{family}/0') == 60  # With noise and scale.
  for family in ('cartpole_swingup', 'discounting_chain'):
    assert num_ids.pop(f'{family}/0') == 20
  for family in ('memory_len', 'umbrella_length'):
    assert num_ids.pop(f'{family}/0') == 23
  # Sizes of DeepSea, numbers of bits and of distractors.
  assert len(num_ids) == 2 * 21 + 17 + 23
  assert set(num_ids.values()) == {1}
  longest = {program.bsuite_ids[0]: program.environment.max_episode_length
             for program in all_programs}
  assert longest['memory_len/0'] == 101
  assert longest['umbrella_length/0'] == 100
  assert longest['memory_size/0'] == 3
  assert longest['umbrella_distract/0'] == 20
  assert len(set(program.environment for program in all_programs)) == len(
      all_programs)


# How bsuite's columns come from the logs of all episodes.
def _sum_of_regret(logs):
  return sum(1. - log['raw_return'] for log in logs)


_COLUMNS = {
    'bandit': dict(total_regret=_sum_of_regret),
    'catch': dict(total_regret=_sum_of_regret),
    'umbrella': dict(
        total_regret=lambda logs: sum(1. - log['last_reward'] for log in logs)),
    'memory': dict(
        total_perfect=lambda logs: sum(log['last_reward'] > 0 for log in logs),
        total_regret=lambda logs: sum(1. - log['last_reward'] for log in logs)),
    'cartpole': dict(
        raw_return=lambda logs: sum(log['raw_return'] for log in logs),
        best_episode=lambda logs: max(
            0., *(log['raw_return'] for log in logs))),
    'mountain': dict(
        raw_return=lambda logs: sum(log['raw_return'] for log in logs)),
    'deep': dict(
        total_bad_episodes=lambda logs: sum(log['is_bad'] for log in logs),
        denoised_return=lambda logs: sum(
            log['found_treasure'] for log in logs)),
}


@pytest.mark.parametrize('bsuite_id, num_episodes', [
    ('bandit/7', 4), ('bandit_noise/17', 4), ('bandit_scale/0', 4),
    ('cartpole/0', 2), ('cartpole_noise/9', 2), ('cartpole_scale/19', 2),
    ('cartpole_swingup/3', 2), ('catch/0', 4), ('catch_noise/19', 4),
    ('catch_scale/4', 4), ('deep_sea/1', 4), ('discounting_chain/8', 2),
    ('memory_len/4', 6), ('memory_size/2', 6), ('mountain_car_noise/3', 1),
    ('mountain_car_scale/7', 1), ('umbrella_distract/3', 4),
    ('umbrella_length/5', 6)])
def test_episodes_equal_bsuite_step_for_step(bsuite_id, num_episodes):
  # With noise or scale, a product or a sum is rounded.
  exact = not bsuite_id.split('/')[0].endswith(('_noise', '_scale'))
  ours, (theirs, raw) = suite.load(bsuite_id), _theirs(bsuite_id)
  environment, params = ours.environment, ours.params
  rng = np.random.default_rng(1)
  logs = []
  for episode in range(num_episodes):
    state, timestep = pairs.resetter(environment)(
        params, jax.random.key(episode))
    theirs.reset()
    while not timestep.last():
      action = int(rng.integers(environment.action_spec().num_values))
      noise = np.float32(rng.normal())
      pairs.copy_state(state.environment, raw)
      state, timestep = pairs.stepper(environment)(
          params, state, jnp.int32(action), jax.random.key(
              int(rng.integers(2**31))), noise)
      if ours.family.startswith('umbrella'):
        raw._rng = pairs.Draws(
            state.last_reward > 0, timestep.observation[0, 3:])
      if hasattr(theirs, '_noise_scale'):
        theirs._rng = pairs.Draws(normal=noise)
      pairs.check_same(timestep, theirs.step(action), exact)
    logs.append(jax.device_get(environment.episode_log(state)))
  info = raw.bsuite_info()
  for name, column in _COLUMNS.get(ours.family.split('_')[0], {}).items():
    assert column(logs) == pytest.approx(info[name], rel=1e-5)
  if 'total_upright' in info:
    assert sum(log['num_upright'] for log in logs) == info['total_upright']


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(
    st.floats(0, 1e3, allow_subnormal=False),
    st.floats(-1e3, 1e3, allow_subnormal=False), st.floats(-5, 5, width=32),
    st.integers(0, 4), st.integers(0, 7))
def test_noise_and_scale_equal_the_wrappers_of_bsuite(
    noise_scale, reward_scale, noise, column, row):
  inner = catch.Catch(9, 5)
  ours = task.Task(inner)
  raw = bsuite_catch.Catch(9, 5)
  raw.reset()
  theirs = wrappers.RewardNoise(
      wrappers.RewardScale(raw, reward_scale), noise_scale)
  theirs._rng = pairs.Draws(normal=noise)
  state = task.TaskState(
      catch.CatchState(np.int32(row), np.int32(column), np.int32(2)),
      np.float32(0.), np.float32(0.))
  pairs.copy_state(state.environment, raw)
  state, timestep = pairs.stepper(ours)(
      ours.params((), noise_scale, reward_scale), state, jnp.int32(1),
      pairs.KEY, np.float32(noise))
  expected = theirs.step(1)
  # Noise and scaled reward may cancel; each is rounded on its own.
  np.testing.assert_allclose(
      timestep.reward, expected.reward, rtol=1e-6,
      atol=1e-6 * (abs(reward_scale) + abs(noise * noise_scale)))
  assert timestep.discount == expected.discount
  caught = (1. if column == 2 else -1.) if row == 7 else 0.
  assert ours.episode_log(state) == {
      'raw_return': caught, 'last_reward': caught}


def test_noise_is_normal_and_independent_of_the_environments_draws():
  inner = umbrella_chain.UmbrellaChain(0, 5)
  ours = task.Task(inner)
  params = ours.params(inner.params(5), noise_scale=3., reward_scale=2.)
  state, first = pairs.resetter(ours)(params, pairs.KEY)
  assert first.reward == 0.
  state, timestep = jax.device_get(pairs.many_steps(ours)(
      params, state, jnp.int32(0),
      jax.random.split(jax.random.key(5), 10_000)))
  noise = timestep.reward - 2. * state.last_reward
  assert np.mean(noise) == pytest.approx(0., abs=0.12)
  assert np.std(noise) == pytest.approx(3., rel=0.03)
  assert abs(np.corrcoef(noise, state.last_reward)[0, 1]) < 0.05
  np.testing.assert_array_equal(state.raw_return, state.last_reward)


def test_logged_environments_are_told_from_others():
  assert isinstance(task.Task(catch.Catch()), base.LoggedEnvironment)
  assert isinstance(DeepSea(3), base.LoggedEnvironment)
  assert isinstance(catch.Catch(), base.Environment)
  assert not isinstance(catch.Catch(), base.LoggedEnvironment)


def test_a_program_runs_in_the_loop_on_the_device():
  program, = suite.programs(['bandit/0', 'bandit_noise/4', 'bandit_scale/19'])
  environment = program.environment
  agent = agents.DQN(
      environment.observation_spec(), environment.action_spec(),
      agents.DQNConfig(**{**small.SMALL, 'warmup_steps': 8}))
  loop = OnDeviceLoop(agent, environment, devices=jax.devices()[:1])
  state, log = loop.run(loop.init([5, 6, 7], program.params), 8)
  assert log.num_episodes.tolist() == [8, 8, 8]
  scaled = log.episode_return[2, :8] / 1000
  np.testing.assert_allclose(scaled, np.round(scaled, 1), atol=1e-6)
  assert (log.episode_return[0, :8] <= 1.).all()
  # Fresh episodes have begun.
  assert state.env_state.raw_return.tolist() == [[0.]] * 3


def test_names_stand_for_ids():
  assert suite.ids('SWEEP') == sweep.SWEEP
  assert suite.ids('TESTING') == sweep.TESTING
  assert suite.ids('exploration') == sweep.TAGS['exploration']
  assert suite.ids('deep_sea') == sweep.DEEP_SEA
  assert suite.ids('catch/3') == ('catch/3',)
  assert len(suite.families()) == 23 and len(suite.tags()) == 7
  assert {suite.family_of(i) for i in sweep.SWEEP if suite.needs_images(i)} == {
      'mnist', 'mnist_noise', 'mnist_scale'}


@pytest.mark.parametrize('call, words', [
    (lambda: suite.ids('deepsea'), "sweep of bsuite 'deepsea'; did you mean "
     'deep_sea'),
    (lambda: suite.ids('explore'), 'did you mean exploration'),
    (lambda: suite.ids('catch/20'), 'catch has the ids catch/0 to catch/19'),
    (lambda: suite.ids('xyz'), "'xyz'; known: SWEEP, TESTING, basic, "),
    (lambda: suite.load('catchnoise/3'), 'did you mean catch_noise/3 or'),
    (lambda: suite.load('memory_len/23'), 'memory_len/0 to memory_len/22'),
    (lambda: suite.load('catch'), 'catch has the ids catch/0'),
    (lambda: suite.load('mnist_noise/2'), 'needs the images of MNIST'),
    (lambda: suite.programs(['catch/0', 'catch/0']), 'catch/0 twice'),
    (lambda: suite.programs('catch'), r"such as ids\('catch'\)"),
])
def test_unknown_names_are_refused_with_near_matches(call, words):
  with pytest.raises(ValueError, match=words):
    call()


def test_without_bsuite_its_ids_are_refused(monkeypatch):
  monkeypatch.setitem(__import__('sys').modules, 'bsuite', None)
  with pytest.raises(ImportError, match='pip install bsuite'):
    suite.ids('SWEEP')
