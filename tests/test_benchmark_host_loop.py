"""The benchmark of the host loop, with settings too small to measure."""

import json

import numpy as np
import pytest

from benchmarks import host_loop
from tests import csv_files


def test_rows_are_medians_and_ratios_of_the_same_turn():
  found = np.array([[[1., 10.], [3., 30.]], [[2., 20.], [4., 40.]],
                    [[4., 60.], [6., 50.]]])
  ours, other = host_loop._rows(['dqn', 'other'], found)
  assert ours == ('dqn', '2', '1', '4', '20', '1', '1', '1')
  assert other == ('other', '4', '3', '6', '40', '2', '1.5', '3')
  assert len(ours) == len(host_loop.FIELDS)


@pytest.mark.slow
def test_measures_without_haiku(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(host_loop.importlib.util, 'find_spec', lambda name: None)
  host_loop.main([
      '--output', str(tmp_path), '--seconds', '0.001', '--repeats', '2',
      '--hidden-sizes', '4', '--batch-size', '3'])
  rows = csv_files.rows(tmp_path / 'host_loop.csv')
  assert [row['agent'] for row in rows] == [
      'dqn', 'dqn_not_double', 'hyperagent']
  for row in rows:
    assert float(row['min']) <= float(row['steps_per_cpu_second']) <= float(
        row['max'])
  assert json.loads((tmp_path / 'host_loop.json').read_text())[
      'settings']['batch_size'] == 3
  assert 'needs dm-haiku: pip install dm-haiku' in capsys.readouterr().out


@pytest.mark.parametrize('options, message', [
    (['--bsuite-id', 'catch/99'], 'one of bsuite, got catch/99'),
    (['--batch-size', '0'], 'batch_size must be at least 1, got 0'),
    (['--repeats', '0'], 'repeats must be positive'),
    (['--seconds', 'nan'], 'seconds must be positive')])
def test_refuses(options, message, tmp_path, capsys):
  with pytest.raises(SystemExit) as error:
    host_loop.main(['--output', str(tmp_path / 'new'), *options])
  assert error.value.code not in (0, None)
  assert message in capsys.readouterr().err
  assert not (tmp_path / 'new').exists()
