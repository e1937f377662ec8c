"""Vector environments of gymnasium and envpool: what their steps mean."""

import functools
import sys
import threading
import time

import dm_env
from dm_env import specs
import gymnasium
import numpy as np
import pytest

from hyperjax.environments import envpool
from hyperjax.environments import gymnasium as gymnasium_lib
from hyperjax.environments import vector

FIRST, MID, LAST = (int(x) for x in dm_env.StepType)


class Count(gymnasium.Env):
  """Shows the steps and actions so far; action 2 ends it, and so does step 4.

  Action 3 raises an error, and action 4 waits for `released`.
  """

  action_space = gymnasium.spaces.Discrete(5)
  observation_space = gymnasium.spaces.Box(0., 100., (2,), np.float32)
  released = threading.Event()

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self._steps = self._sum = 0
    return self._observation(), {}

  def step(self, action):
    if action == 3:
      raise OSError('the disk is full')
    if action == 4:
      self.released.wait(60.)
    self._steps += 1
    self._sum += int(action)
    return (self._observation(), 10. * action, bool(action == 2),
            self._steps == 4, {})

  def _observation(self):
    return np.array([self._steps, self._sum], np.float32)


class Shifted(gymnasium.Env):
  """Spaces that begin at 5 and at -1; shows the action taken, plus 6."""

  action_space = gymnasium.spaces.Discrete(3, start=-1)
  observation_space = gymnasium.spaces.Discrete(4, start=5)

  def reset(self, *, seed=None, options=None):
    return 8, {}

  def step(self, action):
    assert self.action_space.contains(action)
    return int(action) + 6, 0., False, False, {}


class Spaces(gymnasium.Env):
  """Nothing but spaces."""

  def __init__(self, observation_space, action_space=None):
    self.observation_space = observation_space
    self.action_space = action_space or gymnasium.spaces.Discrete(2)


def sync(*environments, **arguments):
  return gymnasium.vector.SyncVectorEnv(
      [functools.partial(lambda x: x, x) for x in environments], **arguments)


def count(num_envs=2, **arguments):
  return gymnasium_lib.Gymnasium(
      sync(*(Count() for _ in range(num_envs))), **arguments)


def test_an_episode_step_by_step():
  """The first environment terminates in its second step, the other is cut."""
  environments = count()
  steps = [environments.reset()]
  # Where an episode has just ended even the action that raises does nothing.
  for actions in ([1, 1], [2, 0], [3, 1], [1, 1], [0, 3], [0, 0]):
    steps.append(environments.step(np.array(actions)))
  columns = vector.VectorTimeStep(*map(np.stack, zip(*steps, strict=True)))
  assert columns.step_type.T.tolist() == [
      [FIRST, MID, LAST, FIRST, MID, MID, MID],
      [FIRST, MID, MID, MID, LAST, FIRST, MID]]
  assert columns.discount.T.tolist() == [
      [0, 1, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 0, 1]]
  assert columns.reward.T.tolist() == [
      [0, 10, 20, 0, 10, 0, 0], [0, 10, 0, 10, 10, 0, 0]]
  np.testing.assert_array_equal(columns.score, columns.reward)
  assert columns.observation[:, 0].tolist() == [
      [0, 0], [1, 1], [2, 3], [0, 0], [1, 1], [2, 1], [3, 1]]
  assert columns.observation[:, 1].tolist() == [
      [0, 0], [1, 1], [2, 1], [3, 2], [4, 3], [0, 0], [1, 0]]
  assert columns.step_type.dtype == np.int32
  for x in (columns.reward, columns.discount, columns.score):
    assert x.dtype == np.float32
  assert steps[2].last().tolist() == [True, False]
  assert steps[3].first().tolist() == [True, False]


def test_what_terminates_at_its_time_limit_has_terminated():
  environments = count(1)
  environments.reset()
  for action in (0, 0, 0, 2):
    timestep = environments.step(np.array([action]))
  assert timestep.last().all() and timestep.discount.tolist() == [0.]


def test_a_reset_begins_anew_wherever_it_was():
  environments = count(1)
  for actions in ((1,), (2,), (1, 0, 1, 1)):
    assert environments.reset().first().all()
    for action in actions:
      timestep = environments.step(np.array([action]))
  assert timestep.observation.tolist() == [[4., 3.]]
  environments.reset()
  environments.send(np.array([2]))  # And its answer is of no interest.
  assert environments.reset().observation.tolist() == [[0., 0.]]
  assert environments.step(np.array([1])).step_type.tolist() == [MID]


def test_observations_are_kept_where_environments_overwrite_them():
  environments = gymnasium_lib.Gymnasium(sync(Count(), copy=False))
  first = environments.reset()
  environments.step(np.array([1]))
  assert first.observation.tolist() == [[0., 0.]]


def test_a_step_goes_on_between_its_halves():
  Count.released.clear()
  environments = count(1)
  environments.reset()
  environments.send(np.array([4]))  # Does not wait for it.
  Count.released.set()
  assert environments.recv().score.tolist() == [40.]
  environments.send(np.array([0]))
  with pytest.raises(RuntimeError, match='a call of recv after'):
    environments.send(np.array([0]))
  environments.recv()
  with pytest.raises(RuntimeError, match='a call of send before'):
    environments.recv()


def test_spaces_that_begin_elsewhere_begin_at_0():
  environments = gymnasium_lib.Gymnasium(sync(*(Shifted() for _ in range(3))))
  assert environments.num_actions == 3
  spec = environments.observation_spec()
  assert isinstance(spec, specs.DiscreteArray) and spec.num_values == 4
  timestep = environments.reset()
  assert timestep.observation.tolist() == [3, 3, 3]
  timestep = environments.step(np.array([0, 1, 2]))
  assert timestep.observation.tolist() == [0, 1, 2]
  spec.validate(timestep.observation[0])


def test_specs_of_spaces():
  spaces = gymnasium.spaces
  spec = gymnasium_lib.observation_spec(
      spaces.Box(np.array([0, -1]), np.array([2, 3]), dtype=np.int16))
  assert isinstance(spec, specs.BoundedArray) and spec.dtype == np.int16
  assert spec.minimum.tolist() == [0, -1] and spec.maximum.tolist() == [2, 3]
  spec = gymnasium_lib.observation_spec(spaces.Box(0., np.inf, (3, 4)))
  assert type(spec) is specs.Array and spec.shape == (3, 4)
  spec = gymnasium_lib.observation_spec(spaces.MultiBinary(6))
  assert isinstance(spec, specs.BoundedArray) and spec.shape == (6,)
  spec.validate(np.ones(6, np.int8))


# CartPole by four libraries or parts of them, with the same interface.


def by_sync(seeds, **options):
  return gymnasium_lib.Gymnasium(
      gymnasium.make_vec('CartPole-v1', num_envs=len(seeds),
                         vectorization_mode='sync', **options), seeds)


def by_arrays(seeds, **options):
  return gymnasium_lib.Gymnasium(
      gymnasium.make_vec('CartPole-v1', num_envs=len(seeds), **options),
      seeds[0])


def by_async(seeds, **options):
  # Not forked: JAX has threads.
  return gymnasium_lib.Gymnasium(
      gymnasium.make_vec('CartPole-v1', num_envs=len(seeds),
                         vectorization_mode='async',
                         vector_kwargs={'context': 'spawn'}, **options), seeds)


def by_envpool(seeds, **options):
  return envpool.Envpool('CartPole-v1', seeds, **options)


CART_POLES = [by_sync, by_arrays, by_async, by_envpool]


def play(environments, num_steps, seed=0, ignored=0):
  """Time steps [T+1]; where an episode has just ended, action `ignored`."""
  rng = np.random.default_rng(seed)
  timesteps = [environments.reset()]
  for _ in range(num_steps):
    actions = rng.integers(2, size=environments.num_envs)
    actions = np.where(timesteps[-1].last(), ignored, actions)
    timesteps.append(environments.step(actions))
  environments.close()
  return timesteps


@pytest.mark.parametrize('make', CART_POLES)
def test_cart_pole(make):
  environments = make([1, 2, 3])
  assert isinstance(environments, vector.VectorEnvironment)
  assert environments.name == 'CartPole-v1'
  assert (environments.num_envs, environments.num_actions) == (3, 2)
  assert environments.action_spec().num_values == 2
  spec = environments.observation_spec()
  assert type(spec) is specs.Array  # Speeds are not bounded.
  timesteps = play(environments, 120)
  types = np.stack([t.step_type for t in timesteps])
  assert (types[0] == FIRST).all()
  last = types[:-1] == LAST
  assert last.sum() >= 6
  np.testing.assert_array_equal(types[1:] == FIRST, last)
  for t in timesteps:
    spec.validate(t.observation[0])
    reward = np.where(t.first(), 0., 1.)
    np.testing.assert_array_equal(t.reward, reward)
    np.testing.assert_array_equal(t.score, reward)
    np.testing.assert_array_equal(t.discount, np.where(t.last(), 0., reward))
    assert (np.abs(t.observation[t.first()]) <= 0.05).all()
    # The last observation is the one of the fallen pole.
    fallen = np.abs(t.observation[:, 2]) > 12 * np.pi / 180
    np.testing.assert_array_equal(fallen, t.last())


@pytest.mark.parametrize('make', CART_POLES)
def test_cart_pole_cut_short(make):
  timesteps = play(make([1, 2], max_episode_steps=5), 12)
  types = [FIRST, *[MID] * 4, LAST]
  discounts = [0., *[1.] * 5]
  for t, step_type, discount in zip(
      timesteps, 2 * types, 2 * discounts, strict=False):
    assert t.step_type.tolist() == [step_type] * 2
    assert t.discount.tolist() == [discount] * 2
  assert timesteps[5].last().all()
  moved = timesteps[5].observation - timesteps[4].observation
  speed = timesteps[4].observation[:, [1, 3]]
  np.testing.assert_allclose(moved[:, [0, 2]], 0.02 * speed, atol=1e-6)


@pytest.mark.parametrize('make', [by_sync, by_arrays, by_envpool])
def test_cart_pole_does_the_same_with_the_same_seeds(make):
  """Whatever the actions in the steps that begin an episode."""
  a = play(make([1, 2]), 60, ignored=0)
  b = play(make([1, 2]), 60, ignored=1)
  assert sum(t.last().sum() for t in a) > 2
  for x, y in zip(a, b, strict=True):
    for value, other in zip(x, y, strict=True):
      np.testing.assert_array_equal(value, other)
  other = make([3, 4]).reset()
  assert (other.observation != a[0].observation).all()


def test_gymnasium_is_seeded_once():
  environments = by_sync([1, 2])
  first, second = environments.reset(), environments.reset()
  assert (first.observation != second.observation).all()


def test_an_environment_of_envpool_is_the_same_in_any_company():
  together, alone = by_envpool([5, 6]), by_envpool([6])
  a, b = together.reset(), alone.reset()
  rng = np.random.default_rng(0)
  for _ in range(60):
    np.testing.assert_array_equal(a.observation[1], b.observation[0])
    actions = rng.integers(2, size=2)
    a, b = together.step(actions), alone.step(actions[1:])


def test_other_tasks_of_envpool():
  catch = envpool.Envpool('Catch-v0', [0])
  spec = catch.observation_spec()
  assert isinstance(spec, specs.BoundedArray) and spec.shape == (10, 5)
  timesteps = play(catch, 10)
  assert [int(t.step_type[0]) for t in timesteps] == [
      FIRST, *[MID] * 8, LAST, FIRST]
  assert timesteps[9].discount[0] == 0. and abs(timesteps[9].score[0]) == 1.
  lake = envpool.Envpool('FrozenLake-v1', [0, 1])
  assert lake.observation_spec().num_values == 16
  assert lake.reset().observation.tolist() == [0, 0]


def test_names():
  assert count().name == 'Count'
  assert count(name='One').name == 'One'
  made = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make('Acrobot-v1')])
  assert gymnasium_lib.Gymnasium(made).name == 'Acrobot-v1'
  wrapped = gymnasium.wrappers.vector.ClipReward(
      gymnasium.make_vec('Acrobot-v1', num_envs=2), -1., 1.)
  assert gymnasium_lib.Gymnasium(wrapped).name == 'Acrobot-v1'


def test_a_wrapper_of_environments_counts():
  wrapped = gymnasium.wrappers.vector.ClipReward(sync(Count()), -1., 1.)
  environments = gymnasium_lib.Gymnasium(wrapped)
  environments.reset()
  assert environments.step(np.array([1])).score.tolist() == [1.]


def test_an_error_tells_whose_it_is():
  environments = count()
  environments.reset()
  with pytest.raises(vector.StalledError, match='Count.*died.*disk is full'):
    environments.step(np.array([0, 3]))
  environments.close()


class Shows(gymnasium.vector.VectorEnv):
  """Shows whatever it is told to, in two environments."""

  metadata = {'autoreset_mode': gymnasium.vector.AutoresetMode.NEXT_STEP}
  num_envs = 2
  single_action_space = gymnasium.spaces.Discrete(2)

  def __init__(self, space, value):
    self.single_observation_space, self._value = space, value

  def reset(self, *, seed=None, options=None):
    return self._value, {}


@pytest.mark.parametrize('space, value, words', [
    (gymnasium.spaces.Box(0, 255, (1,), np.uint8), [[300], [0]],
     'the value 300, which does not fit'),
    (gymnasium.spaces.Box(0, 255, (1,), np.uint8), [[0.5], [0.]],
     'float64 with the value'),
    (gymnasium.spaces.Box(0., 1., (1,)), [[0., 0.], [0., 0.]],
     r'after the axes \(2,\), got the shape \(2, 2\)'),
    (gymnasium.spaces.Discrete(3, start=1), [0, 1],
     r'Discrete\(3, start=1\), got array\(\[0, 1')])
def test_observations_fit_their_space(space, value, words):
  environments = gymnasium_lib.Gymnasium(Shows(space, np.array(value)))
  with pytest.raises(ValueError, match=words):
    environments.reset()


def test_closed_environments_say_so():
  environments = count()
  environments.reset()
  environments.send(np.zeros(2, int))
  environments.close()
  for call in (environments.reset, environments.recv,
               lambda: environments.send(np.zeros(2, int))):
    with pytest.raises(RuntimeError, match='Count: the .* are closed'):
      call()


def test_what_hangs_is_given_up():
  Count.released.clear()
  environments = count(timeout_s=0.2)
  environments.reset()
  begin = time.monotonic()
  with pytest.raises(vector.StalledError, match='Count.*not answer for 0'):
    environments.step(np.array([0, 4]))
  environments.close()
  assert time.monotonic() - begin < 30.
  Count.released.set()


def test_a_process_that_died_is_told_of():
  environments = by_async([1, 2])
  environments.reset()
  processes = environments._environments.processes
  processes[1].kill()
  with pytest.raises(vector.StalledError, match='CartPole-v1.*died'):
    environments.step(np.zeros(2, int))
  environments.close()
  processes[0].join(timeout=60.)
  assert not processes[0].is_alive()


def test_closing_after_a_step_that_nobody_waited_for():
  environments = by_async([1, 2])
  environments.reset()
  processes = environments._environments.processes
  processes[1].kill()
  environments.send(np.zeros(2, int))
  environments.close()
  processes[0].join(timeout=60.)
  assert not processes[0].is_alive()


def test_closing_ends_the_thread_that_waits():
  before = set(threading.enumerate())
  environments = count()
  environments.reset()
  thread, = set(threading.enumerate()) - before
  environments.close()
  environments.close()
  thread.join(timeout=60.)
  assert not thread.is_alive()


@pytest.mark.parametrize('mode', ['SameStep', 'Disabled', None])
def test_refuses_other_modes_of_resets(mode):
  made = sync(Count(), autoreset_mode=mode or 'NextStep')
  if not mode:
    del made.metadata['autoreset_mode']
  with pytest.raises(
      ValueError, match=f'autoreset_mode is NextStep, got .* with {mode}'):
    gymnasium_lib.Gymnasium(made)


def test_refuses_a_single_environment():
  with pytest.raises(ValueError, match='expected a gymnasium.vector.VectorEnv'):
    gymnasium_lib.Gymnasium(Count())


@pytest.mark.parametrize('space', [
    gymnasium.spaces.Dict(a=gymnasium.spaces.Discrete(2)),
    gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2)]),
    gymnasium.spaces.MultiDiscrete([2, 3]),
])
def test_refuses_observations_of_other_spaces(space):
  with pytest.raises(ValueError, match=f'got {type(space).__name__}'):
    gymnasium_lib.Gymnasium(sync(Spaces(space)))


def test_refuses_actions_of_other_spaces():
  box = gymnasium.spaces.Box(0., 1., (2,))
  with pytest.raises(ValueError, match='expected a Discrete .* got Box'):
    gymnasium_lib.Gymnasium(sync(Spaces(box, box)))
  with pytest.raises(ValueError, match='expected a Discrete .* got Box'):
    envpool.Envpool('Pendulum-v1', [0])


@pytest.mark.parametrize('seeds, words', [
    ([1], 'a seed for each of 2 environments, got 1'),
    ([1, -1], 'a seed must be at least 0, got -1'),
    (-1, 'a seed must be at least 0, got -1'),
    ([0, True], 'a seed must be an integer, got True'),
])
def test_refuses_seeds_that_cannot_be(seeds, words):
  with pytest.raises(ValueError, match=words):
    count(seeds=seeds)


@pytest.mark.parametrize('arguments, words', [
    (dict(task_id='CartPol-v1'), "unknown task 'CartPol-v1'; did you mean .*"
                                 'CartPole-v1'),
    (dict(task_id='?'), 'names are like CartPole-v1'),
    (dict(task_id='ConnectFour-v1'), 'ConnectFour-v1 has 2 players'),
    (dict(task_id='MiniGrid-Empty-5x5-v0'), 'got Dict'),
    (dict(seeds=[]), 'at least one seed'),
    (dict(seeds=[-1]), 'got -1'),
    (dict(batch_size=1), 'no batch_size'),
])
def test_refuses_what_envpool_cannot_do(arguments, words):
  with pytest.raises(ValueError, match=words):
    envpool.Envpool(**{'task_id': 'CartPole-v1', 'seeds': [1, 2], **arguments})


def test_refuses_actions_that_the_task_does_not_have():
  environments = by_sync([1, 2])
  environments.reset()
  with pytest.raises(ValueError, match=r'expected actions of 0\.\.1'):
    environments.step(np.array([0, 2]))
  with pytest.raises(ValueError, match=r'shape \(2,\)'):
    environments.step(np.array([0]))


def test_a_missing_package_is_told_of(monkeypatch):
  made = sync(Count())
  monkeypatch.setitem(sys.modules, 'gymnasium', None)
  with pytest.raises(ImportError, match="pip install 'gymnasium>=1.1'"):
    gymnasium_lib.Gymnasium(made)
  monkeypatch.setitem(sys.modules, 'envpool', None)
  with pytest.raises(ImportError, match='pip install envpool'):
    envpool._envpool()


def test_envpool_wants_seeds_in_a_sequence(unchecked):
  with pytest.raises(ValueError, match='a sequence of seeds, got 0'):
    envpool.Envpool('CartPole-v1', 0)


class Slow(Count):
  """Notes when it steps and is closed."""

  events: list[str] = []

  def step(self, action):
    self.events.append('begin')
    time.sleep(0.3)
    self.events.append('end')
    return super().step(action)

  def close(self):
    self.events.append('close')


def test_closing_waits_for_the_step():
  environments = gymnasium_lib.Gymnasium(
      gymnasium.vector.SyncVectorEnv([Slow] * 2), name='Slow')
  environments.reset()
  Slow.events.clear()
  environments.send(np.zeros(2, int))
  environments.close()
  assert Slow.events == ['begin', 'end'] * 2 + ['close'] * 2


@pytest.mark.slow
@pytest.mark.ci
def test_closing_waits_for_processes_that_step():
  environments = gymnasium_lib.Gymnasium(
      gymnasium.vector.AsyncVectorEnv([Slow] * 2, context='forkserver'),
      name='Slow')
  environments.reset()
  processes = environments._environments.processes
  environments.send(np.zeros(2, int))
  environments.close()
  for process in processes:
    process.join(timeout=60.)
    assert not process.is_alive()


class Exits(Count):
  """Exits in a step."""

  def step(self, action):
    raise SystemExit(3)


@pytest.mark.parametrize('waits', [False, True])
def test_an_environment_that_exits_is_told_of(waits):
  environments = gymnasium_lib.Gymnasium(
      gymnasium.vector.SyncVectorEnv([Exits]), name='Exits')
  environments.reset()
  environments.send(np.zeros(1, int))
  if waits:
    with pytest.raises(vector.StalledError, match='Exits.*died: 3'):
      environments.recv()
  environments.close()


def test_the_first_step_needs_a_reset():
  environments = count()
  with pytest.raises(RuntimeError, match='call of reset before that of send'):
    environments.send(np.zeros(2, int))
  environments.close()


class Misshapen(Shows):
  """Ends all episodes with observations that do not fit, then begins more."""

  def step(self, actions):
    self._num_steps = getattr(self, '_num_steps', 0) + 1
    ends = np.full(2, self._num_steps == 1)
    value = np.zeros((2, 9)) if ends.all() else self._value
    return value, np.ones(2), ends, np.zeros(2, bool), {}


def test_an_episode_whose_last_observation_is_refused_has_ended():
  environments = gymnasium_lib.Gymnasium(Misshapen(
      gymnasium.spaces.Box(0., 1., (1,)), np.zeros((2, 1), np.float32)))
  environments.reset()
  with pytest.raises(ValueError, match=r'got the shape \(2, 9\)'):
    environments.step(np.zeros(2, int))
  timestep = environments.step(np.zeros(2, int))
  assert timestep.first().all() and not timestep.reward.any()
  environments.close()
