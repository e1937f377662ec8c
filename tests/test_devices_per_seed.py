"""One agent over several devices: the same agent as on one."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import checkpoint
from hyperjax import data_noise
from hyperjax import data_parallel
from hyperjax import faults
from hyperjax import index
from hyperjax import replay
from hyperjax import reward_scale
from hyperjax import types
from hyperjax.agents import presets
from hyperjax.environments import DeepSea
from hyperjax.loops import OnDeviceLoop
from hyperjax.loops import ReplayTrainer
from hyperjax.loops import split_run
from hyperjax.loops.chunk_log import ChunkLog
from hyperjax.loops.seed_run import SeedRun
from tests import states

SIZE, NUM_ENVS, PARTS = 5, 8, 4
STEPS, MAX_STEPS = 30, 32
SMALL = dict(hidden_sizes=(8, 8), batch_size=16, warmup_steps=64,
             replay_capacity=160, update_period=16)
CONFIG = agents.HyperAgentConfig(
    **SMALL, noise=data_noise.Perturbation(0.01))
# Quicker to compile, for what no part of an agent can change.
DQN_CONFIG = agents.DQNConfig(**SMALL, reward_scaling=True)
CPUS = jax.devices('cpu')


def make_agent(config=DQN_CONFIG):
  environment = DeepSea(SIZE)
  agent_class = (agents.DQN if isinstance(config, agents.DQNConfig)
                 else agents.HyperAgent)
  return agent_class(
      environment.observation_spec(), environment.action_spec(), config)


def make_loop(config=DQN_CONFIG, **kwargs):
  return OnDeviceLoop(make_agent(config), DeepSea(SIZE), **{
      'num_envs': NUM_ENVS, 'devices_per_seed': PARTS, 'devices': CPUS,
      **kwargs})


def begin(loop, seeds):
  return loop.init(seeds, loop.environment.params_from_seeds(seeds))


def parts_of(state, row):
  """What the devices of a row of the mesh have, [D, ...] of every leaf."""

  def leaf(x):
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
      x = jax.random.key_data(x)
    shards = {shard.device: shard for shard in x.addressable_shards}
    devices = [CPUS[row * PARTS + i] for i in range(PARTS)]
    if not x.size:  # Is whole everywhere.
      return None
    return np.stack([np.asarray(shards[device].data)[0] for device in devices])

  return jax.tree.map(leaf, state)


def run_on_one_device(loop, seed):
  """The parts of a run as a mapped axis of one device, [D, ...]."""
  run, num_warmup = loop._seed_run, loop.trainer.warmup_steps
  params = loop.environment.params_from_seed(seed)

  def whole(_):
    state = run.init(jnp.uint32(seed), params)
    state, _ = run.run(MAX_STEPS, True, state, jnp.int32(num_warmup))
    return run.run(MAX_STEPS, False, state, jnp.int32(STEPS - num_warmup))

  return jax.jit(jax.vmap(whole, axis_name=data_parallel.AXIS))(
      jnp.arange(PARTS))


@pytest.fixture(scope='module')
def ran():
  loop = make_loop()
  state, log = loop.run(begin(loop, [3, 4]), STEPS)
  return loop, state, log


def assert_is_that_of_its_parts(loop, state, row, seed):
  expected, log = run_on_one_device(loop, seed)
  jax.tree.map(
      lambda a, b: a is None or np.testing.assert_allclose(
          a, b, rtol=1e-4, atol=1e-6),
      parts_of(state, row), states.plain(expected),
      is_leaf=lambda x: x is None)
  return states.plain(log)


# One update.

def batch_of(agent, num=16):
  rng = np.random.default_rng(0)
  cells = agent.observation_spec.num_values
  draw = lambda: jnp.asarray(
      rng.integers(cells, size=num), agent.observation_spec.dtype)
  return types.Batch(
      types.Transition(
          draw(), jnp.asarray(rng.integers(2, size=num), jnp.int32),
          jnp.asarray(rng.normal(size=num), jnp.float32),
          jnp.full(num, 0.9), draw(), jnp.arange(num, dtype=jnp.int32)),
      weights=jnp.asarray(rng.uniform(0.5, 1., num), jnp.float32),
      sequences=sequences_of(agent, num) if agent.config.sequence_length
      else None)


def sequences_of(agent, num):
  """Sequences of which a part has ended."""
  rng, length = np.random.default_rng(1), agent.config.sequence_length
  return types.Sequences(
      jnp.asarray(rng.integers(2, size=(num, length)), jnp.int32),
      jnp.asarray(rng.integers(
          agent.observation_spec.num_values, size=(num, length)),
                  agent.observation_spec.dtype),
      jnp.arange(length) < rng.integers(length + 1, size=(num, 1)))


def updated(agent, batch, learner, num_updates=3):
  def body(learner, _):
    learner, metrics = agent.update(learner, batch)
    return learner, metrics
  return jax.lax.scan(body, learner, length=num_updates)


@pytest.mark.parametrize('config', [
    pytest.param(dataclasses.replace(
        CONFIG, gradient_penalty=0.1), id='exact',
                 marks=[pytest.mark.slow, pytest.mark.ci]),
    pytest.param(dataclasses.replace(
        CONFIG, num_index_samples=3, index=index.Sphere, prior=None,
        noise=data_noise.RawPerturbation(0.1)), id='sampled',
                 marks=pytest.mark.slow),
    *(pytest.param(agent, id=agent, marks=pytest.mark.slow)
      for agent in presets.AGENTS)])
def test_an_update_of_parts_is_that_of_the_whole_batch(config):
  """Every draw is the same, too: all differences are of rounding."""
  if isinstance(config, str):
    environment = DeepSea(SIZE)
    agent = presets.AGENTS[config](
        environment.observation_spec(), environment.action_spec(),
        dataclasses.replace(presets.make(config, 'default'), **SMALL))
  else:
    agent = make_agent(config)
  learner, batch = jax.jit(agent.init)(jax.random.key(0)), batch_of(agent)
  whole, metrics = jax.jit(updated, static_argnums=0)(agent, batch, learner)
  of_parts = jax.jit(jax.vmap(
      lambda batch: updated(agent, batch, learner),
      axis_name=data_parallel.AXIS))
  parts, part_metrics = of_parts(jax.tree.map(
      lambda x: x.reshape(PARTS, -1, *x.shape[1:]), batch))
  for part in range(PARTS):
    jax.tree.map(
        lambda a, b, part=part: np.testing.assert_allclose(
            a[part], b, rtol=1e-3, atol=1e-5),
        states.plain(parts), states.plain(whole))
  for name, x in part_metrics.items():
    if name == 'losses':
      x = np.concatenate(x, axis=1)[None]
    np.testing.assert_allclose(x[0], metrics[name], rtol=1e-3, atol=1e-5)


def test_what_is_wrong_in_one_part_is_known_to_all():
  agent = make_agent()
  batch = batch_of(agent)
  bad = batch.transitions._replace(
      action=batch.transitions.action.at[-1].set(7),
      discount=batch.transitions.discount.at[0].set(2.))
  learner, _ = jax.jit(jax.vmap(
      lambda batch: agent.update(agent.init(jax.random.key(0)), batch),
      axis_name=data_parallel.AXIS))(
          jax.tree.map(lambda x: x.reshape(PARTS, -1), bad))
  expected = faults.Fault.ACTION | faults.Fault.DISCOUNT
  np.testing.assert_array_equal(learner.faults, int(expected))


# A run.

@pytest.mark.slow
@pytest.mark.ci
def test_a_run_over_devices_is_that_of_its_parts_on_one(ran):
  loop, state, log = ran
  expected = assert_is_that_of_its_parts(loop, state, 1, seed=4)
  assert float(log.loss[1]) == pytest.approx(
      expected.loss[0] / log.num_updates[1], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('config', [
    CONFIG, dataclasses.replace(
        CONFIG, sampler=replay.Mixed(0.25, 40, 0.25, 2), n_step=2)])
def test_so_it_is_with_priorities_and_all_that_is_drawn(config):
  loop = make_loop(config)
  state, _ = loop.run(begin(loop, [3, 4]), STEPS)
  for row, seed in enumerate((3, 4)):
    assert_is_that_of_its_parts(loop, state, row, seed)


def test_copies_are_equal_to_the_bit(ran):
  _, state, _ = ran
  train = state.train
  for copied in (train.learner, train.actor.key, train.num_transitions,
                 train.replay.faults, state.num_episodes, state.num_steps):
    for row in range(2):
      for x in jax.tree.leaves(parts_of(copied, row)):
        np.testing.assert_array_equal(x, np.broadcast_to(x[:1], x.shape))


def test_counts_are_those_of_the_whole_agent(ran):
  loop, state, log = ran
  # As of one device: 64 warm-up steps and 16 steps between updates, in all.
  alone = ReplayTrainer(make_agent(), NUM_ENVS)
  assert loop.trainer.warmup_steps == alone.warmup_steps == 8
  assert loop.trainer.update_period == alone.update_period == 2
  num = NUM_ENVS * STEPS
  np.testing.assert_array_equal(state.num_steps, STEPS)
  np.testing.assert_array_equal(log.num_updates, (STEPS - 8) // 2)
  np.testing.assert_array_equal(state.train.num_transitions, num)
  np.testing.assert_array_equal(state.num_episodes, num // SIZE)
  np.testing.assert_array_equal(log.num_episodes, num // SIZE)
  np.testing.assert_array_equal(
      log.episode_step[:, :num // SIZE],
      [np.repeat(np.arange(SIZE, STEPS + 1, SIZE), NUM_ENVS)] * 2)
  # The newest 160 transitions of all environments, each once.
  stored = states.plain(state.train.replay.ring.experience.transition)
  assert stored.uid.shape == (2, 1, 160)
  np.testing.assert_array_equal(
      np.sort(stored.uid[:, 0]), [np.arange(num - 160, num)] * 2)
  # Their returns are those of the log: a sum of each environment's rewards.
  last = log.episode_return[:, :num // SIZE].reshape(2, -1, NUM_ENVS)[:, -1]
  order = np.argsort(stored.uid[:, 0])
  rewards = np.take_along_axis(stored.reward[:, 0], order, axis=1)
  np.testing.assert_allclose(
      rewards.reshape(2, -1, NUM_ENVS)[:, -SIZE:].sum(1), last, atol=1e-6)


def test_the_scale_is_that_of_all_rewards(ran):
  loop, state, _ = ran
  del loop
  scale = states.plain(state.train.reward_scale)
  for seed in range(2):
    of_parts = jax.vmap(
        reward_scale.of_parts, axis_name=data_parallel.AXIS)(jax.tree.map(
            lambda x, seed=seed: x[seed].reshape(PARTS, -1), scale))
    # More than the replay holds.
    num, mean = scale.num[seed].reshape(PARTS, 3), scale.mean[seed].reshape(
        PARTS, 2)
    np.testing.assert_array_equal(
        of_parts.num, np.broadcast_to(num.sum(0), (PARTS, 3)))
    num = num[:, :2]
    np.testing.assert_allclose(
        of_parts.mean[0], (num * mean).sum(0) / np.maximum(num.sum(0), 1),
        rtol=1e-5)
    assert num.sum(0)[0] > 0


def test_parts_act_in_their_own_ways(ran):
  loop, _, _ = ran
  state, _ = loop.run(begin(loop, [3, 4]), 8, max_steps=MAX_STEPS)
  stored = states.plain(state.train.replay.ring.experience.transition)
  actions = stored.action.reshape(2 * PARTS, -1)[:, :16]
  assert len(np.unique(actions, axis=0)) == 2 * PARTS


def collectives(text):
  """The names of collectives in a program, and how many numbers they reduce."""
  found = re.findall(
      r'= (.*) (all-reduce|all-gather|all-to-all|collective-permute|'
      r'reduce-scatter|collective-broadcast)(?:-start)?\(', text)
  shapes = [shape for result, _ in found
            for shape in re.findall(r'[a-z]\d+\[([\d,]*)\]', result)]
  return {name for _, name in found}, sum(
      int(np.prod([int(x) for x in shape.split(',') if x])) for shape in shapes)


def program(loop, function, static, state, *arguments, donate=True):
  mapped = 1 + sum(bool(np.ndim(x)) for x in arguments)
  return loop._mapped._compiled(
      function, (loop._seed_run, *static), 2, mapped, donate
  ).lower(state, *arguments).compile().as_text()


def test_devices_exchange_gradients_and_sums_alone(ran):
  """No replay, no environment and no parameter moves between devices."""
  loop, state, _ = ran
  names, count = collectives(program(
      loop, SeedRun.run_if, (MAX_STEPS, False), state, np.ones(2, bool),
      np.int32(STEPS)))
  weights = sum(
      x[0].size for x in jax.tree.leaves(state.train.learner.params['params']))
  assert names == {'all-reduce'}
  # In an update: the gradient, the loss, the bits of faults. In a round of
  # updates: the scale of the rewards. In a chunk: the number of episodes.
  assert count == (weights + 1 + 32) + 5 + 1
  names, count = collectives(program(
      loop, SeedRun.run_if, (MAX_STEPS, True), state, np.ones(2, bool),
      np.int32(STEPS)))
  assert names == {'all-reduce'} and count == 1


@pytest.mark.slow
def test_an_evaluation_exchanges_nothing(ran):
  loop, state, _ = ran
  assert not collectives(program(
      loop, SeedRun.evaluate, (3,), state, donate=False))[0]
  # Each device plays all episodes, as the only device of a seed does.
  alone = make_loop(devices_per_seed=1)
  np.testing.assert_array_equal(
      loop.evaluate(begin(loop, [3, 4]), 3),
      alone.evaluate(begin(alone, [3, 4]), 3))


def test_a_log_of_parts_is_in_the_order_of_steps():
  def log(returns, steps, nums):
    return ChunkLog(
        np.float32(returns), np.int32(steps), {'x': np.float32(returns)},
        np.int32(nums), *(np.zeros((1, 2)),) * 2, {}, np.zeros((1, 2)))
  whole = split_run.whole_log(log(
      [[[1, 3, 99], [2, 4, 5]]], [[[2, 6, 0], [2, 3, 6]]], [[2, 3]]))
  np.testing.assert_array_equal(whole.num_episodes, [5])
  np.testing.assert_array_equal(whole.episode_return[0, :5], [1, 2, 4, 3, 5])
  np.testing.assert_array_equal(whole.info['x'], whole.episode_return)
  np.testing.assert_array_equal(whole.episode_step[0, :5], [2, 2, 3, 6, 6])


@pytest.mark.slow
def test_a_restored_run_goes_on_with_the_same_bits(ran, tmp_path):
  loop, state, _ = ran
  saver = checkpoint.Checkpointer(tmp_path)
  saver.save(STEPS, state, {})
  params = loop.environment.params_from_seeds([3, 4])
  restored, _ = saver.restore(loop.abstract_state([3, 4], params))
  expected = begin(loop, [3, 4])
  for num_steps in (10, 28):  # A chunk across the end of the first run.
    expected, _ = loop.run(expected, num_steps, max_steps=MAX_STEPS)
  after, _ = loop.run(restored, 8, max_steps=MAX_STEPS)
  jax.tree.map(np.testing.assert_array_equal, states.plain(after),
               states.plain(expected))


def test_memory_counts_a_copy_for_each_device(ran):
  loop, state, _ = ran
  del state
  params = loop.environment.params_from_seeds([3, 4])
  shapes = loop.abstract_state([3, 4], params)
  of_one = {x.what: x.num_bytes for x in make_loop(
      devices_per_seed=1)._mapped.check_state(shapes, 2)}
  of_all = {x.what: x.num_bytes for x in loop._mapped.check_state(shapes, 2)}
  learner = 'parameters and optimizer'
  assert of_all[learner] == PARTS * of_one[learner]
  assert of_one['replay'] <= of_all['replay'] < 1.1 * of_one['replay']
  parts = loop._mapped.check_state(
      jax.eval_shape(loop.trainer.init, jax.random.key(0)), 2, 2)
  assert of_all[learner] == {x.what: x.num_bytes for x in parts}[learner]


@pytest.mark.slow
def test_a_seed_alone_is_the_same_run(ran):
  loop = make_loop()
  state, log = loop.run(begin(loop, [4]), STEPS)
  jax.tree.map(
      lambda a, b: np.testing.assert_array_equal(a[0], b[1]),
      states.plain(state), states.plain(ran[1]))
  np.testing.assert_array_equal(log.episode_return[0],
                                ran[2].episode_return[1])


@pytest.mark.slow
@pytest.mark.parametrize('active', [None, np.array([True, False])])
def test_vectorised_seeds_are_the_same_runs(ran, active):
  """As on GPUs: the seeds of a row of devices advance together."""
  loop = make_loop(vectorize=True, devices=CPUS[:PARTS])
  state, log = loop.run(begin(loop, [3, 4]), STEPS, active)
  going = slice(None) if active is None else active
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(
          a[going], b[going], rtol=1e-4, atol=1e-6),
      states.plain(state), states.plain(ran[1]))
  np.testing.assert_array_equal(log.num_episodes, np.where(
      np.ones(2, bool) if active is None else active,
      NUM_ENVS * STEPS // SIZE, 0))
  np.testing.assert_array_equal(state.num_episodes, log.num_episodes)


@pytest.mark.slow
@pytest.mark.parametrize('devices_per_seed', [2, 8])
def test_learns_deep_sea(devices_per_seed):
  """As one device does with as many environments."""
  config = dataclasses.replace(
      presets.make('hyperagent', 'thompson_deep_sea'), lazy_adam=False)
  loop = OnDeviceLoop(
      make_agent(config), DeepSea(SIZE), 8, 8000, CPUS,
      devices_per_seed=devices_per_seed)
  state, _ = loop.run(begin(loop, [20, 21]), SIZE * 100)
  assert np.all(loop.evaluate(state, 50).mean(axis=1) > 0.9)


# What is refused.

@pytest.mark.parametrize(('config', 'options', 'message'), [
    ({}, {'devices_per_seed': 3, 'num_envs': 9, 'replay_capacity': 180},
     'divide batch_size, 16, got 3'),
    ({'batch_size': 15}, {
        'devices_per_seed': 3, 'num_envs': 9, 'replay_capacity': 180},
     'divide the number of devices, 8, got 3'),
    ({}, {'devices_per_seed': 0}, 'devices_per_seed must be'),
    ({}, {'num_envs': 6}, 'devices_per_seed must divide num_envs, 6, got 4'),
    ({'batch_size': 18}, {}, 'must divide batch_size, 18, got 4'),
    ({}, {'replay_capacity': 130}, 'the capacity of the replay, 130, got 4'),
    ({'lazy_adam': True}, {}, 'needs lazy_adam False'),
    ({'sampler': replay.Prioritized()}, {}, 'got sampler Prioritized'),
    ({'sampler': replay.Mixed(0.375, 1000, 0.)}, {},
     'recent_fraction 0.375 of batch_size, 6 transitions, got 4'),
    ({'sampler': replay.Mixed(0.25, 41, 0.25)}, {},
     'recent_window of the sampler, 41 transitions, got 4'),
])
def test_what_cannot_be_split_is_named(config, options, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    make_loop(dataclasses.replace(DQN_CONFIG, **config), **options)


def test_a_part_of_the_replay_holds_its_part_of_a_batch_alone():
  loop = make_loop(dataclasses.replace(
      DQN_CONFIG, batch_size=16, warmup_steps=16, replay_capacity=16),
                   replay_capacity=16)
  assert loop.trainer.replay.batch_size == 4


def test_a_trainer_and_an_unknown_agent_are_named():
  with pytest.raises(ValueError, match='needs an agent, got the trainer'):
    OnDeviceLoop(ReplayTrainer(make_agent(), NUM_ENVS), DeepSea(SIZE),
                 devices_per_seed=2)

  class Own:
    """An agent that passes all on, but is no `TDAgent`."""

    def __init__(self):
      self._agent = make_agent()

    def __getattr__(self, name):
      return getattr(self._agent, name)

  for name in ('init', 'acting_params', 'init_actor', 'select_action',
               'select_random_action', 'init_evaluation', 'evaluate_action',
               'update', 'observation_spec', 'num_actions', 'config'):
    setattr(Own, name, property(
        lambda self, name=name: getattr(self._agent, name)))
  with pytest.raises(ValueError, match='needs an agent that is an agents.td'):
    OnDeviceLoop(Own(), DeepSea(SIZE), NUM_ENVS, devices_per_seed=2)
