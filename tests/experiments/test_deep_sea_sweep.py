"""The sweep over agents and sizes, and its figure."""

import json
import shutil

import numpy as np
import pytest

from experiments.common import files
from experiments.common import folder as folder_lib
from experiments.common import provenance
from experiments.deep_sea import plot
from experiments.deep_sea import sweep as sweep_lib
from experiments.deep_sea import table
from hyperjax.agents import presets
from tests import csv_files

# As many steps as are random: all chunks of learning share a program.
EVERY = 32


def settings(folder, **changes):
  return sweep_lib.Settings(**{
      'output': folder, 'agents': 'hyperagent:optimistic', 'sizes': '4',
      'num_seeds': 2, 'num_episodes': 1000, 'evaluate_every': EVERY,
      'eval_episodes': 10, **changes})


@pytest.fixture(scope='module')
def swept(tmp_path_factory):
  folder = tmp_path_factory.mktemp('sweep')
  sweep_lib.sweep(settings(folder))
  return folder


@pytest.mark.slow
def test_runs_each_point_once_and_grows(swept, capsys):
  point = swept / 'hyperagent_optimistic_4'
  before = (point / 'evaluations.csv').stat().st_mtime_ns
  sweep_lib.sweep(settings(swept, agents='hyperagent:optimistic,dqn'))
  assert (point / 'evaluations.csv').stat().st_mtime_ns == before
  assert 'it is finished' in capsys.readouterr().out
  rows = csv_files.rows(swept / 'summary.csv')
  assert [(r['run'], r['seed']) for r in rows] == [
      ('dqn_default_4', '0'), ('dqn_default_4', '1'),
      ('hyperagent_optimistic_4', '0'), ('hyperagent_optimistic_4', '1')]
  assert all(r['solved'] == '1' for r in rows if r['agent'] == 'hyperagent')


@pytest.mark.slow
def test_goes_on_for_a_quarter_after_learning(swept):
  point = swept / 'hyperagent_optimistic_4'
  learned = table.episodes_to_learn(point).max()
  last = max(
      int(row['episode']) for row in csv_files.rows(point / 'episodes.csv'))
  # Runs end at an evaluation.
  assert 1.25 * learned <= last < 1.25 * learned + EVERY


@pytest.mark.slow
def test_draws_the_figure(swept):
  plot.draw(swept)
  assert (swept / 'deep_sea.png').read_bytes().startswith(b'\x89PNG')
  by_paper, by_bsuite, stochastic = plot.ours(swept)
  assert not stochastic
  (point,) = by_paper['hyperagent: optimistic']
  assert (point.size, point.solved, point.seeds) == (4, 2, 2)
  assert point.mean == table.episodes_to_learn(
      swept / 'hyperagent_optimistic_4').mean()
  assert by_bsuite['hyperagent: optimistic'][0].mean < point.mean
  assert {line: len(points) for line, points in plot.published().items()
          }['HyperAgent'] == 9


@pytest.mark.ci
@pytest.mark.slow
def test_the_table_says_when_a_run_would_have_been_given_up(swept, capsys):
  table.print_table(swept)
  row, = (line for line in capsys.readouterr().out.splitlines()
          if line.startswith('| hyperagent | optimistic | 4 |'))
  assert '| 2 of 2 | 1,000 |' in row


@pytest.mark.ci
@pytest.mark.slow
def test_refuses_other_settings_and_unknown_names(swept, tmp_path):
  with pytest.raises(ValueError, match='num_seeds is 2 there, 3 here'):
    sweep_lib.sweep(settings(swept, num_seeds=3))
  config = json.loads((swept / 'config.json').read_text())['settings']
  assert 'agents' not in config and 'sizes' not in config
  for changes, message in (
      ({'agents': 'ppo'}, "unknown agent 'ppo'; known: hyperagent"),
      ({'agents': 'dqn:smal_atari'}, 'did you mean small_atari'),
      ({'sizes': '10,twenty'}, "got '10,twenty'"),
      ({'sizes': '1'}, 'size must be at least 2, got 1'),
      ({'num_seeds': 0}, 'num_seeds must be at least 1, got 0'),
      ({'num_seeds': -4, 'seeds_together': 2}, 'num_seeds .* got -4')):
    folder = tmp_path / 'new'
    with pytest.raises(ValueError, match=message):
      sweep_lib.sweep(settings(folder, **changes))


def test_a_seed_that_learns_late_has_learned(tmp_path, capsys):
  """And one that never learns counts for no less than its run had."""
  config = provenance.settings_as_json(presets.make('dqn', 'default'))
  folder = tmp_path / 'run'
  folder.mkdir()
  (folder / 'config.json').write_text(json.dumps({
      'format': folder_lib.FORMAT, 'devices': ['cpu'], 'settings': {
          'agent': 'dqn', 'preset': 'default', 'size': 9,
          'num_episodes': 20_000, 'config': config}}))
  files.write_csv(
      folder / 'summary.csv',
      ('seed', 'solved', 'episodes_to_learn', 'wall_seconds'),
      [(0, 1, 12_000, 36.), (1, 1, 14_000, 36.), (2, 0, '', 36.)])
  files.write_csv(
      folder / 'episodes.csv', ('seed', 'episode_return'),
      [(seed, value) for seed in range(3) for value in (0., 0.99)])
  table.print_table(tmp_path)
  assert '| 15,333 | 4,991 to 25,676 | 2 of 3 |' in capsys.readouterr().out
  ((point,),) = plot.ours(tmp_path)[0].values()
  assert (point.mean, point.solved, point.seeds) == (46_000. / 3, 2, 3)
  plot.draw(tmp_path)  # Beyond its usual limits.


@pytest.mark.ci
@pytest.mark.slow
def test_leaves_out_a_run_that_ended_before_bsuites_criterion(swept, tmp_path):
  shutil.copytree(swept / 'hyperagent_optimistic_4', tmp_path / 'run')
  path = tmp_path / 'run' / 'episodes.csv'
  header, *rows = path.read_text().splitlines()
  # As if the run of seed 0, which had learned, had ended before that showed.
  first = next(i for i, row in enumerate(rows)
               if row.split(',')[2] == '0' and float(row.split(',')[5]) > 0.5)
  kept = [row for i, row in enumerate(rows)
          if i < first or row.split(',')[2] == '1']
  path.write_text('\n'.join([header, *kept]) + '\n')
  by_paper, by_bsuite, _ = plot.ours(tmp_path)
  assert by_paper['hyperagent: optimistic'][0].solved == 2
  assert not by_bsuite


@pytest.mark.ci
@pytest.mark.slow
def test_a_stochastic_run_is_apart(swept, tmp_path):
  shutil.copytree(swept / 'hyperagent_optimistic_4', tmp_path / 'run')
  path = tmp_path / 'run' / 'config.json'
  config = json.loads(path.read_text())
  config['settings']['stochastic'] = True
  path.write_text(json.dumps(config))
  by_paper, by_bsuite, stochastic = plot.ours(tmp_path)
  assert not by_paper and not by_bsuite
  (point,), = stochastic.values()
  assert point.low <= point.mean <= point.high


@pytest.mark.parametrize('returns, episode', [
    ([0.] * 9 + [.99], np.inf),  # Exactly 90% are bad.
    ([0.] * 9 + [.99, .99], 11),
    ([.99], 1),
    ([0.] * 50, np.inf),
])
def test_bsuite_criterion(returns, episode):
  assert plot.bsuite_episode(np.array(returns)) == episode
