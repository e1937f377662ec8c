"""BBF in every loop: alone, among others, resumed."""

import dataclasses

import bsuite
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import resets
from hyperjax import schedules
from hyperjax import specs
from hyperjax.adapters import acme
from hyperjax.agents import presets
from hyperjax.environments import DeepSea
from hyperjax.loops import EnvironmentLoop
from hyperjax.loops import OnDeviceLoop
from hyperjax.loops import host
from tests import states
from tests.games import Game

# A cycle of resets, of n and of gamma within few steps.
SHORT = dict(
    sequence_length=2, num_jumps=2,
    batch_size=4, warmup_steps=8, replay_capacity=60,
    n_step=schedules.Geometric(4., 2., 6),
    discount=schedules.GeometricHorizon(0.9, 0.99, 6),
    resets=resets.Periodic(
        12, keep_of=(('torso', 0.5), ('transition', 0.5)), last=36))


def _config(preset, **fields):
  return dataclasses.replace(
      presets.make('bbf', preset), **{**SHORT, **fields})


def _device_loop(environment, config):
  return OnDeviceLoop(agents.BBF(
      environment.observation_spec(), environment.action_spec(), config),
      environment)


def _start(loop, *seeds):
  return loop.init(list(seeds), DeepSea(4).params_from_seeds(list(seeds)))


def _same(a, b):
  jax.tree.map(
      np.testing.assert_array_equal, states.plain(a), states.plain(b))


@pytest.mark.slow
@pytest.mark.ci
def test_a_run_is_resumed_to_the_bit():
  """On DeepSea; two resets and their cycles are within the run."""
  loop = _device_loop(DeepSea(4), _config('default', hidden_sizes=(6, 7)))
  whole, log = loop.run(_start(loop, 1), 24)
  assert log.num_updates.tolist() == [32] and np.isfinite(log.loss).all()
  part, _ = loop.run(_start(loop, 1), 10)
  kept = jax.tree.map(jnp.copy, part)  # Stands for a checkpoint.
  loop.run(part, 3)
  resumed, _ = loop.run(kept, 14)
  _same(resumed.train, whole.train)


@pytest.mark.slow
def test_a_seed_is_the_same_alone_and_among_others():
  loop = _device_loop(DeepSea(4), _config('default', hidden_sizes=(6, 7)))
  both, _ = loop.run(_start(loop, 0, 1), 24)
  alone, _ = loop.run(_start(loop, 1), 24)
  both = jax.tree.map(lambda x: x[1:], both).train
  _same(both.replay.ring, alone.train.replay.ring)
  # The tests' way to compile rounds otherwise in another program.
  jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-6),
      states.plain(both.learner), states.plain(alone.train.learner))


@pytest.mark.slow
def test_acts_and_learns_on_bsuite_in_the_adapter():
  environment = bsuite.load_from_id('catch/0')
  agent = agents.BBF(
      *specs.of_environment(environment),
      _config('default', hidden_sizes=(6, 7)))
  actor = acme.Actor(agent, 0)
  EnvironmentLoop(environment, actor).run(3)
  assert int(actor.state.learner.steps) > 24
  assert np.isfinite(actor.metrics['loss']).all()


def _host_loop(config, seeds):
  spec = specs.ObservationSpec((2, 36, 36), 'uint8')
  return host.HostLoop(
      agents.BBF(spec, 3, config),
      [Game([seed], pixel=(12, 9), brightness=100) for seed in seeds])


@pytest.mark.slow
def test_frames_on_the_host_are_resumed_to_the_bit():
  config = _config('small_atari', hidden_sizes=(8,))
  assert config.augmentation is not None
  runs = []
  for chunks in ((20,), (13, 7)):
    loop = _host_loop(config, [0])
    state, env_steps = loop.init([0]), np.zeros(1, int)
    for chunk in chunks:
      state, log = loop.run(state, chunk, env_steps)
      state = jax.tree.map(jnp.copy, state)
    assert log.num_updates > 0 and np.isfinite(log.loss).all()
    runs.append(states.plain(state.train))
  jax.tree.map(np.testing.assert_array_equal, *runs)
