"""Jobs of a sweep in processes of their own, on this machine and a cluster."""

import os
from pathlib import Path
import signal
import threading
import time

import pytest

from experiments.common import jobs
from experiments.common import machine
from experiments.common import pools
from experiments.common import stopping


def write(path, text, *, requests):
  """Writes a text and the cores of its process."""
  del requests
  print('writing')
  Path(path).write_text(f'{text} {sorted(os.sched_getaffinity(0))}')


def fail(path, how, *, requests):
  """Fails in one of several ways."""
  del path, requests
  if how == 'killed':
    os.kill(os.getpid(), signal.SIGKILL)
  raise ValueError('a setting that cannot be')


def wait(path, *, requests):
  """Runs until it is told to stop."""
  Path(path).touch()
  requests.what_is_kept = lambda: 'nothing'
  with requests.interruptible():
    time.sleep(100.)


def job(folder, function, *arguments, name='job'):
  return jobs.Job(name, folder / name, function,
                  (str(folder / f'{name}.txt'), *arguments))


@pytest.mark.ci
@pytest.mark.slow
def test_each_has_a_process_on_its_part_of_the_machine(tmp_path):
  cores = sorted(os.sched_getaffinity(0))
  with pools.local(len(cores)) as pool:
    jobs.run([job(tmp_path, write, 'this is', name=f'job_{i}')
              for i in range(2)], pool, 'test')
  texts = {(tmp_path / f'job_{i}.txt').read_text() for i in range(2)}
  assert texts <= {f'this is [{core}]' for core in cores}
  assert not list(tmp_path.glob('*.out.txt'))


@pytest.mark.slow
@pytest.mark.ci
def test_one_that_fails_is_named_and_leaves_the_others(tmp_path):
  with pools.local(2) as pool, pytest.raises(
      ValueError, match=r'2 of 3 jobs have failed') as caught:
    jobs.run([
        job(tmp_path, fail, 'killed', name='dead'),
        job(tmp_path, fail, 'raises', name='wrong'),
        job(tmp_path, write, 'fine', name='fine')], pool, 'test')
  assert 'dead: no output, exit status -9' in str(caught.value)
  assert ('wrong: error: a setting that cannot be, exit status 1'
          in str(caught.value))
  assert str(tmp_path / 'wrong.out.txt') in str(caught.value)
  assert (tmp_path / 'fine.txt').exists()


class _Asked(stopping.Requests):
  """A request to stop that comes when a job has begun."""

  def __init__(self, path):
    super().__init__()
    self._path = path

  def check(self):
    threading.Thread(target=self._ask).start()

  def _ask(self):
    while not self._path.exists():
      time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_request_to_stop_reaches_the_jobs(tmp_path):
  with pools.local(1) as pool, pytest.raises(stopping.Stopped), _Asked(
      tmp_path / 'job.txt') as requests:
    jobs.run([job(tmp_path, wait), job(tmp_path, write, 'no', name='later')],
             pool, 'test', requests)
  assert 'stopped by SIGTERM: nothing' in (tmp_path / 'job.out.txt').read_text()
  assert not (tmp_path / 'later.txt').exists()


def test_a_machine_is_divided(monkeypatch):
  monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {4, 5, 6})
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
  assert [x.cores for x in machine.places(2)] == [(4, 6), (5,)]
  assert [x.cores for x in machine.places(4)] == [(4,), (5,), (6,), (4,)]
  assert machine.places(1)[0].environment() == {}
  monkeypatch.delenv('JAX_PLATFORMS', raising=False)
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '3,GPU-1')
  assert [x.environment()['CUDA_VISIBLE_DEVICES']
          for x in machine.places(2)] == ['3', 'GPU-1']
  with pytest.raises(ValueError, match='at most 2, the GPUs .* got 3'):
    machine.places(3)


@pytest.mark.parametrize(('workers', 'address', 'message'), [
    (2, 'local:2', 'either workers or cluster'),
    (0, None, 'workers must be at least 1, got 0'),
    (None, 'local:none', "local:N with a number of workers, .* 'local:none'"),
    (None, '10.0.0.1:8786', "the address of a Dask scheduler, .*'10.0.0.1:"),
])
def test_pools_that_cannot_be_are_refused(workers, address, message):
  with pytest.raises(ValueError, match=message):
    pools.check(workers, address)


def test_a_cluster_that_does_not_answer_is_refused(monkeypatch):
  monkeypatch.setattr(pools, 'TIMEOUT', 1.)
  address = 'tcp://127.0.0.1:9'
  with pytest.raises(ValueError, match=f'{address} does not answer'):
    with pools.cluster(address):
      pass


@pytest.mark.slow
@pytest.mark.ci
def test_a_cluster_runs_what_a_killed_worker_left(tmp_path):
  """And a job that always kills its worker is reported."""
  with pools.cluster('local:2') as pool, pytest.raises(
      ValueError, match='wrong: error: a setting that cannot be'):
    jobs.run([job(tmp_path, _kill_the_worker_once, name='job'),
              job(tmp_path, fail, 'raises', name='wrong')], pool, 'test')
  assert (tmp_path / 'job.txt').read_text() == 'second'
  assert 'stopped by SIGTERM' in (tmp_path / 'first.txt').read_text()


def _kill_the_worker_once(path, *, requests):
  """Kills the process that began this one, at the first call."""
  first = Path(path).with_name('first.txt')
  if first.exists():
    Path(path).write_text('second')
    return
  first.touch()
  os.kill(os.getppid(), signal.SIGKILL)
  try:
    with requests.interruptible():
      time.sleep(100.)
  except stopping.Stopped as stopped:
    first.write_text(str(stopped))
    raise
