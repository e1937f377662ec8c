"""Trainers: the one with a replay, and one written by hand without."""

import dataclasses
from typing import NamedTuple

import chex
from dm_env import specs as dm_specs
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
import numpy as np
import pytest

from hyperjax import acting
from hyperjax import agents
from hyperjax import replay as replay_lib
from hyperjax import specs
from hyperjax import types
from hyperjax.environments import DeepSea
from hyperjax.loops import OnDeviceLoop
from hyperjax.loops import ReplayTrainer
from hyperjax.loops import StreamTrainer
from hyperjax.loops import Trainer


class TableState(NamedTuple):
  """Q(s, a), and the steps that it has not learned from yet."""

  values: Float[Array, '...']
  observation: Int[Array, '...']
  action: Int[Array, '...']
  timestep: types.TimeStep
  key: chex.PRNGKey


@dataclasses.dataclass(frozen=True)
class TabularQLearning:
  """Q-learning on a table that begins at the largest return."""

  observation_spec: specs.ObservationSpec
  num_actions: int
  num_envs: int = 1
  warmup_steps: int = 0
  update_period: int = 1
  learning_rate: float = 0.5

  def init(self, key):
    zeros = jnp.zeros(self.num_envs, jnp.int32)
    return TableState(
        values=jnp.ones((self.observation_spec.num_values, self.num_actions)),
        observation=zeros, action=zeros,
        timestep=types.TimeStep(zeros, zeros * 0., zeros * 0., zeros), key=key)

  def warm_up(self, state):
    key, key_action = jax.random.split(state.key)
    return state._replace(key=key), jax.random.randint(
        key_action, (self.num_envs,), 0, self.num_actions)

  def act(self, state, observation, is_first):
    del is_first
    key, key_action = jax.random.split(state.key)
    return state._replace(key=key), acting.greedy(
        key_action, state.values[observation])

  def observe(self, state, observation, action, timestep):
    return state._replace(
        observation=observation, action=action, timestep=timestep)

  def learn(self, state):
    timestep = state.timestep
    # The number of no cell, after the end, has no row: its discount is 0.
    target = timestep.reward + timestep.discount * jnp.max(
        state.values.at[timestep.observation].get(mode='clip'), axis=-1)
    where = (state.observation, state.action)
    error = target - state.values[where]
    return state._replace(values=state.values.at[where].add(
        self.learning_rate * error)), {'loss': jnp.mean(error**2)[None]}

  def init_evaluation(self, key, num_episodes):
    del num_episodes
    return key

  def evaluate(self, state, actor, observation):
    key, key_action = jax.random.split(actor)
    return key, acting.greedy(key_action, state.values[observation])


@pytest.mark.parametrize('num_envs', [1, 3])
@pytest.mark.slow
def test_a_trainer_without_a_replay_learns_deep_sea(num_envs):
  environment = DeepSea(5)
  trainer = TabularQLearning(
      *specs.of_environment(environment), num_envs=num_envs, warmup_steps=10)
  assert isinstance(trainer, Trainer)
  assert not isinstance(agents.DQN(*specs.of_environment(environment)), Trainer)
  loop = OnDeviceLoop(trainer, environment, devices=jax.devices()[:2])
  seeds = [0, 1]
  state = loop.init(seeds, environment.params_from_seeds(seeds))
  state, log = loop.run(state, 5 * 100)
  assert log.num_updates.tolist() == [490, 490]
  assert log.num_episodes.tolist() == [100 * num_envs] * 2
  assert np.all(np.isfinite(log.loss))
  # It has tried what it did not know, and keeps what it found.
  np.testing.assert_allclose(loop.evaluate(state, 3), 0.99, atol=1e-6)


SPEC = dm_specs.Array((3,), np.float32)


@dataclasses.dataclass(frozen=True)
class Silent(agents.DQN):
  """Tells the mean loss alone."""

  def update(self, learner, batch):
    learner, metrics = super().update(learner, batch)
    return learner, {'loss': metrics['loss']}


@dataclasses.dataclass(frozen=True)
class Losses(replay_lib.Uniform):
  """A sampler that somebody else wrote."""

  @property
  def needs_losses(self):
    return True


@pytest.mark.parametrize('trainer', [ReplayTrainer, StreamTrainer])
def test_a_sampler_that_needs_losses_is_refused_without_them(trainer):
  config = agents.DQNConfig(hidden_sizes=(8,), sampler=Losses())
  trainer(agents.DQN(SPEC, 2, config))
  trainer(Silent(SPEC, 2, dataclasses.replace(
      config, sampler=replay_lib.Uniform())))
  with pytest.raises(
      ValueError, match=r"Losses\(\) .*\['losses'\].* gives \['loss'\]"):
    trainer(Silent(SPEC, 2, config))


@pytest.mark.parametrize('sampler', [
    replay_lib.Uniform(), replay_lib.Mixed(), replay_lib.Prioritized()],
    ids=lambda x: type(x).__name__)
@pytest.mark.parametrize('trainer', [ReplayTrainer, StreamTrainer])
def test_a_replay_is_written_in_place(trainer, sampler):
  """By whoever donates it."""
  trainer = trainer(agents.DQN(SPEC, 2, agents.DQNConfig(
      hidden_sizes=(8,), sampler=sampler, n_step=2, replay_capacity=5000)), 2)
  replay = trainer.replay
  add = jax.jit(replay.add, donate_argnums=0)
  state = jax.jit(replay.init)()

  def addresses():
    return [x.unsafe_buffer_pointer()
            for x in jax.tree.leaves(state) if x.size >= 5000]

  zeros = jnp.zeros(2, jnp.float32)
  observation = jnp.zeros((2, 3), jnp.float32)
  uid, last = jnp.arange(2, dtype=jnp.int32), jnp.zeros(2, bool)
  if isinstance(replay, replay_lib.StreamReplay):
    arguments = (replay_lib.Entry(observation, uid, zeros, zeros, last, uid),)
  else:
    arguments = (types.Transition(
        observation, uid, zeros, zeros, observation, uid), last)
  before = addresses()
  assert len(before) >= 6
  for _ in range(3):
    state = add(state, *arguments)
    assert addresses() == before
