"""One run of several processes: the same bits, and what a death does."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments.deep_sea import run as run_lib
from tests import jobs
from tests.faults import commands

AGREE = '''
import sys
import jax
import numpy as np
jax.config.update('jax_num_cpu_devices', 2)
from hyperjax import multihost
from hyperjax.loops import mapping
number = int(sys.argv[2])
multihost.initialize(sys.argv[1], 2, number)
assert multihost.is_many() and multihost.is_first() == (number == 0)
assert multihost.gather('x' * (1 + 9 * number)) == ['x', 'x' * 10]
assert multihost.agree(lambda: number + 7) == 7
try:
  multihost.agree(lambda: int('seven'))
  raise AssertionError('no error')
except ValueError as error:
  assert 'seven' in str(error)
runs = mapping.RunMap()
spread = runs.put(np.arange(8.), 8)
assert not spread.is_fully_addressable
assert len(spread.addressable_shards) == 2
np.testing.assert_array_equal(multihost.fetch(spread), np.arange(8.))
try:
  runs.mesh(6)
  raise AssertionError('no error')
except ValueError as error:
  assert 'the 4 devices of the 2 processes divide, got 6' in str(error)
print('agreed')
'''

# Prints episodes, losses and parameters of runs over two and four devices each.
SPLIT = '''
import sys
import jax
import numpy as np
jax.config.update('jax_num_cpu_devices', 4 if len(sys.argv) == 1 else 2)
from hyperjax import agents
from hyperjax import multihost
from hyperjax.environments import DeepSea
from hyperjax.loops import OnDeviceLoop
if len(sys.argv) > 1:
  multihost.initialize(sys.argv[1], 2, int(sys.argv[2]))
environment = DeepSea(5)
agent = agents.DQN(
    environment.observation_spec(), environment.action_spec(),
    agents.DQNConfig(hidden_sizes=(8,), batch_size=8, warmup_steps=16,
                     replay_capacity=80, reward_scaling=True))
for seeds, devices_per_seed in (([1, 2], 2), ([1], 4)):
  loop = OnDeviceLoop(
      agent, environment, 4, devices_per_seed=devices_per_seed)
  state = loop.init(seeds, environment.params_from_seeds(seeds))
  state, log = loop.run(state, 20)
  weights = jax.tree.leaves(multihost.fetch(state.train.learner.params))
  print('numbers', *log.num_episodes, *log.loss, *loop.evaluate(
      state, 2).ravel(), *np.concatenate([x.ravel() for x in weights]))
'''


# Long enough to be stopped: processes take a second or two to agree on a step.
COMMAND = (*commands.DEEP_SEA, '--num-seeds', '4', '--num-episodes', '960')


def begin_run(folder, cache):
  """Begins a run on DeepSea of two processes."""
  return jobs.begin_command(
      ['-m', *COMMAND, *commands.ALL_CHECKPOINTS, '--output', str(folder)],
      cache)


@pytest.mark.ci
@pytest.mark.slow
def test_processes_agree(tmp_path):
  statuses, err = jobs.finish(jobs.begin(
      ['-c', AGREE], tmp_path, lambda address, i: [address, str(i)]))
  assert statuses == [0, 0], err


def numbers(text):
  """What a process has printed, beside what Gloo says."""
  return [np.array(line.split()[1:], float) for line in text.splitlines()
          if line.startswith('numbers')]


@pytest.mark.slow
def test_a_seed_over_the_devices_of_both_is_that_of_one_process(tmp_path):
  """Of two devices each of one process, and of all four."""
  one = subprocess.run(
      [sys.executable, '-c', SPLIT], cwd=commands.ROOT, capture_output=True,
      env=commands.variables(tmp_path), text=True, timeout=240., check=True)
  processes = jobs.begin(
      ['-c', SPLIT], tmp_path, lambda address, i: [address, str(i)])
  try:
    results = [x.communicate(timeout=240.) for x in processes]
  finally:
    for x in processes:
      x.kill()
  # Gloo may add in another order than a process alone.
  expected = numbers(one.stdout)
  assert len(expected) == 2
  for out, err in results:
    for found, number in zip(numbers(out), expected, strict=True):
      np.testing.assert_allclose(found, number, rtol=1e-4, atol=1e-6,
                                 err_msg=err)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """The results of a run of one process, and the cache of its programs."""
  cache = tmp_path_factory.mktemp('cache')
  folder = tmp_path_factory.mktemp('distributed') / 'whole'
  result = commands.run([*COMMAND, '--output', str(folder)], cache)
  assert result.status == 0
  return commands.results(folder), cache


@pytest.mark.slow
def test_two_processes_come_to_what_one_does(whole, tmp_path):
  """Also where one is killed; what is saved does not depend on how many."""
  expected, cache = whole
  statuses, err = jobs.finish(begin_run(tmp_path / 'run', cache))
  assert statuses == [0, 0], err
  assert commands.results(tmp_path / 'run') == expected
  assert (tmp_path / 'run' / 'learning_curves.png').exists()


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize('number', [0, 1])
def test_a_killed_process_ends_the_other(whole, tmp_path, number):
  """Then one process alone, with the devices that it has, goes on."""
  expected, cache = whole
  folder = tmp_path / 'run'
  err = jobs.kill_one(begin_run(folder, cache), number, folder)
  if number == 1:  # Without the first, JAX ends the others in its own words.
    assert 'another process of the job has ended' in err[0]
  result = commands.run([*COMMAND, '--output', str(folder)], cache)
  assert result.status == 0, result.err
  assert 'resuming after' in result.out
  assert commands.results(folder) == expected


@pytest.mark.slow
@pytest.mark.ci
def test_a_request_to_one_process_stops_all_before_one_is_killed(
    whole, tmp_path):
  expected, cache = whole
  folder = tmp_path / 'run'
  processes = begin_run(folder, cache)
  jobs.wait_for_checkpoint(folder)
  processes[1].send_signal(signal.SIGTERM)
  statuses, err = jobs.finish(processes)
  assert statuses == [75, 75], err
  assert 'stopped by SIGTERM: ' in err[0] and 'holds the run after' in err[0]
  assert 'stopped by' not in err[1]
  statuses, err = jobs.finish(begin_run(folder, cache))
  assert statuses == [0, 0], err
  assert commands.results(folder) == expected


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(10))
def test_hurt_anywhere_it_ends_in_the_same_bytes(
    whole, tmp_path, seed):
  expected, cache = whole
  rng = random.Random(seed)
  folder = tmp_path / 'run'
  for _ in range(2):
    processes = begin_run(folder, cache)
    time.sleep(rng.uniform(1., 25.))
    processes[rng.randrange(2)].send_signal(
        rng.choice([signal.SIGTERM, signal.SIGKILL]))
    jobs.finish(processes)
  statuses, err = jobs.finish(begin_run(folder, cache))
  assert statuses == [0, 0], err
  assert commands.results(folder) == expected


@pytest.mark.parametrize(('options', 'message'), [
    (('--coordinator', '127.0.0.1:1'), 'coordinator needs --distributed'),
    (('--distributed', '--coordinator', '127.0.0.1:1'),
     'coordinator, num_processes and process_id or none of them'),
    (('--distributed', '--coordinator', 'here', '--num-processes', '1',
      '--process-id', '0'), "coordinator must be host:port, got 'here'"),
    (('--distributed', '--coordinator', 'a:1', '--num-processes', '2',
      '--process-id', '2'), 'process_id must be between 0 and'),
])
def test_bad_options_are_named(tmp_path, capsys, options, message):
  with pytest.raises(SystemExit) as caught:
    run_lib.main(['--output', str(tmp_path / 'run'), *options])
  assert caught.value.code == 2
  text = ' '.join(capsys.readouterr().err.replace('│', '').split())
  assert message in text
  assert not (tmp_path / 'run').exists()


def test_outside_of_a_cluster_the_others_must_be_named(tmp_path):
  clusters = {name: '' for name in os.environ if name.startswith(
      ('SLURM_', 'OMPI_', 'KUBERNETES_', 'TPU_'))}
  result = commands.run(
      [*commands.DEEP_SEA, '--output', str(tmp_path / 'run'), '--distributed'],
      tmp_path / 'cache', environment=clusters)
  assert result.status == 2
  assert 'JAX knows no cluster here' in result.err[-1]
  assert not (tmp_path / 'run').exists()
