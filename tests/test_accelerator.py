"""What an accelerator must do as CPUs do; on CPUs alone it is tried too.

`python -m pytest -m gpu` runs these tests and the stored runs of `test_golden`.
"""

import jax
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import checkpoint
from hyperjax.environments import DeepSea
from hyperjax.loops import OnDeviceLoop
from hyperjax.loops import host
from tests import states
from tests import test_host
from tests.games import Game
from tests.test_on_device import CONFIG
from tests.test_on_device import actions
from tests.test_on_device import assert_same_bits
from tests.test_on_device import begin
from tests.test_on_device import make_loop
from tests.test_on_device import seed_of

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures('optimized')]
DEVICES = jax.devices()
SEEDS = [2000, 2001, 2002, 2003]


@pytest.fixture(scope='module')
def on_accelerator():
  loop = make_loop(devices=DEVICES[:1], vectorize=True)
  return loop.run(begin(loop, SEEDS), 60)


def assert_close(a, b):
  jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4),
      states.plain(a), states.plain(b))


@pytest.mark.slow
def test_seeds_together_do_what_each_does_on_a_cpu(on_accelerator):
  state, log = on_accelerator
  cpu = make_loop()
  expected, expected_log = cpu.run(begin(cpu, SEEDS), 60)
  np.testing.assert_array_equal(actions(state), actions(expected))
  np.testing.assert_array_equal(log.episode_step, expected_log.episode_step)
  assert_close(state.train.learner.params, expected.train.learner.params)


@pytest.mark.slow
def test_a_restored_run_ends_in_the_same_bits(on_accelerator, tmp_path):
  loop = make_loop(devices=DEVICES[:1], vectorize=True)
  state, _ = loop.run(begin(loop, SEEDS), 40)
  like = loop.abstract_state(
      SEEDS, loop.environment.params_from_seeds(SEEDS))
  checkpointer = checkpoint.Checkpointer(tmp_path)
  checkpointer.save(40, state, {})
  del state
  state, _ = checkpointer.restore(like)
  checkpointer.close()
  state, _ = loop.run(state, 20)
  assert_same_bits(state, on_accelerator[0])


@pytest.mark.slow
def test_some_seeds_advance_and_others_wait(on_accelerator):
  loop = make_loop(devices=DEVICES[:1], vectorize=True)
  state, _ = loop.run(begin(loop, SEEDS), 20)
  before = seed_of(state, 3)
  state, _ = loop.run(state, 40, np.array([True, True, True, False]))
  assert_same_bits(seed_of(state, 3), before)
  np.testing.assert_array_equal(
      actions(state)[:3, :20], actions(on_accelerator[0])[:3, :20])
  state, _ = loop.run(state, 40, np.array([False, False, False, True]))
  assert_close(state.train.learner.params,
               on_accelerator[0].train.learner.params)


@pytest.mark.slow
def test_evaluates():
  loop = make_loop(devices=DEVICES[:1], vectorize=True)
  state, _ = loop.run(begin(loop, SEEDS), 20)
  cpu = make_loop()
  expected, _ = cpu.run(begin(cpu, SEEDS), 20)
  np.testing.assert_allclose(
      loop.evaluate(state, 8), cpu.evaluate(expected, 8), atol=1e-6)


@pytest.mark.slow
def test_agents_on_frames_do_what_they_do_on_a_cpu():
  outcomes = []
  for devices in (DEVICES[:1], jax.devices('cpu')[:1]):
    loop = host.HostLoop(
        test_host.dqn(), [Game([0]), Game([5])], devices=devices)
    outcomes.append(test_host.run(loop, [1, 2], 60)[0])
  assert_close(*(x.train.learner.params for x in outcomes))


@pytest.mark.slow
def test_what_does_not_fit_is_refused_before_anything_is_made():
  environment = DeepSea(10)
  loop = OnDeviceLoop(
      agents.HyperAgent(
          environment.observation_spec(), environment.action_spec(), CONFIG),
      environment, replay_capacity=10**9, devices=DEVICES[:1])
  with pytest.raises(MemoryError, match='replay'):
    loop.init(range(64), environment.params_from_seeds(range(64)))
