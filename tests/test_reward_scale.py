"""The scale of rewards, and agents that learn in units of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import reward_scale
from hyperjax import types
from hyperjax.environments.bsuite import suite
from hyperjax.loops import OnDeviceLoop

CONFIG = agents.HyperAgentConfig(
    hidden_sizes=(16,), batch_size=16, warmup_steps=40, replay_capacity=2000,
    reward_scaling=True)


def timesteps_of(rewards, first=()):
  ones = jnp.ones(len(rewards))
  return types.TimeStep(
      jnp.array([int(i not in first) for i in range(len(rewards))], jnp.int32),
      jnp.float32(rewards), ones, ones)


def scale_of(*rewards):
  state = reward_scale.init()
  for reward in rewards:
    state = reward_scale.observe(state, timesteps_of(reward))
  return float(reward_scale.scale(state))


@pytest.mark.parametrize('rewards, expected', [
    ([], 1.),
    ([[0.], [0.]], 1.),
    ([[2.]], 2.),
    ([[0.], [0.], [2.], [0.]], 2.),  # Steps without a reward do not count.
    ([[1.], [3.]], 2.),
    ([[1., 0.], [3., 5.]], 3.),  # Two environments.
    ([[0., -0.01]], 1.),  # Costs do not tell what there is to be gained.
    ([[-0.01], [0.]], 1.),
    ([[-0.01], [-0.03]], 0.02),  # But those of every step do.
    ([[-0.01], [-0.03], [0.], [2.]], 2.),
    ([[-4.]], 4.),
    ([[-0.01], [1.]], 1.),
    ([[1e-30]], 1e-30),
    ([[1e30], [-1e30]], 1e30),
    ([[3e38, 3e38]], 3e38),  # Their sum is beyond float32.
])
def test_is_the_size_of_rewards(rewards, expected):
  np.testing.assert_allclose(scale_of(*rewards), expected, rtol=1e-5)


def test_first_time_steps_have_no_reward():
  state = reward_scale.init()
  for _ in range(2):
    state = reward_scale.observe(state, timesteps_of([0., -0.01], first=[0]))
  np.testing.assert_allclose(reward_scale.scale(state), 0.01, rtol=1e-5)


def learned(bsuite_id):
  """A short run: the trained weights, and what the replay holds."""
  program, = suite.programs([bsuite_id])
  environment = program.environment
  agent = agents.HyperAgent(
      environment.observation_spec(), environment.action_spec(),
      CONFIG)
  loop = OnDeviceLoop(agent, environment)
  state, _ = loop.run(loop.init([2000], program.params), 200)
  return (state.train.learner.params['params'],
          np.asarray(state.train.replay.ring.experience.transition.reward))


@pytest.mark.ci
@pytest.mark.slow
def test_units_of_reward_do_not_matter():
  """bandit_scale/0 has the rewards of bandit_scale/8 times a thousandth."""
  small, rewards = learned('bandit_scale/0')
  plain, plain_rewards = learned('bandit_scale/8')
  factor = 0.001
  np.testing.assert_allclose(rewards, factor * plain_rewards, rtol=1e-4)
  jax.tree.map(lambda x, y: np.testing.assert_allclose(
      x, y, rtol=1e-2, atol=1e-3), small, plain)
