"""Signals: what they keep, what they say, how long they take."""

import random
import signal

import pytest

from tests import csv_files
from tests.faults import commands

REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STATUSES = {signal.SIGINT: 130, signal.SIGTERM: 75, signal.SIGHUP: 75,
            signal.SIGKILL: -9}


def check_stopped(result, number, folder, *, lines=(1,)):
  """Asserts that a command followed a request to stop as it should."""
  assert result.status == STATUSES[number]
  assert result.seconds < 10.
  if number != signal.SIGKILL:
    assert len(result.err) in lines, result.err
    for line in result.err:
      assert line.startswith(f'stopped by {number.name}: '), line
      assert str(folder) in line or 'nothing was begun' in line, line


def stop_twice(command, cache, folder, rng, longest):
  """Starts a command twice, and stops it after up to so many seconds."""
  for _ in range(2):
    number = rng.choice([*REQUESTS, signal.SIGKILL])
    result = commands.run(command, cache, hurt=commands.signals(
        number, after=rng.uniform(0.2, longest)))
    if result.status:  # Else it was over before.
      # Before anything is begun it ends without a word.
      check_stopped(result, number, folder, lines=(0, 1))


def _uninterrupted(command, folder, cache):
  """What a run that nobody stops comes to."""
  result = commands.run([*command, '--output', str(folder)], cache)
  assert result.status == 0 and not result.err
  return commands.results(folder)


@pytest.fixture(scope='session')
def whole(tmp_path_factory, cache):
  return _uninterrupted(
      commands.DEEP_SEA, tmp_path_factory.mktemp('stopping') / 'run', cache)


@pytest.fixture(scope='session')
def whole_optimist(tmp_path_factory, cache):
  return _uninterrupted(
      commands.OPTIMIST, tmp_path_factory.mktemp('stopping') / 'run', cache)


@pytest.mark.slow
@pytest.mark.ci
def test_a_stopped_run_goes_on_where_it_was(tmp_path, cache, whole):
  folder = tmp_path / 'run'
  command = [*commands.DEEP_SEA, '--output', str(folder)]
  result = commands.run(command, cache, hurt=commands.signals(
      signal.SIGTERM, after=0.1,
      once=commands.grows(folder / 'evaluations.csv', 500)))
  check_stopped(result, signal.SIGTERM, folder)
  assert 'holds the run after step' in result.err[0]
  result = commands.run(command, cache)
  assert result.status == 0 and not result.err
  assert 'resuming after' in result.out
  assert commands.results(folder) == whole


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGHUP])
def test_what_is_compiled_for_long_is_given_up(tmp_path, number):
  folder = tmp_path / 'run'
  # Without compiled programs, and with one that takes long.
  result = commands.run(
      [*commands.DEEP_SEA, '--hidden-sizes', *['64'] * 60, '--output',
       str(folder)], tmp_path / 'cache', hurt=commands.signals(
           number, after=1., once=(folder / 'run.json').exists))
  check_stopped(result, number, folder)


@pytest.mark.slow
def test_a_second_request_ends_at_once(tmp_path):
  folder = tmp_path / 'run'
  # While it compiles, which takes some seconds.
  result = commands.run(
      [*commands.DEEP_SEA, '--hidden-sizes', *['64'] * 20, '--output',
       str(folder)], tmp_path / 'cache', hurt=commands.signals(
           signal.SIGTERM, signal.SIGTERM, after=1.,
           once=(folder / 'run.json').exists))
  check_stopped(result, signal.SIGTERM, folder)
  assert result.seconds < 1.


@pytest.mark.slow
def test_what_is_ignored_stays_ignored(tmp_path, cache, whole):
  folder = tmp_path / 'run'
  result = commands.run(
      [*commands.DEEP_SEA, '--output', str(folder)], cache,
      shell="trap '' HUP; exec COMMAND", hurt=commands.signals(
          signal.SIGHUP, after=0.1,
          once=commands.grows(folder / 'evaluations.csv', 200)))
  assert result.status == 0
  assert commands.results(folder) == whole


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(20))
def test_deep_sea_stopped_anywhere_ends_in_the_same_bytes(
    tmp_path, cache, whole_optimist, seed):
  rng = random.Random(seed)
  folder = tmp_path / 'run'
  command = [*commands.OPTIMIST, '--output', str(folder),
             *rng.choice([(), commands.ALL_CHECKPOINTS])]
  stop_twice(command, cache, folder, rng, 9.)
  result = commands.run(command, cache)
  assert result.status == 0 and not result.err
  assert commands.results(folder) == whole_optimist


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(10))
def test_atari_stopped_anywhere_ends_whole(tmp_path, cache, seed):
  rng = random.Random(100 + seed)
  folder = tmp_path / 'run'
  command = [*commands.ATARI, '--output', str(folder),
             *rng.choice([(), commands.ALL_CHECKPOINTS]),
             *rng.choice([(), ('--no-save-replay',)])]
  stop_twice(command, cache, folder, rng, 14.)
  result = commands.run(command, cache)
  assert result.status == 0 and not result.err
  rows = csv_files.rows(folder / 'evaluations.csv')
  assert [row['env_steps'] for row in rows] == [
      step for step in ('0', '200', '400', '600') for _ in range(2)]
  assert len(csv_files.rows(folder / 'summary.csv')) == 2
  for name in ('learning_curves.png', 'strip.png'):
    assert (folder / name).read_bytes().startswith(b'\x89PNG')


@pytest.fixture(scope='session')
def whole_sweep(tmp_path_factory, cache):
  folder = tmp_path_factory.mktemp('stopping') / 'sweep'
  assert not commands.run(
      [*commands.BSUITE, '--output', str(folder)], cache).status
  return {p.relative_to(folder): p.read_bytes()
          for p in folder.glob('seed_*/*.csv')}


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(4))
def test_bsuite_stopped_anywhere_ends_in_the_same_bytes(
    tmp_path, cache, whole_sweep, seed):
  rng = random.Random(200 + seed)
  folder = tmp_path / 'run'
  command = [*commands.BSUITE, '--output', str(folder),
             *rng.choice([(), commands.ALL_CHECKPOINTS])]
  stop_twice(command, cache, folder, rng, 9.)
  result = commands.run(command, cache)
  assert result.status == 0 and not result.err
  assert {p.relative_to(folder): p.read_bytes()
          for p in folder.glob('seed_*/*.csv')} == whole_sweep
