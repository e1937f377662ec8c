"""The sweep over Atari games."""

import pytest

from experiments.atari import reading
from experiments.atari import sweep as sweep_lib
from experiments.common import cli
from experiments.common import pools
from tests.faults import commands


def parse(folder, *more):
  return cli.parse(
      sweep_lib.Settings, [*more, '--output', str(folder)], 'sweep',
      ('small_atari',))


def test_each_run_has_some_of_the_games(tmp_path):
  settings = parse(tmp_path, '--suite', 'atari8-hard', '--games-together', '3',
                   '--num-seeds', '2', '--restart', '--learning-rate', '0.5')
  points = settings.points()
  assert [x.games for x in points] == [
      'Alien,Freeway,Gravitar', 'Hero,Pitfall,Qbert', 'Solaris,Venture']
  assert points[2].output == tmp_path / 'Solaris_Venture'
  for point in points:
    assert point.num_seeds == 2 and point.config.learning_rate == 0.5
    assert not point.restart  # Else a job that is repeated would begin anew.


@pytest.mark.parametrize(('options', 'message'), [
    (('--games', 'Pong', '--games-together', '0'), 'games_together must be'),
    (('--games', 'Pongg'), 'Pongg'),
])
def test_bad_settings_are_named(tmp_path, capsys, options, message):
  with pytest.raises((SystemExit, ValueError)) as caught:
    parse(tmp_path / 'sweep', *options).points()
  assert message in f'{capsys.readouterr().err}{caught.value}'


@pytest.mark.slow
def test_a_sweep_is_read_as_its_runs(tmp_path):
  _, *options = commands.ATARI
  settings = parse(tmp_path / 'sweep', *options)
  with pools.local(2) as pool:
    sweep_lib.sweep(settings, pool)
  (runs,), notes = reading.read(tmp_path)[0].values(), reading.read(tmp_path)[1]
  assert [run.game for run in runs] == ['Breakout', 'Pong']
  assert not notes
  text = (tmp_path / 'sweep' / 'summary.csv').read_text()
  assert text.count('\n') == 3
