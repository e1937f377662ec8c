"""The Atari command: what it writes, how it resumes, what it refuses."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.atari import analyse
from experiments.atari import reading
from experiments.atari import records
from experiments.atari import run as task_lib
from experiments.atari import settings
from experiments.common import cli
from experiments.common import run as run_lib
import hyperjax
from hyperjax.environments import envpool
from tests import csv_files
from tests import states

# Small enough for a test: one hidden layer of four units on flat frames.
ARGUMENTS = (
    '--agent', 'dqn', '--preset', 'small_atari', '--torso', 'mlp',
    '--hidden-sizes', '4',
    '--games', 'Pong,Breakout', '--num-seeds', '2', '--seed', '50',
    '--num-steps', '400', '--update-period', '4', '--warmup-steps',
    '100', '--batch-size', '4',
    '--replay-capacity', '300', '--evaluate-every', '200', '--max-frames',
    '320', '--eval-episodes', '2', '--final-episodes', '2')


def make(folder, *more):
  return task_lib.AtariTask(cli.parse(
      settings.Settings, [*ARGUMENTS, '--output', str(folder), *more], 'run',
      task_lib.DEFAULT_PRESETS))


def run(folder, *more):
  run_lib.run(make(folder, *more))


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  folder = tmp_path_factory.mktemp('atari') / 'run'
  run(folder)
  return folder


@pytest.mark.slow
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
  assert 'dqn' in capsys.readouterr().out
  found, _ = reading.read(finished)
  for runs in found.values():
    for found_run in runs:
      assert found_run.steps.tolist() == [0, 200, 400]


@pytest.mark.ci
@pytest.mark.slow
def test_its_policies_are_loaded_by_game_and_seed(finished):
  policy = hyperjax.load(finished, seed=51, task='Breakout')
  assert policy.updates == 75
  frames = np.zeros((5, 4, 84, 84), np.uint8)
  # Breakout has four of Pong's six actions.
  assert (policy.as_trained().select_action(frames) < 4).all()
  assert np.isfinite(policy.values(frames[0])[0]).tolist() == [True] * 4 + [
      False] * 2


@pytest.mark.ci
@pytest.mark.slow
def test_a_finished_run_is_left_alone(finished, capsys):
  before = {p: p.stat().st_mtime_ns for p in finished.glob('*.csv')}
  run(finished)
  assert 'it is finished' in capsys.readouterr().out
  assert before == {p: p.stat().st_mtime_ns for p in finished.glob('*.csv')}


@pytest.mark.parametrize('save_replay', [
    pytest.param(x, marks=pytest.mark.slow)
    for x in ('--save-replay', '--no-save-replay')])
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
  real_save, saved = run_lib.Runner._save, []

  def save(self, state, metadata):
    saved.append(states.plain(state))
    real_save(self, state, metadata)

  monkeypatch.setattr(run_lib.Runner, '_save', save)
  with pytest.raises(envpool.StalledError, match='saved after'):
    run(folder, save_replay)
  assert not (folder / 'summary.csv').exists()
  monkeypatch.undo()
  with run_lib.opened(make(folder, save_replay)) as runner:
    state, metadata = runner.begin_or_resume()
  train = state.host.train
  seen = int(train.num_transitions[0])
  assert metadata['env_steps'][0] > 0 and 0 < seen < 400
  if save_replay == '--save-replay':
    before, = saved  # What was saved is what is restored, bit for bit.
    jax.tree.map(np.testing.assert_array_equal, before, states.plain(state))
  size = int(train.replay.ring.current_index[0])
  assert size == (seen if save_replay == '--save-replay' else 0)
  run(folder, save_replay)
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
    (('--num-steps', '50'), 'num_steps must be at least the 104 .* got 50'),
    (('--num-envs', '3'), 'multiple of the 3 environments, got 400'),
    (('--sticky-actions', '2'), 'sticky_actions must be between 0.0 and 1.0'),
])
def test_refuses_what_cannot_be(tmp_path, more, words, capsys):
  with pytest.raises((ValueError, SystemExit)) as raised:
    make(tmp_path / 'run', *more)
  # The command line's messages are broken into lines.
  message = ' '.join(f'{raised.value} {capsys.readouterr().err}'.split())
  assert re.search(words, message), message
  assert not (tmp_path / 'run').exists()


def test_agents_by_the_thousand_are_refused_without_emulators(
    tmp_path, monkeypatch):
  monkeypatch.setattr(envpool, 'Atari', None)
  with pytest.raises(MemoryError, match='20000 agents\\n.*\\n.*\\n.*num_seeds'):
    make(tmp_path / 'run', '--num-seeds', '10000', '--num-steps', '1000000',
         '--replay-capacity', '1000000', '--evaluate-every', '500000')
  assert not (tmp_path / 'run').exists()


@pytest.mark.ci
@pytest.mark.slow
def test_refuses_to_resume_with_other_settings(finished):
  with pytest.raises(ValueError, match="config.n_step is 5 there, 3 here"):
    run(finished, '--n-step', '3')


@pytest.mark.ci
@pytest.mark.slow
def test_evaluates_the_weights_that_act(tmp_path, monkeypatch):
  """Those of BBF's target network."""
  task = task_lib.AtariTask(cli.parse(
      settings.Settings, [
          '--agent', 'bbf', '--preset', 'small_atari', '--games', 'Pong',
          '--torso', 'mlp', '--hidden-sizes', '4', '4', '--num-steps', '200',
          '--warmup-steps', '100', '--output', str(tmp_path / 'run')],
      'run', task_lib.DEFAULT_PRESETS))
  monkeypatch.setattr(records, 'play', lambda task, params, *_: params)
  state = task.abstract_state()
  learner = state.host.train.learner
  ids = lambda params: [id(x) for x in jax.tree.leaves(params)]
  params = task.evaluate(state, {})
  assert ids(params['params']) == ids(learner.target_params)
  assert ids(state.best['params']) == ids(learner.target_params)
  assert ids(params['params']) != ids(learner.params['params'])


def test_refuses_runs_without_an_update(tmp_path):
  with pytest.raises(ValueError, match='at least the 104 steps .* got 103'):
    make(tmp_path / 'run', '--num-steps', '103', '--evaluate-every', '103')


def test_seeds_have_31_bits(tmp_path):
  make(tmp_path / 'run', '--seed', str(2**31 - 2))
  with pytest.raises((SystemExit, ValueError)):
    make(tmp_path / 'run', '--seed', str(2**31 - 1))


def test_the_best_weights_are_those_of_the_best_evaluation(
    tmp_path, monkeypatch):
  scores = iter([[0.] * 4, [1., 5., 0., 0.], [2., 4., 0., 3.]])
  monkeypatch.setattr(
      records, 'play', lambda *_: np.array(next(scores))[:, None])
  task = make(tmp_path / 'run')

  def with_params(state, value, step):
    train = state.host.train
    params = jax.tree.map(
        lambda x: jnp.full_like(x, value) if x.dtype == jnp.float32 else x,
        train.learner.params)
    return state._replace(host=state.host._replace(train=train._replace(
        learner=train.learner._replace(params=params),
        num_transitions=jnp.full_like(train.num_transitions, step))))

  with run_lib.opened(task) as runner:
    state, metadata = runner.begin_or_resume()
    state = task.record(state, metadata, task.evaluate(state, metadata))
    for value, step in ((1., 200), (2., 400)):
      state = with_params(state, value, step)
      state = task.record(state, metadata, task.evaluate(state, metadata))
  kept = jax.tree.leaves(state.best['params'])[0]
  # The third has never scored: the weights that it began with are kept.
  chosen = kept[np.array([0, 1, 3])]
  assert [float(x.ravel()[0]) for x in chosen] == [2., 1., 2.]
  assert [score for score, _ in metadata['best']] == [2., 5., 0., 3.]


def test_every_agent_has_a_preset_for_frames(tmp_path):
  chosen = cli.parse(
      settings.Settings, ['--agent', 'boot_dqn', '--games', 'Pong',
                          '--output', str(tmp_path)], 'run',
      task_lib.DEFAULT_PRESETS)
  assert chosen.preset == 'nature_atari'
  chosen = cli.parse(
      settings.Settings, ['--games', 'Pong', '--output', str(tmp_path)], 'run',
      task_lib.DEFAULT_PRESETS)
  assert (chosen.agent, chosen.preset) == ('hyperagent', 'paper_atari')


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_run_unsaved(tmp_path):
  task = lambda: make(
      tmp_path / 'run', '--checkpoint-seconds', '0',
      '--learning-rate', '1e30', '--max-gradient-norm', 'None')
  with pytest.raises(FloatingPointError, match='Pong, seed 50, was not finite'):
    run_lib.run(task())
  with run_lib.opened(task()) as runner:
    state, _ = runner.begin_or_resume()
  assert all(
      np.isfinite(x).all()
      for x in jax.tree.leaves(state.host.train.learner.params['params']))
