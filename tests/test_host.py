"""The loop of agents whose environments step on the host."""

import functools
from typing import Any

from dm_env import specs as dm_specs
import jax
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import replay
from hyperjax.agents import presets
from hyperjax.agents import priors
from hyperjax.environments import vector
from hyperjax.loops import host
from hyperjax.loops import host_run
from tests import states
from tests.games import SPEC
from tests.games import Game


@functools.cache
def hyperagent(num_actions=3, **overrides):
  config = presets.hyperagent_thompson_deep_sea(
      **{'hidden_sizes': (16,), 'batch_size': 8, 'warmup_steps': 16,
         'replay_capacity': 200, 'discount': 0.5, 'n_step': 2,
         'learning_rate': 3e-3, 'updates_per_period': 1,
         'prior': priors.Hypermodel(scale=1., std=1., mean_std=1.),
         **overrides})
  return agents.HyperAgent(SPEC, num_actions, config)


@functools.cache
def dqn(**overrides):
  """Quicker to compile, for what no part of an agent can change."""
  return agents.DQN(SPEC, 3, agents.DQNConfig(
      **{'hidden_sizes': (16,), 'batch_size': 8, 'warmup_steps': 16,
         'replay_capacity': 200, 'discount': 0.5, 'n_step': 2,
         'learning_rate': 3e-3, **overrides}))


def run(loop, seeds, num_steps, chunk=None):
  state = loop.init(seeds)
  env_steps = np.zeros(loop.num_agents, int)
  logs = []
  for _ in range(num_steps // (chunk or num_steps)):
    state, log = loop.run(state, chunk or num_steps, env_steps)
    logs.append(log)
  return state, logs, env_steps


def arrays(state, agent=None):
  return [x[slice(None) if agent is None else agent]
          for x in jax.tree.leaves(states.plain(state))]


@pytest.mark.slow
def test_the_replay_holds_what_the_environments_sent():
  game = Game([0, 1])
  loop = host.HostLoop(dqn(), [game], num_envs=2)
  state, _, _ = run(loop, [7], 24)
  entries = jax.tree.map(lambda x: np.asarray(x)[0],
                         state.train.replay.ring.experience)
  twin = Game([0, 1])
  timestep, action = twin.reset(), np.zeros(2, int)
  for t in range(24):
    np.testing.assert_array_equal(
        entries.observation[:, t], timestep.observation)
    np.testing.assert_array_equal(entries.action[:, t], action)
    np.testing.assert_array_equal(entries.reward[:, t], timestep.reward)
    np.testing.assert_array_equal(entries.discount[:, t], timestep.discount)
    np.testing.assert_array_equal(entries.is_first[:, t], timestep.first())
    np.testing.assert_array_equal(entries.uid[:, t], 2 * t + np.arange(2))
    action = game.sent[t]
    twin.send(action)
    timestep = twin.recv()


def test_counts_steps_and_scores_of_whole_episodes():
  game = Game([0])
  loop = host.HostLoop(dqn(), [game])
  _, (log,), env_steps = run(loop, [7], 13)
  assert env_steps.tolist() == [11]  # Two of them only began an episode.
  assert [e.length for e in log.episodes] == [5, 5]
  assert [e.env_steps for e in log.episodes] == [5, 10]
  twin = Game([0])
  returns, timestep = [0.], twin.reset()
  for action in game.sent:
    twin.send(action)
    timestep = twin.recv()
    returns[-1] += float(timestep.score[0])
    if timestep.last():
      returns.append(0.)
  assert [e.episode_return for e in log.episodes] == returns[:2]


def test_does_what_its_functions_do_in_turn():
  agent = dqn(update_period=4, updates_per_period=3, learning_rate=0.1)
  game = Game([0])
  loop = host.HostLoop(agent, [game])
  state, (log,), _ = run(loop, [7], 60)
  assert log.num_updates == 3 * (60 - 16) // 4

  functions = host_run.HostRun(loop.trainer)
  step = jax.jit(functions.step, static_argnums=0)
  learn = jax.jit(functions.learn)
  alone = jax.jit(functions.init)(jax.numpy.uint32(7), jax.numpy.ones(3, bool))
  twin = Game([0])
  timestep, action = twin.reset(), np.zeros(1, np.int32)
  for t in range(60):
    alone, action = step(t < 16, alone, action, timestep)
    if t >= 16 and (t + 1) % 4 == 0:
      alone = learn(alone)
    twin.send(np.asarray(action))
    timestep = twin.recv()
  np.testing.assert_array_equal(np.stack(game.sent), np.stack(twin.sent))
  for a, b in zip(arrays(state.train.learner.params, 0),
                  arrays(alone.train.learner.params), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_updates_are_owed_from_the_end_of_the_warm_up_on():
  loop = host.HostLoop(
      dqn(update_period=4, updates_per_period=3), [Game([0])])
  state, (log,), _ = run(loop, [7], 16 + 20)
  assert log.num_updates == int(state.train.learner.steps[0]) == 15
  assert np.isfinite(log.loss).all() and log.first_nonfinite.tolist() == [-1]


@pytest.mark.slow
def test_chunks_do_not_change_a_run():
  make = lambda: host.HostLoop(hyperagent(), [Game([0]), Game([5])])
  whole = run(make(), [1, 2], 40)[0]
  parts = run(make(), [1, 2], 40, chunk=10)[0]
  # The log is of the chunk.
  for a, b in zip(arrays(whole._replace(log=())),
                  arrays(parts._replace(log=())), strict=True):
    np.testing.assert_array_equal(a, b)


# Agents that share a device are mapped over; others have one each.
@pytest.mark.parametrize('num_devices', [
    pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.slow
def test_an_agent_is_the_same_in_any_company(num_devices):
  together = run(
      host.HostLoop(hyperagent(), [Game([0]), Game([5])],
                    devices=jax.devices()[:num_devices]), [1, 2], 60)[0]
  alone = run(host.HostLoop(hyperagent(), [Game([5])]), [2], 60)[0]
  other = run(host.HostLoop(hyperagent(), [Game([5])]), [3], 60)[0]
  learner = lambda state, agent: arrays(state.train.learner.params, agent)
  for a, b in zip(learner(together, 1), learner(alone, 0), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
  assert any((a != b).any() for a, b in zip(
      learner(alone, 0), learner(other, 0), strict=True))


@pytest.mark.slow
def test_games_of_different_actions_share_a_program():
  games = [Game([0], num_actions=2), Game([0], num_actions=4)]
  loop = host.HostLoop(hyperagent(num_actions=4), games,
                       devices=jax.devices()[:1])
  run(loop, [1, 2], 80)  # A game refuses an action that it does not have.
  for game in games:
    chosen = np.concatenate(game.sent)
    assert set(chosen[:16]) == set(range(game.num_actions))


@pytest.mark.parametrize('make', [
    pytest.param(hyperagent, marks=pytest.mark.slow),
    pytest.param(dqn, marks=[pytest.mark.slow, pytest.mark.ci]),
], ids=['hyperagent', 'dqn'])
def test_learns(make):
  loop = host.HostLoop(make(), [Game([0, 1, 2, 3])], num_envs=4)
  state, (log,), _ = run(loop, [0], 600)
  returns = [e.episode_return for e in log.episodes]
  assert np.mean(returns[:12]) < 6.  # Of ten; a third, by chance.
  assert np.mean(returns[-40:]) > 8.
  scores = loop.evaluate(state.train.learner.params, state,
                         [Game([10, 11, 12, 13, 14])], step=600)
  assert scores.shape == (1, 5) and scores.mean() > 9.


@pytest.mark.ci
@pytest.mark.slow
def test_evaluation_is_a_function_of_the_step_and_changes_nothing():
  loop = host.HostLoop(hyperagent(), [Game([0]), Game([1])])
  state = run(loop, [1, 2], 20)[0]
  before = arrays(state)
  evaluate = lambda step: loop.evaluate(
      state.train.learner.params, state, [Game([10, 11, 12]), Game([13, 14, 15])
                                          ], step)
  first = evaluate(1)
  np.testing.assert_array_equal(first, evaluate(1))
  assert (first != evaluate(2)).any()
  for a, b in zip(before, arrays(state), strict=True):
    np.testing.assert_array_equal(a, b)


def test_a_refilled_replay_waits_before_it_is_learned_from():
  loop = host.HostLoop(dqn(), [Game([0])])
  state, _, env_steps = run(loop, [1], 40)
  resumed = host.HostLoop(dqn(), [Game([9])])
  state = resumed.refill_replay(state)
  assert int(state.train.replay.ring.current_index[0]) == 0
  state, log = resumed.run(state, 16, env_steps)
  assert log.num_updates == 0
  state, log = resumed.run(state, 10, env_steps)
  assert log.num_updates == 10


def test_a_run_that_begins_again_is_the_same_run():
  """Also of a loop whose environments are within an episode."""
  loop = host.HostLoop(dqn(), [Game([0])])
  run(loop, [7], 3)
  _, (log,), _ = run(loop, [7], 12)
  assert [e.length for e in log.episodes] == [5, 5]


def test_an_earlier_state_begins_new_episodes():
  loop = host.HostLoop(dqn(), [Game([0])])
  state, _, env_steps = run(loop, [7], 9)
  kept = jax.tree.map(jax.numpy.copy, state)
  loop.run(state, 1, env_steps.copy())
  state, _ = loop.run(kept, 3, env_steps)
  is_first = np.asarray(state.train.replay.ring.experience.is_first)[0, 0]
  assert is_first[:12].tolist() == [t in (0, 6, 9) for t in range(12)]


@pytest.mark.parametrize('half', ['send', 'recv'])
def test_a_stalled_environment_ends_the_run(half):
  class Stalled(Game):

    def send(self, actions):
      super().send(actions)
      self._stall('send')

    def recv(self):
      self._stall('recv')
      return super().recv()

    def _stall(self, here):
      if here == half and len(self.sent) == 9:
        raise vector.StalledError('Match: did not answer')

  loop = host.HostLoop(dqn(), [Stalled([0])])
  state, (log,), env_steps = run(loop, [0], 40)
  assert log.failure == 'Match: did not answer'
  # Whole: what was seen before is there.
  assert int(state.train.num_transitions[0]) == 9
  assert env_steps.tolist() == [7]


def test_refuses_what_cannot_be():
  with pytest.raises(ValueError, match='at least one environment'):
    host.HostLoop(hyperagent(), [])
  with pytest.raises(ValueError, match='multiple of 2, got 3'):
    host.HostLoop(hyperagent(), [Game([0, 1, 2])], num_envs=2)
  with pytest.raises(
      ValueError, match='has 4 actions, the environments at most 3'):
    host.HostLoop(hyperagent(num_actions=4), [Game([0])])
  loop = host.HostLoop(hyperagent(), [Game([0, 1])])
  with pytest.raises(ValueError, match='a seed for each of 2 agents, got 1'):
    loop.init([0])
  with pytest.raises(ValueError, match='num_steps must be at least 1, got 0'):
    loop.run(loop.init([0, 1]), 0, np.zeros(2, int))
  with pytest.raises(ValueError, match='env_steps must be an array'):
    loop.run(loop.init([0, 1]), 1, np.zeros(3, int))
  two = host.HostLoop(dqn(), [Game([0, 1]), Game([2])])
  state = two.init([0, 1, 2])
  for found in ([[0, 1], [2, 3, 4, 5]], [[0, 1, 2, 3]], [[0], [1]]):
    with pytest.raises(ValueError, match=r'each of \[2, 1\] agents, task by'):
      two.evaluate(state.train.learner.params, state, list(map(Game, found)), 0)
  with pytest.raises(MemoryError, match='GB'):
    huge = host.HostLoop(hyperagent(), [Game([0])], replay_capacity=10**11)
    huge.init([0])


class Vectors(Game):
  """The game, shown as a vector of numbers."""

  def observation_spec(self):
    return dm_specs.Array((4,), np.float32)

  def _timestep(self, *args):
    return super()._timestep(*args)._replace(
        observation=np.eye(4, dtype=np.float32)[self._shown])


class Categories(Game):
  """The game, shown as the number of the action to choose."""

  def observation_spec(self):
    return dm_specs.DiscreteArray(4, np.int32)

  def _timestep(self, *args):
    return super()._timestep(*args)._replace(
        observation=self._shown.astype(np.int32))


SMALL = dict(hidden_sizes=(16,), batch_size=8, warmup_steps=16,
             replay_capacity=800, discount=0.5, n_step=2, learning_rate=3e-3,
             updates_per_period=1)


def default(**overrides):
  return agents.HyperAgentConfig(**{**SMALL, **overrides})


def optimistic(**overrides):
  return presets.hyperagent_optimistic(**{**SMALL, **overrides})


@pytest.mark.parametrize('game, make_config, sampler', [
    (Vectors, optimistic, replay.Mixed()),
    *[pytest.param(*arguments, marks=pytest.mark.slow) for arguments in (
        (Game, default, replay.Prioritized()),
        (Game, optimistic, replay.Mixed()),
        (Vectors, default, replay.Prioritized()),
        (Categories, optimistic, replay.Mixed()),
        (Categories, default, replay.Prioritized()))]],
    ids=lambda x: getattr(x, '__name__', type(x).__name__))
@pytest.mark.slow
def test_learns_from_what_is_shown_with_every_sampler(
    game, make_config, sampler):
  environments = game([0, 1, 2, 3])
  spec = SPEC if game is Game else environments.observation_spec()
  agent = agents.HyperAgent(spec, 3, make_config(sampler=sampler))
  loop = host.HostLoop(agent, [environments], num_envs=4)
  state, (log,), _ = run(loop, [0], 800)
  returns = [e.episode_return for e in log.episodes]
  assert np.mean(returns[:12]) < 6.  # Of ten; a third, by chance.
  assert np.mean(returns[-40:]) > 7.5
  scores = loop.evaluate(
      state.train.learner.params, state, [game([10, 11, 12])], step=800)
  assert scores.mean() > 7.5


def test_the_replay_stays_where_it_is():
  loop = host.HostLoop(dqn(sampler=replay.Prioritized()), [Game([0])])

  def addresses(state):
    return [x.unsafe_buffer_pointer() for x in jax.tree.leaves(
        state.train.replay) if x.size >= 200]

  state, env_steps = loop.init([0]), np.zeros(1, int)
  before = addresses(state)
  assert len(before) == 7  # Six of time steps, one of priorities.
  for num_steps in (10, 10, 5):  # Before, across and after the warm-up's end.
    state, log = loop.run(state, num_steps, env_steps)
    assert addresses(state) == before
  assert log.num_updates == 5


def raise_once(function, after):
  """The function, but that one call is interrupted."""
  calls = []

  def call(*args):
    calls.append(args)
    if len(calls) == after:
      raise KeyboardInterrupt
    return function(*args)

  return call


@pytest.mark.parametrize('where, after, steps_done', [
    ('reset', 1, 0), ('send', 20, 20), ('recv', 5, 5), ('recv', 20, 20)])
def test_an_interrupt_leaves_a_whole_state(
    monkeypatch, where, after, steps_done):
  game = Game([0])
  monkeypatch.setattr(game, where, raise_once(getattr(game, where), after))
  loop = host.HostLoop(dqn(), [game])
  env_steps = np.zeros(1, int)
  with pytest.raises(KeyboardInterrupt):
    loop.run(loop.init([0]), 40, env_steps)
  state = loop.last_state
  assert int(state.train.num_transitions[0]) == steps_done
  assert int(state.train.learner.steps[0]) == max(0, steps_done - 16)
  # And on: the environments begin anew.
  state, log = loop.run(state, 30, env_steps)
  assert int(state.train.num_transitions[0]) == steps_done + 30
  assert int(state.train.learner.steps[0]) == steps_done + 14
  assert state is loop.last_state
  entries = state.train.replay.ring.experience
  assert entries.is_first[0, 0, steps_done]
  np.testing.assert_array_equal(
      entries.uid[0, 0, :steps_done + 30], np.arange(steps_done + 30))


def test_an_interrupt_at_the_end_of_a_chunk_changes_nothing(monkeypatch):
  whole, _, _ = run(host.HostLoop(dqn(), [Game([0])]), [0], 40)
  loop = host.HostLoop(dqn(), [Game([0])])
  monkeypatch.setattr(jax, 'device_get', raise_once(jax.device_get, 1))
  env_steps = np.zeros(1, int)
  with pytest.raises(KeyboardInterrupt):
    loop.run(loop.init([0]), 30, env_steps)
  state, _ = loop.run(loop.last_state, 10, env_steps)
  for a, b in zip(arrays(whole.train), arrays(state.train), strict=True):
    np.testing.assert_array_equal(a, b)


def test_seeds_are_checked():
  loop = host.HostLoop(dqn(), [Game([0])])
  a, b = loop.init([3]), loop.init([np.int64(3)])
  for x, y in zip(arrays(a), arrays(b), strict=True):
    np.testing.assert_array_equal(x, y)
  for seed in (2**32 + 3, np.int64(-1), True):
    with pytest.raises(ValueError, match=f'a seed .*got {seed}'):
      loop.init([seed])
  with pytest.raises(ValueError, match='num_envs of at most 200, .* got 300'):
    host.HostLoop(dqn(), [Game(range(300))], num_envs=300)


def test_equal_seeds_are_of_different_tasks():
  loop = host.HostLoop(dqn(), [Game(range(4)), Game([4, 5])], num_envs=2)
  loop.init([0, 1, 0])
  with pytest.raises(
      ValueError, match=r'agents of Match, got \[3, 3\]'):
    loop.init([3, 3, 0])


def read_only():
  counts = np.zeros(1, int)
  counts.flags.writeable = False
  return counts


@pytest.mark.parametrize('env_steps, words', [
    (np.zeros(1, np.uint8), 'int32 or int64, got uint8'),
    (np.zeros(1, np.int16), 'int32 or int64, got int16'),
    (np.zeros(1), 'int32 or int64, got float64'),
    (read_only(), 'must be writeable')])
def test_counts_of_steps_are_checked_before_a_step(env_steps, words):
  game = Game([0])
  loop = host.HostLoop(dqn(), [game])
  with pytest.raises(ValueError, match=words):
    loop.run(loop.init([0]), 1, env_steps)
  assert not game.sent


class Closes(Game):
  """Counts how often it was closed."""

  closed = 0

  def close(self):
    self.closed += 1


@pytest.mark.parametrize('num_episodes, words', [(3, 'task by task'), (4, '')])
def test_an_evaluation_closes_its_environments(num_episodes, words):
  loop = host.HostLoop(dqn(), [Game([0, 1])])
  state = loop.init([0, 1])
  games = [Closes(range(num_episodes))]
  evaluate = lambda: loop.evaluate(
      state.train.learner.params, state, games, 0)
  if words:
    with pytest.raises(ValueError, match=words):
      evaluate()
  else:
    evaluate()
  assert games[0].closed == 1


def test_wants_a_list_of_environments(unchecked):
  game: Any = Game([0])
  with pytest.raises(ValueError, match='a list of vector environments, got'):
    host.HostLoop(dqn(), game)
  loop = host.HostLoop(dqn(), [game])
  state = loop.init([0])
  with pytest.raises(ValueError, match='a list of vector environments, got'):
    loop.evaluate(state.train.learner.params, state, game, 0)
