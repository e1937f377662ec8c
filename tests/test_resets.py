"""Resets: what they change, what they leave, and when they come."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import networks
from hyperjax import optimizers
from hyperjax import resets
from hyperjax.environments import DeepSea
from hyperjax.loops import OnDeviceLoop
from tests import small
from tests import states

CONFIG = agents.HyperAgentConfig(**small.SMALL)
TORSO, HEAD = 'body/layers_0', 'body/layers_1'


def _agent(**fields):
  return agents.HyperAgent(small.SPEC, 2, dataclasses.replace(
      CONFIG, resets=resets.Periodic(**fields)))


def _at(steps, periodic):
  return [int(periodic.since(jnp.int32(step))) for step in steps]


def test_updates_since_a_reset_are_counted():
  assert _at(range(9), resets.Periodic(4)) == [0, 1, 2, 3, 0, 1, 2, 3, 0]
  assert _at(range(9), resets.Periodic(3, first=2)) == [
      0, 1, 0, 1, 2, 0, 1, 2, 0]
  # No reset after the last, whether or not it falls on a period.
  for last in (5, 6, 7):
    assert _at(range(12), resets.Periodic(3, first=2, last=last)) == [
        0, 1, 0, 1, 2, 0, 1, 2, 3, 4, 5, 6]


def test_a_reset_of_an_agent_in_one_line():
  """Of any agent: its torso in part, its head whole; all else stays."""
  agent = _agent(period=3, keep_of=((TORSO, 0.75),))
  update = jax.jit(agent.update)
  learner = jax.jit(agent.init)(jax.random.key(0))
  batch = small.batch_of(agent)
  for _ in range(3):
    learner, _ = update(learner, batch)
  reset = jax.jit(agent.components.before_update)
  after = reset(learner, jax.random.key(1))
  key_online, key_target = jax.random.split(jax.random.key(1))
  fresh, fresh_target = (
      networks.unbox(agent.network.init(key, agent.observation_spec.zeros()))
      for key in (key_online, key_target))
  for old, new, draw in (
      (learner.params['params'], after.params['params'], fresh['params']),
      (learner.target_params, after.target_params, fresh_target['params'])):
    _close(new['body']['layers_0'], jax.tree.map(
        lambda x, y: 0.75 * x + 0.25 * y, old['body']['layers_0'],
        draw['body']['layers_0']))
    _close(new['body']['layers_1'], draw['body']['layers_1'])
  _close(after.params['prior'], learner.params['prior'])
  assert int(after.steps) == 3
  assert after.key == learner.key
  # And in no other update.
  for steps in (0, 1, 2, 4):
    other = learner._replace(steps=jnp.int32(steps))
    _close(reset(other, jax.random.key(1)), other)


def test_moments_are_kept_with_their_weights():
  agent = _agent(period=2, keep_of=((TORSO, 0.5),))
  adam = optimizers.adam(1e-3, 1e-4)
  for optimizer, count_of_head in (
      (adam, 2), (optimizers.partitioned(adam, (TORSO,)), 0)):
    learner = _trained(agent, optimizer)
    after = agent.config.resets(
        learner, jax.random.key(1), _init(agent), optimizer)
    state, old = ({jax.tree_util.keystr(path): np.asarray(x) for path, x in
                   jax.tree_util.tree_leaves_with_path(learner.opt_state)}
                  for learner in (after, learner))
    assert any(name.endswith('count') for name in state)
    for name, x in state.items():
      if name.endswith('count'):
        kept = 'rest' not in name
        np.testing.assert_array_equal(x, 2 if kept else count_of_head)
      elif 'layers_0' in name:
        np.testing.assert_array_equal(x, old[name])
        assert np.any(x)
      else:
        assert not np.any(x) and np.any(old[name])


def test_adam_begins_anew_if_all_weights_do():
  agent = _agent(period=2)
  optimizer = agent.components.optimizer
  learner = _trained(agent, optimizer)
  after = agent.config.resets(
      learner, jax.random.key(1), _init(agent), optimizer)
  assert not any(np.any(x) for x in jax.tree.leaves(after.opt_state))


def _init(agent):
  return lambda key: networks.unbox(
      agent.network.init(key, agent.observation_spec.zeros()))['params']


def _trained(agent, optimizer):
  """A learner after two updates by gradients of 1."""
  learner = small.start(agent)
  params = learner.params['params']
  state = optimizer.init(params)
  for _ in range(2):
    _, state = optimizer.update(
        jax.tree.map(jnp.ones_like, params), state, params,
        key=jax.random.key(0))
  return learner._replace(opt_state=state, steps=jnp.int32(2))


def _close(a, b):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6),
               states.plain(a), states.plain(b))


def test_agents_that_are_mapped_together_are_reset_by_themselves():
  agent = _agent(period=2)
  reset = agent.components.before_update
  learner = small.start(agent)
  steps = jnp.array([1, 2, 3, 4], jnp.int32)
  keys = jax.random.split(jax.random.key(1), 4)
  together = jax.jit(jax.vmap(
      lambda steps, key: reset(learner._replace(steps=steps), key)))(
          steps, keys)
  for i in range(4):
    alone = reset(learner._replace(steps=steps[i]), keys[i])
    _close(jax.tree.map(lambda x, i=i: x[i], together), alone)
  # Weights are drawn within a branch, which only a reset enters.
  program = jax.make_jaxpr(jax.vmap(
      lambda steps, key: reset(learner._replace(steps=steps), key)))(
          steps, keys)
  assert 'cond[' in str(program)


@pytest.mark.ci
@pytest.mark.slow
def test_a_run_goes_on_with_its_replay():
  environment = DeepSea(4)
  config = agents.DQNConfig(**small.SMALL, resets=resets.Periodic(8))
  make = lambda config: OnDeviceLoop(agents.DQN(
      environment.observation_spec(), environment.action_spec(), config),
      environment)
  runs = []
  for loop in (make(config), make(dataclasses.replace(config, resets=None))):
    state = loop.init([0], environment.params_from_seeds([0]))
    state, log = loop.run(state, 4 + 8)  # The reset is before the next update.
    assert int(log.num_updates[0]) == 8
    before = states.plain(state.train)
    runs.append((before, states.plain(loop.run(state, 1)[0].train)))
  (before, after), (other_before, _) = runs
  _close(before.learner.params, other_before.learner.params)
  _close(before.replay.ring.experience, other_before.replay.ring.experience)
  assert after.replay.ring.experience.transition.uid.max() == 12
  changes = jax.tree.map(
      lambda x, y: np.abs(x - y).max(), before.learner.params['params'],
      after.learner.params['params'])
  assert max(jax.tree.leaves(changes)) > 0.1  # More than an update's.


@pytest.mark.parametrize(('make', 'message'), [
    (lambda: _agent(period=3, keep_of=(('torso', 0.5),)),
     r"keep_of of resets must name parameters that exist, got 'torso'; .*body"),
    (lambda: dataclasses.replace(
        CONFIG, updates_per_period=2, resets=resets.Periodic(3)),
     'period of resets must be a multiple of updates_per_period, 2, .* got 3'),
    (lambda: dataclasses.replace(
        CONFIG, updates_per_period=2, resets=resets.Periodic(4, first=1)),
     'first of resets must be a multiple of updates_per_period, 2, .* got 1'),
    (lambda: resets.Periodic(5, last=4),
     'last of resets must be at least the first reset, 5, got 4'),
    (lambda: resets.Periodic(5, keep_of=(('a', 1.5),)),
     'a in keep_of of resets must be between 0.0 and 1.0, got 1.5'),
    (lambda: resets.Periodic(5, keep_of=(('a',),)), 'fraction to keep'),
    (lambda: dataclasses.replace(CONFIG, resets=3),
     'resets must be a Resets, got 3')])
def test_resets_that_cannot_be_are_refused(unchecked, make, message):
  del unchecked
  with pytest.raises(ValueError, match=message):
    make()
