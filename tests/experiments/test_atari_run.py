"""The Atari command: what it writes, how it resumes, what it refuses."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import cli
from experiments.atari import analyse
from experiments.atari import reading
from experiments.atari import run as run_lib
from experiments.atari import settings
from hyperjax.environments import envpool
from tests import csv_files
from tests import states

# Small enough for a test: one hidden layer of four units on flat frames.
ARGUMENTS = (
    '--preset', 'atari_cpu', '--torso', 'mlp', '--hidden-sizes', '4',
    '--games', 'Pong,Breakout', '--num-seeds', '2', '--seed', '50',
    '--num-steps', '400', '--steps-per-update', '4', '--min-replay-size',
    '100', '--batch-size', '4',
    '--replay-capacity', '300', '--evaluate-every', '200', '--max-frames',
    '320', '--eval-episodes', '2', '--final-episodes', '2')


def make(folder, *more):
  return run_lib.Run(cli.parse(
      settings.Settings, [*ARGUMENTS, '--output', str(folder), *more], 'run',
      default_preset='paper_atari'))


def run(folder, *more):
  task = make(folder, *more)
  try:
    task()
  finally:
    task.close()


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  folder = tmp_path_factory.mktemp('atari') / 'run'
  run(folder)
  return folder


def test_writes_what_the_analysis_reads(finished, capsys):
  summary = csv_files.rows(finished / 'summary.csv')
  assert [(row['game'], row['seed']) for row in summary] == [
      ('Pong', '50'), ('Pong', '51'), ('Breakout', '50'), ('Breakout', '51')]
  for row in summary:
    # 400 time steps, of which some only began a game.
    assert 390 <= int(row['env_steps']) < 400
    assert int(row['updates']) == 75
  evaluations = csv_files.rows(finished / 'evaluations.csv')
  assert [row['env_steps'] for row in evaluations] == [
      step for step in ('0', '200', '400') for _ in range(4)]
  best = max(evaluations[::4], key=lambda row: float(row['eval_return']))
  assert summary[0]['best_env_steps'] == best['env_steps']
  episodes = csv_files.rows(finished / 'episodes.csv')
  assert {row['game'] for row in episodes} == {'Pong', 'Breakout'}
  assert all(int(row['length']) <= 80 for row in episodes)
  for name in ('learning_curves.png', 'strip.png'):
    assert (finished / name).read_bytes().startswith(b'\x89PNG')
  assert json.loads((finished / 'config.json').read_text())['settings'][
      'config']['torso'] == 'MLPTorso'
  analyse.main([str(finished)])
  assert 'hyperagent' in capsys.readouterr().out
  found, _ = reading.read(finished)
  for runs in found.values():
    for found_run in runs:
      assert found_run.steps.tolist() == [0, 200, 400]


def test_a_finished_run_is_left_alone(finished, capsys):
  before = {p: p.stat().st_mtime_ns for p in finished.glob('*.csv')}
  run(finished)
  assert 'it is finished' in capsys.readouterr().out
  assert before == {p: p.stat().st_mtime_ns for p in finished.glob('*.csv')}


@pytest.mark.parametrize('save_replay', [
    '--save-replay', pytest.param('--no-save-replay', marks=pytest.mark.slow)])
def test_a_stalled_run_is_saved_and_goes_on(
    tmp_path, monkeypatch, capsys, save_replay):
  folder = tmp_path / 'run'
  real, calls = envpool.Atari.recv, []

  def recv(self):
    calls.append(self.game)
    if self._life_ends_return and calls.count('Breakout') == 150:
      raise envpool.StalledError('Breakout: did not answer')
    return real(self)

  monkeypatch.setattr(envpool.Atari, 'recv', recv)
  real_save, saved = run_lib.Run._save, []

  def save(self, state, best, memory):
    saved.append(states.plain(state))
    real_save(self, state, best, memory)

  monkeypatch.setattr(run_lib.Run, '_save', save)
  with pytest.raises(envpool.StalledError, match='saved after'):
    run(folder, save_replay)
  assert not (folder / 'summary.csv').exists()
  monkeypatch.undo()
  task = make(folder, save_replay)
  state, _, memory = task._restore_or_begin()
  seen = int(state.acting.num_transitions[0])
  assert memory.env_steps[0] > 0 and 0 < seen < 400
  if save_replay == '--save-replay':
    before, = saved  # What was saved is what is restored, bit for bit.
    jax.tree.map(np.testing.assert_array_equal, before, states.plain(state))
  size = int(state.acting.replay.current_index[0])
  assert size == (seen if save_replay == '--save-replay' else 0)
  task()
  task.close()
  assert 'environments begin anew' in capsys.readouterr().out
  summary = csv_files.rows(folder / 'summary.csv')
  assert all(int(row['env_steps']) >= 380 for row in summary)
  for row in csv_files.rows(folder / 'evaluations.csv'):
    assert np.isfinite(float(row['eval_return']))
  # Each evaluation is there once.
  evaluations = csv_files.rows(folder / 'evaluations.csv')
  assert len(evaluations) == 12
  assert tuple(evaluations[0]) == reading.EVALUATIONS


@pytest.mark.slow
def test_a_stall_in_an_evaluation_is_saved_and_evaluated_again(
    tmp_path, monkeypatch):
  folder = tmp_path / 'run'
  real, calls = envpool.Atari.recv, []

  def recv(self):
    calls.append(self._life_ends_return)
    # The first evaluation after training has begun.
    if not self._life_ends_return and True in calls:
      raise envpool.StalledError('Breakout: did not answer')
    return real(self)

  monkeypatch.setattr(envpool.Atari, 'recv', recv)
  with pytest.raises(envpool.StalledError, match='saved after 200 steps'):
    run(folder)
  monkeypatch.undo()
  run(folder)
  evaluations = csv_files.rows(folder / 'evaluations.csv')
  assert [row['env_steps'] for row in evaluations] == [
      step for step in ('0', '200', '400') for _ in range(4)]


@pytest.mark.parametrize('more, words', [
    (('--games', 'Koolaid'), "'Koolaid' has no published scores"),
    (('--games', 'Pnog'), 'unknown game .*Pong'),
    (('--games', 'Pong,Pong'), 'Pong is there twice'),
    (('--suite', 'atari26'), 'either games or a suite'),
    (('--num-steps', '0'), 'num_steps must be at least 1, got 0'),
    (('--replay-capacity', '100', '--n-step', '97'), 'at least 102'),
    (('--num-steps', '50'), 'num_steps must be more than the 100 .* got 50'),
    (('--num-envs', '3'), 'multiple of the 3 environments, got 400'),
    (('--sticky-actions', '2'), 'sticky_actions must be between 0 and 1'),
])
def test_refuses_what_cannot_be(tmp_path, more, words, capsys):
  with pytest.raises((ValueError, SystemExit)) as raised:
    make(tmp_path / 'run', *more)
  # The command line's messages are broken into lines.
  message = ' '.join(f'{raised.value} {capsys.readouterr().err}'.split())
  assert re.search(words, message), message
  assert not (tmp_path / 'run').exists()


def test_refuses_to_resume_with_other_settings(finished):
  with pytest.raises(ValueError, match="config.n_step is 5 there, 3 here"):
    make(finished, '--n-step', '3')


def test_the_best_weights_are_those_of_the_best_evaluation(tmp_path):
  task = make(tmp_path / 'run')
  state, best, memory = task._restore_or_begin()
  scores = iter([[1., 5., 0., 0.], [2., 4., 0., 3.]])
  task._play = lambda *_: np.array(next(scores))[:, None]
  params = lambda value: jax.tree.map(
      lambda x: jnp.full_like(x, value) if x.dtype == jnp.float32 else x,
      state.learner.params)
  with_params = lambda value: state._replace(
      learner=state.learner._replace(params=params(value)))
  best = task._evaluate(with_params(1.), best, memory)
  best = task._evaluate(with_params(2.), best, memory)
  task.close()
  kept = jax.tree.leaves(best['params'])[0]
  assert [float(x.ravel()[0]) for x in kept] == [2., 1., 1., 2.]
  assert [score for score, _ in memory.best] == [2., 5., 0., 3.]


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_run_unsaved(tmp_path, monkeypatch):
  task = make(tmp_path / 'run', '--checkpoint-seconds', '0',
              '--learning-rate', '1e30', '--max-gradient-norm', 'None')
  with pytest.raises(FloatingPointError, match='Pong, seed 50, was not finite'):
    task()
  task.close()
  state, _, _ = make(tmp_path / 'run', '--checkpoint-seconds', '0',
                     '--learning-rate', '1e30', '--max-gradient-norm', 'None'
                     )._restore_or_begin()
  assert all(np.isfinite(x).all()
             for x in jax.tree.leaves(state.learner.params['params']))
