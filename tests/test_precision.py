"""Other settings of JAX: 64 bits, and errors where a number is not one."""

import os
import subprocess
import sys

import pytest

from tests import every_loop

BOTH = {'JAX_ENABLE_X64': '1', 'JAX_DEBUG_NANS': '1'}


@pytest.mark.parametrize('settings, names', [
    pytest.param(BOTH, ['hyperagent_optimistic:on_device', 'dqn:in_adapter'],
                 marks=[pytest.mark.slow, pytest.mark.ci]),
    *[pytest.param(settings, list(every_loop.AGENTS), marks=pytest.mark.slow)
      for settings in ({'JAX_ENABLE_X64': '1'}, {'JAX_DEBUG_NANS': '1'},
                       BOTH)]])
def test_every_loop_runs(settings, names):
  """In a process of its own: they must be set before JAX is imported."""
  environment = {
      **os.environ, 'JAX_DISABLE_MOST_OPTIMIZATIONS': '1', **settings}
  done = subprocess.run(
      [sys.executable, '-m', 'tests.every_loop', *names], env=environment,
      capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr[-3000:]
  assert done.stdout.count(' ran\n') == sum(
      1 if ':' in name else len(every_loop.LOOPS) for name in names)
