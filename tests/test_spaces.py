"""Spaces of gymnasium and nested specs as one array, and the wrappers."""

import collections
import subprocess
import sys

import dm_env
from dm_env import specs as dm_specs
import gymnasium
from gymnasium import spaces as gym_spaces
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import spaces
from hyperjax import specs
from hyperjax.adapters import acme
from hyperjax.environments import FlatObservation
from hyperjax.environments.gymnasium import DmEnv
from hyperjax.loops import EnvironmentLoop

QUICK = agents.DQNConfig(
    hidden_sizes=(8,), batch_size=4, warmup_steps=4, replay_capacity=200)


def nested():
  """In an order of its own, with every kind of space."""
  return gym_spaces.Dict(collections.OrderedDict(
      where=gym_spaces.Tuple((
          gym_spaces.Box(-1., 2., (2,)), gym_spaces.Discrete(3, start=5))),
      flags=gym_spaces.MultiBinary(2)))


def test_gymnasium_flattens_to_the_same_numbers():
  space = nested()
  space.seed(0)
  assert specs.observation_spec(space).shape == (7,)
  for _ in range(10):
    value = space.sample()
    # gymnasium keeps the order of an OrderedDict; here it is that of the names.
    ordered = gym_spaces.Dict(dict(space.spaces))
    np.testing.assert_array_equal(
        spaces.observation(space, value),
        gym_spaces.flatten(ordered, {k: value[k] for k in sorted(value)}))


def test_the_vector_has_the_bounds_of_its_parts():
  spec = spaces.observation_spec(nested())
  assert spec.dtype == np.float32
  np.testing.assert_array_equal(spec.minimum, [0, 0, -1, -1, 0, 0, 0])
  np.testing.assert_array_equal(spec.maximum, [1, 1, 2, 2, 1, 1, 1])
  unbounded = gym_spaces.Tuple((
      gym_spaces.Discrete(2), gym_spaces.Box(-np.inf, 0., (1,))))
  assert type(spaces.observation_spec(unbounded)) is dm_specs.Array


@pytest.mark.parametrize('space, expected', [
    (gym_spaces.Discrete(4, start=-1), specs.ObservationSpec((), 'int32', 4)),
    (gym_spaces.Box(0, 255, (2, 3), np.uint8),
     specs.ObservationSpec((2, 3), 'uint8', None, 0., 255.)),
    (gym_spaces.Box(-np.inf, np.inf, (2,), np.float64),
     specs.ObservationSpec((2,), 'float32')),
    (gym_spaces.MultiBinary((2, 2)),
     specs.ObservationSpec((2, 2), 'int8', None, 0., 1.))], ids=repr)
def test_a_single_array_stays_as_it_is(space, expected):
  assert specs.observation_spec(space) == expected


@pytest.mark.parametrize('space', [
    gym_spaces.MultiDiscrete([2, 3]), gym_spaces.Text(3),
    gym_spaces.Sequence(gym_spaces.Discrete(2)),
    gym_spaces.Tuple((gym_spaces.Discrete(2), gym_spaces.Text(3)))], ids=repr)
def test_names_a_space_that_cannot_be_mapped(space):
  with pytest.raises(ValueError, match='Box, Discrete or MultiBinary') as error:
    specs.observation_spec(space)
  assert str(space) in str(error.value)


def test_actions_of_gymnasium():
  assert specs.num_actions(gym_spaces.Discrete(5, start=2)) == 5
  for space in (gym_spaces.MultiBinary(2), gym_spaces.Box(-1., 1., (1,))):
    with pytest.raises(ValueError, match='space of Discrete, got') as error:
      specs.num_actions(space)
    assert str(space) in str(error.value)


def test_specs_do_not_import_gymnasium():
  subprocess.run([sys.executable, '-c', (
      'import sys; from dm_env import specs as dm_specs\n'
      'from hyperjax import specs\n'
      'specs.observation_spec(dm_specs.Array((2,), "float32"))\n'
      'specs.num_actions(3)\n'
      'assert "gymnasium" not in sys.modules')], check=True)


class _Nested(dm_env.Environment):
  """Shows the step as a category and as an integer, and ends at 3."""

  def __init__(self, change=None):
    self._change = change or {}

  def _observation(self):
    return {'x': (np.int64(self._t), np.full((1, 2), -self._t)),
            'category': self._t, **self._change}

  def reset(self):
    self._t = 0
    return dm_env.restart(self._observation())

  def step(self, action):
    self._t += 1
    follows = dm_env.termination if self._t == 3 else dm_env.transition
    return follows(1., self._observation())

  def observation_spec(self):
    return {'x': (dm_specs.Array((), np.int64),
                  dm_specs.Array((1, 2), np.int64)),
            'category': dm_specs.DiscreteArray(4)}

  def action_spec(self):
    return dm_specs.DiscreteArray(2)


def test_flat_observations():
  environment = FlatObservation(_Nested())
  assert specs.observation_spec(environment.observation_spec()) == (
      specs.ObservationSpec((7,), 'float32'))
  assert environment.reset().observation.tolist() == [1, 0, 0, 0, 0, 0, 0]
  timestep = environment.step(0)
  assert timestep.observation.tolist() == [0, 1, 0, 0, 1, -1, -1]
  assert timestep.observation.dtype == np.float32
  actor = acme.Actor(agents.DQN(*specs.of_environment(environment), QUICK))
  results = EnvironmentLoop(environment, actor).run(3)
  assert [result.episode_return for result in results] == [3.] * 3
  assert int(actor.state.learner.steps) == 5


@pytest.mark.parametrize('change, words', [
    ({'more': 1}, r"the names \['category', 'x'\], got \['category', 'more'"),
    ({'category': 4}, 'a category of 0..3, got 4'),
    ({'x': (1,)}, 'of 2 entries'),
    ({'x': (1, np.zeros(2))}, r'got the shape \(2,\)')])
def test_flat_observations_fit_their_spec(change, words):
  with pytest.raises(ValueError, match=words):
    FlatObservation(_Nested(change)).reset()


def test_nested_specs_are_refused_with_the_way_out():
  with pytest.raises(ValueError, match='FlatObservation'):
    specs.of_environment(_Nested())
  with pytest.raises(ValueError, match='of arrays of numbers'):
    spaces.flat_spec((dm_specs.StringArray(()),))


class _Ends(gymnasium.Env):
  """Ends at an action of 11, and is never seeded twice."""

  action_space = gym_spaces.Discrete(2, start=10)
  observation_space = gym_spaces.Dict({
      'of': gym_spaces.Box(-1., 1e6, (1,)),
      't': gym_spaces.Discrete(9, start=1)})

  def reset(self, *, seed=None, options=None):
    self._seed, self._t = -1 if seed is None else seed, 0
    return self._observation(), {}

  def _observation(self):
    return {'t': self._t + 1, 'of': np.array([self._seed])}

  def step(self, action):
    assert self.action_space.contains(action)
    self._t += 1
    is_terminal = bool(action == 11)
    return self._observation(), np.float64(self._t), is_terminal, False, {}


def make(seed=None):
  return DmEnv(gymnasium.wrappers.TimeLimit(_Ends(), 2), seed)


def test_truncation_is_not_termination():
  environment = make()
  environment.reset()
  assert environment.step(0).mid()
  truncated = environment.step(0)
  assert (truncated.step_type, truncated.reward, truncated.discount) == (
      dm_env.StepType.LAST, 2., 1.)
  assert environment.step(0).first()  # As dm_env's environments do.
  terminated = environment.step(1)
  assert terminated.last() and terminated.discount == 0.
  environment.reset()
  environment.step(0)
  both = environment.step(1)  # It terminates at its limit.
  assert both.last() and both.discount == 0.


def test_seeds_begin_the_first_episode_only():
  environment = make(seed=7)
  assert environment.reset().observation.tolist() == [7., 1.] + [0.] * 8
  assert environment.reset().observation[0] == -1.
  assert make().reset().observation[0] == -1.


def test_a_seed_gives_the_same_episodes():
  def observations(seed):
    environment = DmEnv(gymnasium.make('CartPole-v1'), seed)
    return [environment.reset().observation for _ in range(2)]

  np.testing.assert_array_equal(observations(3), observations(3))
  assert not np.array_equal(observations(3), observations(4))
  first, second = observations(3)
  assert not np.array_equal(first, second)


def test_acme_runs_cartpole():
  environment = DmEnv(gymnasium.make('CartPole-v1', max_episode_steps=6), 0)
  actor = acme.Actor(agents.DQN(*specs.of_environment(environment), QUICK))
  assert [result.episode_length
          for result in EnvironmentLoop(environment, actor).run(4)] == [6] * 4
  stored = actor.state.replay.ring.experience
  assert stored.is_last[0, 5]
  np.testing.assert_allclose(stored.transition.discount[0, :24], 0.99)


@pytest.mark.parametrize('call, words', [
    (lambda: DmEnv(gymnasium.make_vec('CartPole-v1', num_envs=1)),
     'a VectorEnv is for .*Gymnasium'),
    (lambda: DmEnv(gymnasium.make('Pendulum-v1')), 'of Discrete, got Box'),
    (lambda: make(seed=-1), 'seed must be'),
    (lambda: _stepped(2), r'an action of 0..1, got 2'),
    (lambda: _stepped(-1), r'an action of 0..1, got -1'),
    (lambda: _stepped(True), r'that is an integer, got True')])
def test_refuses(call, words):
  with pytest.raises(ValueError, match=words):
    call()


def _stepped(action):
  environment = make()
  environment.reset()
  return environment.step(action)


class _Shows(gymnasium.Env):
  """Shows whatever it is told to."""

  action_space = gym_spaces.Discrete(2)

  def __init__(self, space, value):
    self.observation_space, self._value = space, value

  def reset(self, *, seed=None, options=None):
    return self._value, {}


BYTES = gym_spaces.Box(0, 255, (2,), np.uint8)


@pytest.mark.parametrize('space, value, words', [
    (BYTES, [300., -1.], 'float64 with the value .*300'),
    (BYTES, np.array([1., 1.7]), r'value array\(\[1. , 1.7'),
    (BYTES, np.array([3, 300]), 'the value 300, which does not fit'),
    (BYTES, np.zeros(3, np.uint8), r'the shape \(3,\)'),
    (gym_spaces.Discrete(3, start=1), 9, r'Discrete\(3, start=1\), got 9'),
    (gym_spaces.Discrete(3, start=1), 0, r'Discrete\(3, start=1\), got 0'),
    (gym_spaces.Discrete(3), 1.5, r'Discrete\(3\), got 1.5'),
    (gym_spaces.Dict(a=BYTES), {}, r"the names \['a'\], got \[\]"),
    (gym_spaces.Tuple((BYTES,)), (), r'of 1 entries, got \(\)'),
    (gym_spaces.Tuple((BYTES,)), np.zeros(()), 'of 1 entries')])
def test_observations_are_never_wrapped(space, value, words):
  with pytest.raises(ValueError, match=words):
    DmEnv(_Shows(space, value)).reset()


@pytest.mark.parametrize('space, value, expected', [
    (BYTES, [255, 0], [255, 0]),
    (gym_spaces.Box(0., 1., (2,)), [0, True], [0., 1.]),
    (gym_spaces.MultiBinary(2), np.array([True, False]), [1, 0]),
    (gym_spaces.Discrete(2, start=2), np.uint64(3), 1),
    (gym_spaces.Discrete(2), True, 1)])
def test_numbers_of_narrower_kinds_are_converted(space, value, expected):
  found = DmEnv(_Shows(space, value)).reset().observation
  assert found.tolist() == expected
  assert found.dtype == spaces.observation_spec(space).dtype


@pytest.mark.parametrize('spec, value, words', [
    (dm_specs.Array((3,), np.float32), np.zeros(5), r'the shape \(5,\)'),
    (dm_specs.Array((1,), np.float32), [1e300], 'the value 1e.300'),
    (dm_specs.Array((2,), np.float32), [None, 1], r'\[None, 1\]'),
    (dm_specs.Array((2,), np.float32), ['2', '1'], r"\['2', '1'\]"),
    (dm_specs.Array((), np.float32), 1+2j, r'\(1\+2j\)'),
    (dm_specs.Array((), np.int8), 200, 'the value 200'),
    (dm_specs.DiscreteArray(3), 7, 'a category of 0..2, got 7'),
    (dm_specs.DiscreteArray(3), -1, 'a category of 0..2, got -1'),
    (dm_specs.DiscreteArray(3), 1.5, 'the value 1.5'),
    (dm_specs.DiscreteArray(3), True, 'the value True')])
@pytest.mark.parametrize('nested', [False, True])
def test_flatten_refuses(nested, spec, value, words):
  with pytest.raises(ValueError, match=words):
    if nested:
      spaces.flatten({'a': spec}, {'a': value})
    else:
      spaces.flatten(spec, value)


def test_a_vector_of_float32_has_no_larger_numbers():
  spec = {'a': dm_specs.Array((2,), np.float64)}
  assert spaces.flatten(spec, {'a': [0.1, np.inf]}).tolist() == [
      np.float32(0.1), np.inf]
  with pytest.raises(ValueError, match='the value 1e.300'):
    spaces.flatten(spec, {'a': [0., 1e300]})


def test_names_must_have_an_order():
  one = dm_specs.Array((), np.float32)
  with pytest.raises(ValueError, match=r"names \['a'\], got \['a', 1\]"):
    spaces.flatten({'a': one}, {'a': 0., 1: 0.})
  with pytest.raises(ValueError, match=r"of one kind, .* got \['a', 1\]"):
    spaces.flat_spec({'a': one, 1: one})


def test_complex_numbers_are_refused():
  with pytest.raises(ValueError, match='arrays of numbers.*complex64'):
    spaces.flat_spec(dm_specs.Array((), np.complex64))


class _Rewards(_Shows):
  """Terminates at once, with a reward and an observation as it is told."""

  def __init__(self, reward, last=1.):
    super().__init__(gym_spaces.Box(0., 1., (1,)), np.zeros(1, np.float32))
    self._reward, self._last = reward, last
    self.seeds = []

  def reset(self, *, seed=None, options=None):
    self.seeds.append(seed)
    if len(self.seeds) == 1:
      raise OSError('not yet')
    return super().reset()

  def step(self, action):
    self._value[:] = self._last
    return self._value, self._reward, True, False, {}


def test_observations_are_kept_where_the_environment_overwrites_them():
  environment = DmEnv(_Rewards(1.))
  with pytest.raises(OSError, match='not yet'):
    environment.reset()
  first = environment.reset()
  assert environment.step(0).observation == [1.]
  assert first.observation == [0.]


@pytest.mark.parametrize('reward, last, words', [
    (None, 1., 'reward.*None'), ([1., 2.], 1., r'reward.*shape \(2,\)'),
    (np.nan, 1., 'finite reward')])
def test_an_episode_whose_last_step_is_refused_has_ended(reward, last, words):
  environment = DmEnv(_Rewards(reward, last), seed=3)
  with pytest.raises(OSError, match='not yet'):
    environment.reset()
  environment.reset()
  with pytest.raises(ValueError, match=words):
    environment.step(0)
  assert environment.step(0).first()
  # The reset that failed had not used the seed.
  assert environment._environment.seeds == [3, 3, None]


def test_categories_are_of_32_bits():
  with pytest.raises(ValueError, match=r'at most 2147483647.*Discrete'):
    spaces.observation_spec(gym_spaces.Discrete(2**33))
