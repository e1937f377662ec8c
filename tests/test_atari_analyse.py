"""Normalised scores, their aggregates, and the command on made-up runs."""

import difflib
import json
import re

import matplotlib.image
import numpy as np
import pytest
from scipy import stats

from experiments.atari import analyse
from experiments.atari import figures
from experiments.atari import games
from experiments.atari import reading
from experiments.atari import scores as scores_lib
from experiments.atari import table
from experiments.common import files
from experiments.common import folder as folder_lib
from experiments.common import provenance
from hyperjax.agents import presets
from tests import csv_files

PICTURES = ('curves.png', 'profiles.png', 'aggregates.png', 'parameters.png')


def raw(game, normalised):
  """The game score whose human-normalised score is given, as it is written."""
  random, human = games.references()[game]
  return f'{random + normalised * (human - random):.6g}'


def make_run(
    folder, runs, *, agent='hyperagent', preset='default', changes=None,
    curve=(0.1, 0.5), parameters=888_736, **settings):
  """Writes a run's folder.

  Args:
    folder: to write to.
    runs: (game, seed, final, best), the last two human-normalised.
    agent: its name.
    preset: its preset.
    changes: in the agent's config.
    curve: human-normalised evaluations, 1,000 steps apart, from step 0.
    parameters: of the agent.
    **settings: more of them.
  """
  folder.mkdir(parents=True)
  config = provenance.settings_as_json(presets.make(agent, preset))
  (folder / 'config.json').write_text(json.dumps({
      'format': folder_lib.FORMAT, 'settings': {
          'agent': agent, 'preset': preset,
          'config': {**config, **(changes or {})}, **settings}}))
  files.write_csv(folder / 'evaluations.csv', reading.EVALUATIONS, [
      (agent, game, seed, 1000 * i, raw(game, value), 1.)
      for game, seed, _, _ in runs for i, value in enumerate(curve)])
  files.write_csv(folder / 'summary.csv', reading.SUMMARY, [
      (agent, game, seed, 1000, 250, raw(game, final), 1., 500,
       raw(game, best), 1., parameters, 12.5)
      for game, seed, final, best in runs])


def aggregates(folder):
  return {(row['agent'], row['scores']): row
          for row in csv_files.rows(folder / 'aggregates.csv')}


@pytest.fixture
def drawn(monkeypatch):
  """The figures that are drawn, by file name; none is written."""
  found = {}
  monkeypatch.setattr(figures.files, 'write_figure', lambda path, fig: (
      found.__setitem__(path.name, fig)))
  return found


# Games.


def test_games_are_those_of_envpool():
  envpool = pytest.importorskip('envpool')
  tasks = {task.removesuffix('-v5') for task in envpool.list_all_envs()
           if task.endswith('-v5')}
  assert set(games.references()) <= tasks
  assert len(games.references()) == 57
  for suite, size in (('atari26', 26), ('atari8-hard', 8)):
    assert len(set(games.SUITES[suite])) == size
    assert set(games.SUITES[suite]) <= set(games.references())


def test_normalised_scores():
  assert games.normalised('Pong', -20.7) == 0.
  assert games.normalised('Pong', 14.6) == pytest.approx(1.)
  assert games.normalised('MsPacman', 3182.3) == pytest.approx(
      (3182.3 - 307.3) / (6951.6 - 307.3))
  np.testing.assert_allclose(
      games.normalised('UpNDown', np.array([533.4, 11693.2])), [0., 1.])


@pytest.mark.parametrize('game, near', [
    ('ms_pacman', 'MsPacman'), ('pong', 'Pong'), ('Pongg', 'Pong'),
    ('RiverRaid', 'Riverraid'), ('QBert', 'Qbert'),
])
def test_unknown_games_are_named_with_near_matches(game, near):
  pattern = f'{game!r}; did you mean .*{near}'
  with pytest.raises(ValueError, match=f'no human score .*{pattern}'):
    games.normalised(game, 1.)
  with pytest.raises(ValueError, match=f'unknown game {pattern}'):
    games.select(f'Alien,{game}', None)


def test_a_game_without_a_human_score_is_an_error():
  with pytest.raises(ValueError, match="no human score .*'Koolaid'"):
    games.normalised('Koolaid', 1.)


def test_select():
  assert games.select('Pong, Alien', None) == ['Pong', 'Alien']
  assert games.select(None, 'atari8-hard') == list(games.ATARI8_HARD)
  assert games.select(None, 'atari26') == list(games.ATARI26)


@pytest.mark.parametrize('chosen, suite, message', [
    (None, None, 'either games or a suite'),
    ('Pong', 'atari26', 'either games or a suite'),
    (None, 'atari27', "unknown suite 'atari27'; known: atari26, atari8-hard"),
    ('Pong,Alien,Pong', None, 'Pong is there twice'),
    ('Pong,', None, "unknown game ''"),
    ('', None, "unknown game ''"),
])
def test_select_refuses(chosen, suite, message):
  with pytest.raises(ValueError, match=message):
    games.select(chosen, suite)


@pytest.mark.parametrize('agent, mean, median, iqm', [
    ('hyperagent', 1.973, 1.073, 1.452),
    ('ddqn', .490, .116, .150),
    ('der', .724, .498, .539),
    ('rainbow', 2.788, .967, 1.468),
])
def test_published_means_give_the_known_aggregates(agent, mean, median, iqm):
  row = {r.agent: r for r in table.published_rows(games.ATARI26)
         if r.scores == 'published, atari26'}[agent]
  assert row.of_means['mean'] == pytest.approx(mean, abs=6e-4)
  assert row.of_means['median'] == pytest.approx(median, abs=6e-4)
  assert row.of_means['iqm'] == pytest.approx(iqm, abs=6e-4)


def test_published_aggregates_agree_with_the_published_means():
  """Mean and median are of the games' means, the IQM is not."""
  found = {(r.agent, r.scores.removeprefix('published, ')): r
           for r in table.published_rows(games.ATARI26)}
  known = [('hyperagent', 'atari26'), ('ddqn', 'atari26'), *[
      key for key in found if key[1] == '100k steps'
      and key[0] != 'efficientzero']]  # Of which sources disagree.
  assert len(known) == 9
  for key in known:
    for metric in ('mean', 'median'):
      assert found[key].estimates[metric].value == pytest.approx(
          found[key].of_means[metric], abs=0.006), key
  assert found['hyperagent', 'atari26'].estimates['iqm'] == (1.22, 1.15, 1.30)
  assert np.isnan(found['der', 'atari26'].estimates['iqm'].value)
  bbf = found['bbf', '100k steps']
  assert bbf.estimates['iqm'].value == 1.045
  assert bbf.of_means['iqm'] == pytest.approx(1.139, abs=0.001)


def test_published_rows_are_of_the_same_games():
  assert table.published_rows(['Pong', 'Pitfall']) == []
  suites = [r.scores for r in table.published_rows(['Alien', 'Hero'])]
  assert set(suites) == {'published, atari26', 'published, atari8-hard',
                         'published, 100k steps'}
  row = table.published_rows(['Freeway', 'Venture'])[-1]
  assert row.agent == 'hyperagent' and row.num_games == 2
  assert row.of_means['mean'] == pytest.approx(
      (31.7 / 29.6 + 85 / 1187.5) / 2)


def test_scores_game_by_game(tmp_path):
  make_run(tmp_path / 'a', [('Pong', 0, 1., 1.), ('Pong', 1, 0.5, 1.)])
  runs, _ = reading.read(tmp_path)
  table.write_scores(runs, tmp_path / 'scores.csv')
  found = {row['game']: row for row in csv_files.rows(tmp_path / 'scores.csv')}
  assert set(found) == set(games.ATARI26)
  ours = 'hyperagent: default'
  assert found['Alien'][ours] == 'no run'
  assert float(found['Pong'][ours]) == pytest.approx(
      (float(raw('Pong', 1.)) + float(raw('Pong', 0.5))) / 2, rel=1e-4)
  assert found['Pong']['bbf, published, 100k steps'] == '16.7'
  assert found['Pong']['hyperagent, published, atari26'] == '20.5'
  # No suite has both games.
  make_run(tmp_path / 'b', [('Venture', 0, 1., 1.)])
  table.write_scores(reading.read(tmp_path)[0], tmp_path / 'scores.csv')
  found = csv_files.rows(tmp_path / 'scores.csv')
  assert [row['game'] for row in found] == ['Pong', 'Venture']
  assert 'bbf, published, 100k steps' not in found[0]


def test_published_curves():
  curves = figures.published_curves()
  assert sorted(curves) == sorted(games.ATARI8_HARD)
  steps, returns = curves['Alien']
  assert returns.shape == (5, 101) and steps[-1] == 2_000_000
  assert returns[0, :4].tolist() == [54., 448., 873., 684.]
  # As the authors' last evaluations are known.
  assert returns[:, -1].mean() == pytest.approx(2107, abs=1)
  assert curves['Qbert'][1][:, -1].mean() == pytest.approx(10491, abs=1)


# Aggregates.


def test_metrics_by_hand():
  values = np.array([0., 1., 2., 3., 4., 5., 6., 100.])
  found = scores_lib.metrics(values, np.array([4, 4]))
  assert found['iqm'] == np.mean([2., 3., 4., 5.])
  assert found['mean'] == found['median'] == (1.5 + 28.75) / 2
  assert found['optimality_gap'] == 1 / 8


def test_metrics_of_games_with_different_numbers_of_runs():
  values = np.array([0.2, 0.4, 0.9, 8., 2., 2.])
  found = scores_lib.metrics(values, np.array([3, 1, 2]))
  assert found['mean'] == pytest.approx((0.5 + 8. + 2.) / 3)
  assert found['median'] == pytest.approx(2.)
  assert found['iqm'] == pytest.approx((0.4 + 0.9 + 2. + 2.) / 4)
  assert found['optimality_gap'] == pytest.approx((0.8 + 0.6 + 0.1) / 6)


def test_a_constant_sample_has_an_interval_of_no_width():
  scores = scores_lib.Scores.by_game({'Pong': [0.7] * 5, 'Alien': [2.] * 3})
  for estimate in scores_lib.estimates(scores).values():
    assert estimate.low == pytest.approx(estimate.value)
    assert estimate.high == pytest.approx(estimate.value)


def test_one_run_of_each_game_has_no_interval():
  scores = scores_lib.Scores.by_game({'Pong': [0.7], 'Alien': [2.]})
  for estimate in scores_lib.estimates(scores).values():
    assert np.isfinite(estimate.value)
    assert np.isnan([estimate.low, estimate.high]).all()


def test_interval_of_the_mean_is_that_of_the_formula():
  """Games that are far apart: resampling across them would be far too wide."""
  rng = np.random.default_rng(0)
  samples = {game: rng.normal(100. * i, 1. + i, size=40 + 20 * i)
             for i, game in enumerate(('Pong', 'Alien', 'Hero'))}
  estimate = scores_lib.estimates(scores_lib.Scores.by_game(samples))['mean']
  # The bootstrap's variance divides by n, not by n - 1.
  variance = sum(np.var(s) / len(s) for s in samples.values()) / 9
  half = stats.norm.ppf(0.975) * np.sqrt(variance)
  mean = np.mean([s.mean() for s in samples.values()])
  assert estimate.value == pytest.approx(mean)
  # 2,000 resamples know an end to about half * 0.03.
  assert estimate.low == pytest.approx(mean - half, abs=0.12 * half)
  assert estimate.high == pytest.approx(mean + half, abs=0.12 * half)


def test_bootstrap_covers():
  rng = np.random.default_rng(1)
  covered = []
  for _ in range(60):
    scores = scores_lib.Scores.by_game(
        {game: rng.normal(size=20) for game in ('Pong', 'Alien')})
    estimate = scores_lib.estimates(scores)['iqm']
    covered.append(estimate.low <= 0. <= estimate.high)
  # About 93% of 60; four standard deviations below are 48.
  assert 48 <= sum(covered) < 60


def test_resampling_stays_within_a_game():
  scores = scores_lib.Scores.by_game(
      {'Pong': [1., 2.], 'Alien': [3.], 'Hero': [4., 5., 6.]})
  draws = scores_lib.resample(scores, 500, np.random.default_rng(0))
  for column, choices in enumerate(
      ({1., 2.}, {1., 2.}, {3.}, {4., 5., 6.}, {4., 5., 6.}, {4., 5., 6.})):
    assert set(draws[:, column]) == choices


def test_profile():
  scores = scores_lib.Scores.by_game({'Pong': [0.5, 1.5], 'Alien': [2., 3.]})
  fraction, low, high = scores_lib.profile(
      scores, np.array([0., 0.5, 1., 2., 3.]))
  np.testing.assert_allclose(fraction, [1., .75, .75, .25, 0.])
  # At 1, Pong gives 0, 1/4 or 1/2 and Alien always 1/2.
  np.testing.assert_allclose(low, [1., .5, .5, 0., 0.])
  np.testing.assert_allclose(high, [1., 1., 1., .5, 0.])
  # One run of each game says nothing of the spread between runs.
  single = scores_lib.Scores.by_game({'Pong': [0.5], 'Alien': [2.]})
  fraction, low, high = scores_lib.profile(single, np.array([1.]))
  assert fraction == [0.5] and np.isnan([low, high]).all()


def test_interval_over_seeds():
  mean, low, high = scores_lib.mean_interval(np.array([[1., 5.], [3., 5.]]))
  half = stats.t.ppf(0.975, 1)  # The standard error is 1.
  np.testing.assert_allclose(mean, [2., 5.])
  np.testing.assert_allclose(low, [2. - half, 5.])
  np.testing.assert_allclose(high, [2. + half, 5.])
  assert np.isnan(scores_lib.mean_interval(np.ones((1, 2)))[1]).all()


# The command.


def test_command_on_runs_in_several_folders(tmp_path, capsys):
  make_run(tmp_path / 'a', [('Alien', 0, .2, .4), ('Alien', 1, .6, .8)])
  make_run(tmp_path / 'deep' / 'er', [('Venture', 0, 1.5, 2.)], seed=3)
  make_run(tmp_path / 'other', [('Alien', 0, .1, .1)],
           changes={'batch_size': 77})
  (tmp_path / 'unfinished').mkdir()
  (tmp_path / 'unfinished' / 'config.json').write_text('{}')
  analyse.main([str(tmp_path)])

  for name in PICTURES:
    assert matplotlib.image.imread(tmp_path / name).std() > 0.01, name
  found = aggregates(tmp_path)
  row = found['hyperagent: default', 'final']
  assert (row['num_games'], row['num_runs']) == ('2', '3')
  # A quarter of three runs is none, so the IQM trims nothing.
  for metric, value in (
      ('iqm', 2.3 / 3), ('median', .95), ('mean', .95),
      ('optimality_gap', (.8 + .4) / 3), ('iqm_of_means', .95),
      ('optimality_gap_of_means', .6 / 2)):
    assert float(row[metric]) == pytest.approx(value, rel=1e-4), metric
  # Alien's two runs are drawn as .2 and .2 a quarter of the time.
  assert float(row['mean_low']) == pytest.approx((.2 + 1.5) / 2, rel=1e-4)
  assert float(row['mean_high']) == pytest.approx((.6 + 1.5) / 2, rel=1e-4)
  best = found['hyperagent: default', 'best']
  assert float(best['mean']) == pytest.approx((.6 + 2.) / 2, rel=1e-4)
  (changed,) = {agent for agent, _ in found if '77' in agent}
  assert changed == 'hyperagent: default, batch_size 77'
  published = found['hyperagent', 'published, atari8-hard']
  assert published['num_games'] in ('1', '2') and published['iqm'] == ''

  out = capsys.readouterr().out
  assert '| hyperagent: default | final | 2 | 3 | 0.77 (' in out
  assert 'hyperagent: default: a single run of Venture' in out
  assert 'from 1 to 2 runs of a game' in out
  assert '1 unfinished run' in out
  assert 'parameters.png has nothing of hyperagent: default: 25 of' in out


def test_steps_until_the_iqm_of_all_games_is_one(tmp_path, drawn):
  for seed in (0, 1):
    make_run(tmp_path / str(seed), [(g, seed, 1., 1.) for g in games.ATARI26],
             curve=(0.1, 0.99, 1.01, 2.), seed=seed)
  make_run(tmp_path / 'slow', [(g, 0, .5, .5) for g in games.ATARI26],
           agent='dqn')
  runs, notes = reading.read(tmp_path)
  assert notes == []
  assert figures.steps_to_human(runs['hyperagent: default']) == (2000, '')
  steps, reason = figures.steps_to_human(runs['dqn: default'])
  assert steps is None and '0.50 at most, in 1,000 steps' in reason

  (reason,) = figures.draw_parameters(runs, tmp_path / 'x.png')
  assert reason == ('parameters.png has nothing of dqn: default: the IQM '
                    'reaches 0.50 at most, in 1,000 steps.')
  (ax,) = drawn['x.png'].axes
  lines = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
  assert lines['hyperagent: default'] == [[2000., 888_736.]]
  assert 'dqn: default' not in lines
  assert len(lines) == 7  # Six were published.


def test_curves_are_drawn_beside_the_published_ones(tmp_path, drawn):
  make_run(tmp_path / 'a', [(game, seed, 1., 1.) for game in ('Pong', 'Hero')
                            for seed in (0, 1)], curve=(0., .5, 1.))
  runs, _ = reading.read(tmp_path)
  figures.draw_curves(runs, tmp_path / 'x.png')
  hero, pong = drawn['x.png'].axes
  assert (hero.get_title(), pong.get_title()) == ('Hero', 'Pong')
  (line,) = pong.lines
  np.testing.assert_allclose(line.get_xdata(), [0., 1000., 2000.])
  np.testing.assert_allclose(
      line.get_ydata(), [float(raw('Pong', x)) for x in (0., .5, 1.)],
      atol=1e-3)
  assert [line.get_label() for line in hero.lines] == [
      'hyperagent: default', 'published']
  assert hero.lines[1].get_ydata()[-1] == pytest.approx(12216, abs=1)


def test_curves_are_of_the_steps_that_all_seeds_have(tmp_path, capsys):
  make_run(tmp_path / 'long', [('Pong', 0, 1., 1.)], curve=(0., 1., 2.))
  make_run(tmp_path / 'short', [('Pong', 1, 1., 1.)], curve=(.5, .7),
           num_steps=7)
  runs, notes = reading.read(tmp_path)
  steps, returns = reading.common_curves(runs['hyperagent: default'])
  assert steps.tolist() == [0, 1000]
  np.testing.assert_allclose(
      games.normalised('Pong', returns), [[0., 1.], [.5, .7]], atol=1e-5)
  assert notes == ['The runs of hyperagent: default differ in num_steps.']
  analyse.main([str(tmp_path)])
  assert 'evaluated at different steps in Pong' in capsys.readouterr().out


def test_near_matches_do_not_depend_on_case():
  """What difflib alone would not find."""
  assert not difflib.get_close_matches('PONG', games.references())
  with pytest.raises(ValueError, match='did you mean Pong'):
    games.select('PONG', None)


def refusal(argv, capsys):
  """Returns the line in which the command says what is wrong."""
  with pytest.raises(SystemExit):
    analyse.main(argv)
  line, = capsys.readouterr().err.splitlines()
  return line


def test_nothing_to_analyse(tmp_path, capsys):
  (tmp_path / 'run').mkdir()
  (tmp_path / 'run' / 'config.json').write_text('{}')
  assert 'error: no finished run in' in refusal([str(tmp_path)], capsys)
  with pytest.raises(SystemExit) as end:
    analyse.main([])
  assert end.value.code == 2
  assert 'PATH' in capsys.readouterr().err


def test_what_a_restart_moved_aside_is_no_result(tmp_path):
  make_run(tmp_path / 'sweep' / 'Pong', [('Pong', 0, 1., 1.)])
  aside = tmp_path / 'sweep' / 'earlier-1'
  make_run(aside / 'Pong', [('Pong', 1, 2., 2.)])
  make_run(aside / 'Hero', [('Hero', 0, 2., 2.)])
  (aside / 'Hero' / 'summary.csv').unlink()  # Unfinished.
  runs, notes = reading.read(tmp_path)
  assert [(run.game, run.seed) for run in runs['hyperagent: default']] == [
      ('Pong', 0)]
  assert not notes


def test_the_same_seed_twice(tmp_path, capsys):
  make_run(tmp_path / 'a', [('Pong', 0, 1., 1.), ('Pong', 1, 1., 1.)])
  make_run(tmp_path / 'b', [('Pong', 1, 1., 1.)])
  assert re.search(
      'hyperagent: default has Pong, seed 1, twice: in .*a and in .*b',
      refusal([str(tmp_path)], capsys))


@pytest.mark.parametrize('name, old, new, message', [
    ('summary.csv', ',888736,12.5\n', '\n', r'summary.csv, row 2: expected 12 '
     r'values, got 10; the row is cut short'),
    ('summary.csv', '12.5\n', '1', 'summary.csv: the last row is cut short'),
    ('summary.csv', ',parameters', '', 'summary.csv has no column parameters'),
    ('summary.csv', 'Pong', 'Pung', "no human score .*'Pung'"),
    ('summary.csv', '888736', '', 'parameters of Pong, seed 0, must be a'),
    ('evaluations.csv', 'Pong', 'Hero', 'has nothing of Pong, seed 0'),
    ('evaluations.csv', ',1000,', ',0,', 'after 0 steps twice'),
    ('evaluations.csv', '-17.17', 'nan', "must be a finite number, got 'nan'"),
    ('config.json', '{', '[', 'config.json is not a config of a run'),
    ('config.json', '"default"', '"fancy"',
     "unknown preset of hyperagent 'fancy'"),
])
def test_damaged_folders_are_refused(
    tmp_path, capsys, name, old, new, message):
  make_run(tmp_path / 'run', [('Pong', 0, 1., 1.)])
  path = tmp_path / 'run' / name
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new))
  assert re.search(message, refusal([str(tmp_path)], capsys))
