"""The stateful adapters, on real bsuite environments."""

import dataclasses

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
from hyperjax import specs
from hyperjax.adapters import acme
from hyperjax.adapters import bsuite as bsuite_adapter
from hyperjax.agents import presets
from hyperjax.environments import DeepSea
from hyperjax.loops import EnvironmentLoop
from hyperjax.loops import on_device
from hyperjax.loops import seed_run

SMALL = presets.hyperagent_optimistic(
    hidden_sizes=(16,), batch_size=16, warmup_steps=20, replay_capacity=1000,
    acting=acting.UCB(scale=2., resample_probability=0.1),
    noise=data_noise.Perturbation(0.01), updates_per_period=2)


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
      lambda x: np.asarray(x)[0, :4], actor.state.replay.ring.experience.transition)
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
