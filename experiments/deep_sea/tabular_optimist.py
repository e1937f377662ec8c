"""Episodes that an optimist needs on DeepSea if it learns without error.

  python -m experiments.deep_sea.tabular_optimist \\
      experiments/results/tabular_optimist

Instead of a network there is a table: what was tried once is known
exactly, and every action that was not is worth a bonus, drawn once for each
cell and action. The optimist plans with both and is greedy. All that is left
of an agent are its bonuses, and the question is how much they may differ: as
the lengths of Gaussian vectors in R^M, which is what a random prior with M
factors gives, or not at all.

Written to episodes.csv, one row for each run; no number where the treasure was
not found.
"""

from collections.abc import Iterator, Sequence
import itertools
from pathlib import Path

import numpy as np

from ..common import study

SIZES, DISCOUNTS, SEEDS = [20, 50, 100], [0.99, 0.98, 0.97], range(3)
# Of the Gaussian vectors; None for bonuses that are all the same.
DIMS = [4, 16, 64, None]
MEAN_BONUS, NUM_EPISODES = 0.3, 2000
FIELDS = ('size', 'discount', 'dim', 'seed', 'episodes')


def bonuses(size: int, dim: int | None, seed: int) -> np.ndarray:
  """Bonuses of mean `MEAN_BONUS` for each row, column, action, [N, N, 2]."""
  rng = np.random.default_rng(seed)
  shape = (size, size, 2)
  # Ties between equal ones are to be broken at random.
  lengths = 1. + 1e-6 * rng.random(shape)
  if dim is not None:
    lengths = np.linalg.norm(rng.normal(size=(*shape, dim)), axis=-1)
  return MEAN_BONUS * lengths / lengths.mean()


def columns_after(size: int) -> np.ndarray:
  """Returns the columns that left and right lead to from each one, [N, 2]."""
  column = np.arange(size)
  return np.clip(np.stack([column - 1, column + 1], axis=1), 0, size - 1)


def plan(
    bonus: np.ndarray, tried: np.ndarray, discount: float) -> np.ndarray:
  """Q, [N, N, 2], for left and right in each cell; exact where tried."""
  size = len(bonus)
  q = np.zeros_like(bonus)
  after = columns_after(size)
  following = np.zeros(size)  # Values of the next row's cells; 0 at the end.
  for row in reversed(range(size)):
    known = discount * following[after]
    known[:, 1] -= 0.01 / size
    if row == size - 1:
      known[-1, 1] += 1.
    q[row] = np.where(tried[row], known, bonus[row])
    following = q[row].max(axis=1)
  return q


def episodes_to_treasure(bonus: np.ndarray, discount: float) -> int | None:
  """Returns the first episode with the treasure; None after `NUM_EPISODES`."""
  size = len(bonus)
  after = columns_after(size)
  tried = np.zeros(bonus.shape, bool)
  for episode in range(1, NUM_EPISODES + 1):
    actions = plan(bonus, tried, discount).argmax(axis=-1)
    column = 0
    for row in range(size):
      action = actions[row, column]
      tried[row, column, action] = True
      if action == 1 and row == column == size - 1:
        return episode
      column = after[column, action]
  return None


def lines() -> Iterator[tuple[str, list[tuple]]]:
  """Yields the table's line of each size and discount, and its rows."""
  for size, discount in itertools.product(SIZES, DISCOUNTS):
    means, rows = [], []
    for dim in DIMS:
      found = [episodes_to_treasure(bonuses(size, dim, seed), discount)
               for seed in SEEDS]
      rows += [(size, discount, dim or '', seed, episodes or '')
               for seed, episodes in zip(SEEDS, found, strict=True)]
      means.append(f'{np.mean(found):.0f}' if all(found) else
                   f'{sum(map(bool, found))} of {len(found)}')
    yield f'| {size} | {discount} | ' + ' | '.join(means) + ' |', rows


def study_optimists(folder: Path):
  """Writes episodes.csv and prints the means over the seeds."""
  header = '| N | discount | ' + ' | '.join(
      'all the same' if dim is None else f'M = {dim}' for dim in DIMS
  ) + ' |\n|---|---|' + '---|' * len(DIMS)
  study.write(
      folder, {'sizes': SIZES, 'discounts': DISCOUNTS, 'dims': DIMS,
               'seeds': list(SEEDS), 'mean_bonus': MEAN_BONUS,
               'num_episodes': NUM_EPISODES},
      'episodes.csv', FIELDS, header, lines())


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(study_optimists, __spec__.name, argv)


if __name__ == '__main__':
  main()
