"""What only values tell, noted and raised through every face."""

import dataclasses
import functools
from typing import NamedTuple

import dm_env
from dm_env import specs as dm_specs
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import faults
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
from tests import small

Fault = faults.Fault


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
  agent, batch = small.VECTORS, small.batch_of(small.VECTORS)
  update = jitted_update(agent)
  fine, _ = update(small.start(agent), batch)
  faults.check(fine)
  assert fine.faults.dtype == jnp.uint32
  odd = batch._replace(**{name: getattr(batch, name).at[3].set(value)})
  learner, metrics = update(small.start(agent), odd)
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
  agent, batch = small.CELLS, small.batch_of(small.CELLS)
  learner, _ = jitted_update(agent)(
      small.start(agent), batch._replace(action=batch.action + 1))
  with pytest.raises(ValueError, match=r'none of 0\.\.num_actions-1'):
    faults.check(learner)


def test_weights_and_a_loss_that_are_not_finite():
  agent, batch = small.VECTORS, small.batch_of(small.VECTORS)
  learner, _ = jitted_update(agent)(
      small.start(agent), types.Batch(batch, jnp.array([1., 1., np.nan, 1.])))
  with pytest.raises(FloatingPointError, match='weight .*; a loss was not'):
    faults.check(learner)
  faults.check(learner, ignored=faults.LOGGED)


def test_flags_tell_runs_apart():
  agent, batch = small.VECTORS, small.batch_of(small.VECTORS)
  batches = jax.tree.map(lambda x: jnp.stack([x, x, x]), batch)
  batches = batches._replace(
      action=batches.action.at[1, 0].set(5),
      reward=batches.reward.at[2, 0].set(jnp.inf))
  learner, _ = jax.jit(jax.vmap(agent.update, in_axes=(None, 0)))(
      small.start(agent), batches)
  with pytest.raises(ValueError, match=(
      r'action .* \(run 1 of 3, from 0\); .* reward .* \(run 2 of 3')):
    faults.check({'any': [learner]})
  assert faults.found(learner).shape == (3,)


def test_a_state_without_flags_has_no_faults():
  faults.check({'values': jnp.ones(3)})
  faults.check(())


# Replays.


@pytest.mark.parametrize('sampler', [
    replay_lib.Uniform(), replay_lib.Mixed(), replay_lib.Prioritized()],
                         ids=lambda x: type(x).__name__)
@pytest.mark.parametrize('storage', small.STORAGES)
@pytest.mark.slow
def test_sampling_an_empty_replay_is_a_fault(storage, sampler):
  replay = small.STORAGES[storage](sampler=sampler)
  state = replay.init()
  batch = jax.jit(replay.sample)(state, jax.random.key(0))
  assert int(batch.faults) == Fault.EMPTY_REPLAY
  learner, _ = jitted_update(small.CELLS)(small.start(small.CELLS), batch)
  with pytest.raises(ValueError, match='drawn from a replay without'):
    faults.check(learner)
  with pytest.raises(ValueError, match='holds no transition'):
    replay.sample(state, jax.random.key(0))


@pytest.mark.parametrize('sampler, loss, fault', [
    (replay_lib.Prioritized(), np.nan, Fault.PRIORITY),
    (replay_lib.Prioritized(), np.inf, Fault.PRIORITY),
    (replay_lib.Prioritized(), -1., Fault.NEGATIVE_PRIORITY),
    (replay_lib.Mixed(), np.nan, Fault.PRIORITY),
    (replay_lib.Mixed(), -1., Fault(0)),  # The smallest loss wins nothing.
    (replay_lib.Uniform(), np.nan, Fault(0)),  # Which it does not read.
])
def test_losses_that_give_no_priority_are_faults(sampler, loss, fault):
  replay, state, batch = small.filled(sampler)
  assert int(batch.faults) == 0
  after = jax.jit(replay.update_priorities)(
      state, batch, jnp.array([1., loss, 0., 2.]))
  assert int(after.faults) == fault
  if fault:
    with pytest.raises((ValueError, FloatingPointError), match='priority'):
      faults.check(after)


# The loops.


class Params(NamedTuple):
  """What an episode of `Faulty` ends with."""

  reward: jax.Array
  discount: jax.Array


@dataclasses.dataclass(frozen=True)
class Faulty(DeepSea):
  """DeepSea whose last reward and discount are those of its parameters."""

  def reset(self, params, key):
    return super().reset(self.params_from_seed(0), key)

  def step(self, params, state, action, key):
    state, timestep = super().step(
        self.params_from_seed(0), state, action, key)
    last = timestep.last()
    return state, timestep._replace(
        reward=jnp.where(last, params.reward, timestep.reward),
        discount=jnp.where(last, params.discount, timestep.discount))


def run_on_device(reward, discount, make=agents.DQN):
  """Runs one seed as it should be, and one with odd numbers."""
  environment = Faulty(3)
  agent = make(*specs.of_environment(environment),
               agents.DQNConfig(**{**small.SMALL, 'batch_size': 16}))
  loop = OnDeviceLoop(agent, environment, devices=jax.devices()[:1])
  state = loop.init([0, 1], Params(
      jnp.array([0., reward]), jnp.array([0., discount])))
  return loop.run(state, 24)


class OneTooFar(agents.DQN):
  """Chooses actions that are not there."""

  def select_action(self, params, actor, observation, is_first):
    actor, action = super().select_action(params, actor, observation, is_first)
    return actor, action + self.num_actions


def test_the_loop_on_a_device_raises_and_names_the_run():
  state, log = run_on_device(1., 0.5)
  assert np.isfinite(log.loss).all()
  assert faults.found(state).tolist() == [0, 0]
  with pytest.raises(ValueError, match=r'discount .* \(run 1 of 2'):
    run_on_device(1., 1.5)
  with pytest.raises(FloatingPointError, match=r'reward .* \(run 1 of 2'):
    run_on_device(np.inf, 0.)


def test_actions_that_are_not_there_do_not_train_silently():
  with pytest.raises(ValueError, match=r'action .* \(run 0, 1 of 2'):
    run_on_device(0., 0., OneTooFar)


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
    return small.SPEC


@pytest.mark.parametrize('values, words', [
    (dict(reward=np.inf), 'reward'), (dict(observation=np.nan), 'observation')])
def test_the_loop_on_the_host_raises(values, words):
  loop = HostLoop(small.VECTORS, [Odd(**values)], num_envs=2)
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
    return small.SPEC

  def action_spec(self):
    return dm_specs.DiscreteArray(2)


def test_an_infinite_reward_through_an_actor():
  actor = acme.Actor(small.VECTORS)
  loop = EnvironmentLoop(Episodes(), actor)
  loop.run(2)
  with pytest.raises(ValueError, match='a finite reward, got inf'):
    loop.run_episode()
  actor.update(wait=True)
  faults.check(actor.state)  # Nothing of it was stored.


@pytest.mark.parametrize('face', ['acme', 'bsuite'])
def test_adapters_raise_what_a_state_holds(face):
  if face == 'acme':
    actor = acme.Actor(small.VECTORS)
  else:
    actor = bsuite.Agent(small.VECTORS).actor
  state = actor.state
  # Transitions that came by another way than `observe`.
  replay = ReplayTrainer(small.VECTORS).replay.add(
      state.replay, small.batch_of(small.VECTORS)._replace(
          action=jnp.full(4, 7, jnp.int32)))
  actor.state = state._replace(
      replay=replay, num_transitions=jnp.int32(4))
  actor.observe_first(dm_env.restart(np.zeros(3, np.float32)))
  actor.observe(0, dm_env.transition(1., np.zeros(3, np.float32)))
  with pytest.raises(ValueError, match='an action that is none of'):
    actor.update(wait=True)
  broken = actor.state
  with pytest.raises(ValueError, match='an action that is none of'):
    acme.Actor(small.VECTORS).state = jax.tree.map(jnp.copy, broken)
