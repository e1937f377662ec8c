"""The stateful adapters, on real bsuite environments."""

import dataclasses
import functools

import bsuite
from bsuite.baselines import experiment
from bsuite.environments import catch
from bsuite.environments import deep_sea as bsuite_deep_sea
import dm_env
from dm_env import specs as dm_specs
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import acting
from hyperjax import agents
from hyperjax import data_noise
from hyperjax import faults
from hyperjax import networks
from hyperjax import replay
from hyperjax import schedules
from hyperjax import specs
from hyperjax import step_checks
from hyperjax import types
from hyperjax.adapters import acme
from hyperjax.adapters import bsuite as bsuite_adapter
from hyperjax.adapters import programs
from hyperjax.agents import presets
from hyperjax.environments import DeepSea
from hyperjax.loops import EnvironmentLoop
from hyperjax.loops import on_device
from hyperjax.loops import seed_run
from tests import states

SMALL = presets.hyperagent_optimistic(
    hidden_sizes=(16,), batch_size=16, warmup_steps=20, replay_capacity=1000,
    acting=acting.UCB(scale=2., resample_probability=0.1),
    noise=data_noise.Perturbation(0.01), updates_per_period=2)

QUICK = agents.DQNConfig(
    hidden_sizes=(8,), batch_size=4, warmup_steps=4, replay_capacity=500)
DQN = agents.DQN(dm_specs.Array((3,), np.float32), 2, QUICK)
HYPERAGENT = agents.HyperAgent(
    dm_specs.Array((3,), np.float32), 2, agents.HyperAgentConfig(
        hidden_sizes=(8,), batch_size=4, warmup_steps=4, replay_capacity=500))


class _Recorder:
  """An actor that remembers its actions."""

  def __init__(self, actor):
    self._actor = actor
    self.actions = []

  def __getattr__(self, name):
    return getattr(self._actor, name)

  def select_action(self, observation):
    action = self._actor.select_action(observation)
    self.actions.append(action)
    return action


@pytest.mark.parametrize('update_period, updates_per_period', [
    (1, 2), pytest.param(5, 1, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_host_and_device_loops_run_the_same_agent(
    update_period, updates_per_period):
  size, seed, num_steps = 5, 4, 100
  config = dataclasses.replace(
      SMALL, update_period=update_period,
      updates_per_period=updates_per_period)
  environment = DeepSea(size, one_hot=True)
  agent = agents.HyperAgent(
      environment.observation_spec(), environment.action_spec(), config)

  loop = on_device.OnDeviceLoop(agent, environment)
  state = loop.init([seed], environment.params_from_seeds([seed]))
  state, log = loop.run(state, num_steps)

  agent_key, _, _ = seed_run.run_keys(seed)
  actor = _Recorder(acme.Actor(agent, agent_key))
  host_loop = EnvironmentLoop(
      bsuite_deep_sea.DeepSea(size, mapping_seed=seed), actor)
  results = host_loop.run(num_steps // size)

  stored = state.train.replay.ring.experience.transition
  on_device_actions = stored.action[0, 0, :num_steps]
  np.testing.assert_array_equal(actor.actions, on_device_actions)
  np.testing.assert_allclose(
      [result.episode_return for result in results],
      log.episode_return[0, :num_steps // size], atol=1e-5)
  learner = jax.tree.map(lambda x: x[0], state.train.learner)
  assert int(actor.state.learner.steps) == int(learner.steps) > 0
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
      actor.state.learner.params, learner.params)


@pytest.mark.parametrize('bsuite_id', [
    'deep_sea/0', pytest.param('catch/0', marks=pytest.mark.slow),
    pytest.param('cartpole/0', marks=pytest.mark.slow)])
@pytest.mark.parametrize('agent_class, config', [
    (agents.HyperAgent, SMALL),
    (agents.DQN, agents.DQNConfig(hidden_sizes=(16,), warmup_steps=20))])
def test_runs_on_bsuite(bsuite_id, agent_class, config):
  environment = bsuite.load_from_id(bsuite_id)
  agent = agent_class(
      environment.observation_spec(), environment.action_spec(), config)
  adapter = bsuite_adapter.Agent(agent, key=1)
  experiment.run(adapter, environment, num_episodes=4)
  state = adapter.actor.state
  assert int(state.num_transitions) >= 36
  assert int(state.learner.steps) == config.updates_per_period * (
      int(state.num_transitions) - 20)
  for leaf in jax.tree.leaves(state.learner.params):
    assert np.all(np.isfinite(leaf))


def test_an_actor_goes_on_from_the_state_of_another():
  environment = bsuite.load_from_id('catch/0')
  agent = agents.DQN(*specs.of_environment(environment), agents.DQNConfig(
      hidden_sizes=(16,), warmup_steps=20, batch_size=8))
  first, second = (acme.Actor(agent, key=key) for key in (0, 1))
  EnvironmentLoop(environment, first).run(4)
  second.state = jax.tree.map(jnp.copy, first.state)
  before = int(second.state.learner.steps)
  results = EnvironmentLoop(environment, second).run(1)
  # No random actions again: an update for each step from the first on.
  assert int(second.state.learner.steps) - before == (
      results[0].episode_length)


@pytest.mark.slow
def test_dqn_learns_catch():
  """A random paddle catches one ball in five or so: a return of about -0.6."""
  environment = catch.Catch(seed=0)
  agent = agents.DQN(*specs.of_environment(environment))
  loop = EnvironmentLoop(environment, acme.Actor(agent, key=0))
  returns = [result.episode_return for result in loop.episodes(300)]
  assert np.mean(returns[:12]) < 0.1
  assert np.mean(returns[-60:]) > 0.7


@pytest.mark.slow
def test_hyperagent_learns_deep_sea():
  """Where DQN's dithering finds the treasure once in 1024 episodes."""
  environment = bsuite.load_from_id('deep_sea/0')
  agent = agents.HyperAgent(
      *specs.of_environment(environment), presets.hyperagent_optimistic())
  adapter = bsuite_adapter.Agent(agent, key=0, replay_capacity=2000)
  experiment.run(adapter, environment, num_episodes=80)
  bad_before = environment.bsuite_info()['total_bad_episodes']
  experiment.run(adapter, environment, num_episodes=30)
  bad_after = environment.bsuite_info()['total_bad_episodes']
  assert bad_before > 10
  assert bad_after - bad_before < 5


class _Truncated(dm_env.Environment):
  """Two steps, then a time limit: the last discount is not 0."""

  def __init__(self):
    self._t = 0

  def reset(self):
    self._t = 0
    return dm_env.restart(np.zeros(1, np.float32))

  def step(self, action):
    self._t += 1
    observation = np.full(1, self._t, np.float32)
    if self._t == 2:
      return dm_env.truncation(1., observation, discount=1.)
    return dm_env.transition(1., observation)

  def observation_spec(self):
    return dm_specs.Array((1,), np.float32)

  def action_spec(self):
    return dm_specs.DiscreteArray(2)


def test_truncation_is_not_termination():
  environment = _Truncated()
  agent = agents.DQN(*specs.of_environment(environment))
  actor = acme.Actor(agent)
  EnvironmentLoop(environment, actor).run(2)
  experience = jax.tree.map(
      lambda x: np.asarray(x)[0, :4],
      actor.state.replay.ring.experience.transition)
  np.testing.assert_allclose(experience.discount, 0.99)
  # The successor is the true one, not the next episode's first observation.
  np.testing.assert_array_equal(
      experience.next_observation[:, 0], [1, 2, 1, 2])
  np.testing.assert_array_equal(experience.observation[:, 0], [0, 1, 0, 1])


def test_errors_name_what_was_wrong():
  agent = agents.DQN(dm_specs.Array((3,), np.float32), 2)
  actor = acme.Actor(agent)
  with pytest.raises(ValueError, match=r'shape \(3,\).*shape \(4,\)'):
    actor.observe_first(dm_env.restart(np.zeros(4, np.float32)))
  with pytest.raises(ValueError, match='before observe_first'):
    actor.observe(0, dm_env.transition(0., np.zeros(3, np.float32)))
  with pytest.raises(ValueError, match='num_episodes must be at least 1'):
    EnvironmentLoop(_Truncated(), actor).run(0)
  with pytest.raises(MemoryError, match='GB'):
    acme.Actor(agent, replay_capacity=10**12)


def test_integer_and_key_seed_the_same_actor():
  agent = agents.DQN(dm_specs.Array((3,), np.float32), 2)
  a, b = acme.Actor(agent, 7), acme.Actor(agent, jax.random.key(7))
  jax.tree.map(
      lambda x, y: np.testing.assert_array_equal(x, y),
      a.state.learner.params, b.state.learner.params)
  c = acme.Actor(agent, 8)
  kernels = [jax.tree.leaves(x.state.learner.params)[1] for x in (a, c)]
  assert not jnp.array_equal(*kernels)


def observation(t=0.):
  return np.array([t, 1., -1.], np.float32)


def play(actor, num_steps, length=5):
  """Episodes of a fixed length in no environment in particular."""
  for t in range(num_steps):
    if t % length == 0:
      actor.observe_first(dm_env.restart(observation()))
    action = actor.select_action(observation(t % length))
    follows = (dm_env.termination if t % length == length - 1
               else dm_env.transition)
    actor.observe(action, follows(1., observation(t % length + 1)))
    actor.update()


def _trainer_alone(trainer, num_steps, length=5):
  """What `play` does, by the trainer's own functions on its whole state."""
  act, observe = jax.jit(trainer.act), jax.jit(trainer.observe)
  warm_up = jax.jit(trainer.warm_up)
  learn = jax.jit(lambda state: trainer.learn(state, unroll=True))
  state, metrics = jax.jit(trainer.init)(jax.random.key(3)), {}
  for t in range(num_steps):
    s = observation(t % length)[None]
    if t < trainer.warmup_steps:
      state, action = warm_up(state)
    else:
      state, action = act(state, s, np.array([t % length == 0]))
    is_last = t % length == length - 1
    state = observe(state, s, action, types.TimeStep(
        np.array([2 if is_last else 1], np.int32), np.ones(1, np.float32),
        np.array([0. if is_last else 1.], np.float32),
        observation(t % length + 1)[None]))
    if t + 1 > trainer.warmup_steps and (t + 1) % trainer.update_period == 0:
      state, metrics = learn(state)
  return state, metrics


def _assert_same(one, two):
  jax.tree.map(np.testing.assert_array_equal, one, two)


def _assert_close(one, two):
  jax.tree.map(functools.partial(
      np.testing.assert_allclose, rtol=1e-4, atol=1e-6), one, two)


@pytest.mark.parametrize('agent, compare', [
    (agents.HyperAgent(
        dm_specs.Array((3,), np.float32), 2, dataclasses.replace(
            HYPERAGENT.config, torso=networks.MLPTorso)), _assert_same),
    # XLA rounds layer normalisation otherwise in a program of other parts.
    pytest.param(HYPERAGENT, _assert_close,
                 marks=[pytest.mark.slow, pytest.mark.ci]),
    pytest.param(agents.DQN(
        dm_specs.Array((3,), np.float32), 2, dataclasses.replace(
            QUICK, sampler=replay.Prioritized(), n_step=2, update_period=3,
            updates_per_period=2)), _assert_same, marks=pytest.mark.slow)])
@pytest.mark.parametrize('looks', [False, True])
def test_an_actor_has_the_bits_of_its_trainer(agent, compare, looks):
  """Whatever it leaves to a later call, and whoever looks meanwhile."""
  actor = acme.Actor(agent, 3)
  expected, metrics = _trainer_alone(actor._trainer, 30)
  for _ in range(3):
    play(actor, 10)
    if looks:
      actor.evaluator().select_action(observation())
      assert set(actor.metrics) == set(metrics)
  compare(states.plain(expected), states.plain(actor.state))
  compare(metrics, actor.metrics)


def addresses(train_state):
  """Where the arrays of a replay lie that are as long as it."""
  return [x.unsafe_buffer_pointer()
          for x in jax.tree.leaves(train_state.replay) if x.size >= 500]


@pytest.mark.parametrize('sampler', [
    replay.Prioritized(),
    pytest.param(replay.Mixed(), marks=pytest.mark.slow)])
def test_the_replay_stays_where_it_is(sampler):
  agent = agents.DQN(dm_specs.Array((3,), np.float32), 2,
                     dataclasses.replace(QUICK, sampler=sampler))
  actor = acme.Actor(agent)
  before = addresses(actor.state)
  assert len(before) == 8  # Seven of transitions, one of priorities.
  actor.observe_first(dm_env.restart(observation()))
  for t in range(8):
    action = actor.select_action(observation(t))
    assert addresses(actor.state) == before
    actor.observe(action, dm_env.transition(0., observation(t + 1)))
    assert addresses(actor.state) == before
    actor.update()
    assert addresses(actor.state) == before
  assert int(actor.state.learner.steps) == 4


@pytest.mark.parametrize('dtype, given, words', [
    (np.uint8, 0.9, 'type uint8, got float64'),
    (np.uint8, 300., 'type uint8, got float64'),
    (np.uint8, 300, 'type uint8, got int64 with the value 300'),
    (np.uint8, -1, 'type uint8, got int64 with the value -1'),
    (np.bool_, 0.1, 'type bool, got float64'),
    (np.int64, 2**40 + 7, 'type int32, got int64 with the value 1099511627783'),
    (np.float32, 3, 'type float32, got int64'),
    (np.float32, 1e300, 'type float32, got float64 with the value 1e.300'),
    (np.float32, np.nan, 'a finite observation, got nan'),
    (np.float32, -np.inf, 'a finite observation, got -inf'),
])
def test_observations_are_never_changed_to_fit(dtype, given, words):
  actor = acme.Actor(agents.DQN(dm_specs.Array((2,), dtype), 2, QUICK))
  good, bad = np.zeros(2, dtype), np.array([given, given])
  actor.observe_first(dm_env.restart(good))
  with pytest.raises(ValueError, match=words):
    actor.select_action(bad)
  with pytest.raises(ValueError, match=words):
    actor.observe(0, dm_env.transition(0., bad))
  with pytest.raises(ValueError, match=words):
    actor.observe_first(dm_env.restart(bad))
  assert int(actor.state.num_transitions) == 0


@pytest.mark.parametrize('dtype, given', [
    (np.uint8, 255), (np.bool_, True), (np.int64, -2**31), (np.float32, 1e-9)])
def test_observations_that_fit_are_stored_as_they_are(dtype, given):
  actor = acme.Actor(agents.DQN(dm_specs.Array((2,), dtype), 2, QUICK))
  actor.observe_first(dm_env.restart([given, given]))
  actor.observe(1, dm_env.transition(0., np.array([given, given])))
  stored = actor.state.replay.ring.experience.transition
  for x in (stored.observation, stored.next_observation):
    assert x[0, 0].tolist() == np.array([given, given], x.dtype).tolist()


@pytest.mark.parametrize('changed, words', [
    (dict(reward=None), 'a reward that is one number, got None'),
    (dict(reward=np.nan), 'a finite reward, got nan'),
    (dict(reward=np.inf), 'a finite reward, got inf'),
    (dict(reward=1e39), r'a reward that fits float32, got 1e\+39'),
    (dict(reward=np.ones(1)), r'a reward .* got the shape \(1,\)'),
    (dict(discount=None), 'a discount that is one number, got None'),
    (dict(discount=np.nan), 'a finite discount, got nan'),
    (dict(discount=1.5), 'a discount between 0 and 1, got 1.5'),
    (dict(discount=-0.1), 'a discount between 0 and 1, got -0.1'),
    (dict(observation=observation(np.nan)), 'a finite observation, got nan'),
])
def test_what_is_no_number_is_not_stored(changed, words):
  actor = acme.Actor(DQN)
  adapter = bsuite_adapter.Agent(DQN)
  first = dm_env.restart(observation())
  actor.observe_first(first)
  before = states.plain(actor.state)
  bad = dm_env.transition(1., observation(1.))._replace(**changed)
  with pytest.raises(ValueError, match=words):
    actor.observe(0, bad)
  with pytest.raises(ValueError, match=words):
    adapter.update(first, 0, bad)
  for state in (actor.state, adapter.actor.state):
    jax.tree.map(np.testing.assert_array_equal, before, states.plain(state))
  actor.observe(0, dm_env.transition(1., observation(1.)))
  assert int(actor.state.num_transitions) == 1


@pytest.mark.parametrize('action', [2, -1, np.int32(2), True])
def test_actions_that_cannot_be_are_not_stored(action):
  actor = acme.Actor(DQN)
  actor.observe_first(dm_env.restart(observation()))
  with pytest.raises(ValueError, match='expected an action'):
    actor.observe(action, dm_env.transition(1., observation(1.)))
  assert int(actor.state.num_transitions) == 0


@pytest.mark.parametrize('wait', [False, True])
def test_a_loss_that_is_not_finite_is_told_of_until_a_state_is_restored(wait):
  actor = acme.Actor(DQN)
  play(actor, 8)
  good = jax.tree.map(jnp.copy, actor.state)
  params = jax.tree.map(lambda x: x * np.nan, actor.state.learner.params)
  actor.state = actor.state._replace(
      learner=actor.state.learner._replace(params=params))
  with pytest.raises(FloatingPointError, match='loss was not finite.*nan'):
    play(actor, 1)
    actor.update(wait=wait)
    play(actor, 1)
  with pytest.raises(FloatingPointError, match='restore an earlier state'):
    play(actor, 1)
  actor.state = good
  play(actor, 4)
  assert int(actor.state.learner.steps) == 8


def test_metrics_are_those_of_the_newest_updates():
  actor = acme.Actor(DQN)
  assert not actor.metrics
  play(actor, 4)
  assert not actor.metrics  # The warm-up.
  play(actor, 1)
  assert actor.metrics['loss'].shape == (1,)
  batch = actor._trainer.replay.sample(
      actor.state.replay, jax.random.fold_in(actor.state.replay_key, 1))
  _, expected = DQN.update(actor.state.learner, batch)
  actor._owes_learning = True
  actor.update(wait=True)
  np.testing.assert_allclose(
      actor.metrics['loss'][0], expected['loss'], rtol=1e-4)


@pytest.mark.parametrize('action', [0.5, None, '1', np.ones(1, int)])
def test_an_action_is_an_integer(action):
  with pytest.raises(ValueError, match='an action that is an integer, got'):
    step_checks.check_action(action, 3)
  assert step_checks.check_action(np.uint8(2), 3) == 2


@pytest.mark.parametrize('seed', [2**32 + 3, -1, True])
@pytest.mark.parametrize('make', [acme.Actor, bsuite_adapter.Agent])
def test_refuses_seeds_that_would_be_changed(make, seed):
  with pytest.raises(ValueError, match=f'a seed .*got .?{seed}'):
    make(DQN, seed)
  with pytest.raises(ValueError, match=f'a seed .*got .?{seed}'):
    make(DQN).evaluator(seed)


def test_seeds_of_numpy_are_seeds():
  keys = [
      jax.random.key_data(actor.state.learner.key) for actor in (
          acme.Actor(DQN, 3), acme.Actor(DQN, np.int64(3)),
          acme.Actor(DQN, np.uint8(3)), acme.Actor(DQN, jax.random.key(3)),
          acme.Actor(DQN, jax.random.PRNGKey(3)),
          bsuite_adapter.Agent(DQN, np.int64(3)).actor)]
  for key in keys[1:]:
    np.testing.assert_array_equal(key, keys[0])
  assert (jax.random.key_data(acme.Actor(DQN, 2**32 - 1).state.learner.key)
          != keys[0]).any()


def test_looking_does_not_change_the_index():
  """However often it looks, an agent keeps its index for an episode."""
  actor = acme.Actor(HYPERAGENT)
  play(actor, 5)
  actor.observe_first(dm_env.restart(observation()))
  before = np.array(actor.state.actor.index)
  actor.select_action(observation())
  index = np.array(actor.state.actor.index)
  assert (index != before).any()
  for t in range(20):
    actor.select_action(observation(t))
    np.testing.assert_array_equal(actor.state.actor.index, index)
  actor.observe(0, dm_env.transition(1., observation(1.)))
  actor.select_action(observation(1.))
  np.testing.assert_array_equal(actor.state.actor.index, index)
  actor.observe_first(dm_env.restart(observation()))
  actor.select_action(observation())
  assert (np.asarray(actor.state.actor.index) != index).any()


def test_bsuite_stores_the_time_step_that_update_is_given():
  """Whatever was looked at in between."""
  adapter = bsuite_adapter.Agent(DQN)
  first = dm_env.restart(observation(0.))
  second = dm_env.transition(1., observation(1.))
  third = dm_env.termination(2., observation(2.))
  adapter.select_action(first)
  adapter.select_action(dm_env.restart(observation(7.)))
  adapter.update(first, 1, second)
  adapter.select_action(dm_env.transition(0., observation(8.)))
  adapter.update(second, 0, third)
  adapter.update(first, 1, third)  # Without any select_action.
  stored = jax.tree.map(
      lambda x: np.asarray(x)[0, :3],
      adapter.actor.state.replay.ring.experience.transition)
  assert stored.observation[:, 0].tolist() == [0., 1., 0.]
  assert stored.next_observation[:, 0].tolist() == [1., 2., 2.]
  assert stored.action.tolist() == [1, 0, 1]
  assert stored.reward.tolist() == [1., 2., 2.]


@pytest.mark.parametrize('as_it_acts', [False, True])
@pytest.mark.parametrize('with_timesteps', [False, True])
def test_an_evaluator_changes_nothing(with_timesteps, as_it_acts):
  adapter = bsuite_adapter.Agent(HYPERAGENT)
  actor = adapter.actor
  play(actor, 10)
  before = states.plain(actor.state)
  evaluator = (adapter if with_timesteps else actor).evaluator(1, as_it_acts)
  for t in range(6):
    if with_timesteps:
      timestep = (dm_env.restart(observation()) if t % 3 == 0
                  else dm_env.transition(1., observation(t)))
      action = evaluator.select_action(timestep)
      evaluator.update(timestep, action, timestep)
    else:
      if t % 3 == 0:
        evaluator.observe_first(dm_env.restart(observation()))
      action = evaluator.select_action(observation(t))
      evaluator.observe(action, dm_env.transition(1., observation(t)))
      evaluator.update()
    assert action in (0, 1)
  jax.tree.map(
      np.testing.assert_array_equal, before, states.plain(actor.state))


def biased_towards(action, learner):
  """The learner with a value function that is larger for an action."""
  head = {'kernel': np.zeros((8, 2), np.float32),
          'bias': np.eye(2, dtype=np.float32)[action]}
  params = jax.tree_util.tree_map_with_path(
      lambda path, x: jnp.asarray(head[path[-1].key])
      if x.shape in ((8, 2), (2,)) else x, learner.params)
  return learner._replace(params=params)


def test_an_evaluator_follows_the_newest_weights():
  """It is greedy; as it acts, an epsilon-greedy agent errs now and then."""
  actor = acme.Actor(agents.DQN(
      dm_specs.Array((3,), np.float32), 2, dataclasses.replace(
          QUICK, acting=acting.EpsilonGreedy(0.5))))
  judged, as_it_acts = actor.evaluator(), actor.evaluator(as_it_acts=True)
  for best in (0, 1):
    actor.state = actor.state._replace(
        learner=biased_towards(best, actor.state.learner))
    chosen = [judged.select_action(observation()) for _ in range(20)]
    assert chosen == [best] * 20
    chosen = [as_it_acts.select_action(observation()) for _ in range(40)]
    assert 4 <= chosen.count(1 - best) <= 20 < chosen.count(best)


def test_an_evaluator_that_acts_as_the_agent_is_as_far_as_it_is():
  actor = acme.Actor(agents.DQN(
      dm_specs.Array((3,), np.float32), 2, dataclasses.replace(
          QUICK, acting=acting.EpsilonGreedy(schedules.Linear(1., 0., 20)))))
  play(actor, 40)
  actor.state = actor.state._replace(
      learner=biased_towards(1, actor.state.learner))
  evaluator = actor.evaluator(as_it_acts=True)
  assert [evaluator.select_action(observation()) for _ in range(20)] == [1] * 20


@pytest.mark.parametrize('config', [{'n_step': 3}, {'sequence_length': 3}])
@pytest.mark.parametrize('with_timesteps', [False, True])
def test_no_return_runs_on_from_an_episode_that_was_abandoned(
    config, with_timesteps):
  adapter = bsuite_adapter.Agent(agents.DQN(
      dm_specs.Array((3,), np.float32), 2,
      dataclasses.replace(QUICK, discount=1., warmup_steps=500, **config)))
  actor = adapter.actor
  for begin, rewards in ((0., [1., 2.]), (10., [10., 100.])):
    timestep = dm_env.restart(observation(begin))
    if not with_timesteps:
      actor.observe_first(timestep)
    for reward in rewards:
      old, timestep = timestep, dm_env.transition(
          reward, timestep.observation + 1.)
      if with_timesteps:
        adapter.update(old, 0, timestep)
      else:
        actor.observe(0, timestep)
  batch = actor._trainer.replay.sample(
      actor.state.replay, jax.random.key(0), jnp.int32(0))
  if 'n_step' in config:
    assert {(float(s[0]), float(r)) for s, r in zip(
        batch.transitions.observation, batch.transitions.reward, strict=True)
            } <= {(0., 3.), (1., 2.), (10., 110.), (11., 100.)}
  else:
    for s, following, exists in zip(
        batch.transitions.observation, batch.sequences.observations,
        batch.sequences.exists, strict=True):
      end = 2. if s[0] < 10. else 12.
      assert exists.sum() == end - s[0] and following[exists, 0].max() == end


@pytest.mark.usefixtures('unchecked')
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing():
  actor = acme.Actor(DQN)
  play(actor, 10)
  before = states.plain(actor.state)
  other = agents.DQN(dm_specs.Array((3,), np.float32), 5, QUICK)
  faulty = actor.state._replace(learner=actor.state.learner._replace(
      faults=jnp.uint32(faults.Fault.REWARD)))
  for state, words in (
      (acme.Actor(other).state, r'\(2,\), as this actor has it, got .*\(5,\)'),
      (acme.Actor(DQN, replay_capacity=64).state, '500.*this actor.*64'),
      (faulty, 'reward'), (None, 'got none')):
    with pytest.raises((ValueError, FloatingPointError), match=words):
      actor.state = state
    jax.tree.map(
        np.testing.assert_array_equal, before, states.plain(actor.state))
  play(actor, 3)


@pytest.mark.parametrize('step_type', [dm_env.StepType.FIRST, 7, None])
def test_only_time_steps_after_actions_are_stored(step_type):
  actor = acme.Actor(DQN)
  actor.observe_first(dm_env.restart(observation()))
  with pytest.raises(ValueError, match='after an action, MID or LAST, got'):
    actor.observe(0, dm_env.TimeStep(step_type, 1., 1., observation()))
  assert int(actor.state.num_transitions) == 0


def test_equal_actors_share_their_programs():
  """Actors of agents that are equal, though not the same."""
  compiled = (programs.INIT, programs.WARM_UP, programs.ACT, programs.OBSERVE,
              programs.LEARN, programs.LEARN_AND_ACT, programs.EVALUATE)

  def run():
    actor = acme.Actor(
        agents.DQN(dm_specs.Array((3,), np.float32), 2,
                   dataclasses.replace(QUICK, batch_size=5)))
    play(actor, 8)
    actor.evaluator().select_action(observation())
    return [program._cache_size() for program in compiled]

  first = run()
  assert run() == first


def test_environments_may_write_observations_to_one_place():
  actor, place = acme.Actor(DQN), observation(0.)
  actor.observe_first(dm_env.restart(place))
  for t in (1., 2.):
    place[0] = t
    actor.observe(0, dm_env.transition(1., place))
  place[0] = 9.
  stored = actor.state.replay.ring.experience.transition
  assert stored.observation[0, :2, 0].tolist() == [0., 1.]
  assert stored.next_observation[0, :2, 0].tolist() == [1., 2.]


def test_bsuite_has_observations_that_are_written_to_one_place():
  adapter, place = bsuite_adapter.Agent(DQN), observation(0.)
  timestep = dm_env.restart(place)
  for t in (1., 2.):
    adapter.select_action(timestep)
    place[0] = t
    new = dm_env.transition(1., place)
    adapter.update(timestep, 0, new)
    timestep = new
  stored = adapter.actor.state.replay.ring.experience.transition
  assert stored.observation[0, :2, 0].tolist() == [0., 1.]
  assert stored.next_observation[0, :2, 0].tolist() == [1., 2.]


@pytest.mark.parametrize('dtype', [np.float16, jnp.bfloat16])
def test_returns_are_not_sums_in_the_type_of_rewards(dtype):
  class Pays(_Truncated):
    def step(self, action):
      return super().step(action)._replace(
          reward=dtype((1., 1e-3)[self._t - 1]))

  actor = acme.Actor(agents.DQN(*specs.of_environment(Pays()), QUICK))
  result = EnvironmentLoop(Pays(), actor).run_episode()
  assert result.episode_return == pytest.approx(1. + float(dtype(1e-3)))


@pytest.mark.usefixtures('unchecked')
def test_a_loop_says_what_it_was_given():
  loop = EnvironmentLoop(_Truncated(), acme.Actor(DQN))
  with pytest.raises(ValueError, match='num_episodes must be at least 1'):
    loop.episodes(0)

  class Other:
    def reset(self):
      return np.zeros(3), {}

  with pytest.raises(ValueError, match='of dm_env.*with tuple; gymnasium.DmE'):
    EnvironmentLoop(Other(), acme.Actor(DQN)).run_episode()


def test_observations_may_be_lists():
  actor = acme.Actor(DQN)
  actor.observe_first(dm_env.restart([0., 1., 2.]))
  assert actor.select_action([0., 1., 2.]) in (0, 1)
  actor.observe(0, dm_env.transition(1., [3., 4., 5.]))
  stored = actor.state.replay.ring.experience.transition
  assert stored.observation[0, 0].tolist() == [0., 1., 2.]
  assert stored.next_observation[0, 0].tolist() == [3., 4., 5.]


def test_actions_may_be_bounded_integers():
  environment = _Truncated()
  environment.action_spec = lambda: dm_specs.BoundedArray((), np.int64, 0, 2)
  agent = agents.DQN(*specs.of_environment(environment), QUICK)
  assert agent.num_actions == 3
  actor = acme.Actor(agent)
  EnvironmentLoop(environment, actor).run(10)
  stored = actor.state.replay.ring.experience.transition.action[0, :20]
  assert set(np.unique(stored)) <= {0, 1, 2}
  assert int(actor.state.learner.steps) == 16


def test_refuses_observations_of_no_numbers():
  with pytest.raises(ValueError, match=r'at least one number.*\(0,\)'):
    agents.DQN(dm_specs.Array((0,), np.float32), 2, QUICK)
