"""The table and figure of runs on MinAtar, from folders made by hand."""

import json

import pytest

from experiments.common import files
from experiments.common import finished
from experiments.common import folder as folder_lib
from experiments.common import provenance
from experiments.minatar import analyse
from experiments.minatar import run as run_lib
from hyperjax.agents import presets
from tests import csv_files


def make(folder, seeds, agent='dqn', game='Breakout', steps=(0, 50, 100),
         **changes):
  """A finished run, whose seed S has a return of S + steps / 100."""
  folder.mkdir(parents=True)
  config = provenance.settings_as_json(presets.make(agent, 'minatar'))
  settings = {
      'agent': agent, 'preset': 'minatar', 'game': game, 'num_steps': 100,
      'seed': seeds[0], 'num_seeds': len(seeds), 'config': config, **changes}
  (folder / 'config.json').write_text(json.dumps({
      'settings': settings, 'format': folder_lib.FORMAT,
      'devices': ['cpu', 'cpu']}))
  files.write_csv(folder / 'evaluations.csv', run_lib.EVALUATIONS, [
      (agent, game, seed, step, seed + step / 100, 0., 1)
      for step in steps for seed in seeds])
  files.write_csv(folder / 'summary.csv', run_lib.SUMMARY, [
      (agent, game, seed, 100, 60, seed + 1., seed + 1., 900.)
      for seed in seeds])


def test_joins_the_seeds_of_the_same_settings(tmp_path, capsys):
  make(tmp_path / 'a', [0, 1])
  make(tmp_path / 'b', [2])
  make(tmp_path / 'c', [5], game='Asterix')
  make(tmp_path / 'd', [0], agent='hyperagent')
  analyse.main([str(tmp_path)])
  # Student's t of 2 degrees at 0.975 is 4.303; two cores for 15 minutes, twice.
  assert capsys.readouterr().out.splitlines()[2:] == [
      '| Asterix | dqn: minatar | 1 | 100 | 6.0 | 0.50 |',
      '| Breakout | dqn: minatar | 3 | 100 | 2.0 ± 2.5 | 1.00 |',
      '| Breakout | hyperagent: minatar | 1 | 100 | 1.0 | 0.50 |']
  rows = csv_files.rows(tmp_path / 'scores.csv')
  assert [(row['agent'], row['final_return'], row['half_width'])
          for row in rows] == [
              ('dqn: minatar', '6', ''), ('dqn: minatar', '2', '2.48414'),
              ('hyperagent: minatar', '1', '')]
  assert (tmp_path / 'curves.png').read_bytes().startswith(b'\x89PNG')


def test_reads_curves_by_seed(tmp_path):
  make(tmp_path / 'a', [3, 4])
  (runs,) = analyse.read(tmp_path)
  assert runs.steps.tolist() == [0, 50, 100]
  assert runs.returns.tolist() == [[3., 3.5, 4.], [4., 4.5, 5.]]


def test_what_a_restart_moved_aside_is_no_result(tmp_path):
  make(tmp_path / 'a', [0])
  make(tmp_path / 'earlier-1', [1])
  assert finished.folders(tmp_path) == [tmp_path / 'a']
  assert len(analyse.read(tmp_path)) == 1


def test_a_seed_that_is_there_twice_is_refused(tmp_path):
  make(tmp_path / 'a', [0, 1])
  make(tmp_path / 'b', [1])
  with pytest.raises(ValueError, match='a and .*b have .* both have seed 1'):
    finished.points(tmp_path, analyse.FIELDS)


def test_settings_that_tell_runs_apart_are_named(tmp_path):
  make(tmp_path / 'a', [0, 1])
  make(tmp_path / 'b', [1], num_steps=200)
  make(tmp_path / 'c', [1], game='Asterix', num_steps=300)
  assert [runs.agent for runs in analyse.read(tmp_path)] == [
      'dqn: minatar', 'dqn: minatar, num_steps 100',
      'dqn: minatar, num_steps 200']


def test_a_config_without_devices_is_named(tmp_path):
  make(tmp_path / 'a', [0])
  path = tmp_path / 'a' / 'config.json'
  path.write_text(path.read_text().replace('devices', 'divices'))
  with pytest.raises(ValueError, match=r'a/config\.json has no list of dev'):
    analyse.read(tmp_path)


def test_refuses_what_cannot_be_joined(tmp_path, capsys):
  with pytest.raises(SystemExit):
    analyse.main([str(tmp_path)])
  assert 'no finished run in' in capsys.readouterr().err
  make(tmp_path / 'a', [0])
  make(tmp_path / 'b', [1], steps=(0, 100))
  with pytest.raises(ValueError, match='after the same steps for every seed'):
    analyse.read(tmp_path)
  path = tmp_path / 'b' / 'evaluations.csv'
  path.write_text(path.read_text().replace('1.0', 'nan', 1))
  with pytest.raises(ValueError, match='eval_return must be a finite number'):
    analyse.read(tmp_path)
