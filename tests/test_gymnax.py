"""Environments of gymnax, against gymnax itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import specs
from hyperjax.loops import OnDeviceLoop

gymnax = pytest.importorskip('gymnax')

from hyperjax.environments.gymnax import Gymnax  # noqa: E402

LAST = 2


def play(environment, actions, key):
  """Time steps after the first one, of one episode without any reset."""

  def step(state, x):
    action, key = x
    state, timestep = environment.step((), state, action, key)
    return state, timestep

  @jax.jit
  def run(key):
    state, first = environment.reset((), key)
    return first, jax.lax.scan(
        step, state, (actions, jax.random.split(key, len(actions))))[1]

  return run(key)


@pytest.mark.parametrize('name', ['Breakout-MinAtar', 'CartPole-v1'])
def test_steps_are_those_of_gymnax(name):
  environment, key = Gymnax(name), jax.random.key(3)
  theirs, settings = gymnax.make(name)
  num_actions = environment.action_spec().num_values
  actions = jax.random.randint(key, (30,), 0, num_actions)
  first, found = play(environment, actions, key)

  observation, state = theirs.reset_env(key, settings)
  np.testing.assert_array_equal(first.observation, observation)
  step = jax.jit(lambda *args: theirs.step_env(*args, settings))
  ended = False
  for t, step_key in enumerate(jax.random.split(key, 30)):
    observation, state, reward, done, _ = step(step_key, state, actions[t])
    # Within one program XLA may round otherwise.
    np.testing.assert_allclose(
        found.observation[t], observation, rtol=1e-5, atol=1e-6)
    assert found.reward[t] == reward
    assert (found.discount[t] == 0.) == bool(done)
    assert (found.step_type[t] == LAST) == bool(done)
    ended |= bool(done)
  assert ended  # The terminal observation was compared too.


def test_a_time_limit_is_a_truncation():
  environment = Gymnax('CartPole-v1', max_steps=5)
  assert environment.max_episode_length == 5
  _, found = play(environment, jnp.arange(5) % 2, jax.random.key(0))
  assert found.step_type.tolist() == [1, 1, 1, 1, LAST]
  assert found.discount.tolist() == [1.] * 5


def test_a_termination_at_the_time_limit_is_one():
  always = jnp.ones(12, int)
  _, found = play(Gymnax('CartPole-v1'), always, jax.random.key(0))
  end = found.step_type.tolist().index(LAST) + 1
  assert found.discount[end - 1] == 0.
  environment = Gymnax('CartPole-v1', max_steps=end)
  _, limited = play(environment, always[:end], jax.random.key(0))
  assert limited.step_type[-1] == LAST and limited.discount[-1] == 0.


@pytest.mark.ci
@pytest.mark.slow
def test_dqn_runs_on_breakout():
  environment = Gymnax('Breakout-MinAtar')
  agent = agents.DQN(
      environment.observation_spec(), environment.action_spec(),
      agents.DQNConfig(hidden_sizes=(8,), batch_size=4, warmup_steps=100))
  loop = OnDeviceLoop(agent, environment, replay_capacity=400)
  state, log = loop.run(loop.init([0, 1], environment.params()), 300)
  assert log.num_updates.tolist() == [200, 200]
  assert np.all(np.isfinite(log.loss)) and np.all(log.num_episodes > 5)
  stored = jax.tree.map(
      lambda x: np.asarray(x)[0, 0, :300], state.train.replay.ring.experience)
  last = stored.is_last
  np.testing.assert_array_equal(stored.transition.discount[last], 0.)
  # The ball of a terminal observation is in the last row; a reset's is not.
  ball = stored.transition.next_observation[last][..., 1]
  assert np.all(ball[:, 9].sum(-1) == 1.)


def test_specs():
  environment = Gymnax('Breakout-MinAtar')
  assert specs.of_environment(environment) == (
      specs.ObservationSpec((10, 10, 4), 'bool'), 3)
  assert environment == Gymnax('Breakout-MinAtar') != Gymnax('CartPole-v1')
  assert hash(environment) == hash(Gymnax('Breakout-MinAtar'))
  lake = Gymnax('FrozenLake-misc').observation_spec()
  assert specs.observation_spec(lake).num_values == 16


@pytest.mark.parametrize('arguments, words', [
    (('Breakout',), "near it Breakout-MinAtar.*got 'Breakout'"),
    (('cartpole',), 'CartPole-v1'),
    (('xyz',), 'near it none'),
    (('Pendulum-v1',), 'expected actions of Discrete, got Box.*Pendulum-v1'),
    (('CartPole-v1', 0), 'max_steps must be at least 1, got 0'),
    (('CartPole-v1', True), 'max_steps must be an integer, got True')])
def test_refuses(arguments, words):
  with pytest.raises(ValueError, match=words):
    Gymnax(*arguments)
