"""The Atari command: what it writes, how it resumes, what it refuses."""

import csv
import json
import re

import numpy as np
import pytest

from experiments import cli
from experiments.atari import analyse
from experiments.atari import reading
from experiments.atari import run as run_lib
from hyperjax.environments import envpool

# Small enough for a test: one hidden layer of four units on flat frames.
ARGUMENTS = (
    '--preset', 'atari_cpu', '--torso', 'mlp', '--hidden-sizes', '4',
    '--games', 'Pong,Breakout', '--num-seeds', '1', '--seed', '50',
    '--num-steps', '400', '--min-replay-size', '100', '--batch-size', '4',
    '--replay-capacity', '300', '--evaluate-every', '200', '--max-frames',
    '320', '--eval-episodes', '2', '--final-episodes', '3')


def make(folder, *more):
  return run_lib.Run(cli.parse(
      run_lib.Settings, [*ARGUMENTS, '--output', str(folder), *more], 'run',
      default_preset='paper_atari'))


def run(folder, *more):
  task = make(folder, *more)
  try:
    task()
  finally:
    task.close()


def rows(path):
  with open(path, newline='', encoding='utf-8') as f:
    return list(csv.DictReader(f))


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  folder = tmp_path_factory.mktemp('atari') / 'run'
  run(folder)
  return folder


def test_writes_what_the_analysis_reads(finished, capsys):
  summary = rows(finished / 'summary.csv')
  assert [row['game'] for row in summary] == ['Pong', 'Breakout']
  for row in summary:
    # 400 time steps, of which some only began a game.
    assert 390 <= int(row['env_steps']) < 400
    assert int(row['updates']) == 150
  evaluations = rows(finished / 'evaluations.csv')
  assert [row['game'] for row in evaluations] == ['Pong', 'Breakout'] * 3
  episodes = rows(finished / 'episodes.csv')
  assert {row['game'] for row in episodes} == {'Pong', 'Breakout'}
  assert all(int(row['length']) <= 80 for row in episodes)
  for name in ('learning_curves.png', 'strip.png'):
    assert (finished / name).read_bytes().startswith(b'\x89PNG')
  assert json.loads((finished / 'config.json').read_text())['settings'][
      'config']['torso'] == 'MLPTorso'
  analyse.main([str(finished)])
  assert 'hyperagent' in capsys.readouterr().out


def test_a_finished_run_is_left_alone(finished, capsys):
  before = {p: p.stat().st_mtime_ns for p in finished.glob('*.csv')}
  run(finished)
  assert 'it is finished' in capsys.readouterr().out
  assert before == {p: p.stat().st_mtime_ns for p in finished.glob('*.csv')}


@pytest.mark.parametrize('save_replay', ['--save-replay', '--no-save-replay'])
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
  with pytest.raises(envpool.StalledError, match='saved after'):
    run(folder, save_replay)
  assert not (folder / 'summary.csv').exists()
  monkeypatch.undo()
  task = make(folder, save_replay)
  state, _, memory = task._restore_or_begin()
  seen = int(state.acting.num_transitions[0])
  assert memory.env_steps[0] > 0 and 0 < seen < 400
  size = int(state.acting.replay.current_index[0])
  assert size == (seen if save_replay == '--save-replay' else 0)
  task()
  task.close()
  assert 'environments begin anew' in capsys.readouterr().out
  summary = rows(folder / 'summary.csv')
  assert [int(row['env_steps']) >= 380 for row in summary] == [True, True]
  for row in rows(folder / 'evaluations.csv'):
    assert np.isfinite(float(row['eval_return']))
  # Each evaluation is there once.
  assert len(rows(folder / 'evaluations.csv')) == 6
  assert tuple(rows(folder / 'evaluations.csv')[0]) == reading.EVALUATIONS


@pytest.mark.parametrize('more, words', [
    (('--games', 'Pnog'), 'unknown game .*Pong'),
    (('--games', 'Pong,Pong'), 'Pong is there twice'),
    (('--suite', 'atari26'), 'either games or a suite'),
    (('--num-steps', '0'), 'num_steps must be at least 1, got 0'),
    (('--replay-capacity', '100', '--n-step', '97'), 'at least 101'),
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
