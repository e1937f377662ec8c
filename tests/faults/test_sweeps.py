"""Sweeps over workers that are killed and stopped, with real processes."""

import random
import signal
import time

import psutil
import pytest

from tests.faults import commands

_, *_OPTIONS = commands.BSUITE
BSUITE = ('experiments.bsuite.run', *_OPTIONS, '--runs-together', '1')
DEEP_SEA = (
    'experiments.deep_sea.sweep', '--agents', 'dqn', '--sizes', '3,4',
    '--num-seeds', '2', '--seeds-together', '1', '--num-episodes', '200',
    '--evaluate-every', '40', '--eval-episodes', '5')
SWEEPS = {'deep_sea': DEEP_SEA, 'bsuite': BSUITE}


def results(folder):
  """Returns all that a sweep came to, but the time that it took."""
  if (folder / 'seed_0').exists():
    return {p.relative_to(folder): p.read_bytes()
            for p in folder.glob('seed_*/*.csv')}
  return {p.name: {
      name: found for name, found in commands.results(p).items()
      if name.endswith('.csv')} for p in folder.iterdir() if p.is_dir()}


@pytest.fixture(scope='session', params=SWEEPS)
def whole(request, tmp_path_factory, cache):
  """A sweep by name, its command, and what it comes to undisturbed."""
  folder = tmp_path_factory.mktemp(request.param) / 'whole'
  command = SWEEPS[request.param]
  result = commands.run([*command, '--output', str(folder)], cache)
  assert result.status == 0, result.err
  return command, results(folder)


def kill_some(rng, times):
  """Returns a `hurt` that kills random processes below the command.

  These are workers of the cluster, and jobs. It is told to stop in the end with
  a probability of a half.
  """

  def hurt(process):
    for _ in range(times):
      time.sleep(rng.uniform(2., 14.))
      try:
        below = [
            child for child in psutil.Process(process.pid).children(True)
            if 'resource_tracker' not in ' '.join(child.cmdline())]
        if below:
          rng.choice(below).kill()
      except psutil.NoSuchProcess:
        return
    if rng.random() < 0.5:
      process.send_signal(signal.SIGTERM)

  return hurt


@pytest.mark.slow
@pytest.mark.parametrize('pool', [('--workers', '2'), ('--cluster', 'local:2')])
@pytest.mark.parametrize('seed', range(5))
def test_killed_anywhere_a_sweep_ends_in_the_same_bytes(
    whole, tmp_path, cache, pool, seed):
  command, expected = whole
  rng = random.Random(seed)
  folder = tmp_path / 'run'
  command = [*command, *pool, '--output', str(folder)]
  result = commands.run(command, cache, hurt=kill_some(rng, 2), timeout=300.)
  # Done, or a job was killed (not its worker), or the sweep was stopped.
  assert result.status in (0, 1, 75), result.err
  if result.status == 1:
    assert ('exit status -9' in result.err[-1]
            or 'have not started' in result.err[-1])
  result = commands.run(command, cache, timeout=300.)
  assert result.status == 0, result.err
  assert results(folder) == expected
  assert not list(folder.rglob('*.out.txt'))
