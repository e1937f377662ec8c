"""The loop on the host over several processes: the numbers of one process."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests import host_job
from tests import jobs
from tests.faults import commands


def one_process(folder, part, cache):
  subprocess.run(
      [sys.executable, '-m', 'tests.host_job', str(folder), part],
      cwd=commands.ROOT, env=commands.variables(cache), check=True,
      timeout=240.)


def two_processes(folder, part, cache):
  """Returns what each of them said."""
  processes = jobs.begin(
      ['-m', 'tests.host_job', str(folder), part], cache,
      lambda address, i: [address, str(i)])
  try:
    said = [x.communicate(timeout=240.) for x in processes]
  finally:
    for x in processes:
      x.kill()
  assert [x.returncode for x in processes] == [0, 0], said
  return [[line for line in out.splitlines()
           if line.startswith(('error: ', 'steps: '))] for out, _ in said]


def seen(folder, part, number=0):
  with np.load(folder / f'{part}_{number}.npz') as data:
    return dict(data)


def assert_same(found, expected):
  assert found.keys() == expected.keys()
  for name, x in expected.items():
    np.testing.assert_array_equal(found[name], x, err_msg=name)


@pytest.mark.slow
def test_two_processes_come_to_what_one_does(tmp_path):
  """To the bit, on all processes; also where one goes on with it."""
  one, two = tmp_path / 'one', tmp_path / 'two'
  two.mkdir()
  cache = tmp_path / 'cache'
  one.mkdir()
  one_process(one, 'begin', cache)
  two_processes(two, 'begin', cache)
  shutil.copytree(two, tmp_path / 'handed_over')
  expected = seen(one, 'begin')
  for number in (0, 1):
    assert_same(seen(two, 'begin', number), expected)
  # The runs are no two the same, and learn.
  assert expected['returns'].shape == (len(host_job.SEEDS), 3)
  assert len({x.tobytes() for x in expected['returns']}) > 4
  assert set(expected['episodes'][:, 0]) == set(range(len(host_job.SEEDS)))
  assert expected['num_updates'] == 5 and np.isfinite(expected['loss']).all()
  one_process(one, 'go_on', cache)
  two_processes(two, 'go_on', cache)
  one_process(tmp_path / 'handed_over', 'go_on', cache)
  expected = seen(one, 'go_on')
  for folder, number in ((two, 0), (two, 1), (tmp_path / 'handed_over', 0)):
    assert_same(seen(folder, 'go_on', number), expected)


@pytest.mark.slow
def test_a_stall_in_one_process_is_the_error_of_both(tmp_path):
  said = two_processes(tmp_path, 'stall', tmp_path / 'cache')
  for lines in said:
    assert lines == [
        'error: process 1: Match: did not answer',
        'error: process 1: Match: did not begin',
        'error: process 1: Match: did not begin',
        'steps: 48']


def test_agents_that_cannot_be_spread_are_refused_by_both(tmp_path):
  said = two_processes(tmp_path, 'refuse', tmp_path / 'cache')
  for lines in said:
    assert len(lines) == 3
    assert 'the 4 devices of the 2 processes divide, got 6' in lines[0]
    assert 'environments for [4, 4] agents in the processes' in lines[1]
    assert 'got [6, 2]' in lines[1]
    assert 'the 4 devices of the 2 processes divide, got 6' in lines[2]
