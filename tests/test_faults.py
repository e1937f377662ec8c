"""What only values tell, and what shapes tell, through every face."""

import dataclasses
import functools

import dm_env
from dm_env import specs as dm_specs
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import faults
from hyperjax import networks
from hyperjax import replay as replay_lib
from hyperjax import specs
from hyperjax import types
from hyperjax.adapters import acme
from hyperjax.adapters import bsuite
from hyperjax.environments import DeepSea
from hyperjax.environments import vector
from hyperjax.loops import EnvironmentLoop
from hyperjax.loops import HostLoop
from hyperjax.loops import OnDeviceLoop
from hyperjax.loops import ReplayTrainer
from hyperjax.loops import StreamTrainer

Fault = faults.Fault
_SMALL = dict(hidden_sizes=(4,), batch_size=4, warmup_steps=4,
              replay_capacity=50)
_SPEC = dm_specs.Array((3,), np.float32)
_VECTORS = agents.DQN(_SPEC, 2, agents.DQNConfig(**_SMALL))
_CELLS = agents.HyperAgent(
    dm_specs.DiscreteArray(9), 2,
    agents.HyperAgentConfig(**_SMALL, lazy_adam=True))


def batch_of(agent, num=4):
  spec = agent.observation_spec
  observation = jnp.zeros((num, *spec.shape), spec.dtype)
  return types.Transition(
      observation, jnp.arange(num, dtype=jnp.int32) % 2, jnp.ones(num),
      jnp.full(num, 0.9), observation, jnp.arange(num, dtype=jnp.int32))


@functools.cache
def start(agent):
  return jax.jit(agent.init)(jax.random.key(0))


@functools.cache
def jitted_update(agent):
  return jax.jit(agent.update)


# Flags of an update.


_ODD = {
    'action': [(2, Fault.ACTION), (-1, Fault.ACTION), (7, Fault.ACTION)],
    'discount': [(1.5, Fault.DISCOUNT), (-0.1, Fault.DISCOUNT),
                 (np.nan, Fault.DISCOUNT)],
    'reward': [(np.inf, Fault.REWARD), (np.nan, Fault.REWARD)],
    'observation': [(np.nan, Fault.OBSERVATION)],
    'next_observation': [(np.inf, Fault.OBSERVATION)],
}


@pytest.mark.parametrize('name, value, fault', [
    (name, *case) for name, cases in _ODD.items() for case in cases])
def test_an_update_notes_what_a_batch_must_not_have(name, value, fault):
  agent, batch = _VECTORS, batch_of(_VECTORS)
  update = jitted_update(agent)
  fine, _ = update(start(agent), batch)
  faults.check(fine)
  assert fine.faults.dtype == jnp.uint32
  odd = batch._replace(**{name: getattr(batch, name).at[3].set(value)})
  learner, metrics = update(start(agent), odd)
  # A loss that is not finite is named beside its cause.
  expected = fault | (Fault(0) if np.isfinite(metrics['loss']) else Fault.LOSS)
  assert int(learner.faults) == expected
  error = ValueError if fault in (Fault.ACTION, Fault.DISCOUNT) else (
      FloatingPointError)
  with pytest.raises(error, match=name.removeprefix('next_')):
    faults.check(learner)
  # It stays.
  learner, _ = update(learner, batch)
  assert int(learner.faults) & fault


def test_categories_and_lazy_updates_note_faults_too():
  agent, batch = _CELLS, batch_of(_CELLS)
  learner, _ = jitted_update(agent)(
      start(agent), batch._replace(action=batch.action + 1))
  with pytest.raises(ValueError, match=r'none of 0\.\.num_actions-1'):
    faults.check(learner)


def test_weights_and_a_loss_that_are_not_finite():
  agent, batch = _VECTORS, batch_of(_VECTORS)
  learner, _ = jitted_update(agent)(
      start(agent), types.Batch(batch, jnp.array([1., 1., np.nan, 1.])))
  with pytest.raises(FloatingPointError, match='weight .*; a loss was not'):
    faults.check(learner)
  faults.check(learner, ignored=faults.LOGGED)


def test_flags_tell_runs_apart():
  agent, batch = _VECTORS, batch_of(_VECTORS)
  batches = jax.tree.map(lambda x: jnp.stack([x, x, x]), batch)
  batches = batches._replace(
      action=batches.action.at[1, 0].set(5),
      reward=batches.reward.at[2, 0].set(jnp.inf))
  learner, _ = jax.jit(jax.vmap(agent.update, in_axes=(None, 0)))(
      start(agent), batches)
  with pytest.raises(ValueError, match=(
      r'action .* \(run 1 of 3, from 0\); .* reward .* \(run 2 of 3')):
    faults.check({'any': [learner]})
  assert faults.found(learner).shape == (3,)


def test_a_state_without_flags_has_no_faults():
  faults.check({'values': jnp.ones(3)})
  faults.check(())


# Replays.


_STORAGES = {
    'transitions': functools.partial(
        replay_lib.TransitionReplay, _CELLS.observation_spec, 20, 4),
    'streams': functools.partial(
        replay_lib.StreamReplay, _CELLS.observation_spec, 20, 4, 0.9)}


@pytest.mark.parametrize('sampler', [
    replay_lib.Uniform(), replay_lib.Mixed(), replay_lib.Prioritized()],
                         ids=lambda x: type(x).__name__)
@pytest.mark.parametrize('storage', _STORAGES)
def test_sampling_an_empty_replay_is_a_fault(storage, sampler):
  replay = _STORAGES[storage](sampler=sampler)
  state = replay.init()
  batch = jax.jit(replay.sample)(state, jax.random.key(0))
  assert int(batch.faults) == Fault.EMPTY_REPLAY
  learner, _ = jitted_update(_CELLS)(start(_CELLS), batch)
  with pytest.raises(ValueError, match='drawn from a replay without'):
    faults.check(learner)
  with pytest.raises(ValueError, match='holds no transition'):
    replay.sample(state, jax.random.key(0))


def filled(sampler):
  replay = _STORAGES['transitions'](sampler=sampler)
  state = replay.add(replay.init(), batch_of(_CELLS, 6))
  return replay, state, replay.sample(state, jax.random.key(0))


@pytest.mark.parametrize('sampler, loss, fault', [
    (replay_lib.Prioritized(), np.nan, Fault.PRIORITY),
    (replay_lib.Prioritized(), np.inf, Fault.PRIORITY),
    (replay_lib.Prioritized(), -1., Fault.NEGATIVE_PRIORITY),
    (replay_lib.Mixed(), np.nan, Fault.PRIORITY),
    (replay_lib.Mixed(), -1., Fault(0)),  # The smallest loss wins nothing.
    (replay_lib.Uniform(), np.nan, Fault(0)),  # Which it does not read.
])
def test_losses_that_give_no_priority_are_faults(sampler, loss, fault):
  replay, state, batch = filled(sampler)
  assert int(batch.faults) == 0
  after = jax.jit(replay.update_priorities)(
      state, batch, jnp.array([1., loss, 0., 2.]))
  assert int(after.faults) == fault
  if fault:
    with pytest.raises((ValueError, FloatingPointError), match='priority'):
      faults.check(after)


# Shapes and dtypes.


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
  batch = batch_of(_VECTORS)._replace(**change)
  with pytest.raises(ValueError, match=words):
    jax.eval_shape(_VECTORS.update, start(_VECTORS), batch)


@pytest.mark.parametrize('batch, words', [
    (types.Batch(batch_of(_VECTORS), jnp.ones(3)), r'weights .*\(4,\).*\(3,\)'),
    (types.Batch(batch_of(_VECTORS), None, jnp.ones(4)), 'keys .*int32'),
    (jax.tree.map(lambda x: x[:0], batch_of(_VECTORS)), 'at least one'),
    (jax.tree.map(lambda x: x[0], batch_of(_VECTORS)), r'got .* \(3,\)|axes'),
    (tuple(batch_of(_VECTORS)), 'a Batch or a Transition, got tuple'),
])
@pytest.mark.usefixtures('unchecked')
def test_an_update_refuses_what_is_no_batch(batch, words):
  with pytest.raises(ValueError, match=words):
    jax.eval_shape(_VECTORS.update, start(_VECTORS), batch)


@pytest.mark.usefixtures('unchecked')
def test_an_agent_refuses_the_state_of_another():
  wide = agents.DQN(
      _SPEC, 2, dataclasses.replace(_VECTORS.config, hidden_sizes=(5,)))
  with pytest.raises(ValueError, match=r'of shape \(4,\).* got of shape \(5,'):
    _VECTORS.update(start(wide), batch_of(_VECTORS))
  actor = _VECTORS.init_actor(jax.random.key(0), 2)
  act = lambda params, actor: _VECTORS.select_action(
      params, actor, jnp.zeros((2, 3)), jnp.zeros(2, bool))
  act(start(_VECTORS).params, actor)
  with pytest.raises(ValueError, match=r'\(4,\).*\(5,\)'):
    act(start(wide).params, actor)
  with pytest.raises(ValueError, match='index of an actor'):
    act(start(_VECTORS).params, _CELLS.init_actor(jax.random.key(0), 2))
  with pytest.raises(ValueError, match=r'legal actions of shape \(2,\).*\(3,'):
    act(networks.with_legal_actions(
        start(_VECTORS).params, jnp.ones(3, bool)), actor)
  with pytest.raises(ValueError, match=r'legal actions of shape \(2,\).*\(3,'):
    ReplayTrainer(_VECTORS).init(jax.random.key(0), jnp.ones(3, bool))
  with pytest.raises(ValueError, match='must be a DQNConfig, got TDConfig'):
    agents.DQN(_SPEC, 2, agents.TDConfig())


@pytest.mark.parametrize('change, words', [
    (dict(action=jnp.zeros(5, jnp.int32)), r'action .*\(6,\).*\(5,\)'),
    (dict(action=jnp.zeros(6)), 'action .*int32, got .* float32'),
    (dict(reward=jnp.zeros((6, 1))), r'reward .*\(6,\).*\(6, 1\)'),
    (dict(observation=jnp.zeros((6, 2), jnp.int32)), r'\(6, 2\)'),
    (dict(uid=jnp.int32(0)), 'leading axis'),
])
@pytest.mark.usefixtures('unchecked')
def test_a_replay_refuses_what_does_not_fit(change, words):
  replay = _STORAGES['transitions']()
  with pytest.raises(ValueError, match=words):
    jax.eval_shape(
        replay.add, replay.init(), batch_of(_CELLS, 6)._replace(**change))


@pytest.mark.usefixtures('unchecked')
def test_a_replay_converts_narrow_numbers_and_keeps_their_values():
  replay = _STORAGES['transitions']()
  batch = batch_of(_CELLS, 6)
  narrow = batch._replace(
      action=np.asarray(batch.action, np.int8),
      reward=np.asarray(batch.reward, np.float16), uid=np.arange(6))
  states = [replay.add(replay.init(), x) for x in (batch, narrow)]
  jax.tree.map(np.testing.assert_array_equal, *states)
  with pytest.raises(ValueError, match='expected a Entry, got Transition'):
    stream = _STORAGES['streams']()
    stream.add(stream.init(), batch_of(_CELLS, 1))


def test_priorities_need_a_loss_for_each_transition():
  replay, state, batch = filled(replay_lib.Prioritized())
  with pytest.raises(ValueError, match=r'losses .*\(4,\).*\(3,\)'):
    replay.update_priorities(state, batch, jnp.ones(3))


# The loops.


@dataclasses.dataclass(frozen=True)
class Faulty(DeepSea):
  """DeepSea whose last reward or discount of an episode is wrong."""

  name: str = 'reward'
  value: float = 0.

  def step_with(self, params, state, action, right_fails, noise):
    state, timestep = super().step_with(
        params, state, action, right_fails, noise)
    wrong = timestep.last() & (params.action_mapping[0, 0] == 1)
    return state, timestep._replace(**{self.name: jnp.where(
        wrong, self.value, getattr(timestep, self.name))})


def run_on_device(environment, agent=None, **config):
  config = agents.DQNConfig(**{**_SMALL, 'batch_size': 16, **config})
  agent = (agent or agents.DQN)(*specs.of_environment(environment), config)
  loop = OnDeviceLoop(agent, environment, devices=jax.devices()[:1])
  # Of these two mappings only the second begins with a 1.
  seeds = [0, 1]
  params = environment.params_from_seeds([1, 0])
  assert params.action_mapping[:, 0, 0].tolist() == [0, 1]
  state = loop.init(seeds, params)
  return loop, loop.run(state, 24)


class OneTooFar(agents.DQN):
  """Chooses actions that are not there."""

  def select_action(self, params, actor, observation, is_first):
    actor, action = super().select_action(params, actor, observation, is_first)
    return actor, action + self.num_actions


def test_the_loop_on_a_device_raises_and_names_the_run():
  loop, (state, log) = run_on_device(Faulty(3))
  assert np.isfinite(log.loss).all()
  assert int(faults.found(state).sum()) == 0
  for name, value, error, words in (
      ('discount', 1.5, ValueError, r'discount .* \(run 1 of 2'),
      ('reward', np.inf, FloatingPointError, r'reward .* \(run 1 of 2')):
    with pytest.raises(error, match=words):
      run_on_device(Faulty(3, name=name, value=value))
  del loop


def test_actions_that_are_not_there_do_not_train_silently():
  with pytest.raises(ValueError, match=r'action .* \(run 0, 1 of 2'):
    run_on_device(Faulty(3), OneTooFar)


def test_a_loop_refuses_the_parameters_of_another_environment():
  environment, other = DeepSea(4), DeepSea(3)
  agent = agents.DQN(
      *specs.of_environment(environment), agents.DQNConfig(**_SMALL))
  loop = OnDeviceLoop(agent, environment)
  with pytest.raises(ValueError, match=r'\(4, 4\).*size 4, got \(3, 3\)'):
    loop.init([0], other.params_from_seeds([0]))
  with pytest.raises(ValueError, match=r'axis of 2 seeds.*\(1, 4, 4\)'):
    loop.init([0, 1], environment.params_from_seeds([0]))
  with pytest.raises(ValueError, match=r'\(4, 4\).*size 4, got \(3, 3\)'):
    environment.reset(other.params_from_seed(0), jax.random.key(0))


class Emulators:
  """Two environments whose rewards or observations are odd from step 6 on."""

  def __init__(self, reward=1., observation=0.):
    self._reward, self._observation, self._t = reward, observation, 0

  def _observe(self):
    value = self._observation if self._t > 5 else 0.
    return np.full((2, 3), value, np.float32)

  def reset(self):
    return self._observe(), {}

  def send(self, actions):
    self._t += 1

  def recv(self):
    reward = np.full(2, self._reward if self._t > 5 else 0.)
    none = np.zeros(2, bool)
    return self._observe(), reward, none, none, {}


class Odd(vector.VectorBase):
  """`Emulators` as a vector environment."""

  def __init__(self, **values):
    super().__init__('Odd', Emulators(**values), 2, 2, 60.)

  def observation_spec(self):
    return _SPEC


@pytest.mark.parametrize('values, words', [
    (dict(reward=np.inf), 'reward'), (dict(observation=np.nan), 'observation')])
def test_the_loop_on_the_host_raises(values, words):
  loop = HostLoop(_VECTORS, [Odd(**values)], num_envs=2)
  state = loop.init([0])
  state, _ = loop.run(state, 5, np.zeros(1, int))
  with pytest.raises(FloatingPointError, match=rf'{words} .* \(run 0 of 1'):
    loop.run(state, 25, np.zeros(1, int))
  assert loop.last_state is not None
  loop.close()


# The adapters.


class Episodes(dm_env.Environment):
  """Episodes of two steps; one reward of the third is infinite."""

  def __init__(self):
    self._episode = self._t = 0

  def reset(self):
    self._episode, self._t = self._episode + 1, 0
    return dm_env.restart(np.zeros(3, np.float32))

  def step(self, action):
    self._t += 1
    follows = dm_env.termination if self._t == 2 else dm_env.transition
    return follows(
        np.inf if self._episode == 3 else 1., np.zeros(3, np.float32))

  def observation_spec(self):
    return _SPEC

  def action_spec(self):
    return dm_specs.DiscreteArray(2)


def test_an_infinite_reward_through_an_actor():
  actor = acme.Actor(_VECTORS)
  loop = EnvironmentLoop(Episodes(), actor)
  loop.run(2)
  with pytest.raises(ValueError, match='a finite reward, got inf'):
    loop.run_episode()
  actor.update(wait=True)
  faults.check(actor.state)  # Nothing of it was stored.


@pytest.mark.parametrize('face', ['acme', 'bsuite'])
def test_adapters_raise_what_a_state_holds(face):
  if face == 'acme':
    actor = acme.Actor(_VECTORS)
  else:
    actor = bsuite.Agent(_VECTORS).actor
  state = actor.state
  # Transitions that came by another way than `observe`.
  replay = ReplayTrainer(_VECTORS).replay.add(
      state.replay, batch_of(_VECTORS)._replace(
          action=jnp.full(4, 7, jnp.int32)))
  actor.state = state._replace(
      replay=replay, num_transitions=jnp.int32(4))
  actor.observe_first(dm_env.restart(np.zeros(3, np.float32)))
  actor.observe(0, dm_env.transition(1., np.zeros(3, np.float32)))
  with pytest.raises(ValueError, match='an action that is none of'):
    actor.update(wait=True)
  broken = actor.state
  with pytest.raises(ValueError, match='an action that is none of'):
    acme.Actor(_VECTORS).state = jax.tree.map(jnp.copy, broken)


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
