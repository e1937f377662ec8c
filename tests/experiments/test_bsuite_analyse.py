"""What bsuite's analysis makes of runs, and of folders that are damaged."""

import dataclasses
import itertools
import re
import shutil

import matplotlib.image
import numpy as np
import pytest

from experiments.bsuite import analyse
from experiments.bsuite import families
from experiments.bsuite import figures
from experiments.bsuite import reading
from experiments.bsuite import records
from experiments.bsuite import scores
from experiments.bsuite import settings as settings_lib
from experiments.bsuite import table
from experiments.common import cli
from experiments.common import folder as folder_lib
from experiments.common import provenance
from hyperjax.agents import presets
from tests import csv_files
from tests.experiments import bsuite_logs

PICTURES = ('radar.png', 'bars.png', 'learning.png')


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
  path = tmp_path / 'seed_0' / f'{records.PREFIX}{name}.csv'
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


def test_files_of_agents_from_elsewhere(tmp_path):
  """As bsuite's own logger writes them, into one folder, or one a seed."""
  make_run(tmp_path / 'ours')
  rng = np.random.default_rng(0)
  for seed in ('.', 'seed_0', 'seed_3'):
    bsuite_logs.write(
        tmp_path / ('one' if seed == '.' else 'several') / seed
        / f'{records.PREFIX}catch-0.csv',
        bsuite_logs.columns('catch', rng, .5))
  runs, notes = reading.read([tmp_path])
  assert {name: [seed.seed for seed in mine] for name, mine in runs.items()
          } == {'dqn: default': [0], 'one': [0], 'several': [0, 3]}
  assert not notes
  assert list(reading.read([tmp_path / 'one'])[0]) == ['one']
  shutil.copytree(tmp_path / 'several' / 'seed_3', tmp_path / 'one' / 'seed_0')
  with pytest.raises(ValueError, match='one has seed 0 twice: in .*one and in'):
    reading.read([tmp_path])


def test_each_agent_is_judged_by_families_that_all_its_seeds_have(tmp_path):
  for seed, present in ((0, ('catch',)), (1, ('catch', 'memory_size'))):
    for family in present:
      bsuite_logs.write(
          tmp_path / f'mine/seed_{seed}/{records.PREFIX}{family}-0.csv',
          bsuite_logs.columns(family, np.random.default_rng(0), .5))
  bsuite_logs.write(
      tmp_path / f'other/seed_0/{records.PREFIX}bandit-0.csv',
      bsuite_logs.columns('bandit', np.random.default_rng(0), .5))
  runs, _ = reading.read([tmp_path])
  text = table.markdown(runs, {
      name: [seed.scores() for seed in mine]
      for name, mine in runs.items()})
  row, = (x for x in text.splitlines() if 'over what it has' in x)
  assert '± 0.00 (1 family)' in row


def test_folders_that_are_no_results(tmp_path, capsys):
  make_run(tmp_path / 'a' / 'earlier-1')
  assert 'no results of bsuite in' in refusal([tmp_path], capsys)
  assert 'is no folder' in refusal([tmp_path / 'none'], capsys)
  make_run(tmp_path / 'b', seeds=(2000,))
  (tmp_path / 'b' / 'seed_2000').rename(tmp_path / 'b' / 'seed_0')
  assert re.search('seed_0: the seeds of this run are 2000 to 2000',
                   refusal([tmp_path], capsys))
  with pytest.raises(SystemExit) as error:
    analyse.main([])
  assert error.value.code == 2
  assert 'expected at least one folder' in capsys.readouterr().err


def test_the_folders_that_the_run_command_writes(tmp_path):
  settings = cli.parse(settings_lib.Settings, [
      '--agent', 'dqn', '--batch-size', '77', '--sweep', 'TESTING', '--seed',
      '2000', '--num-seeds', '2', '--output', str(tmp_path)], 'run')
  with folder_lib.Folder(tmp_path, settings):
    for seed in settings.seeds:
      bsuite_logs.write(
          tmp_path / records.log_name('umbrella_length/22', seed),
          bsuite_logs.columns(
              'umbrella_length', np.random.default_rng(seed), .5))
  runs, notes = reading.read([tmp_path])
  first, second = runs['dqn: default, batch_size 77']
  assert (first.seed, second.seed, notes) == (2000, 2001, [])
  assert list(first.logs['umbrella_length']) == [22]


def test_what_else_lies_in_a_run(tmp_path, capsys):
  """Its programs, and what the seeds' folders have beside the logs."""
  make_run(tmp_path)
  (tmp_path / 'programs' / 'x').mkdir(parents=True)
  (tmp_path / 'programs' / 'x' / 'config.json').write_text(
      '{"format": 3, "settings": {"agent": "dqn", "preset": "default"}}')
  (tmp_path / 'seed_0' / 'other.csv').write_text('a')
  runs, notes = reading.read([tmp_path])
  assert [len(mine) for mine in runs.values()] == [1] and not notes
  config = tmp_path / 'config.json'
  config.write_text(config.read_text().replace('num_seeds', 'num'))
  assert 'config.json is not a config of a run' in refusal([tmp_path], capsys)


def test_runs_of_other_settings_are_other_agents(tmp_path):
  for name, batch_size in (('a', 32), ('b', 77)):
    config = provenance.settings_as_json(dataclasses.replace(
        presets.make('dqn', 'default'), batch_size=batch_size))
    make_run(tmp_path / name, config=config)
  make_run(tmp_path / 'c', agent='random', config=None)
  make_run(tmp_path / 'd', agent='random', config=None, num_episodes=5)
  make_run(tmp_path / 'e', agent='random', config=None, reference=True)
  runs, _ = reading.read([tmp_path])
  assert list(runs) == ['dqn: default', 'dqn: default, batch_size 77',
                        'random: default', 'random: default, num_episodes 5',
                        'random: default, reference']
  (seed,) = runs['dqn: default, batch_size 77']
  assert seed.preset == 'default, batch_size 77'


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
      ['scores.csv', 'ids.csv', *PICTURES])
  for name in PICTURES:
    assert matplotlib.image.imread(output / name).std() > 0.01, name
  rows = csv_files.rows(output / 'scores.csv')
  assert len(rows) == 4 * 20 + 4
  row, = [row for row in rows if (row['agent'], row['seed'], row['family']) == (
      'dqn', '0', 'catch')]
  assert (row['preset'], row['ids'], row['ids_of'], row['finished']) == (
      'default', '2', '20', '1')
  of_ids = csv_files.rows(output / 'ids.csv')
  assert len(of_ids) == 4 * 40 + 8
  # Without noise and scale a family has the mean of its ids.
  mine = [row for row in of_ids if row['agent'] == 'dqn' and row['seed'] == '0'
          and row['bsuite_id'].startswith('catch/')]
  assert [row['bsuite_id'] for row in mine] == ['catch/0', 'catch/4']
  assert np.mean([float(row['score']) for row in mine]) == pytest.approx(
      float(row['score']), rel=1e-5)
  assert mine[0]['episodes'] == mine[0]['episodes_of'] == '10000'
  assert int(mine[1]['episodes']) < 10_000
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


@pytest.mark.ci
@pytest.mark.slow
def test_no_picture_is_cut_off(tmp_path):
  make_run(tmp_path, ids=[(family, 0) for family in families.FAMILIES
                          if 'mnist' not in family])
  analyse.main([str(tmp_path)])
  for name in PICTURES:
    picture = matplotlib.image.imread(tmp_path / name)
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
      assert (edge == 1.).all(), name


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
