"""The benchmark's command, with settings too small to measure anything."""

import importlib
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import pytest

import benchmarks
from benchmarks import deep_sea
from benchmarks import learner
from benchmarks import machine
from tests import csv_files


@pytest.fixture(autouse=True)
def small(monkeypatch):
  # The tests have chosen their devices.
  monkeypatch.setattr(learner.machine_lib, 'use_all_cores', lambda: None)
  monkeypatch.setattr(machine, 'PRODUCT_SIZES', {'cpu': 32})
  monkeypatch.setattr(machine, 'COPY_BYTES', 2**16)
  monkeypatch.setattr(deep_sea, 'REPLAY_CAPACITY', 600)


@pytest.mark.slow
def test_measures_a_point(tmp_path, capsys):
  output = tmp_path / 'new' / 'results'
  learner.main(['--output', str(output), '--sizes', '3', '--num-seeds', '2',
                '--losses', 'exact', '--seconds', '0.001', '--repeats', '2'])

  row, = csv_files.rows(output / 'learner.csv')
  assert tuple(row) == learner.FIELDS
  assert (row['loss'], row['size'], row['num_seeds']) == ('exact', '3', '2')
  value = {k: float(v) for k, v in row.items() if k != 'loss'}
  assert all(math.isfinite(v) and v > 0. for v in value.values())
  assert value['min'] <= value['updates_per_second'] <= value['max']
  assert math.isclose(
      value['share_of_peak'],
      value['updates_per_second'] * value['flops_per_update']
      / value['peak_flops'], rel_tol=1e-4)
  # Six numbers of four bytes for each transition of each seed.
  assert 2 * 600 * 6 * 4 <= value['replay_bytes'] < value['state_bytes']
  assert value['state_bytes'] < value['peak_memory_bytes']
  # Between the layers of 64 units alone: s forwards through the trained and
  # the fixed network and back through one, s' through all three.
  products = (2 + 2 + 3) * 2 * 128 * 64 * 64
  assert products < value['flops_per_update'] < 3 * products

  described = json.loads((output / 'learner.json').read_text())
  assert described['settings']['sizes'] == [3]
  assert described['num_devices'] == len(jax.devices())
  assert described['cpu'] and described['commit']
  assert min(described['peak_flops'].values()) > 0.
  assert (output / 'learner.png').read_bytes().startswith(b'\x89PNG')
  assert not list(output.glob('*.tmp*'))
  assert 'repeat 2 of 2' in capsys.readouterr().out


@pytest.mark.slow
def test_interleaves_the_points_and_reports_medians(tmp_path, monkeypatch):
  measured = []

  def measure(point, seconds):
    assert seconds == 2.
    measured.append((point.size, point.num_seeds, point.loss))
    rate = measured.count(measured[-1]) ** 2
    return deep_sea.Measurement(rate, 20, 10, 30 + rate)

  monkeypatch.setattr(deep_sea.Point, 'compile', lambda _: None)
  monkeypatch.setattr(deep_sea.Point, 'measure', measure)
  monkeypatch.setattr(
      deep_sea.Point, 'cost', lambda _: deep_sea.Cost(5., math.nan))
  learner.main(['--output', str(tmp_path)])

  points = [(size, seeds, loss) for size in (20, 50, 100)
            for seeds in (1, 4, 16)
            for loss in ('default', 'optimistic', 'exact', 'sampled')]
  assert measured == 3 * points
  rows = csv_files.rows(tmp_path / 'learner.csv')
  assert [(int(row['size']), int(row['num_seeds']), row['loss'])
          for row in rows] == points
  for row in rows:
    assert [float(row[name]) for name in (
        'updates_per_second', 'min', 'max', 'peak_memory_bytes')] == [
            4., 1., 9., 39.]


@pytest.mark.parametrize('options, message', [
    (['--sizes', '10', '1'], 'sizes must be at least 2, got 1'),
    (['--sizes'], 'sizes must name at least one'),
    (['--num-seeds', '0'], 'num_seeds must be at least 1, got 0'),
    (['--num-seeds', '4', '4'], 'num_seeds must be different'),
    (['--seconds', '0'], 'seconds must be positive'),
    (['--seconds', 'nan'], 'seconds must be positive'),
    (['--repeats', '0'], 'repeats must be at least 1, got 0'),
    (['--size', '10'], 'Unrecognized'),
    (['--output'], 'output'),
])
def test_refuses(options, message, tmp_path, capsys):
  with pytest.raises(SystemExit) as error:
    learner.main(['--output', str(tmp_path), *options])
  assert error.value.code not in (0, None)
  assert message in capsys.readouterr().err
  assert not list(tmp_path.iterdir())


def test_refuses_an_output_that_is_a_file(tmp_path, capsys):
  path = tmp_path / 'file'
  path.touch()
  with pytest.raises(SystemExit):
    learner.main(['--output', str(path)])
  assert 'cannot be written' in capsys.readouterr().err


def test_bytes_of_keys_count():
  tree = {'key': jax.random.key(0), 'x': jnp.zeros(3, jnp.float32)}
  assert machine.num_bytes(tree) == 8 + 12


@pytest.mark.parametrize('name', [
    path.stem for path in sorted(
        pathlib.Path(benchmarks.__file__).parent.glob('*.py'))
    if 'def main(' in path.read_text()])
def test_every_command_explains_itself(name, capsys):
  module = importlib.import_module(f'benchmarks.{name}')
  with pytest.raises(SystemExit) as end:
    module.main(['--help'])
  assert end.value.code == 0
  assert capsys.readouterr().out.startswith(
      f'usage: python -m benchmarks.{name} [-h]')
