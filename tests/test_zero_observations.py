"""An observation of zeros, which many environments have, can be learned of.

A layer without bias has no features there, and a network of ReLUs whose
biases begin at zero no gradient but that of its last bias. So every agent
must tell two arms of a bandit apart whose only observation is zero.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import networks
from hyperjax import specs
from hyperjax import types
from hyperjax.agents import presets

_BATCH = 16
_SPECS = {
    'number': specs.ObservationSpec((1,), 'float32'),
    'matrix': specs.ObservationSpec((3, 2), 'float32', None, 0., 1.),
    'frames': specs.ObservationSpec((2, 36, 36), 'uint8', None, 0., 255.),
}
_AGENTS = {
    'hyperagent': (agents.HyperAgent, agents.HyperAgentConfig),
    'optimist': (agents.HyperAgent, presets.hyperagent_optimistic),
    'dqn': (agents.DQN, agents.DQNConfig),
    'boot_dqn': (agents.BootDQN, agents.BootDQNConfig),
    'hyperdqn': (agents.HyperDQN, agents.HyperDQNConfig),
    'enn_dqn': (agents.ENNDQN, agents.ENNDQNConfig),
    'noisy_dqn': (agents.NoisyDQN, agents.NoisyDQNConfig),
    'rainbow': (agents.Rainbow, agents.RainbowConfig),
    'sane': (agents.SANE, agents.SANEConfig),
}
# One of each kind of loss and of observation; the others take longer.
_QUICK = {('hyperagent', 'number'), ('optimist', 'matrix'), ('dqn', 'frames')}


class _SmallTorso(networks.ConvTorso):
  layers: Sequence[tuple[int, int, int]] = ((4, 8, 4), (8, 4, 2))


def _agent(name, observation):
  make, make_config = _AGENTS[name]
  frames = {'torso': _SmallTorso} if observation == 'frames' else {}
  return make(_SPECS[observation], 2, make_config(
      hidden_sizes=(16, 16), learning_rate=1e-2, **frames))


def _learn(agent):
  """Mean values of the two arms, [S, 2], after updates with losses [S, T]."""
  zeros = jnp.zeros(
      (_BATCH, *agent.observation_spec.shape), agent.observation_spec.dtype)

  @jax.jit
  @jax.vmap
  def learn(key):
    key_init, key_batch, key_index = jax.random.split(key, 3)

    def step(learner, t):
      action = jax.random.randint(
          jax.random.fold_in(key_batch, t), (_BATCH,), 0, 2, jnp.int32)
      return agent.update(learner, types.Transition(
          zeros, action, action.astype(jnp.float32), jnp.zeros(_BATCH), zeros,
          _BATCH * t + jnp.arange(_BATCH, dtype=jnp.int32)))

    learner, metrics = jax.lax.scan(
        step, agent.init(key_init), jnp.arange(400, dtype=jnp.int32))
    index = agent.index.sample(key_index, (256,))
    values = agent.q_values(
        learner.params, jnp.broadcast_to(zeros[:1], (256, *zeros.shape[1:])),
        index)
    return jnp.mean(values, axis=0), metrics['loss']

  return learn(jax.random.split(jax.random.key(0), 4))


@pytest.mark.parametrize('name, observation', [
    (name, observation) if (name, observation) in _QUICK
    else pytest.param(name, observation, marks=pytest.mark.slow)
    for name in _AGENTS for observation in _SPECS])
def test_tells_two_arms_apart(name, observation):
  values, losses = _learn(_agent(name, observation))
  assert np.isfinite(losses).all()
  assert (values[:, 1] - values[:, 0] > 0.5).all(), values


@pytest.mark.slow
def test_the_settings_of_the_released_code_do_not():
  """As `HyperAgentConfig` says: random biases are what makes the difference."""
  for random_biases in (False, True):
    config = presets.hyperagent_paper_deep_sea(
        hidden_sizes=(16, 16), learning_rate=1e-2,
        random_biases=random_biases)
    values, _ = _learn(agents.HyperAgent(_SPECS['number'], 2, config))
    assert ((values[:, 1] - values[:, 0] > 0.5) == random_biases).all()
