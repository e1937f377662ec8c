"""Scores of bsuite are bsuite's own; what the command makes of runs."""

import csv
import itertools
import re

from bsuite import sweep
from bsuite.experiments import summary_analysis
from bsuite.logging import csv_load
from bsuite.logging import logging_utils
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.bsuite import analyse
from experiments.bsuite import families
from experiments.bsuite import figures
from experiments.bsuite import reading
from experiments.bsuite import scores
from experiments.bsuite import table
from tests.experiments import bsuite_logs

PICTURES = ('radar.png', 'bars.png', 'learning.png')


@pytest.fixture
def append(monkeypatch):
  """bsuite's analysis of DeepSea uses what pandas 2 removed."""
  monkeypatch.setattr(
      pd.Series, 'append', lambda a, b: pd.concat([a, b]), raising=False)


def bsuites_score(family, columns):
  """bsuite's own score of logs, by the indices of their ids."""
  frame = logging_utils.join_metadata(pd.concat([
      pd.DataFrame(log).assign(bsuite_id=f'{family}/{index}')
      for index, log in columns.items()]))
  return summary_analysis.BSUITE_INFO[family].score(frame)


def as_logs(columns):
  return {index: scores.Log(log['episode'], log)
          for index, log in columns.items()}


def random_columns(family, seed, last=None, ids=None):
  rng = np.random.default_rng((seed, *family.encode()))
  mean = rng.uniform(0.2, 0.9)
  return {
      index: bsuite_logs.columns(family, rng, mean + 0.2 * rng.normal(), last)
      for index in (range(families.FAMILIES[family].num_ids)
                    if ids is None else ids)}


# The suite and its scores, against the package.


def test_families_are_those_of_bsuite():
  found = {}
  for name, index in map(families.parse, sweep.SWEEP):
    found.setdefault(name, []).append(index)
  assert found == {name: list(range(family.num_ids))
                   for name, family in families.FAMILIES.items()}
  for name, family in families.FAMILIES.items():
    theirs = summary_analysis.BSUITE_INFO[name]
    assert family.num_episodes == theirs.episode
    assert family.tags[0] == theirs.type
    assert set(family.tags) == set(theirs.tags)
  assert set(families.TAGS) == summary_analysis.ALL_TAGS
  assert list(families.FAMILIES) == [
      'bandit', 'mnist', 'catch', 'mountain_car', 'cartpole',
      *summary_analysis._gen_ordered_experiments()[5:]]


def test_groups_of_ids_are_those_of_bsuite():
  for bsuite_id, settings in sweep.SETTINGS.items():
    name, index = families.parse(bsuite_id)
    if 'deep_sea' in name:
      assert settings['size'] == families.deep_sea_size(index)
    kind = {'noise': 'noise_scale', 'scale': 'reward_scale'}.get(
        name.rpartition('_')[2])
    if kind:
      scale = sorted({sweep.SETTINGS[i][kind] for i in sweep.SWEEP
                      if i.startswith(f'{name}/')})[index // 4]
      assert settings[kind] == scale


@pytest.mark.parametrize('family', families.FAMILIES)
def test_scores_are_those_of_bsuite(family, append):
  whole, found = families.FAMILIES[family], []
  some = np.random.default_rng(0).permutation(whole.num_ids)[:7]
  for seed, (last, ids) in enumerate([
      (None, None), (None, None), (None, some), (whole.num_episodes // 2, None),
      (200, some), (None, [3])]):
    columns = random_columns(family, seed, last, ids)
    theirs = bsuites_score(family, columns)
    found.append(scores.score(family, as_logs(columns)))
    if np.isnan(theirs):  # bsuite has no accuracy of MNIST before its end.
      assert 'mnist' in family and last is not None
      assert 0. <= found[-1] <= 1.
    else:
      assert found[-1] == pytest.approx(theirs, abs=1e-12), (seed, last)
  assert np.ptp(found) > 0.05


def test_all_of_bsuite_from_files(tmp_path, append):
  bsuite_logs.write_config(tmp_path, 'dqn')
  for family in families.FAMILIES:
    for index, log in random_columns(family, 7, ids=range(3)).items():
      bsuite_logs.write(bsuite_logs.file_of(tmp_path, 0, family, index), log)
  frame, _ = csv_load.load_bsuite(str(tmp_path / 'seed_0'))
  theirs = summary_analysis.bsuite_score(frame)
  (run,), = reading.read([tmp_path])[0].values()
  ours = run.scores()
  assert ours == pytest.approx(
      dict(zip(theirs.bsuite_env, theirs.score, strict=True)), abs=1e-12)
  assert theirs.finished.all()
  assert all(run.finished(family) == 3 for family in ours)
  by_tag = summary_analysis.ave_score_by_tag(theirs, [])
  for tag, score in zip(by_tag.tag, by_tag.score, strict=True):
    assert scores.over_families(
        ours, families.with_tag(tag)) == pytest.approx(score)


def log_of(episodes, **columns):
  return {name: np.array(values, float) for name, values in {
      'steps': episodes, 'episode': episodes, 'total_return': np.zeros_like(
          episodes), **columns}.items()}


@pytest.mark.parametrize('family, index, log, expected', [
    # Exactly at a threshold is not beyond it.
    ('memory_len', 0, log_of([10_000], total_perfect=[6250.]), 0),
    ('memory_len', 0, log_of([10_000], total_perfect=[6251.]), 1),
    ('umbrella_length', 0, log_of([10_000], total_regret=[5000.]), 0),
    ('umbrella_length', 0, log_of([10_000], total_regret=[4999.]), 1),
    ('deep_sea', 20, log_of([10], total_bad_episodes=[9.]), 0),
    ('deep_sea', 20, log_of([10], total_bad_episodes=[8.]), 1),
    # A dithering agent would have found the treasure of N = 10 by then.
    ('deep_sea', 0, log_of([1000], total_bad_episodes=[800.]), 1),
    ('deep_sea', 0, log_of([1200], total_bad_episodes=[800.]), 0),
    ('deep_sea_stochastic', 20, log_of([100], total_bad_episodes=[80.]), 0),
    ('deep_sea_stochastic', 20, log_of([100], total_bad_episodes=[79.]), 1),
    ('deep_sea_stochastic', 0, log_of(
        [50, 1200], total_bad_episodes=[1., 1.]), 0),
    ('cartpole', 0, log_of([1000], raw_return=[0.], best_episode=[500.]), 0),
    ('cartpole', 0, log_of([1000], raw_return=[0.], best_episode=[501.]), .5),
    ('cartpole_swingup', 0, log_of(
        [1000], raw_return=[0.], best_episode=[100.]), 0),
    ('mountain_car', 0, log_of([1000], raw_return=[-100_000.]), 1),
    ('mountain_car', 0, log_of([1000], raw_return=[-1000_000.]), .1),
])
def test_thresholds_are_those_of_bsuite(family, index, log, expected, append):
  assert bsuites_score(family, {index: log}) == pytest.approx(expected)
  assert scores.score(family, as_logs({index: log})) == pytest.approx(expected)


def test_an_id_that_is_behind_counts_with_what_it_has():
  """Where bsuite would leave out the second."""
  logs = as_logs({
      0: log_of([10_000], total_regret=[1000.]),
      1: log_of([10, 100], total_regret=[10., 40.])})
  assert scores.score('bandit', logs) == pytest.approx(1. - (.1 + .4) / 2 / .5)
  logs = as_logs({0: log_of([80, 90, 100], total_regret=[80., 90., 94.])})
  assert scores.last_accuracy(logs[0]) == pytest.approx(.8)
  early = as_logs({0: log_of([1], total_bad_episodes=[0.])})
  assert scores.score('deep_sea_stochastic', early) == 0.


def test_mean_and_interval_over_seeds():
  mean, half = scores.over_seeds(np.array([.1, .2, .6]))
  low, high = stats.t.interval(.95, 2, .3, stats.sem([.1, .2, .6]))
  assert (mean, mean - half, mean + half) == pytest.approx((.3, low, high))
  mean, half = scores.over_seeds(np.array([.4]))
  assert mean == .4 and np.isnan(half)


def test_published_scores_by_tag():
  """As DreamerV3's table 13 has them, of rounded scores."""
  printed = {  # Basic, credit assignment, ..., and all families.
      'random': (.04, .03, .00, .06, .00, .02, .04, .03),
      'PPO': (.60, .76, .00, .47, .32, .54, .60, .49),
      'AC-RNN': (.58, .37, .00, .19, .49, .24, .22, .32),
      'DQN': (.90, .59, .00, .68, .02, .51, .73, .54),
      'Boot DQN': (.89, .56, .68, .60, .02, .61, .60, .60),
      'Dreamer': (.88, .75, .01, .70, .62, .62, .82, .66)}
  published = table.published()
  assert list(published) == list(printed)
  for agent, of_tags in printed.items():
    assert set(published[agent]) == set(families.FAMILIES)
    groups = [*map(families.with_tag, sorted(families.TAGS)), list(
        families.FAMILIES)]
    np.testing.assert_allclose(
        [scores.over_families(published[agent], names) for names in groups],
        of_tags, atol=.011)


# What is read.


def make_run(folder, agent='dqn', seeds=(0,), ids=(('catch', 0), ('bandit', 1)),
             skill=.6, last=None, **settings):
  bsuite_logs.write_config(
      folder, agent, seed=seeds[0], num_seeds=len(seeds), **settings)
  for seed, (family, index) in itertools.product(seeds, ids):
    rng = np.random.default_rng((seed, index, *family.encode()))
    bsuite_logs.write(
        bsuite_logs.file_of(folder, seed, family, index),
        bsuite_logs.columns(family, rng, skill, last))


def refusal(argv, capsys, status=1):
  """Returns the line in which the command says what is wrong."""
  with pytest.raises(SystemExit) as error:
    analyse.main(list(map(str, argv)))
  assert error.value.code == status
  *_, line = capsys.readouterr().err.splitlines()
  return line


def test_a_last_row_that_is_cut_short_is_left_out(tmp_path):
  make_run(tmp_path)
  path = bsuite_logs.file_of(tmp_path, 0, 'catch', 0)
  whole = path.read_bytes()
  lines = whole.splitlines(keepends=True)
  start = len(whole) - len(lines[-1])
  for end in (start + 1, len(whole) - 5, len(whole) - 1):
    path.write_bytes(whole[:end])
    log, notes = reading.read_log(path, 'catch')
    assert log.episodes[-1] == 9000
    assert notes == [f'{path}, row {len(lines)} is cut short: left out.']
  path.write_bytes(whole[:start] + b'90000,10000\n')  # An editor adds the end.
  assert reading.read_log(path, 'catch')[0].episodes[-1] == 9000
  path.write_bytes(whole[:start] + bytes(30))  # As a file system may leave it.
  assert reading.read_log(path, 'catch')[0].episodes[-1] == 9000
  path.write_bytes(whole[:start])
  assert reading.read_log(path, 'catch')[1] == []
  for empty in (b'', b'steps,epi', lines[0], lines[0] + lines[1][:4]):
    path.write_bytes(empty)
    assert reading.read_log(path, 'catch')[0] is None
  (seed,), = reading.read([tmp_path])[0].values()
  assert list(seed.logs) == ['bandit']


def test_rows_after_the_last_episode_say_nothing(tmp_path, append):
  log = random_columns('mountain_car', 0)[0]
  more = {name: np.append(values, values[-1] + 1000)
          for name, values in log.items()}
  path = bsuite_logs.file_of(tmp_path, 0, 'mountain_car', 0)
  bsuite_logs.write(path, more)
  found, _ = reading.read_log(path, 'mountain_car')
  assert found.episodes[-1] == 1000
  assert scores.score('mountain_car', {0: found}) == pytest.approx(
      bsuites_score('mountain_car', {0: more}))


@pytest.mark.parametrize('damage, message', [
    (lambda rows: rows.__setitem__(3, rows[3][:9]),
     r'catch-0.csv, row 4: expected 6 values, got'),
    (lambda rows: rows.__setitem__(3, 'x' + rows[3]),
     r"catch-0.csv, row 4: expected a finite number, got 'x"),
    (lambda rows: rows.__setitem__(3, re.sub('^[0-9]*', 'nan', rows[3])),
     r"catch-0.csv, row 4: expected a finite number, got 'nan'"),
    (lambda rows: rows.__setitem__(3, rows[3] + '\udcff'),
     r'catch-0.csv, row 4: expected a finite number'),
    (lambda rows: rows.insert(3, rows[3]),
     r'catch-0.csv, row 5: expected an episode after 3, got 3'),
    (lambda rows: rows.__setitem__(1, '9,0,1,9,1,1'),
     r'catch-0.csv, row 2: expected an episode after 0, got 0'),
    (lambda rows: rows.__setitem__(2, '9,1.5,1,9,1,1'),
     r'catch-0.csv, row 3: expected an episode after 1, got 1.5'),
    (lambda rows: rows.__setitem__(0, rows[0].replace('regret', 'regre')),
     r'catch-0.csv, row 1: expected one column total_regret, got 0'),
    (lambda rows: rows.__setitem__(0, rows[0].replace('steps', 'episode')),
     r'catch-0.csv, row 1: expected one column episode, got 2'),
    (lambda rows: rows.pop(0), r'catch-0.csv, row 1: expected one column'),
])
def test_other_damage_is_refused(damage, message, tmp_path, capsys):
  make_run(tmp_path)
  path = bsuite_logs.file_of(tmp_path, 0, 'catch', 0)
  rows = path.read_text().splitlines()
  damage(rows)
  path.write_text('\n'.join(rows) + '\n', errors='surrogateescape')
  assert re.search(message, refusal([tmp_path], capsys))
  assert not list(tmp_path.glob('*.png'))


@pytest.mark.parametrize('name, message', [
    ('cacth-0', 'cacth/0 is no id of bsuite: did you mean catch'),
    ('chess-0', 'chess/0 is no id of bsuite: expected one of bandit, '),
    ('catch-20', 'catch/20 is no id of bsuite: expected catch/0 to catch/19'),
    ('catch-01', 'catch/01 is no id'), ('catch', '/catch is no id')])
def test_unknown_ids_are_refused(name, message, tmp_path, capsys):
  make_run(tmp_path)
  path = tmp_path / 'seed_0' / f'{reading.PREFIX}{name}.csv'
  path.write_text('')
  assert f'{path}: {message}' in refusal([tmp_path], capsys)


def test_a_seed_twice_is_refused(tmp_path, capsys):
  make_run(tmp_path / 'a', seeds=(0, 1))
  make_run(tmp_path / 'b', seeds=(1, 2))
  assert re.search('error: dqn: default has seed 1 twice: in .*a and in .*b',
                   refusal([tmp_path / 'a', tmp_path / 'b'], capsys))
  make_run(tmp_path / 'c', seeds=(1,), preset='other')
  runs, _ = reading.read([tmp_path / 'a', tmp_path / 'c', tmp_path / 'a'])
  assert {name: [seed.seed for seed in mine] for name, mine in runs.items()
          } == {'dqn: default': [0, 1], 'dqn: other': [1]}


def test_folders_that_are_no_results(tmp_path, capsys):
  make_run(tmp_path / 'a' / 'earlier-1')
  assert 'no results of bsuite in' in refusal([tmp_path], capsys)
  assert 'is no folder' in refusal([tmp_path / 'none'], capsys)
  make_run(tmp_path / 'b', seeds=(2000,))
  (tmp_path / 'b' / 'seed_2000').rename(tmp_path / 'b' / 'seed_0')
  assert re.search('seed_0: the seeds of this run are 2000 to 2000',
                   refusal([tmp_path], capsys))
  assert 'DIR' in refusal([], capsys, status=2)


# What the command makes of it.


def test_the_command(tmp_path, capsys):
  ids = [(family, index) for family in families.FAMILIES for index in (0, 4)
         if 'mnist' not in family]
  make_run(tmp_path / 'runs' / 'a', 'dqn', (0, 1, 2), ids)
  make_run(tmp_path / 'runs' / 'b', 'hyperagent', (0,), ids, skill=.8)
  slow = bsuite_logs.file_of(tmp_path / 'runs' / 'a', 0, 'catch', 4)
  slow.write_text('\n'.join(slow.read_text().splitlines()[:20]) + '\n')
  bsuite_logs.write_config(tmp_path / 'runs' / 'c', 'dqn', 'new', num_seeds=1)
  make_run(tmp_path / 'more', 'boot_dqn', (5,), ids[:8])
  output = tmp_path / 'output'
  analyse.main([str(tmp_path / 'runs'), str(tmp_path / 'more'), '--output',
                str(output)])

  assert sorted(path.name for path in output.iterdir()) == sorted(
      ['scores.csv', *PICTURES])
  for name in PICTURES:
    assert matplotlib.image.imread(output / name).std() > 0.01, name
  with open(output / 'scores.csv', newline='') as f:
    rows = list(csv.DictReader(f))
  assert len(rows) == 4 * 20 + 4
  row, = [row for row in rows if (row['agent'], row['seed'], row['family']) == (
      'dqn', '0', 'catch')]
  assert (row['preset'], row['ids'], row['ids_of'], row['finished']) == (
      'default', '2', '20', '1')
  out = capsys.readouterr().out
  cells = {line.split(' | ')[0]: line.split(' | ') for line in out.splitlines()}
  header, catch = cells['| family'], cells['| catch']
  assert header[1:4] == ['dqn: default (3 seeds)', 'hyperagent: default '
                         '(1 seed)', 'boot_dqn: default (1 seed)']
  seeds = [float(row['score']) for row in rows
           if row['agent'] == 'dqn' and row['family'] == 'catch']
  mean, half = scores.over_seeds(np.array(seeds))
  assert catch[1] == (f'{mean:.2f} ± {half:.2f} (2 of 20 ids, 1 to 2 finished)')
  assert catch[7] == '0.92' and header[7] == 'DQN'
  assert cells['| mnist'][1:5] == ['-', '-', '-', '0.05']
  # Tags compare over what all have: bandit, catch, mountain_car and cartpole.
  basic = cells['| **basic** (4 of 5 families)']
  assert basic[7] == f'{(.93 + .92 + .93 + .85) / 4:.2f}'
  assert cells['| **memory** (0 of 2 families)'][1:4] == ['-'] * 3
  assert '(20 families)' in cells['| each agent over what it has'][1]
  assert '(4 families)' in cells['| each agent over what it has'][3]
  assert re.search('runs/c has nothing of seed 0 yet', out)
  assert 'hyperagent: default: a single seed' in out
  assert 'over the 4 of 23 families' in out
  assert 'radar.png has no spoke for noise, scale, exploration, memory' in out


def test_a_picture_that_cannot_be_drawn_is_not_left_there(tmp_path, capsys):
  (tmp_path / 'radar.png').write_bytes(b'of other runs')
  make_run(tmp_path, ids=[('memory_len', 3)], last=50)
  analyse.main([str(tmp_path)])
  assert not (tmp_path / 'radar.png').exists()
  assert (tmp_path / 'learning.png').exists()
  out = capsys.readouterr().out
  assert 'radar.png is not drawn' in out
  assert re.search(r'memory_len \| [0-9.]* \(1 of 23 ids, 0 finished\)', out)


def test_curves_of_ids_that_have_come_so_far():
  episodes, mean, low, high = figures.mean_and_range([
      (np.array([1, 10, 100]), np.array([2., 1., 0.])),
      (np.array([1, 10]), np.array([0., 1.]))])
  assert episodes.tolist() == [1, 10, 100]
  assert mean.tolist() == [1., 1., 0.]
  assert low.tolist() == [0., 1., 0.] and high.tolist() == [2., 1., 0.]
