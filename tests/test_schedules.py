"""Schedules: their values, and that they are equal and can be pickled."""

import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import acting
from hyperjax import schedules


@pytest.mark.parametrize('schedule, expected', [
    (schedules.Linear(1., 0.2, 4), [1., 0.8, 0.6, 0.4, 0.2, 0.2]),
    (schedules.Cosine(1., 0., 4), [1., 0.853553, 0.5, 0.146447, 0., 0.]),
    (schedules.Linear(0., 1., 1), [0., 1., 1., 1., 1., 1.]),
])
def test_values(schedule, expected):
  values = jax.jit(jax.vmap(schedule))(jnp.arange(6))
  np.testing.assert_allclose(values, expected, atol=1e-6)
  assert values.dtype == jnp.float32


def test_equal_schedules_are_equal():
  make = lambda: acting.EpsilonGreedy(epsilon=schedules.Cosine(1., 0.1, 9))
  assert make() == make() and hash(make()) == hash(make())
  assert pickle.loads(pickle.dumps(make())) == make()
  assert make() != acting.EpsilonGreedy(epsilon=schedules.Linear(1., 0.1, 9))


def test_refuses_no_steps():
  with pytest.raises(ValueError, match='at least 1, got 0'):
    schedules.Linear(1., 0., 0)


def test_configs_with_schedules_claim_no_devices():
  """Commands say how many devices there are after they have read a config."""
  program = (
      'from jax._src import xla_bridge\n'
      'from hyperjax.agents import presets\n'
      'for agent in presets.AGENTS:\n'
      '  for preset in presets.names(agent):\n'
      '    presets.make(agent, preset)\n'
      'assert not xla_bridge.backends_are_initialized()\n')
  subprocess.run([sys.executable, '-c', program], check=True)
