"""What the compiled loop promises and what it refuses.

Beside `test_on_device`, whose tests need programs as users run them.
"""

import dataclasses

from dm_env import specs as dm_specs
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import replay
from hyperjax.environments import DeepSea
from hyperjax.environments.bsuite import catch
from hyperjax.loops import OnDeviceLoop
from hyperjax.loops import chunk_log
from hyperjax.loops.seed_run import SeedRun
from tests.test_on_device import CONFIG
from tests.test_on_device import CPUS
from tests.test_on_device import DQN_CONFIG
from tests.test_on_device import SIZE
from tests.test_on_device import actions
from tests.test_on_device import assert_same_bits
from tests.test_on_device import begin
from tests.test_on_device import make_loop


def test_uses_as_many_devices_as_divide_the_seeds():
  loop = make_loop(devices=CPUS)
  sizes = [loop._mapped.mesh(n).size for n in (1, 6, 7, 8, 10, 16)]
  assert sizes == [1, 6, 7, 8, 5, 8]


def test_equal_loops_share_what_they_compile():
  one, other = make_loop(), make_loop()
  programs = [
      loop._mapped._compiled(SeedRun.run, (loop._seed_run, 4, True), 1, 1, True)
      for loop in (one, other)]
  assert programs[0] is programs[1]


def test_chunks_of_any_length_share_a_program():
  loop = make_loop(DQN_CONFIG)
  state, _ = loop.run(begin(loop, [0]), 17, max_steps=40)
  program = loop._mapped._compiled(
      SeedRun.run_if, (loop._seed_run, 40, False), 1, 2, True)
  for num_steps in (3, 40, 1):
    state, _ = loop.run(state, num_steps, max_steps=40)
  assert program._cache_size() == 1
  assert state.num_steps.tolist() == [61]
  with pytest.raises(ValueError, match='at most max_steps, 5, got 6'):
    loop.run(state, 6, max_steps=5)


@pytest.mark.parametrize('update_period, updates_per_period, updates', [
    (2, 2, 40), pytest.param(4, 1, 10, marks=pytest.mark.slow),
    pytest.param(1, 3, 120, marks=pytest.mark.slow)])
def test_updates_per_period_and_update_period(
    update_period, updates_per_period, updates):
  loop = make_loop(dataclasses.replace(
      DQN_CONFIG, update_period=update_period,
      updates_per_period=updates_per_period))
  state, log = loop.run(begin(loop, [0]), 60)
  assert log.num_updates[0] == updates
  assert int(state.train.learner.steps[0]) == updates


def test_several_environments_share_an_agent():
  loop = make_loop(DQN_CONFIG, num_envs=4)
  state, log = loop.run(begin(loop, [0, 1]), 50)
  np.testing.assert_array_equal(state.num_episodes, 4 * 50 // SIZE)
  np.testing.assert_array_equal(log.num_episodes, 4 * 50 // SIZE)
  np.testing.assert_array_equal(state.train.num_transitions, 200)
  stored = state.train.replay.ring.experience.transition
  uids = np.asarray(stored.uid)[:, 0, :200]
  np.testing.assert_array_equal(uids, np.tile(np.arange(200), (2, 1)))


@pytest.mark.slow
def test_updates_that_would_be_owed_are_refused_before_anything_is_done():
  loop = make_loop(dataclasses.replace(DQN_CONFIG, update_period=4))
  state, _ = loop.run(begin(loop, [0]), 20)
  with pytest.raises(ValueError, match='multiple of the 4 steps.* got 10'):
    loop.run(state, 10)
  state, log = loop.run(state, 8)
  assert log.num_updates.tolist() == [2]
  assert state.num_steps.tolist() == [28]


def test_an_interrupt_leaves_a_whole_state(monkeypatch):
  loop = make_loop(DQN_CONFIG)
  whole, _ = loop.run(loop.run(begin(loop, [0]), 30)[0], 10)

  def interrupted(_):
    monkeypatch.undo()
    raise KeyboardInterrupt

  monkeypatch.setattr(chunk_log, 'join', interrupted)  # The host waits there.
  with pytest.raises(KeyboardInterrupt):
    loop.run(begin(loop, [0]), 30)
  state, _ = loop.run(loop.last_state, 10)
  assert_same_bits(state, whole)
  assert loop.last_state is state


def test_seeds_are_checked():
  loop = make_loop(DQN_CONFIG)
  params = loop.environment.params_from_seeds([3])
  assert_same_bits(
      loop.init([3], params), loop.init([np.int64(3)], params))
  for seed in (2**32 + 3, np.int64(-1), True):
    with pytest.raises(ValueError, match=f'a seed .*got {seed}'):
      loop.init([seed], params)


@dataclasses.dataclass(frozen=True)
class Bounded(DeepSea):
  """DeepSea whose actions are integers with a minimum and a maximum."""

  def action_spec(self):
    return dm_specs.BoundedArray((), np.int32, 0, 1)


def test_actions_may_be_bounded_integers():
  environment = Bounded(SIZE)
  agent = agents.DQN(
      environment.observation_spec(), environment.action_spec(), DQN_CONFIG)
  loop = OnDeviceLoop(agent, environment, devices=CPUS[:1])
  state, _ = loop.run(begin(loop, [0]), 20)
  assert set(actions(state).ravel()) == {0, 1}


@pytest.mark.slow
def test_learns_with_n_step_returns_and_priorities():
  loop = make_loop(agents.HyperAgentConfig(
      hidden_sizes=(16,), batch_size=16, warmup_steps=20, replay_capacity=1000,
      n_step=3, sampler=replay.Prioritized()), size=4)
  state = begin(loop, [0, 1])
  before = np.asarray(loop.evaluate(state, 30)).mean()
  state, log = loop.run(state, 4 * 200)
  assert before < 0.2  # Of 0.99; a sixteenth, by chance.
  assert np.mean(log.episode_return[:, 150:200]) > 0.5
  assert np.asarray(loop.evaluate(state, 30)).mean() > 0.5


def test_refuses_what_cannot_be_meant():
  loop = make_loop(DQN_CONFIG)
  with pytest.raises(ValueError, match='at least one seed'):
    loop.init([], loop.environment.params_from_seed(0))
  with pytest.raises(ValueError, match=r'different seeds, got \[1, 1\]'):
    begin(loop, [1, 1])
  with pytest.raises(ValueError, match='num_envs must be at least 1, got 0'):
    make_loop(num_envs=0)
  with pytest.raises(ValueError, match='capacity .* at least 1, got 0'):
    make_loop(replay_capacity=0)
  with pytest.raises(ValueError, match='batch_size .* replay, 10,'):
    make_loop(replay_capacity=10)
  with pytest.raises(ValueError, match='multiple of the 4 steps'):
    odd = make_loop(dataclasses.replace(DQN_CONFIG, update_period=4))
    odd.run(begin(odd, [0]), 23)
  state = begin(loop, [0, 1])
  for num_steps in (0, -1):
    with pytest.raises(ValueError, match=f'at least 1, got {num_steps}'):
      loop.run(state, num_steps)
  for active in ([False, False], [True]):
    with pytest.raises(ValueError, match='of each of 2 seeds whether'):
      loop.run(state, 10, np.array(active))
  uneven, _ = loop.run(state, 20, np.array([True, False]))
  with pytest.raises(ValueError, match='come equally far, got some after 0'):
    loop.run(uneven, 10)
  agent = agents.HyperAgent(DeepSea(SIZE).observation_spec(), 3, CONFIG)
  with pytest.raises(ValueError, match='3 actions, the environment 2'):
    OnDeviceLoop(agent, DeepSea(SIZE))


def test_refuses_more_environments_than_the_replay_holds():
  with pytest.raises(ValueError, match='num_envs of at most 1000,.*got 1001'):
    make_loop(DQN_CONFIG, num_envs=1001)


def test_refuses_a_replay_that_does_not_fit():
  loop = make_loop(replay_capacity=10**12)
  with pytest.raises(MemoryError, match=r'58\d{3}\.\d\d GB  replay\n'):
    begin(loop, [0, 1])


@dataclasses.dataclass(frozen=True)
class _Endless(catch.Catch):
  """A catch that says it ends one step before it does."""

  @property
  def max_episode_length(self):
    return self.rows - 2


def _catch_loop(environment, num_envs=2):
  agent = agents.DQN(environment.observation_spec(), environment.action_spec(),
                     agents.DQNConfig(hidden_sizes=(4,), batch_size=4))
  return OnDeviceLoop(agent, environment, num_envs, replay_capacity=200)


def test_episodes_that_go_on_after_their_greatest_length_are_refused():
  loop = _catch_loop(_Endless(rows=6))
  state, _ = loop.run(loop.init([0, 1], ()), 3)
  with pytest.raises(ValueError, match=(
      'every episode to end by max_episode_length of .*got 6 of 6')):
    loop.evaluate(state, 3)
  with pytest.raises(ValueError, match=(
      'max_episode_length of .*, 4, got 0 episodes in 4 steps of 2 env')):
    loop.run(state, 1)
  assert loop.last_state.num_steps.tolist() == [4, 4]


def test_an_environment_without_parameters_runs():
  loop = _catch_loop(catch.Catch(rows=6))
  state, log = loop.run(loop.init([0, 1], catch.Catch().params()), 12)
  assert log.num_episodes.tolist() == [4, 4]
  assert loop.evaluate(state, 3).shape == (2, 3)


@pytest.mark.parametrize('num_seeds', [2, 4])
def test_parameters_without_the_axis_of_seeds_are_named(num_seeds):
  # With 4 seeds the mapping's own axis passes for the missing one.
  environment = DeepSea(4)
  loop = OnDeviceLoop(agents.DQN(
      environment.observation_spec(), environment.action_spec(), DQN_CONFIG),
      environment)
  with pytest.raises(ValueError, match=(
      f'leading axis of {num_seeds} seeds before their own axes')):
    loop.init(range(num_seeds), environment.params_from_seed(0))
