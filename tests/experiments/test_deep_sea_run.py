"""The command: what it writes, how it resumes, what it refuses."""

import json
import os
from pathlib import Path
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from experiments.common import cli
from experiments.common import files
from experiments.common import run as run_lib
from experiments.common import stopping
from experiments.deep_sea import records
from experiments.deep_sea import run as task_lib
from experiments.deep_sea import settings as settings_lib
import hyperjax
from hyperjax import checkpoint
from tests import csv_files
from tests import event_files
from tests import states
from tests import stops

ROOT = Path(__file__).parents[2]
# Random steps end with a chunk, so that all chunks of learning share a program.
ARGUMENTS = (
    '--preset', 'optimistic',
    '--size', '5', '--num-seeds', '2', '--seed', '30', '--num-episodes', '400',
    '--evaluate-every', '10', '--hidden-sizes', '16', '--batch-size', '32',
    '--warmup-steps', '50', '--eval-episodes', '20')
# At every evaluation: for runs that are cut short.
CHECKPOINTS = ('--checkpoint-seconds', '0')


def parse(folder, *more):
  return cli.parse(
      settings_lib.Settings, [*ARGUMENTS, '--output', str(folder), *more],
      'run')


def make(folder, *more):
  return task_lib.DeepSeaTask(parse(folder, *more))


def run(folder, *more):
  run_lib.run(make(folder, *more))


def final_state(folder, *more):
  """The state at the end of a finished run, as NumPy arrays."""
  task = make(folder, *more)
  state, _ = checkpoint.Checkpointer(
      folder / 'checkpoints').restore(task.abstract_state())
  return jax.tree.leaves(states.plain(state))


def results(folder):
  """All that a run writes but the time that it took."""
  summary = csv_files.rows(folder / 'summary.csv')
  for row in summary:
    assert float(row.pop('wall_seconds')) > 0.
  return (summary, (folder / 'episodes.csv').read_bytes(),
          (folder / 'evaluations.csv').read_bytes(),
          [np.load(folder / f'posterior_{moment}.npz')['mean'].tolist()
           for moment in ('before', 'solved', 'after')])


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'whole'
  run(folder)
  return folder


def test_writes_what_it_says(finished):
  config = json.loads((finished / 'config.json').read_text())
  assert config['settings']['size'] == 5
  assert config['settings']['config']['index'] == 'Gaussian'
  assert config['settings']['config']['hidden_sizes'] == [16]
  assert config['versions']['jax'] == jax.__version__
  assert {'commit', 'devices'} <= set(config)

  episodes = csv_files.rows(finished / 'episodes.csv')
  for seed in ('30', '31'):
    mine = [row for row in episodes if row['seed'] == seed]
    assert [int(r['episode']) for r in mine] == list(range(1, 401))
    assert [int(r['env_steps']) for r in mine] == list(range(5, 2001, 5))
    returns = {float(r['episode_return']) for r in mine}
    assert returns <= {round(x / 5, 6) for x in np.arange(0, -.05, -.01)} | {
        0.99} | {round(x, 6) for x in -0.002 * np.arange(6)}

  evaluations = csv_files.rows(finished / 'evaluations.csv')
  assert [int(r['episode']) for r in evaluations if r['seed'] == '31'
          ] == list(range(0, 401, 10))

  summary = csv_files.rows(finished / 'summary.csv')
  assert tuple(summary[0]) == records.SUMMARY
  for row in summary:
    assert row['solved'] == '1'
    first = next(r for r in evaluations if r['seed'] == row['seed']
                 and float(r['eval_return']) >= 0.99 - 1e-5)
    assert row['episodes_to_learn'] == first['episode']
    assert row['env_steps'] == first['env_steps']
    # Updates begin when 50 transitions are stored, four for each step.
    assert int(row['updates']) == 4 * (int(row['env_steps']) - 50)
  for name in ('learning_curves.png', 'posterior.png'):
    assert (finished / name).read_bytes().startswith(b'\x89PNG')


@pytest.mark.slow
def test_what_is_solved_before_it_begins_ends_at_once(tmp_path):
  run(tmp_path, '--agent', 'dqn', '--preset', 'default', '--size', '2',
      '--num-seeds', '1', '--seed', '0', '--num-episodes', '200',
      '--stop-when-solved')
  (row,) = csv_files.rows(tmp_path / 'summary.csv')
  assert (row['solved'], row['episodes_to_learn'], row['updates']) == (
      '1', '0', '0')


def test_a_finished_run_is_left_alone(finished, capsys):
  before = {p: p.stat().st_mtime_ns for p in finished.glob('*.*')}
  run(finished)
  assert 'it is finished' in capsys.readouterr().out
  assert {p: p.stat().st_mtime_ns for p in finished.glob('*.*')} == before


def test_its_policies_are_those_of_its_last_checkpoint(finished):
  task = make(finished)
  state, _ = checkpoint.Checkpointer(
      finished / 'checkpoints').restore(task.abstract_state())
  for i, seed in enumerate((30, 31)):
    policy = hyperjax.load(finished, seed=seed)
    assert policy.agent == task.agent
    assert policy.updates == int(state.train.learner.steps[i])
    for mine, of_all in zip(
        jax.tree.leaves(policy.params),
        jax.tree.leaves(dict(state.train.learner.params)), strict=True):
      np.testing.assert_array_equal(mine, of_all[i])
  with pytest.raises(ValueError, match='DeepSea-5.*seed 30.*seed 31'):
    hyperjax.load(finished)


@pytest.mark.ci
@pytest.mark.slow
def test_a_resumed_run_logs_every_step_once(tmp_path):
  pytest.importorskip('tensorboardX')
  arguments = (tmp_path, '--agent', 'dqn', '--preset', 'default',
               '--log', 'csv,tensorboard', '--num-episodes', '60')
  with pytest.raises(stopping.Stopped):
    run_lib.run(make(*arguments), stops.After(4))
  begun = hyperjax.load(tmp_path, seed=31).updates
  run(*arguments)
  assert hyperjax.load(tmp_path, seed=31).updates > begun
  for seed in ('30', '31'):
    found = event_files.scalars(
        tmp_path / 'tensorboard' / f'DeepSea-5_seed_{seed}')
    assert {name for _, name, _ in found} == {
        'loss', 'episode_return', 'eval_return'}
    keys = [(step, name) for step, name, _ in found]
    assert len(set(keys)) == len(keys)
    expected = [
        (int(row['env_steps']), float(row['eval_return']))
        for row in csv_files.rows(tmp_path / 'evaluations.csv')
        if row['seed'] == seed]
    np.testing.assert_allclose(
        [(step, x) for step, name, x in found if name == 'eval_return'],
        expected, rtol=1e-5)
    assert max(step for step, name in keys if name == 'loss') == 300


@pytest.mark.slow
def test_how_often_it_evaluates_does_not_change_training(finished, tmp_path):
  run(tmp_path, '--evaluate-every', '200', '--eval-episodes', '3')
  ours, theirs = ((folder / 'episodes.csv').read_bytes()
                  for folder in (tmp_path, finished))
  assert ours == theirs


STOP = ('--stop-when-solved', '--stop-margin', '0')


@pytest.fixture(scope='module')
def stopped(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'stopped'
  run(folder, *STOP)
  return folder


def test_a_seed_stops_when_it_has_solved_the_task(finished, stopped):
  learned = {row['seed']: int(row['episodes_to_learn'])
             for row in csv_files.rows(finished / 'summary.csv')}
  assert max(learned.values()) < 400 and len(set(learned.values())) == 2
  # What each did until then is what it did in the longer run.
  for name in ('episodes.csv', 'evaluations.csv'):
    ours, theirs = (csv_files.rows(folder / name)
                    for folder in (stopped, finished))
    assert ours == [
        row for row in theirs if int(row['episode']) <= learned[row['seed']]]


@pytest.mark.ci
@pytest.mark.slow
def test_resumes_with_some_seeds_stopped(stopped, tmp_path, monkeypatch):
  record = records.record_evaluation

  def cut(task, state, metadata, returns):
    # After a checkpoint from when one had stopped.
    if not task.active(state, metadata).all():
      raise RuntimeError('cut')
    record(task, state, metadata, returns)

  monkeypatch.setattr(records, 'record_evaluation', cut)
  with pytest.raises(RuntimeError, match='cut'):
    run(tmp_path, *STOP, *CHECKPOINTS)
  monkeypatch.undo()
  run(tmp_path, *STOP)
  assert results(tmp_path) == results(stopped)
  # Checkpoints are numbered by the steps of the seeds that go on.
  last = max(int(row['env_steps'])
             for row in csv_files.rows(stopped / 'summary.csv'))
  assert str(last) in {p.name for p in (tmp_path / 'checkpoints').iterdir()}


def _kill_and_resume(folder, cache, num_kills):
  """Starts the command, kills it at a random moment, again and again."""
  command = [sys.executable, '-m', 'experiments.deep_sea.run', *ARGUMENTS,
             *CHECKPOINTS, '--output', str(folder)]
  environment = {
      **os.environ, 'PYTHONPATH': str(ROOT),
      # Compiled as here, for the same bits.
      'JAX_DISABLE_MOST_OPTIMIZATIONS': str(int(
          jax.config.read('jax_disable_most_optimizations'))),
      'JAX_COMPILATION_CACHE_DIR': str(cache),
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0'}
  rng = random.Random(0)
  log = folder / 'evaluations.csv'
  kills = 0
  while kills < num_kills:
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    # Begin to count when it has come to training.
    size = log.stat().st_size if log.exists() else 0
    deadline = time.monotonic() + 120
    while (process.poll() is None and time.monotonic() < deadline
           and (not log.exists() or log.stat().st_size == size)):
      time.sleep(0.01)
    time.sleep(rng.uniform(0., 1.))
    assert process.poll() is None, 'it ended before it could be killed'
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / 'summary.csv').exists()
    kills += 1
  subprocess.run(command, cwd=ROOT, env=environment, check=True,
                 capture_output=True)


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize('num_kills', [2, 10])
def test_a_killed_run_ends_in_the_same_bits(finished, tmp_path, num_kills):
  folder = tmp_path / 'killed'
  _kill_and_resume(folder, tmp_path / 'cache', num_kills)
  assert results(folder) == results(finished)
  for ours, theirs in zip(final_state(folder), final_state(finished),
                          strict=True):
    np.testing.assert_array_equal(ours, theirs)


def test_refuses_a_folder_in_which_a_run_is_at_work(tmp_path):
  with run_lib.opened(make(tmp_path)):
    with pytest.raises(ValueError, match='in use by another run'):
      run(tmp_path)
  with run_lib.opened(make(tmp_path)):
    pass


def test_refuses_the_folder_of_another_run(finished, tmp_path):
  with pytest.raises(ValueError, match='config.prior.scale is 0.3 there, 5.0'):
    run(finished, '--prior.scale', '5')
  with pytest.raises(ValueError, match='num_episodes is 400 there, 500 here'):
    run(finished, '--num-episodes', '500')
  (tmp_path / 'thesis.tex').touch()
  with pytest.raises(ValueError, match='other files.*thesis.tex'):
    run(tmp_path)
  (tmp_path / 'file').touch()
  with pytest.raises(ValueError, match='cannot be written'):
    run(tmp_path / 'file' / 'folder')


@pytest.mark.parametrize('arguments, message', [
    (('--size', '1'), 'size must be at least 2, got 1'),
    (('--num-seeds', '0'), 'num_seeds must be at least 1, got 0'),
    (('--num-episodes', '0'), 'num_episodes must be at least 1, got 0'),
    (('--seed', '-1'), 'seed must be between 0 and 2**32 - num_seeds, got -1'),
    (('--index-dim', '0'), 'index_dim must be at least 1, got 0'),
    (('--prior.scale', '-1'), 'must be positive, got -1.0'),
    (('--batch-size', '100', '--replay-capacity', '99'),
     'batch_size must be at most replay_capacity, 99, got 100'),
    (('--evaluate-every', '300'), 'between 1 and 200 at size 5, got 300'),
    (('--update-period', '3'),
     'evaluate_every must be a whole number of the 3 steps between updates, '
     'got 10 episodes of 5 steps'),
    (('--sigma', '1'), '--sigma'),
    (('--agent', 'ppo'),
     "unknown agent 'ppo'; known: hyperagent, dqn, boot_dqn,"),
    (('--agent', 'dqn', '--preset', 'paper_atori'),
     "unknown preset of dqn 'paper_atori'; did you mean paper_atari"),
    (('--index', 'torus'), 'torus'),
])
def test_bad_settings_are_named_and_leave_nothing(
    tmp_path, capsys, arguments, message):
  folder = tmp_path / 'new'
  with pytest.raises((SystemExit, ValueError)) as caught:
    make(folder, *arguments)
  said = capsys.readouterr()
  text = f'{said.out}{said.err}{caught.value}'.replace('│', '')
  text = ' '.join(text.split())
  assert message in text
  assert not folder.exists()


def test_a_replay_that_does_not_fit_is_refused(tmp_path):
  with pytest.raises(MemoryError, match='GB'):
    make(tmp_path / 'new', '--num-episodes', str(10**12),
         '--replay-capacity', str(10**12))
  assert not (tmp_path / 'new').exists()


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
  arguments = ('--agent', 'dqn', '--preset', 'default',
               '--learning-rate', '1e18', '--max-gradient-norm', 'None')
  with pytest.raises(FloatingPointError,
                     match=r'loss of seed 30 was not finite at update \d+; '
                           r'.* holds no checkpoint yet'):
    run(tmp_path, *arguments)
  assert not (tmp_path / 'summary.csv').exists()


@pytest.mark.slow
def test_dqn_runs_and_saves(tmp_path):
  """It has no index: an array of no elements in its state."""
  run(tmp_path, '--agent', 'dqn', '--preset', 'default', '--num-episodes',
      '60')
  assert len(csv_files.rows(tmp_path / 'summary.csv')) == 2


@pytest.mark.slow
def test_stochastic_is_learned_in_but_evaluated_without_its_noise(tmp_path):
  folder = tmp_path / 'run'
  run(folder, '--stochastic')
  # Noise moves the return of an episode by more than the costs of all steps.
  learning = [float(r['episode_return'])
              for r in csv_files.rows(folder / 'episodes.csv')]
  assert min(learning) < -0.1 and max(learning) > 1.1
  evaluations = [float(r['eval_return'])
                 for r in csv_files.rows(folder / 'evaluations.csv')]
  assert -0.01 <= min(evaluations) and max(evaluations) <= 0.99 + 1e-5


def test_log_of_a_crash_is_cut_back(tmp_path):
  log = files.CsvLog(tmp_path / 'log.csv', ('a', 'b'))
  log.append([(1, 2)])
  position = log.sync()
  log.append([(3, 4), (5, 6)])
  log.close()
  with open(tmp_path / 'log.csv', 'ab') as f:
    f.write(b'7,')  # A row that was cut short.
  log = files.CsvLog(tmp_path / 'log.csv', ('a', 'b'))
  log.truncate(position)
  assert log.sync() == position  # A checkpoint at once, before another row.
  log.append([(8, 9)])
  log.close()
  assert (tmp_path / 'log.csv').read_text() == 'a,b\n1,2\n8,9\n'
