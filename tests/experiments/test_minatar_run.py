"""MinAtar by a command."""

import numpy as np
import pytest

from experiments.common import cli
from experiments.common import pace as pace_lib
from experiments.common import run as run_lib
from experiments.common import stopping
from experiments.minatar import run as minatar_lib
from experiments.minatar import settings as settings_lib
import hyperjax
from hyperjax.agents import presets
from tests import csv_files
from tests import stops

SMALL = ('--agent', 'dqn', '--hidden-sizes', '8', '--batch-size', '4',
         '--warmup-steps', '40', '--num-steps', '240', '--evaluate-every',
         '80', '--eval-episodes', '2', '--num-seeds', '2')


def run(folder, *more, requests=None):
  run_lib.run(minatar_lib.MinAtarTask(cli.parse(
      settings_lib.Settings, [*SMALL, *more, '--output', str(folder)], None,
      minatar_lib.DEFAULT_PRESETS)), requests)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp('minatar') / 'run'
  run(folder)
  return folder


@pytest.mark.ci
@pytest.mark.slow
def test_writes_what_it_says(whole):
  rows = csv_files.rows(whole / 'evaluations.csv')
  assert [(row['seed'], row['env_steps']) for row in rows] == [
      (seed, str(80 * i)) for i in range(4) for seed in ('0', '1')]
  summary = csv_files.rows(whole / 'summary.csv')
  for row in summary:
    mine = [float(x['eval_return']) for x in rows if x['seed'] == row['seed']]
    assert float(row['final_return']) == mine[-1]
    assert float(row['best_return']) == max(mine)
    assert row['updates'] == '200'
  assert (whole / 'learning_curves.png').exists()
  policy = hyperjax.load(whole, seed=1)
  assert policy.select_action(np.zeros((10, 10, 4), bool)) in range(3)


@pytest.mark.slow
def test_a_stopped_run_comes_to_the_same(whole, tmp_path):
  with pytest.raises(stopping.Stopped):
    run(tmp_path / 'run', requests=stops.After(3))
  assert not (tmp_path / 'run' / 'summary.csv').exists()
  run(tmp_path / 'run')
  assert (tmp_path / 'run' / 'evaluations.csv').read_bytes() == (
      whole / 'evaluations.csv').read_bytes()


@pytest.mark.slow
def test_a_seed_over_devices_is_stopped_and_resumed_too(tmp_path):
  options = ('--num-envs', '4', '--devices-per-seed', '2')
  run(tmp_path / 'whole', *options)
  rows = csv_files.rows(tmp_path / 'whole' / 'summary.csv')
  assert [row['updates'] for row in rows] == ['50', '50']
  with pytest.raises(stopping.Stopped):
    run(tmp_path / 'run', *options, requests=stops.After(3))
  with pytest.raises(ValueError, match='devices_per_seed is'):
    run(tmp_path / 'run', '--num-envs', '4', '--devices-per-seed', '4')
  run(tmp_path / 'run', *options)
  assert (tmp_path / 'run' / 'evaluations.csv').read_bytes() == (
      tmp_path / 'whole' / 'evaluations.csv').read_bytes()


@pytest.mark.ci
@pytest.mark.slow
def test_chunks_are_whole_periods_of_updates(tmp_path, monkeypatch):
  """However fast the machine is: the largest one too."""
  monkeypatch.setattr(minatar_lib, 'MAX_STEPS', 16)
  monkeypatch.setattr(pace_lib, 'CHUNK_SECONDS', 1e6)
  run(tmp_path / 'run', '--update-period', '3', '--num-seeds', '1',
      '--warmup-steps', '39', '--evaluate-every', '120')
  (row,) = csv_files.rows(tmp_path / 'run' / 'summary.csv')
  assert row['updates'] == '67'


def test_every_agent_has_a_preset_for_it():
  for agent in presets.AGENTS:
    assert presets.make(agent, 'minatar').batch_size == 32


@pytest.mark.parametrize(('options', 'message'), [
    (('--game', 'Breakot'), 'did you mean Breakout'),
    (('--num-steps', '40'), 'more than the 40 steps before the first'),
    (('--num-envs', '7'), 'a multiple of the 7 environments'),
    (('--devices-per-seed', '2'), 'must divide num_envs, 1, got 2'),
    (('--devices-per-seed', '0'), 'devices_per_seed must be at least 1'),
])
def test_bad_settings_are_named(tmp_path, capsys, options, message):
  with pytest.raises((SystemExit, ValueError)) as caught:
    run(tmp_path / 'run', *options)
  text = ' '.join(capsys.readouterr().err.replace('│', '').split())
  assert message in f'{text}{caught.value}'
  assert not (tmp_path / 'run').exists()
