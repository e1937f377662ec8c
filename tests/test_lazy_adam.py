"""Lazy updates of the rows of the first layer."""

import dataclasses
import functools

from dm_env import specs as dm_specs
from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import lazy_adam
from hyperjax import networks
from hyperjax import specs
from hyperjax import targets
from hyperjax import types
from hyperjax.agents import presets

_NUM_VALUES, _BATCH = 12, 16
_SMALL = dict(hidden_sizes=(12, 12), batch_size=_BATCH,
              target=targets.Periodic(2), warmup_steps=_BATCH,
              replay_capacity=100)
_AGENTS = {
    'hyperagent': (agents.HyperAgent, presets.hyperagent_optimistic(
        weight_decay=0.1, **_SMALL)),
    'boot_dqn': (agents.BootDQN, agents.BootDQNConfig(
        num_members=3, **_SMALL)),
    'dqn': (agents.DQN, agents.DQNConfig(**_SMALL)),
    'enn_dqn': (agents.ENNDQN, agents.ENNDQNConfig(**_SMALL)),
    'hyperdqn': (agents.HyperDQN, agents.HyperDQNConfig(**_SMALL)),
    'noisy_dqn': (agents.NoisyDQN, agents.NoisyDQNConfig(**_SMALL)),
    'sane': (agents.SANE, agents.SANEConfig(**_SMALL)),
}


@functools.cache  # So that an agent meets the programs compiled before.
def make_agents(name):
  """The agent with dense and with lazy updates."""
  make, config = _AGENTS[name]
  spec = dm_specs.DiscreteArray(_NUM_VALUES)
  return [make(spec, 2, dataclasses.replace(config, lazy_adam=lazy))
          for lazy in (False, True)]


@functools.cache
def _init(agent):
  return jax.jit(agent.init)


@functools.cache
def _update(agent):
  return jax.jit(agent.update)


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
    learner = _init(agent)(jax.random.key(0))
    rng = np.random.default_rng(0)
    for t in range(5):
      cells = np.append(rng.permutation(_NUM_VALUES), [0, 3, 3, 7])
      # -1 and the number of values stand for no category.
      following = rng.integers(-1, _NUM_VALUES + 1, size=_BATCH)
      learner, metrics = _update(agent)(
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
  learner = _init(agent)(jax.random.key(0))
  update = _update(agent)
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


def test_lazy_updates_are_for_categories_only():
  spec, config = dm_specs.Array((3,), np.float32), _AGENTS['dqn'][1]
  learners = []
  for lazy in (False, True):
    agent = agents.DQN(
        spec, 2, dataclasses.replace(config, lazy_adam=lazy))
    batch = make_batch(0, np.zeros(_BATCH), np.zeros(_BATCH))
    batch = batch._replace(observation=jnp.ones((_BATCH, 3)),
                           next_observation=jnp.zeros((_BATCH, 3)))
    learner = _init(agent)(jax.random.key(0))
    learners.append(_update(agent)(learner, batch)[0].params)
  jax.tree.map(np.testing.assert_array_equal, *learners)


@pytest.mark.slow
def test_a_category_may_be_of_a_narrow_type():
  """256 of them fill a byte, so that the number behind the last is none."""
  config = agents.DQNConfig(lazy_adam=True, **_SMALL)
  cells = np.arange(_BATCH) + 256 - _BATCH
  learners = []
  for dtype in (np.uint8, np.int32):
    agent = agents.DQN(dm_specs.DiscreteArray(256, dtype), 2, config)
    batch = make_batch(0, cells, cells)
    batch = batch._replace(observation=batch.observation.astype(dtype),
                           next_observation=batch.observation.astype(dtype))
    learner = _init(agent)(jax.random.key(0))
    learners.append(_update(agent)(learner, batch)[0].params['params'])
  jax.tree.map(np.testing.assert_array_equal, *learners)


def test_what_is_no_category_has_no_gradient():
  """Nor does it count towards the limit on the gradient's norm."""
  learners = []
  for lazy in (False, True):
    agent = agents.DQN(dm_specs.DiscreteArray(_NUM_VALUES), 2, agents.DQNConfig(
        lazy_adam=lazy, **{**_SMALL, 'max_gradient_norm': 1e-3,
                           'adam_epsilon': 1.}))
    cells = np.append(np.arange(_NUM_VALUES), [-1, -1, _NUM_VALUES, 99])
    learner = _init(agent)(jax.random.key(0))
    learner = learner._replace(params=jax.tree.map(
        lambda x: x + 0.5, learner.params))
    learners.append(_update(agent)(learner, make_batch(0, cells, cells))[0])
  for x, y in zip(jax.tree.leaves(learners[0].opt_state),
                  jax.tree.leaves(learners[1].opt_state), strict=True):
    np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-10)


class _Embedding(nn.Module):
  """A torso with a table of its own making."""

  hidden_sizes: tuple[int, ...]
  spec: specs.ObservationSpec

  @nn.compact
  def __call__(self, observation):
    return nn.Embed(self.spec.num_values, self.hidden_sizes[-1])(observation)


class _LayerAndEmbedding(nn.Module):
  """A torso with a table that is marked, and one that is not."""

  hidden_sizes: tuple[int, ...]
  spec: specs.ObservationSpec

  @nn.compact
  def __call__(self, observation):
    init = networks.initializers.xavier
    return (networks.InputLayer(self.hidden_sizes[-1], self.spec, init)(
        observation) + nn.Embed(
            self.spec.num_values, self.hidden_sizes[-1])(observation))


class _Named(nn.Module):
  """A torso whose tables have names of their own, one of them of no layer.

  And a dense layer that has the number of rows and the name of a table.
  """

  hidden_sizes: tuple[int, ...]
  spec: specs.ObservationSpec

  @nn.compact
  def __call__(self, observation):
    size, init = self.hidden_sizes[-1], networks.initializers.xavier
    x = networks.InputLayer(
        _NUM_VALUES, self.spec, init, name='cells')(observation)
    if self.has_variable('params', 'rows'):
      rows = nn.meta.unbox(self.get_variable('params', 'rows'))
    else:
      rows = self.param(
          'rows', networks.table(init), (self.spec.num_values, size))
    row = jnp.where(observation < 0, rows.shape[0], observation)
    x = nn.Dense(size, name='dense')(nn.relu(x))
    return nn.relu(x) + jnp.take(rows, row, axis=0, mode='fill', fill_value=0.)


class _SameNames(nn.Module):
  """A value function with a table whose path ends another layer's."""

  spec: specs.ObservationSpec

  @nn.compact
  def __call__(self, observation):
    init = networks.initializers.xavier
    x = nn.relu(networks.InputLayer(
        _NUM_VALUES, self.spec, init, name='layer')(observation))
    return _Inner(name='inner')(x)

  def value(self, psi, index):
    return psi[0]


class _Inner(nn.Module):

  @nn.compact
  def __call__(self, x):
    return networks.LinearHead(2)(networks.Dense(
        _NUM_VALUES, networks.initializers.xavier, name='layer')(x))


@dataclasses.dataclass(frozen=True)
class _SameNamesDQN(agents.DQN):

  def make_components(self):
    components = super().make_components()
    network = _SameNames(self.observation_spec)
    return dataclasses.replace(
        components, network=network,
        loss=dataclasses.replace(components.loss, network=network))


def _custom(torso, lazy=True, make=agents.DQN):
  return make(
      dm_specs.DiscreteArray(_NUM_VALUES), 2,
      agents.DQNConfig(torso=torso, lazy_adam=lazy, **_SMALL))


def test_refuses_a_network_whose_tables_it_does_not_know():
  with pytest.raises(
      ValueError, match="InputLayer.*got .*'Embed_0'.*lazy_adam=False"):
    _custom(_Embedding)
  _custom(_Embedding, lazy=False)


def test_refuses_a_network_that_reads_a_category_elsewhere_too():
  with pytest.raises(
      ValueError, match='only as the row .*InputLayer_0/kernel.* elsewhere too'
      '.*lazy_adam=False'):
    _custom(_LayerAndEmbedding)
  _custom(_LayerAndEmbedding, lazy=False)


def test_finds_tables_whatever_their_names():
  agent = _custom(_Named)
  torso = ('body', 'layers_0')
  assert lazy_adam.find_tables(agent.network, agent.observation_spec) == {
      (*torso, 'cells', 'kernel'), (*torso, 'rows')}
  before = _init(agent)(jax.random.key(0))
  after, _ = _update(agent)(before, make_batch(1, [2, 5] * 8, [5, 9] * 8))

  def moved(name, axis=-1):
    x, y = (flat(learner.params['params'])[name]
            for learner in (before, after))
    return set(np.flatnonzero(np.any(np.asarray(x != y), axis=axis)))

  def flat(tree):
    return {jax.tree_util.keystr(path[2:]): x
            for path, x in jax.tree.leaves_with_path(tree)}

  # No gradient reaches the rows of successors.
  assert moved("['cells']['kernel']") == {2, 5}
  assert moved("['rows']") == {2, 5}
  assert len(moved("['dense']['kernel']")) > 2  # Of all its inputs in use.


@pytest.mark.parametrize('torso, make', [
    (_Named, agents.DQN), (networks.MLPTorso, _SameNamesDQN)],
    ids=['names', 'same_names'])
@pytest.mark.slow
def test_custom_tables_learn_as_in_an_ordinary_update(torso, make):
  """If every row is read; what only looks like a table is left whole."""
  learners = []
  for lazy in (False, True):
    agent = _custom(torso, lazy, make)
    learner = _init(agent)(jax.random.key(0))
    for t in range(3):
      cells = np.random.default_rng(t).permutation(_BATCH) % _NUM_VALUES
      learner, _ = _update(agent)(learner, make_batch(t, cells, cells))
    learners.append(learner._replace(key=0))
  for (path, x), y in zip(
      jax.tree.leaves_with_path(learners[0]), jax.tree.leaves(learners[1]),
      strict=True):
    np.testing.assert_allclose(
        x, y, rtol=1e-3, atol=1e-5, err_msg=jax.tree_util.keystr(path))
