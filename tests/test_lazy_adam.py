"""Lazy updates of the rows of the first layer."""

import dataclasses

from dm_env import specs as dm_specs
from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import specs
from hyperjax import types

_NUM_VALUES, _BATCH = 12, 16
_SMALL = dict(hidden_sizes=(12, 12), batch_size=_BATCH, target_period=2,
              min_replay_size=_BATCH, replay_capacity=100)
_AGENTS = {
    'hyperagent': (agents.HyperAgent, agents.HyperAgentConfig(**_SMALL)),
    'boot_dqn': (agents.BootDQN, agents.BootDQNConfig(
        num_members=3, **_SMALL)),
    'dqn': (agents.DQN, agents.DQNConfig(**_SMALL)),
    'enn_dqn': (agents.ENNDQN, agents.ENNDQNConfig(**_SMALL)),
    'hyperdqn': (agents.HyperDQN, agents.HyperDQNConfig(**_SMALL)),
    'noisy_dqn': (agents.NoisyDQN, agents.NoisyDQNConfig(**_SMALL)),
    'sane': (agents.SANE, agents.SANEConfig(**_SMALL)),
}


def make_agents(name):
  """The agent with dense and with lazy updates."""
  make, config = _AGENTS[name]
  spec = dm_specs.DiscreteArray(_NUM_VALUES)
  return [make(spec, 2, dataclasses.replace(config, lazy_rows=lazy))
          for lazy in (False, True)]


def make_batch(seed, observation, next_observation):
  rng = np.random.default_rng(seed)
  return jax.tree.map(jnp.asarray, types.Transition(
      observation=np.int32(observation),
      action=rng.integers(2, size=_BATCH).astype(np.int32),
      reward=rng.normal(size=_BATCH).astype(np.float32),
      discount=rng.choice([0., 0.99], size=_BATCH).astype(np.float32),
      next_observation=np.int32(next_observation),
      uid=np.arange(_BATCH, dtype=np.int32)))


@pytest.mark.parametrize('name', [
    name if name == 'dqn'
    else pytest.param(name, marks=pytest.mark.slow) for name in _AGENTS])
def test_a_batch_that_reads_every_row_is_an_ordinary_update(name):
  """So every table of every network is among those that are cut."""
  learners = []
  for agent in make_agents(name):
    learner = jax.jit(agent.init)(jax.random.key(0))
    rng = np.random.default_rng(0)
    for t in range(5):
      cells = np.append(rng.permutation(_NUM_VALUES), [0, 3, 3, 7])
      # -1 and the number of values stand for no category.
      following = rng.integers(-1, _NUM_VALUES + 1, size=_BATCH)
      learner, metrics = jax.jit(agent.update)(
          learner, make_batch(t, cells, following))
      assert np.isfinite(metrics['loss'])
    learners.append(learner._replace(key=0))
  dense, lazy = learners
  for (path, x), y in zip(
      jax.tree.leaves_with_path(dense), jax.tree.leaves(lazy), strict=True):
    np.testing.assert_allclose(
        x, y, rtol=1e-3, atol=1e-5, err_msg=jax.tree_util.keystr(path))


def test_rows_that_are_not_read_stay_as_they_are():
  _, agent = make_agents('hyperagent')
  learner = jax.jit(agent.init)(jax.random.key(0))
  update = jax.jit(agent.update)
  # Gives every row momentum.
  before, _ = update(learner, make_batch(
      0, np.arange(_BATCH) % _NUM_VALUES, np.arange(_BATCH) % _NUM_VALUES))
  after, _ = update(before, make_batch(1, [2, 5] * 8, [5, 9] * 8))

  def moved(x, y):
    return set(np.flatnonzero(np.any(x != y, axis=-1)))

  def kernel(params):
    return params['body']['layers_0']['InputLayer_0']['kernel']

  assert moved(kernel(before.params['params']),
               kernel(after.params['params'])) == {2, 5, 9}
  adam_before, adam_after = before.opt_state[1][0], after.opt_state[1][0]
  assert moved(kernel(adam_before.nu), kernel(adam_after.nu)) == {2, 5, 9}
  # The target is copied whole: row 4 had moved since the last copy.
  for t in range(2):
    after, _ = update(after, make_batch(t, [1] * _BATCH, [1] * _BATCH))
  assert moved(kernel(learner.target_params),
               kernel(after.target_params)) >= {2, 4, 5, 9}


def test_lazy_rows_are_for_categories_only():
  spec, config = dm_specs.Array((3,), np.float32), _AGENTS['dqn'][1]
  learners = []
  for lazy in (False, True):
    agent = agents.DQN(
        spec, 2, dataclasses.replace(config, lazy_rows=lazy))
    batch = make_batch(0, np.zeros(_BATCH), np.zeros(_BATCH))
    batch = batch._replace(observation=jnp.ones((_BATCH, 3)),
                           next_observation=jnp.zeros((_BATCH, 3)))
    learner = jax.jit(agent.init)(jax.random.key(0))
    learners.append(jax.jit(agent.update)(learner, batch)[0].params)
  jax.tree.map(np.testing.assert_array_equal, *learners)


def test_a_category_may_be_of_a_narrow_type():
  """256 of them fill a byte, so that the number behind the last is none."""
  config = agents.DQNConfig(lazy_rows=True, **_SMALL)
  cells = np.arange(_BATCH) + 256 - _BATCH
  learners = []
  for dtype in (np.uint8, np.int32):
    agent = agents.DQN(dm_specs.DiscreteArray(256, dtype), 2, config)
    batch = make_batch(0, cells, cells)
    batch = batch._replace(observation=batch.observation.astype(dtype),
                           next_observation=batch.observation.astype(dtype))
    learner = jax.jit(agent.init)(jax.random.key(0))
    learners.append(jax.jit(agent.update)(learner, batch)[0].params['params'])
  jax.tree.map(np.testing.assert_array_equal, *learners)


class _Embedding(nn.Module):
  """A torso with a table of its own making."""

  hidden_sizes: tuple[int, ...]
  spec: specs.ObservationSpec

  @nn.compact
  def __call__(self, observation):
    return nn.Embed(self.spec.num_values, self.hidden_sizes[-1])(observation)


def test_refuses_a_network_whose_tables_it_does_not_know():
  agent = agents.DQN(
      dm_specs.DiscreteArray(_NUM_VALUES), 2,
      agents.DQNConfig(torso=_Embedding, lazy_rows=True, **_SMALL))
  learner = agent.init(jax.random.key(0))
  with pytest.raises(ValueError, match="InputLayer.*got .*'Embed_0'"):
    agent.update(learner, make_batch(0, [0] * _BATCH, [0] * _BATCH))
