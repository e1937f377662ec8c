"""Small agents, batches and replays for tests of what is refused."""

import functools

from dm_env import specs as dm_specs
import jax
import jax.numpy as jnp
import numpy as np

from hyperjax import agents
from hyperjax import replay as replay_lib
from hyperjax import types

SMALL = dict(hidden_sizes=(4,), batch_size=4, warmup_steps=4,
             replay_capacity=50)
SPEC = dm_specs.Array((3,), np.float32)
VECTORS = agents.DQN(SPEC, 2, agents.DQNConfig(**SMALL))
CELLS = agents.HyperAgent(
    dm_specs.DiscreteArray(9), 2,
    agents.HyperAgentConfig(**SMALL, lazy_adam=True))


def batch_of(agent, num=4):
  spec = agent.observation_spec
  observation = jnp.zeros((num, *spec.shape), spec.dtype)
  return types.Transition(
      observation, jnp.arange(num, dtype=jnp.int32) % 2, jnp.ones(num),
      jnp.full(num, 0.9), observation, jnp.arange(num, dtype=jnp.int32))


@functools.cache
def start(agent):
  return jax.jit(agent.init)(jax.random.key(0))


STORAGES = {
    'transitions': functools.partial(
        replay_lib.TransitionReplay, CELLS.observation_spec, 20, 4),
    'streams': functools.partial(
        replay_lib.StreamReplay, CELLS.observation_spec, 20, 4, 0.9)}


def filled(sampler):
  replay = STORAGES['transitions'](sampler=sampler)
  state = replay.add(replay.init(), batch_of(CELLS, 6))
  return replay, state, replay.sample(state, jax.random.key(0))
