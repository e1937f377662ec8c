"""Scores of bsuite are bsuite's own, and published ones are as printed."""

import bsuite
from bsuite import sweep
from bsuite.experiments import summary_analysis
from bsuite.logging import csv_load
from bsuite.logging import logging_utils
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.bsuite import families
from experiments.bsuite import reading
from experiments.bsuite import records
from experiments.bsuite import scores
from experiments.bsuite import table
from tests.experiments import bsuite_logs


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


@pytest.mark.parametrize('family', [
    name for name in families.FAMILIES if 'mnist' not in name])
def test_files_that_bsuite_writes(family, tmp_path):
  environment = bsuite.load_and_record(
      f'{family}/5', str(tmp_path / 'seed_0'), 'csv')
  num_actions = environment.action_spec().num_values
  rng = np.random.default_rng(0)
  for _ in range(3):
    step = environment.reset()
    while not step.last():
      step = environment.step(rng.integers(num_actions))
  bsuite_logs.write_config(tmp_path)
  (seed,), = reading.read([tmp_path])[0].values()
  assert seed.logs[family][5].episodes.tolist() == [1, 2, 3]
  made_up = bsuite_logs.columns(family, rng, .5)
  with open(bsuite_logs.file_of(tmp_path, 0, family, 5)) as f:
    assert f.readline().rstrip().split(',') == list(made_up)
  # And what our own runs write has the columns that scores need.
  assert set(scores.measure(family).columns) <= set(
      records.fields(f'{family}/5'))


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
