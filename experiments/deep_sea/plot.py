"""The central figure: episodes to learn over the size, published and ours.

  python -m experiments.deep_sea.plot DIR

Draws DIR/deep_sea.png from the runs in DIR, one for each folder in it that has
a summary.csv, as `experiments.deep_sea.sweep` leaves them: on the left what was
published, in the middle ours by the same criterion, on the right ours by
bsuite's (the first episode at which fewer than 90% of all so far were bad).
"""

from collections.abc import Sequence
import csv
from pathlib import Path
import textwrap
from typing import NamedTuple

import matplotlib
from matplotlib import figure
import numpy as np

from ..common import files
from ..common import folder as folder_lib
from ..common import registry
from ..common import study
from . import table

UNSOLVED = table.UNSOLVED
BAD_RATE = 0.9
# Of an algorithm's variants, in the order of their names.
STYLES = ('-', '--', ':', '-.', (0, (1, 4)), (0, (5, 5)))


class Point(NamedTuple):
  """Result of an agent at one size.

  Attributes:
    size: N.
    mean: episodes to learn; a seed that never did counts as 10,000.
    solved: seeds that learned.
    seeds: all of them.
  """

  size: int
  mean: float
  solved: int
  seeds: int


Lines = dict[str, list[Point]]


def published() -> Lines:
  """Returns the published points by algorithm."""
  lines = {}
  with open(table.PUBLISHED, newline='', encoding='utf-8') as f:
    for row in csv.DictReader(f):
      lines.setdefault(row['algorithm'], []).append(Point(
          int(row['size']), float(row['mean_episodes_to_learn']),
          int(row['solved_of_10']), 10))
  return lines


def bsuite_episode(returns: np.ndarray) -> float:
  """Returns the first episode at which less than 90% of all so far were bad.

  In deterministic DeepSea an episode is bad if it misses the treasure.

  Args:
    returns: of all episodes in order, [E].

  Returns:
    The episode's number, from 1, or infinity.
  """
  bad = np.cumsum(returns < 0.5) / np.arange(1, len(returns) + 1)
  good = np.flatnonzero(bad < BAD_RATE)
  return float(good[0] + 1) if len(good) else np.inf


def ours(folder: Path) -> tuple[Lines, Lines]:
  """Returns our points by run, by the published criterion and by bsuite's.

  The second leaves out a run in which a seed that had learned was stopped
  before bsuite's criterion was met: what is left would be those that failed.
  """
  by_paper, by_bsuite = {}, {}
  for path in folder.glob('*/summary.csv'):
    config = folder_lib.read_config(path.parent, table.FIELDS)
    settings = config['settings']
    name = f'{settings["agent"]}: {registry.settings_in_words(config)}'
    episodes = table.episodes_to_learn(path.parent)
    rows = files.read_columns(
        path.parent / 'episodes.csv', ('seed', 'episode_return'))
    bsuite = np.array([
        bsuite_episode(rows['episode_return'][rows['seed'] == seed].astype(
            float)) for seed in dict.fromkeys(rows['seed'])])
    criteria = [(by_paper, episodes)]
    known = np.all(np.isfinite(bsuite) | (episodes == UNSOLVED))
    # In a stochastic DeepSea noise hides which episodes were bad.
    if known and not settings.get('stochastic'):
      criteria.append((by_bsuite, bsuite))
    for lines, found in criteria:
      solved = np.isfinite(found) & (found < UNSOLVED)
      lines.setdefault(name, []).append(Point(
          settings['size'], np.mean(np.where(solved, found, UNSOLVED)),
          int(solved.sum()), len(found)))
  return tuple({name: sorted(points) for name, points in sorted(lines.items())}
               for lines in (by_paper, by_bsuite))


def algorithm(name: str) -> str:
  """Returns the algorithm that a line is a variant of: 'HyperAgent'."""
  agent = name.partition(':')[0].removesuffix('-OIS')
  return table.PUBLISHED_NAMES.get(agent, agent)


def draw(folder: Path):
  """Draws the figure of the runs in a folder.

  Raises:
    ValueError: if there is none, or one is damaged.
  """
  by_paper, by_bsuite = ours(folder)
  if not by_paper:
    raise ValueError(f'no finished run in {folder}')
  fig = figure.Figure(figsize=(14, 6.4), layout='constrained')
  axes = fig.subplots(1, 3, sharex=True, sharey=True)
  panels = ((published(), 'published'), (by_paper, 'ours'),
            (by_bsuite, "ours, by bsuite's criterion"))
  # The same colour for an algorithm in all panels, and a style for a variant.
  algorithms = sorted(
      {algorithm(name) for lines, _ in panels for name in lines})
  for ax, (lines, title) in zip(axes, panels, strict=True):
    for name, points in lines.items():
      color = matplotlib.colormaps['tab10'](
          algorithms.index(algorithm(name)) % 10)
      # Not every line of ours is in both panels.
      variants = [other for other in (by_paper if name in by_paper else lines)
                  if algorithm(other) == algorithm(name)]
      style = STYLES[variants.index(name) % len(STYLES)]
      sizes = [p.size for p in points]
      ax.plot(sizes, [p.mean for p in points], color=color, linewidth=1.2,
              linestyle=style, label=textwrap.fill(name, 40))
      for p in points:  # A cross where no seed has learned.
        ax.plot(p.size, p.mean, color=color, markersize=5,
                marker='x' if p.solved == 0 else 'o')
        if 0 < p.solved < p.seeds:
          ax.annotate(f'{p.solved}/{p.seeds}', (p.size, p.mean), fontsize=7,
                      xytext=(3, 3), textcoords='offset points')
    ax.set_title(title)
    ax.set_xlabel('N, size of DeepSea')
    ax.set_yscale('log')
    ax.spines[['top', 'right']].set_visible(False)
  # The two panels of ours have the same lines.
  for ax, columns in ((axes[0], 2), (axes[1], 2)):
    ax.legend(frameon=False, fontsize='x-small', ncols=columns,
              loc='upper center', bbox_to_anchor=(0.5, -0.12))
  axes[0].set_ylabel('mean episodes to learn')
  files.write_figure(folder / 'deep_sea.png', fig)


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(draw, __spec__.name, argv)


if __name__ == '__main__':
  main()
