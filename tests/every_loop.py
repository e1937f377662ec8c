"""Runs agents in every loop, for tests that set what JAX computes with.

  python -m tests.every_loop hyperagent_default dqn:on_host

An agent's name may be followed by the one loop to run it in.
"""

import sys

import dm_env
import gymnasium
import jax
import numpy as np

from hyperjax import agents
from hyperjax.adapters import acme
from hyperjax.agents import presets
from hyperjax.environments import DeepSea
from hyperjax.environments.gymnasium import Gymnasium
from hyperjax.loops import HostLoop
from hyperjax.loops import OnDeviceLoop

SMALL = dict(hidden_sizes=(8,), batch_size=8, warmup_steps=16,
             replay_capacity=200)
AGENTS = {
    'hyperagent_default': lambda *specs: agents.HyperAgent(
        *specs, agents.HyperAgentConfig(**SMALL)),
    'hyperagent_optimistic': lambda *specs: agents.HyperAgent(
        *specs, presets.hyperagent_optimistic(**SMALL)),
    'dqn': lambda *specs: agents.DQN(*specs, agents.DQNConfig(**SMALL)),
    'boot_dqn': lambda *specs: agents.BootDQN(
        *specs, agents.BootDQNConfig(**SMALL, num_members=3)),
    'noisy_dqn': lambda *specs: agents.NoisyDQN(
        *specs, agents.NoisyDQNConfig(**{**SMALL, 'hidden_sizes': (8, 8)})),
    'enn_dqn': lambda *specs: agents.ENNDQN(
        *specs, agents.ENNDQNConfig(**SMALL, epinet_size=4)),
}


def on_device(make):
  """Warm-up and updates on DeepSea, in chunks, and an evaluation."""
  environment = DeepSea(3)
  agent = make(environment.observation_spec(), environment.action_spec())
  loop = OnDeviceLoop(agent, environment, devices=jax.devices()[:1])
  state = loop.init([0], environment.params_from_seeds([0]))
  state, log = loop.run(state, 24)
  state, log = loop.run(state, 8)
  loop.evaluate(state, 2)
  assert int(log.num_updates[0]) > 0 and np.isfinite(log.loss).all(), log


def in_adapter(make):
  """A stateful actor that acts, learns, and is evaluated."""
  rng = np.random.default_rng(0)
  spec = dm_env.specs.Array((3,), np.float32)
  actor = acme.Actor(make(spec, 2))
  evaluator = actor.evaluator()
  for _ in range(4):
    observation = rng.normal(size=3).astype(np.float32)
    actor.observe_first(dm_env.restart(observation))
    for t in range(6):
      action = actor.select_action(observation)
      observation = rng.normal(size=3).astype(np.float32)
      follows = dm_env.termination if t == 5 else dm_env.transition
      actor.observe(action, follows(1., observation))
      actor.update(wait=True)
      evaluator.select_action(observation)
  assert np.isfinite(actor.metrics['loss']).all()


def on_host(make):
  """CartPole of gymnasium, in two chunks, and an evaluation."""
  environments = lambda: Gymnasium(
      gymnasium.make_vec('CartPole-v1', num_envs=2, max_episode_steps=9,
                         vectorization_mode='sync'), seeds=[0, 1])
  with_specs = environments()
  agent = make(with_specs.observation_spec(), with_specs.action_spec())
  loop = HostLoop(agent, [with_specs], num_envs=2)
  state = loop.init([0])
  env_steps = np.zeros(1, int)
  for _ in range(2):
    state, log = loop.run(state, 12, env_steps)
  loop.evaluate(state.train.learner.params, state, [environments()], 0)
  assert log.num_updates > 0 and np.isfinite(log.loss).all(), log


LOOPS = {run.__name__: run for run in (on_device, in_adapter, on_host)}


def main(names):
  """Runs agents by name."""
  for name in names:
    name, _, only = name.partition(':')
    for loop in [only] if only else LOOPS:
      LOOPS[loop](AGENTS[name])
      print(name, loop, 'ran')


if __name__ == '__main__':
  main(sys.argv[1:] or AGENTS)
