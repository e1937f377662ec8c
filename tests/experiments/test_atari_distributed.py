"""The Atari command over several processes."""

import shutil
import subprocess
import sys

import pytest

from tests import jobs
from tests.faults import commands

# The command with as many devices as the first argument says.
COMMAND = '''
import sys
import jax
from experiments.common import machine
number = int(sys.argv.pop(1))
machine.use_all_cores = lambda: jax.config.update(
    'jax_num_cpu_devices', number)
from experiments.atari import run
run.main()
'''
# Four agents: two in Pong, of the first process, and two in Breakout.
OPTIONS = (*commands.ATARI[1:], '--num-seeds', '2',
           *commands.ALL_CHECKPOINTS)


def begin_two(folder, cache, *more, code=COMMAND):
  return jobs.begin_command(
      ['-c', code, '1', *OPTIONS, '--output', str(folder), *more], cache)


def run_two(folder, cache):
  statuses, err = jobs.finish(begin_two(folder, cache))
  assert statuses == [0, 0], err
  assert not commands.messages(err[1])  # The second one is silent.


def run_one(folder, cache):
  result = subprocess.run(
      [sys.executable, '-c', COMMAND, '2', *OPTIONS, '--output', str(folder)],
      cwd=commands.ROOT, env=commands.variables(cache), timeout=240.,
      capture_output=True, text=True)
  assert not result.returncode, result.stderr
  return result.stdout


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
  return tmp_path_factory.mktemp('cache')


@pytest.mark.slow
def test_two_processes_come_to_what_one_does(tmp_path, cache):
  """With as many devices, to the byte."""
  one, two = tmp_path / 'one', tmp_path / 'two'
  run_one(one, cache)
  run_two(two, cache)
  assert commands.results(two) == commands.results(one)
  for name in ('strip.npz', 'strip.png', 'learning_curves.png'):
    assert (two / name).read_bytes() == (one / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize('number', [0, 1])
def test_a_killed_process_ends_the_other(tmp_path, cache, number):
  """What then goes on does not depend on the number of processes."""
  folder, copy = tmp_path / 'run', tmp_path / 'copy'
  err = jobs.kill_one(begin_two(folder, cache), number, folder)
  if number == 1:  # Without the first, JAX ends the others in its own words.
    assert 'another process of the job has ended; the same command goes on' in (
        commands.messages(err[0])[-1])
  shutil.copytree(folder, copy)
  assert 'the environments begin anew' in run_one(copy, cache)
  run_two(folder, cache)
  assert commands.results(folder) == commands.results(copy)


@pytest.mark.ci
@pytest.mark.slow
def test_agents_that_the_devices_do_not_divide_are_refused(tmp_path, cache):
  statuses, err = jobs.finish(begin_two(
      tmp_path / 'run', cache, '--games', 'Pong', '--num-seeds', '3'))
  assert statuses == [2, 2]
  for text in err:
    assert ('expected a number of runs that the 2 devices of the 2 processes '
            'divide, got 3') in commands.messages(text)[-1]
  assert not (tmp_path / 'run').exists()


@pytest.mark.slow
@pytest.mark.parametrize(('training', 'ending'), [
    (True, 'the same command goes on from the newest checkpoint'),
    (False, 'the run is saved after 200 steps')])
def test_a_stall_in_one_process_is_the_last_line_of_both(
    tmp_path, cache, training, ending):
  """In a chunk after the warm-up, and in the evaluation after it."""
  stalls = f'''
from hyperjax.environments import envpool
from hyperjax import multihost
real, calls = envpool.Atari.recv, []
def recv(self):
  calls.append(self._life_ends_return)
  if self._life_ends_return == {training} and calls.count(True) > 150 and (
      not multihost.is_first()):
    raise envpool.StalledError('Breakout: did not answer')
  return real(self)
envpool.Atari.recv = recv
'''
  statuses, err = jobs.finish(begin_two(
      tmp_path / 'run', cache, code=COMMAND.replace('run.main()', stalls + (
          'run.main()'))))
  assert statuses == [1, 1], err
  for text in err:
    assert commands.messages(text)[-1] == (
        f'error: process 1: Breakout: did not answer; {ending}')
