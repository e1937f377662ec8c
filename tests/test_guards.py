"""What shapes, dtypes and kinds tell, before a program runs."""

import dataclasses

import dm_env
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import acting
from hyperjax import agents
from hyperjax import networks
from hyperjax import optimizers
from hyperjax import regularizers
from hyperjax import replay as replay_lib
from hyperjax import specs
from hyperjax import types
from hyperjax.adapters import acme
from hyperjax.environments import DeepSea
from hyperjax.loops import EnvironmentLoop
from hyperjax.loops import HostLoop
from hyperjax.loops import OnDeviceLoop
from hyperjax.loops import ReplayTrainer
from hyperjax.loops import StreamTrainer
from tests import small

_VECTORS, _CELLS = small.VECTORS, small.CELLS
_BATCH = small.batch_of(_VECTORS)
_ENTRIES = small.batch_of(_CELLS, 6)


@pytest.mark.parametrize('change, words', [
    (dict(action=jnp.zeros(3, jnp.int32)), r'action .*\(4,\).*\(3,\)'),
    (dict(action=jnp.zeros(4)), 'action .*int32, got .* float32'),
    (dict(reward=jnp.zeros((4, 1))), r'reward .*\(4,\).*\(4, 1\)'),
    (dict(reward=jnp.zeros(4, jnp.int32)), 'reward .*float32, got .* int32'),
    (dict(discount=0.9), r'discount .*\(4,\) .* got \(\)'),
    (dict(discount=jnp.zeros(5)), r'discount .*\(5,\)'),
    (dict(uid=jnp.zeros(())), r'uid .*\(\)'),
    (dict(next_observation=jnp.zeros((5, 3))), r'\(5, 3\) and \(4, 3\)'),
    (dict(observation=jnp.zeros((3,))), r'\(3,\)'),  # No axis of a batch.
])
@pytest.mark.usefixtures('unchecked')
def test_an_update_refuses_a_ragged_batch(change, words):
  batch = _BATCH._replace(**change)
  with pytest.raises(ValueError, match=words):
    jax.eval_shape(_VECTORS.update, small.start(_VECTORS), batch)


@pytest.mark.parametrize('batch, words', [
    (types.Batch(_BATCH, jnp.ones(3)), r'weights .*\(4,\).*\(3,\)'),
    (types.Batch(_BATCH, None, jnp.ones(4)), 'keys .*int32'),
    (jax.tree.map(lambda x: x[:0], _BATCH), 'at least one'),
    (jax.tree.map(lambda x: x[0], _BATCH), r'got .* \(3,\)|axes'),
    (tuple(_BATCH), 'a Batch or a Transition, got tuple'),
])
@pytest.mark.usefixtures('unchecked')
def test_an_update_refuses_what_is_no_batch(batch, words):
  with pytest.raises(ValueError, match=words):
    jax.eval_shape(_VECTORS.update, small.start(_VECTORS), batch)


@pytest.mark.usefixtures('unchecked')
def test_an_agent_refuses_the_state_of_another():
  wide = agents.DQN(
      small.SPEC, 2, dataclasses.replace(_VECTORS.config, hidden_sizes=(5,)))
  with pytest.raises(ValueError, match=r'of shape \(4,\).* got of shape \(5,'):
    _VECTORS.update(small.start(wide), _BATCH)
  actor = _VECTORS.init_actor(jax.random.key(0), 2)
  act = lambda params, actor: _VECTORS.select_action(
      params, actor, jnp.zeros((2, 3)), jnp.zeros(2, bool))
  act(small.start(_VECTORS).params, actor)
  with pytest.raises(ValueError, match=r'\(4,\).*\(5,\)'):
    act(small.start(wide).params, actor)
  with pytest.raises(ValueError, match='index of an actor'):
    act(small.start(_VECTORS).params, _CELLS.init_actor(jax.random.key(0), 2))
  with pytest.raises(ValueError, match=r'legal actions of shape \(2,\).*\(3,'):
    act(networks.with_legal_actions(
        small.start(_VECTORS).params, jnp.ones(3, bool)), actor)
  with pytest.raises(ValueError, match=r'legal actions of shape \(2,\).*\(3,'):
    ReplayTrainer(_VECTORS).init(jax.random.key(0), jnp.ones(3, bool))
  with pytest.raises(ValueError, match='must be a DQNConfig, got TDConfig'):
    agents.DQN(small.SPEC, 2, agents.TDConfig())


@pytest.mark.parametrize('change, words', [
    (dict(action=jnp.zeros(5, jnp.int32)), r'action .*\(6,\).*\(5,\)'),
    (dict(action=jnp.zeros(6)), 'action .*int32, got .* float32'),
    (dict(reward=jnp.zeros((6, 1))), r'reward .*\(6,\).*\(6, 1\)'),
    (dict(observation=jnp.zeros((6, 2), jnp.int32)), r'\(6, 2\)'),
    (dict(uid=jnp.int32(0)), 'leading axis'),
])
@pytest.mark.usefixtures('unchecked')
def test_a_replay_refuses_what_does_not_fit(change, words):
  replay = small.STORAGES['transitions']()
  with pytest.raises(ValueError, match=words):
    jax.eval_shape(
        replay.add, replay.init(), _ENTRIES._replace(**change))


@pytest.mark.usefixtures('unchecked')
def test_a_replay_converts_narrow_numbers_and_keeps_their_values():
  replay = small.STORAGES['transitions']()
  batch = _ENTRIES
  narrow = batch._replace(
      action=np.asarray(batch.action, np.int8),
      reward=np.asarray(batch.reward, np.float16), uid=np.arange(6))
  states = [replay.add(replay.init(), x) for x in (batch, narrow)]
  jax.tree.map(np.testing.assert_array_equal, *states)
  with pytest.raises(ValueError, match='expected a Entry, got Transition'):
    stream = small.STORAGES['streams']()
    stream.add(stream.init(), small.batch_of(_CELLS, 1))


@pytest.mark.parametrize('make', [
    lambda: optimizers.adam(np.inf, 1e-8),
    lambda: optimizers.adam(0.1, 0.),
    lambda: optimizers.adam(-1., 1e-8),
    lambda: optimizers.adam(0.1, 1e-8, -1.),
    lambda: optimizers.clipped(optimizers.adam(0.1, 1e-8), np.nan),
    lambda: optimizers.adam_lmc(0.1, -1., 1.),
    lambda: optimizers.adam_lmc(0.1, 1., np.nan),
    lambda: optimizers.langevin_adam(0.1, 0.1, b2=1.),
    lambda: regularizers.head_l2(np.nan, 1., 1, 1, 1., 1),
    lambda: networks.initializers.sphere(np.inf),
    lambda: acting.greedy(
        jax.random.key(0), jnp.ones((2, 3)), jnp.ones(2, bool)),
    lambda: small.VECTORS.init_actor(jax.random.key(0), 0),
    lambda: DeepSea(3).params_from_seed(-1),
    lambda: DeepSea(3).params_from_seeds([]),
    lambda: specs.observation_spec(specs.ObservationSpec((2.5,), 'float32')),
    lambda: specs.observation_spec(specs.ObservationSpec((2,), 'flaot')),
    lambda: specs.observation_spec(specs.ObservationSpec((2,), 'int32', 3)),
    lambda: specs.observation_spec(
        specs.ObservationSpec((2,), 'float32', None, [0., 1.])),
    lambda: EnvironmentLoop(None, small.VECTORS),
    lambda: HostLoop(small.VECTORS, [DeepSea(3)]),
    lambda: HostLoop(small.VECTORS, [object()], num_envs=0),
])
@pytest.mark.usefixtures('unchecked')
def test_functions_refuse_what_they_cannot_mean(make):
  with pytest.raises(ValueError):
    make()


def test_priorities_need_a_loss_for_each_transition():
  replay, state, batch = small.filled(replay_lib.Prioritized())
  with pytest.raises(ValueError, match=r'losses .*\(4,\).*\(3,\)'):
    replay.update_priorities(state, batch, jnp.ones(3))


def test_a_loop_refuses_the_parameters_of_another_environment():
  environment, other = DeepSea(4), DeepSea(3)
  agent = agents.DQN(
      *specs.of_environment(environment), agents.DQNConfig(**small.SMALL))
  loop = OnDeviceLoop(agent, environment)
  with pytest.raises(ValueError, match=r'\(4, 4\).*size 4, got \(3, 3\)'):
    loop.init([0], other.params_from_seeds([0]))
  with pytest.raises(ValueError, match=r'axis of 2 seeds.*\(1, 4, 4\)'):
    loop.init([0, 1], environment.params_from_seeds([0]))
  with pytest.raises(ValueError, match=r'\(4, 4\).*size 4, got \(3, 3\)'):
    environment.reset(other.params_from_seed(0), jax.random.key(0))


@pytest.mark.parametrize('reward', ['3', 1j, None, [1.]])
def test_adapters_refuse_rewards_of_another_kind(reward):
  actor = acme.Actor(_VECTORS)
  actor.observe_first(dm_env.restart(np.zeros(3, np.float32)))
  with pytest.raises(ValueError, match='expected a reward'):
    actor.observe(0, dm_env.transition(reward, np.zeros(3, np.float32)))


@pytest.mark.usefixtures('unchecked')
def test_trainers_ask_for_an_agent():
  assert StreamTrainer(_VECTORS).replay.init().faults == 0
  with pytest.raises(ValueError, match='got the class DQN instead of'):
    OnDeviceLoop(agents.DQN, DeepSea(3))
