"""The compiled loop: seeds, devices, chunks, learning."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import acting
from hyperjax import agents
from hyperjax import data_noise
from hyperjax import replay
from hyperjax.agents import presets
from hyperjax.environments import DeepSea
from hyperjax.loops import OnDeviceLoop
from hyperjax.loops.seed_run import SeedRun
from tests import states

SIZE = 5
# Small, but with everything that a run has: the prior, the perturbation,
# optimism, priorities, sampled redraws of the acting index.
CONFIG = presets.hyperagent_optimistic(
    hidden_sizes=(16,), batch_size=16, warmup_steps=20, replay_capacity=1000,
    acting=acting.UCB(scale=2., resample_probability=0.1),
    noise=data_noise.Perturbation(0.01), updates_per_period=1)
# Quicker to compile, for what no part of an agent can change.
DQN_CONFIG = agents.DQNConfig(
    hidden_sizes=(16,), batch_size=16, warmup_steps=20, replay_capacity=1000)
CPUS = jax.devices('cpu')
pytestmark = pytest.mark.usefixtures('optimized')


def make_loop(config=CONFIG, size=SIZE, **kwargs):
  environment = DeepSea(size)
  agent_class = (agents.DQN if isinstance(config, agents.DQNConfig)
                 else agents.HyperAgent)
  agent = agent_class(
      environment.observation_spec(), environment.action_spec(), config)
  return OnDeviceLoop(agent, environment, **{'devices': CPUS[:1], **kwargs})


def begin(loop, seeds):
  return loop.init(seeds, loop.environment.params_from_seeds(seeds))


def assert_same_bits(a, b):
  jax.tree.map(np.testing.assert_array_equal, states.plain(a), states.plain(b))


def seed_of(state, i):
  return jax.tree.map(lambda x: x[i], states.plain(state))


def actions(state):
  """All actions taken so far, from the replay, [S, T]."""
  steps = int(state.num_steps[0])
  stored = state.train.replay.ring.experience.transition
  return np.asarray(stored.action)[:, 0, :steps]


@pytest.fixture(scope='module')
def sixteen():
  loop = make_loop()
  state, log = loop.run(begin(loop, range(16)), 60)
  return state, log


@pytest.mark.parametrize('seeds, num_devices', [
    pytest.param([3], 1, marks=pytest.mark.ci), ([3], 8),
    (list(range(8)), 1), (list(range(8)), 8)])
@pytest.mark.slow
def test_a_seed_is_the_same_run_in_any_company(sixteen, seeds, num_devices):
  loop = make_loop(devices=CPUS[:num_devices])
  state, log = loop.run(begin(loop, seeds), 60)
  for i, seed in enumerate(seeds):
    assert_same_bits(seed_of(state, i), seed_of(sixteen[0], seed))
    np.testing.assert_array_equal(
        log.episode_return[i], sixteen[1].episode_return[seed])


@pytest.mark.slow
def test_vectorised_seeds_take_the_same_actions(sixteen):
  loop = make_loop(vectorize=True, devices=CPUS)
  state, _ = loop.run(begin(loop, range(16)), 60)
  np.testing.assert_array_equal(actions(state), actions(sixteen[0]))
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
      states.plain(state.train.learner.params),
      states.plain(sixteen[0].train.learner.params))


@pytest.mark.slow
def test_seeds_spread_over_devices_do_not_communicate():
  loop = make_loop(devices=CPUS)
  state = begin(loop, range(8))
  assert len(state.num_steps.sharding.device_set) == 8
  for function, static, mapped, arguments in (
      (SeedRun.run_if, (4, True), 2, [np.ones(8, bool), np.int32(4)]),
      (SeedRun.evaluate, (3,), 1, [])):
    text = loop._mapped._compiled(
        function, (loop._seed_run, *static), 8, mapped, False
    ).lower(state, *arguments).compile().as_text()
    for collective in ('all-reduce', 'all-gather', 'all-to-all',
                       'collective-permute', 'reduce-scatter'):
      assert collective not in text


@pytest.mark.parametrize('fraction', [
    pytest.param(0., marks=pytest.mark.slow), 0.375])
def test_a_step_does_not_copy_the_replay(fraction):
  """However large it is, a step costs the same."""
  loop = make_loop(dataclasses.replace(
      CONFIG, replay_capacity=76_543, sampler=replay.Mixed(
          recent_fraction=fraction, tournament_fraction=fraction)))
  text = loop._mapped._compiled(
      SeedRun.run_if, (loop._seed_run, 4, True), 1, 2, True).lower(
          begin(loop, [0]), np.ones(1, bool), np.int32(4)).compile().as_text()
  inner, entry = text.split('\nENTRY ')
  assert re.search(r'\[1,76543\]\S* (dynamic-update-slice|scatter)', inner)
  assert not re.search(r'\[1,76543\]\S* copy\(', inner)


@pytest.mark.slow
def test_chunks_do_not_change_a_run(sixteen):
  loop = make_loop()
  state = begin(loop, range(16))
  returns = []
  # One within the random steps and one across their end; all but the last end
  # within an episode.
  for num_steps in (8, 20, 8, 8, 8, 8):
    loop.evaluate(state, 5)
    state, log = loop.run(state, num_steps)
    returns += [log.episode_return[0, i] for i in range(log.num_episodes[0])]
  assert_same_bits(state, sixteen[0])
  np.testing.assert_array_equal(
      returns, sixteen[1].episode_return[0, :60 // SIZE])


@pytest.mark.slow
@pytest.mark.parametrize('vectorize', [False, True])
def test_seeds_that_are_not_active_stay_as_they_are(vectorize):
  loop = make_loop(vectorize=vectorize)
  both, _ = loop.run(begin(loop, [0, 1]), 20)
  before = seed_of(both, 1)
  both, log = loop.run(both, 40, [True, False])
  assert_same_bits(seed_of(both, 1), before)
  assert list(log.num_episodes) == [40 // SIZE, 0]
  assert list(log.num_updates) == [40, 0]
  assert list(log.first_nonfinite) == [-1, -1]
  assert list(np.isnan(log.loss)) == [False, True]
  alone, _ = loop.run(begin(loop, [0, 1]), 60)
  assert_same_bits(seed_of(both, 0), seed_of(alone, 0))
  # The other one may still catch up.
  both, _ = loop.run(both, 40, np.array([False, True]))
  assert_same_bits(both, alone)


@pytest.mark.ci
@pytest.mark.slow
def test_seeds_differ_from_their_first_actions_on(sixteen):
  first = actions(sixteen[0])[:, :20]
  assert len(np.unique(first, axis=0)) == 16
  assert set(first[:, 0]) == {0, 1}  # The very first ones already.


def test_counts_steps_episodes_and_updates(sixteen):
  state, log = sixteen
  np.testing.assert_array_equal(state.num_episodes, 60 // SIZE)
  np.testing.assert_array_equal(log.num_episodes, 60 // SIZE)
  np.testing.assert_array_equal(
      log.episode_step[:, :12], np.tile(SIZE * np.arange(1, 13), (16, 1)))
  np.testing.assert_array_equal(log.num_updates, 60 - 20)
  np.testing.assert_array_equal(state.train.learner.steps, 60 - 20)
  np.testing.assert_array_equal(state.train.num_transitions, 60)
  assert np.all(np.isfinite(log.loss)) and np.all(log.first_nonfinite == -1)


def test_stores_true_transitions(sixteen):
  """The replay holds what DeepSea does, ends of episodes included."""
  state, _ = sixteen
  environment = DeepSea(SIZE)
  experience = jax.tree.map(
      lambda x: np.asarray(x)[5, 0, :60],
      state.train.replay.ring.experience.transition)
  params = environment.params_from_seed(5)
  np.testing.assert_array_equal(experience.uid, np.arange(60))
  for t in range(60):
    if t % SIZE == 0:
      env_state, _ = environment.reset(params, jax.random.key(0))
    assert experience.observation[t] == environment.observe(env_state)
    env_state, timestep = environment.step(
        params, env_state, jnp.asarray(experience.action[t]),
        jax.random.key(0))
    assert experience.next_observation[t] == timestep.observation
    assert experience.reward[t] == pytest.approx(float(timestep.reward))
    assert experience.discount[t] == pytest.approx(
        0. if t % SIZE == SIZE - 1 else CONFIG.discount)


@pytest.mark.slow
def test_learning_notes_losses_before_it_draws_again(sixteen):
  """Two updates by hand: sample, update, record, and the same once more."""
  trainer = make_loop(
      dataclasses.replace(CONFIG, updates_per_period=2)).trainer
  before = jax.tree.map(lambda x: x[5], sixteen[0].train)
  after, metrics = trainer.learn(before)
  learner, losses = before.learner, np.array(before.replay.sampler)
  for t in range(2):
    batch = trainer.replay.sample(
        before.replay._replace(sampler=jnp.asarray(losses)),
        jax.random.fold_in(before.replay_key, learner.steps))
    learner, of_batch = trainer.agent.update(learner, batch)
    losses[np.asarray(batch.transitions.uid)] = of_batch['losses']
    assert float(metrics['loss'][t]) == pytest.approx(
        float(of_batch['loss']), rel=1e-4)
  np.testing.assert_allclose(after.replay.sampler, losses, rtol=1e-3)
  assert np.isfinite(losses[np.asarray(batch.transitions.uid)]).all()
  assert np.isinf(losses[60:]).all()  # Nothing was stored there.


@pytest.mark.slow
def test_learns_deep_sea():
  """A random policy finds the treasure once in 256 episodes; this one keeps it.
  """
  loop = make_loop(
      presets.hyperagent_thompson_deep_sea(), size=8, devices=CPUS[:2])
  state = begin(loop, [20, 21, 22, 23])
  before = np.asarray(loop.evaluate(state, 50))
  state, log = loop.run(state, 8 * 150)
  after = np.asarray(loop.evaluate(state, 50))
  assert before.mean() < 0.1
  assert np.all(after.mean(axis=1) > 0.9)
  assert np.mean(log.episode_return[:, 100:150]) > 0.8


@pytest.mark.slow
def test_the_optimist_learns_deep_sea_and_goes_on_doing_it():
  """It acts by its upper bound, not by the samples that `evaluate` draws.

  Now and then it errs again, since it tries what it has not seen.
  """
  loop = make_loop(presets.hyperagent_optimistic(), size=8, devices=CPUS[:2])
  state, _ = loop.run(begin(loop, [20, 21, 22, 23]), 8 * 70)
  _, log = loop.run(state, 8 * 50)
  assert np.all(log.num_episodes == 50)
  assert np.mean(log.episode_return[:, :50]) > 0.9


@pytest.mark.slow
def test_reports_the_first_update_whose_loss_is_not_finite():
  loop = make_loop(dataclasses.replace(
      CONFIG, learning_rate=1e18, max_gradient_norm=None))
  _, log = loop.run(begin(loop, [0, 1]), 60)
  assert np.all(log.first_nonfinite > 0)
  assert np.all(log.first_nonfinite < 40)
