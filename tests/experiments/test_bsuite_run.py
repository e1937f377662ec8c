"""The sweep over bsuite: its files, its resume, what it refuses."""

import contextlib
import io
import signal

from bsuite import sweep as bsuite_sweep
from bsuite.logging import csv_load
from bsuite.logging import csv_logging
import numpy as np
import pytest

from experiments.bsuite import families
from experiments.bsuite import points
from experiments.bsuite import records
from experiments.bsuite import reference
from experiments.bsuite import run as run_lib
from experiments.bsuite import settings as settings_lib
from experiments.common import cli
from experiments.common import stopping
import hyperjax
from tests import csv_files
from tests import mnist_files
from tests import stops

# Of 27 episodes the last that bsuite logs is the 25th.
ARGUMENTS = (
    '--agent', 'dqn', '--hidden-sizes', '4', '--batch-size', '4',
    '--warmup-steps', '8', '--num-episodes', '27')


def parse(folder, *more):
  return cli.parse(
      settings_lib.Settings, [*ARGUMENTS, '--output', str(folder), *more],
      'run')


def rows(folder, bsuite_id, seed=0):
  return csv_files.rows(folder / records.log_name(bsuite_id, seed))


@pytest.fixture(scope='module')
def catch(tmp_path_factory):
  folder = tmp_path_factory.mktemp('bsuite') / 'catch'
  run_lib.sweep(parse(folder, '--bsuite-id', 'catch/0', '--num-seeds', '2'))
  return folder


def test_rows_are_those_of_bsuite(catch):
  for seed in (0, 1):
    found = rows(catch, 'catch/0', seed)
    assert [int(row['episode']) for row in found] == [
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 20, 25]
    for row in found:
      assert int(row['steps']) == 9 * int(row['episode'])
      assert row['episode_len'] == '9'
      # Each episode returns 1 or -1, and costs the difference to 1.
      assert float(row['total_return']) + float(row['total_regret']) == int(
          row['episode'])
  assert rows(catch, 'catch/0', 0) != rows(catch, 'catch/0', 1)


def test_bsuite_reads_them(catch):
  with contextlib.redirect_stdout(io.StringIO()):
    frame, _ = csv_load.load_bsuite(str(catch / 'seed_0'))
  assert set(frame.bsuite_id) == {'catch/0'}
  assert frame.episode.max() == 25


def test_a_finished_id_never_runs_again(catch, capsys):
  before = {p: p.stat().st_mtime_ns for p in catch.rglob('*.csv')}
  run_lib.sweep(parse(catch, '--bsuite-id', 'catch/0', '--num-seeds', '2'))
  assert before == {p: p.stat().st_mtime_ns for p in catch.rglob('*.csv')}
  assert 'making' not in capsys.readouterr().out


def test_its_policies_are_loaded_by_id_and_seed(catch):
  policy = hyperjax.load(catch, seed=1, task='catch/0')
  board = np.zeros((10, 5), np.float32)
  assert policy.select_action(board) in (0, 1, 2)
  assert policy.values(board)[0].shape == (3,)
  with pytest.raises(ValueError, match="task 'catch/0', seed 0; task"):
    hyperjax.load(catch, seed=1, task='catch/1')


@pytest.mark.ci
@pytest.mark.slow
def test_a_stopped_sweep_goes_on_and_grows(catch, tmp_path):
  arguments = (tmp_path, '--bsuite-id', 'catch/0', '--num-seeds', '2')
  with pytest.raises(stopping.Stopped):
    run_lib.sweep(parse(*arguments), stops.After(3))
  assert len(rows(tmp_path, 'catch/0')) < 15
  assert hyperjax.load(tmp_path, seed=1).updates < hyperjax.load(
      catch, seed=1).updates
  run_lib.sweep(parse(*arguments))
  for seed in (0, 1):
    assert rows(tmp_path, 'catch/0', seed) == rows(catch, 'catch/0', seed)
  run_lib.sweep(parse(tmp_path, '--bsuite-id', 'bandit_scale/19',
                      '--num-seeds', '2'))
  scaled = rows(tmp_path, 'bandit_scale/19')[-1]
  # What is learned is scaled by 1,000, what is scored is not.
  assert float(scaled['total_return']) == pytest.approx(
      1000. * (25 - float(scaled['total_regret'])), rel=1e-5)


@pytest.mark.parametrize('bsuite_id', [
    'bandit/3', pytest.param('umbrella_length/2', marks=pytest.mark.slow),
    pytest.param('deep_sea_stochastic/0', marks=pytest.mark.slow),
    pytest.param('memory_size/1', marks=pytest.mark.slow),
    pytest.param('cartpole_noise/9', marks=pytest.mark.slow)])
def test_the_reference_writes_the_same_columns(tmp_path, bsuite_id):
  settings = parse(tmp_path, '--bsuite-id', bsuite_id)
  reference.run_one(settings, bsuite_id, 0, 7, 12)
  found = rows(tmp_path, bsuite_id)
  assert tuple(found[0]) == records.fields(bsuite_id)
  assert [int(row['episode']) for row in found] == [
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12]
  assert not list(tmp_path.rglob('*.unfinished'))


@pytest.mark.ci
@pytest.mark.slow
def test_a_stopped_id_of_the_reference_goes_on(tmp_path):
  """The rows are those of a run that was not stopped."""
  whole, stopped = tmp_path / 'whole', tmp_path / 'stopped'
  requests = stopping.Requests()

  def run(output, requests=None):
    settings = parse(output, '--bsuite-id', 'catch_noise/3')
    reference.run_one(settings, 'catch_noise/3', 0, 7, 25, requests)

  run(whole)
  requests.signal = signal.SIGTERM  # Comes in the first episode.
  with pytest.raises(stopping.Stopped, match='1 of 25 episodes .* are saved'):
    run(stopped, requests)
  run(stopped)
  assert rows(stopped, 'catch_noise/3') == rows(whole, 'catch_noise/3')
  assert not list(tmp_path.rglob('*.unfinished'))


@pytest.mark.parametrize('family', [
    x for x in families.FAMILIES if not x.startswith('mnist')])
def test_environments_of_the_reference_go_on(tmp_path, family):

  def make(folder):
    return csv_logging.wrap_environment(
        reference.make_environment(f'{family}/0', 3), f'{family}/0',
        str(tmp_path / folder))

  def run(environment, num_episodes):
    found = []
    for _ in range(num_episodes):
      timestep, t = environment.reset(), 0
      while not timestep.last():
        timestep = environment.step(t % environment.action_spec().num_values)
        found.append((timestep.reward, timestep.observation.tolist()))
        t += 1
    return found

  environment, other = make('whole'), make('stopped')
  run(environment, 2)
  reference.set_environment_state(
      other, reference.environment_state(environment))
  assert run(environment, 2) == run(other, 2)
  paths = [next((tmp_path / x).glob('*.csv')) for x in ('whole', 'stopped')]
  assert paths[0].read_text() == paths[1].read_text()


def test_logged_episodes_are_bsuites():
  from bsuite.utils import wrappers
  for episode in [*range(1, 400), 1000, 1200, 1300, 7000, 9999, 10_000]:
    assert records.is_logged(episode) == wrappers._logarithmic_logging(episode)


@pytest.mark.parametrize('num_episodes, last', [
    (1, 1), (9, 9), (10, 10), (11, 10), (12, 12), (150, 140), (10_000, 10_000)])
def test_a_run_of_any_length_can_be_finished(num_episodes, last):
  assert records.last_logged(num_episodes) == last


def test_the_reference_reads_images_from_the_folder_given(tmp_path):
  (tmp_path / 'images').mkdir()
  images, labels = mnist_files.write(tmp_path / 'images')
  environment = reference.make_environment('mnist/0', 3, tmp_path / 'images')
  assert environment.observation_spec().shape == images.shape[1:]
  assert environment._num_data == len(labels)  # pylint: disable=protected-access


def test_ids_that_all_need_images_are_refused(tmp_path):
  with pytest.raises(ValueError, match='all ids need the images .*: mnist/0'):
    run_lib.sweep(parse(tmp_path / 'new', '--bsuite-id', 'mnist/0'))


def test_ids_of_sweeps(tmp_path):
  ladder = points.ids(parse(tmp_path, '--sweep', 'LADDER'))
  assert len(ladder) == 60 and 'deep_sea/20' in ladder
  assert points.ids(parse(tmp_path, '--sweep', 'TESTING')) == tuple(
      bsuite_sweep.TESTING)
  seeds = [points.Point(i, seed).prng_seed
           for i in bsuite_sweep.SWEEP for seed in range(3)]
  assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize('arguments, message', [
    ((), 'either bsuite_id or sweep, got neither'),
    (('--sweep', 'TESTING', '--bsuite-id', 'catch/0'), 'got both'),
    (('--sweep', 'deep_see'), 'did you mean deep_sea'),
    (('--bsuite-id', 'catch'), 'must be one id'),
    (('--bsuite-id', 'catch/20'), 'catch has the ids catch/0 to catch/19'),
])
def test_refuses_unknown_names(tmp_path, arguments, message):
  with pytest.raises(ValueError, match=message):
    points.ids(parse(tmp_path, *arguments))


def test_the_folder_of_another_agent_is_refused(catch):
  with pytest.raises(ValueError, match="agent is 'dqn' there, 'boot_dqn' here"):
    run_lib.sweep(cli.parse(settings_lib.Settings, [
        '--agent', 'boot_dqn', '--output', str(catch), '--bsuite-id',
        'catch/0'], 'run'))


def test_a_row_cut_short_runs_again(catch, tmp_path):
  path = tmp_path / records.log_name('catch/0', 0)
  path.parent.mkdir()
  text = (catch / records.log_name('catch/0', 0)).read_text()
  settings = parse(tmp_path, '--bsuite-id', 'catch/0')
  point = points.Point('catch/0', 0)
  path.write_text(text)
  assert points.is_finished(settings, tmp_path, point)
  path.write_text(text[:-12])
  assert not points.is_finished(settings, tmp_path, point)


def test_scores_count_without_noise():
  totals = records.begin()
  row = records.count(totals, 'umbrella_length/0', 3, 2.5,
                      {'raw_return': -1., 'last_reward': -1.})
  named = dict(zip(records.fields('umbrella_length/0'), row, strict=True))
  assert named['total_regret'] == '2' and named['total_return'] == '2.5'
  assert np.isclose(totals['raw_return'], -1.)
