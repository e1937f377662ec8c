"""The optimist that learns without error."""


import numpy as np
import pytest

from experiments.deep_sea import tabular_optimist as optimist
from tests import csv_files


def test_plans_exactly_where_all_is_known():
  size, discount = 5, 0.9
  q = optimist.plan(
      np.ones((size, size, 2)), np.ones((size, size, 2), bool), discount)
  steps_left = np.arange(size, 0, -1)
  # Along the diagonal: the treasure, and what every step right costs.
  costs = 0.01 / size * (1. - discount**steps_left) / (1. - discount)
  np.testing.assert_allclose(
      q[np.arange(size), np.arange(size), 1],
      discount**(steps_left - 1) - costs)
  # Once off it there is nothing to win, and going left is free.
  np.testing.assert_allclose(q[2, 1, 0], 0.)


def test_what_was_not_tried_is_worth_its_bonus():
  bonus = optimist.bonuses(4, 4, seed=0)
  tried = np.zeros(bonus.shape, bool)
  np.testing.assert_array_equal(optimist.plan(bonus, tried, 0.9), bonus)


def test_bonuses_differ_as_the_lengths_of_gaussian_vectors():
  same, four = optimist.bonuses(80, None, 0), optimist.bonuses(80, 4, 0)
  for bonus in (same, four):
    assert bonus.mean() == pytest.approx(optimist.MEAN_BONUS)
  assert same.std() < 1e-5
  assert four.std() / four.mean() == pytest.approx(0.363, abs=0.01)


@pytest.mark.parametrize('size', [10, 30])
def test_equal_bonuses_need_two_episodes_for_each_row(size):
  bonus = optimist.bonuses(size, None, 0)
  assert size < optimist.episodes_to_treasure(bonus, 0.98) <= 2.2 * size


def test_unequal_bonuses_need_more():
  equal = optimist.episodes_to_treasure(optimist.bonuses(30, None, 0), 0.98)
  unequal = optimist.episodes_to_treasure(optimist.bonuses(30, 4, 0), 0.98)
  assert unequal > 1.5 * equal


def test_writes_every_run(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(optimist, 'SIZES', [5])
  monkeypatch.setattr(optimist, 'DISCOUNTS', [0.98])
  optimist.main([str(tmp_path)])
  rows = csv_files.rows(tmp_path / 'episodes.csv')
  assert len(rows) == len(optimist.DIMS) * len(optimist.SEEDS)
  assert all(1 <= int(row['episodes']) < 100 for row in rows)
  assert '| 5 | 0.98 |' in capsys.readouterr().out
