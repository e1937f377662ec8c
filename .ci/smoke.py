"""What every user does, in an environment that has only the wheel's needs."""

import pathlib
import tempfile

import bsuite
import jax
import numpy as np

import hyperjax
from hyperjax import specs
from hyperjax.adapters import acme
from hyperjax.agents import HyperAgent
from hyperjax.environments import DeepSea
from hyperjax.loops import EnvironmentLoop
from hyperjax.loops import OnDeviceLoop

# bsuite's agent and environment, in a loop of one's own: the best arm pays 1.
environment = bsuite.load_from_id('bandit/0')
actor = acme.Actor(HyperAgent(*specs.of_environment(environment)), key=0,
                   replay_capacity=10_000)
loop = EnvironmentLoop(environment, actor)
returns = [result.episode_return for result in loop.episodes(500)]
assert np.mean(returns[-100:]) > np.mean(returns[:100]), returns

# Seeds on the device.
deep_sea = DeepSea(size=4)
agent = HyperAgent(deep_sea.observation_spec(), deep_sea.action_spec())
compiled = OnDeviceLoop(agent, deep_sea, replay_capacity=1000)
state = compiled.init([0, 1], deep_sea.params_from_seeds([0, 1]))
state, _ = compiled.run(state, num_steps=600)
assert np.all(compiled.evaluate(state, num_episodes=2) > 0.9)

# A policy that is saved, loaded and acts.
with tempfile.TemporaryDirectory() as folder:
  path = pathlib.Path(folder) / 'policy'
  hyperjax.save(path, agent, jax.tree.map(
      lambda x: x[0], state.train.learner))
  policy = hyperjax.load(path)
  mean, std = policy.values(np.int32(0))
  assert np.all(np.isfinite(mean)) and np.all(np.asarray(std) >= 0.)
print(f'works with jax {jax.__version__}, numpy {np.__version__}')
