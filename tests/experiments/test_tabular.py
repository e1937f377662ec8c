"""The commands on tabular agents and linear bandits, and their tables."""

import math

import jax
import numpy as np
import pytest

from experiments.bandits import run as bandits_run
from experiments.common import regret as regret_lib
from experiments.tabular import cost
from experiments.tabular import lemma
from experiments.tabular import run
from experiments.tabular import scaling
from experiments.tabular import table
from experiments.tabular import tasks
from hyperjax import index as index_lib
from tests import csv_files
from tests.faults.inside import keep_devices  # noqa: F401


def _curves(num=3, last=50, per_step=2.):
  return regret_lib.of_run(np.arange(num), np.full((num, last), per_step))


def test_curves_are_cumulative_and_survive_their_table(tmp_path):
  written = {'a': _curves(), 'b': _curves(per_step=0.5)}
  assert written['a'].times[-1] == 50
  np.testing.assert_allclose(
      written['a'].regret, np.tile(2. * written['a'].times, (3, 1)))
  regret_lib.write(tmp_path, written)
  found = regret_lib.read(tmp_path)
  assert list(found) == ['a', 'b']
  for name in found:
    for x, y in zip(found[name], written[name], strict=True):
      np.testing.assert_array_equal(x, y)


def test_intervals_are_those_of_student():
  values = np.array([1., 2., 4., 5.])
  found = regret_lib.mean(values)
  # The 97.5% quantile of t with three degrees of freedom is 3.182.
  assert float(found.mean) == 3.
  assert float(found.half) == pytest.approx(
      3.1824 * values.std(ddof=1) / 2., rel=1e-4)
  assert regret_lib.mean(values[:1]).half == 0.


def test_differences_are_seed_by_seed():
  exact = np.array([10., 100., 1000.])
  above = regret_lib.relative(exact + 37., exact)
  assert float(above.mean) == pytest.approx(0.1) and above.half < 1e-12


def test_late_regret_is_that_of_the_last_third():
  regrets = np.zeros((2, 900))
  regrets[0, 700:] = 3.
  np.testing.assert_allclose(
      regret_lib.late(regret_lib.of_run(np.arange(2), regrets)), [2.2, 0.],
      rtol=0.2)


def test_late_regret_of_a_short_run_is_that_of_all_of_it():
  curves = regret_lib.of_run(np.arange(2), np.array([[1.] * 5, [0.] * 5]))
  assert regret_lib.late(curves).tolist() == [1., 0.]


_RUN = ['--environment', 'chain', '--num-episodes', '30', '--num-seeds', '2']


def test_a_run_grows_by_agents(tmp_path, capsys):
  folder = tmp_path / 'chain'
  run.main([*_RUN, '--agents', 'uniform', '--output', str(folder)])
  first = (folder / 'regret.csv').read_text()
  run.main([*_RUN, '--agents', 'uniform,q_learning', '--output', str(folder)])
  assert (folder / 'regret.csv').read_text().startswith(first)
  rows = csv_files.rows(folder / 'summary.csv')
  assert [row['agent'] for row in rows] == ['uniform', 'q_learning']
  last = [float(row['regret'])
          for row in csv_files.rows(folder / 'regret.csv')
          if row['time'] == '30']
  assert float(rows[1]['regret']) == pytest.approx(np.mean(last[2:]), abs=1e-3)
  capsys.readouterr()
  table.main([str(tmp_path)])
  assert '| q learning | ' in capsys.readouterr().out
  assert (tmp_path / 'regret.png').exists()


def test_a_summary_that_a_kill_left_behind_is_mended(tmp_path, capsys):
  folder = tmp_path / 'chain'
  command = [*_RUN, '--agents', 'uniform,q_learning', '--output', str(folder)]
  run.main(command)
  path = folder / 'summary.csv'
  whole = path.read_text()
  path.write_text(''.join(whole.splitlines(keepends=True)[:2]))
  with pytest.raises(ValueError, match='one row of agent q_learning.*got 0'):
    table.print_tables(tmp_path)
  run.main(command)
  for mended, row in zip(
      path.read_text().split(), whole.split(), strict=True):
    assert mended.split(',')[:4] == row.split(',')[:4]
  table.print_tables(tmp_path)
  capsys.readouterr()
  regret = folder / 'regret.csv'
  regret.write_text(''.join(regret.read_text().splitlines(keepends=True)[:-1]))
  with pytest.raises(ValueError, match=r'regret\.csv: .* agent q_learning'):
    regret_lib.read(folder)


def test_runs_of_one_environment_are_told_apart(tmp_path, capsys):
  for name, more in (('a', []), ('b', ['--scale', '5']), ('c', [])):
    run.main([*_RUN, '--agents', 'uniform', *more, '--output',
              str(tmp_path / name)])
  capsys.readouterr()
  table.print_tables(tmp_path)
  assert [line.split(', 30 ')[0] for line in capsys.readouterr().out.split('\n')
          if 'episodes' in line] == ['chain', 'chain, scale 5', 'chain, c']


@pytest.mark.parametrize('arguments, expected', [
    (['--environment', 'rive_swim'], 'did you mean river_swim'),
    (['--agents', 'rlsvy'], 'did you mean rlsvi'),
    (['--num-episodes', '1'], 'num_episodes must be at least 2, got 1'),
])
def test_a_run_that_cannot_be_is_wrong_usage(
    arguments, expected, tmp_path, capsys):
  with pytest.raises(SystemExit) as end:
    run.main([*arguments, '--output', str(tmp_path / 'new')])
  assert end.value.code == 2
  assert expected in ' '.join(capsys.readouterr().err.split())
  assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('name', tasks.TASKS)
def test_every_task_has_all_agents(name):
  found = tasks.agents(tasks.TASKS[name])
  assert {'rlsvi', 'hyperagent_16', 'ensemble_plus_4', 'psrl'} < set(found)
  assert all(sigma == 0. for sigma in found['greedy'].noise.sigmas)


@pytest.mark.slow
def test_the_band_is_kept_longer_with_more_dimensions(tmp_path, monkeypatch):
  monkeypatch.setattr(lemma, 'DIMS', (4, 64))
  monkeypatch.setattr(
      lemma, 'PERTURBATIONS', {'sphere': index_lib.Sphere})
  lemma.main(['--num-pairs', '60', '--num-visits', '120', '--output',
              str(tmp_path / 'lemma')])
  rows = {(int(row['dim']), row['sequence']): row for row in csv_files.rows(
      tmp_path / 'lemma' / 'lemma.csv')}
  outside = {key: float(row['outside']) for key, row in rows.items()}
  assert outside[4, 'independent'] == pytest.approx(0.467, abs=0.12)
  assert outside[64, 'independent'] < 0.05
  # An adversary keeps outside what has left once.
  assert outside[4, 'adaptive'] > outside[4, 'independent'] + 0.2
  assert (tmp_path / 'lemma' / 'lemma.png').exists()


def test_the_mean_is_one_for_an_independent_sequence():
  found = np.asarray(lemma.relative_variances(
      index_lib.Sphere(4), 2000, 40, False, 1., jax.random.key(0)))
  # Between visits of a pair |m|^2 varies by at most 2 / M.
  assert found[-1].mean() == pytest.approx(1., abs=5. * (0.5 / 2000)**0.5)


def test_counts_grow_as_the_table_of_guarantees_says():
  sizes = {'S': 64, 'A': 2, 'H': 2, 'M': 2}
  count = {x: cost.operations(cost.agents({**sizes, 'S': x})['ucbvi'])
           for x in (64, 128)}
  assert 1.8 < math.log2(count[128] / count[64]) < 2.01


@pytest.mark.slow
@pytest.mark.ci
def test_times_stand_beside_counts(monkeypatch):
  every = cost.agents
  monkeypatch.setattr(cost, 'BASE', {'S': 4, 'A': 2, 'H': 2, 'M': 2})
  monkeypatch.setattr(cost, 'MEASURED', 1e-4)
  monkeypatch.setattr(
      cost, 'agents', lambda sizes: {'ucbvi': every(sizes)['ucbvi']})
  rows = cost.wall(1)
  assert [row[:2] for row in rows] == [('ucbvi', x) for x in 'SAHM']
  assert all(float(x) > 0. for row in rows for x in row[2:])
  # UCBVI has no M.
  assert float(rows[3][2]) == 1. < float(rows[0][2])


_BANDIT = ['--dim', '2', '--num-actions', '5', '--num-steps', '20',
           '--num-runs', '3']


def test_a_bandit_run_compares_with_exact_sampling(tmp_path):
  bandits_run.main([*_BANDIT, '--agents', 'thompson,hyperagent_4', '--output',
                    str(tmp_path / 'new')])
  rows = csv_files.rows(tmp_path / 'new' / 'summary.csv')
  assert [row['agent'] for row in rows] == ['thompson', 'hyperagent_4']
  assert float(rows[0]['above_thompson']) == 0.
  runs = csv_files.rows(tmp_path / 'new' / 'regret.csv')
  last = [float(row['regret']) for row in runs if row['time'] == '20']
  assert float(rows[1]['above_thompson']) == pytest.approx(
      np.mean(last[3:]) / np.mean(last[:3]) - 1., abs=1e-3)
  assert (tmp_path / 'new' / 'regret.png').exists()


def test_pairs_are_all_twenty_five():
  found = bandits_run.agents('pairs_4', 3)
  assert len(found) == 25
  agent = found['hyperagent_4_sphere_coordinate']
  assert isinstance(agent.reference, index_lib.Sphere)
  assert isinstance(agent.perturbation, index_lib.Coordinate)


@pytest.mark.parametrize('name, expected', [
    ('thomson', 'did you mean thompson'),
    ('hyperagent_0', "in the agent 'hyperagent_0', got '0'"),
    ('hyperagent_4_gauss_sphere', 'did you mean gaussian'),
    ('ensemble_x', "got 'x'"),
])
def test_a_bandit_agent_that_is_not_there_is_refused(name, expected):
  with pytest.raises(ValueError, match=expected):
    bandits_run.agents(name, 3)


def test_exponents_are_slopes_of_logarithms():
  seeds = np.arange(1., 9.)
  by_value = {x: 3. * x**1.5 * seeds for x in (2, 4, 8)}
  assert scaling.exponent(by_value) == pytest.approx(1.5)
  # The same seeds at all sizes: the slope does not depend on which.
  assert scaling.interval(by_value) == pytest.approx((1.5, 1.5))
