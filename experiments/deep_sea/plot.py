"""The central figure: episodes to solve over the size, published and ours.

  python -m experiments.deep_sea.plot DIR

Draws DIR/deep_sea.png from the runs in DIR, one for each folder in it that has
a summary.csv, as `experiments.deep_sea.sweep` leaves them. Each panel answers
one question: how many episodes HyperAgent needs, how many the others need, how
many by bsuite's criterion (the first episode at which fewer than 90% of all so
far were bad), and who solves which size at all.
"""

from collections.abc import Sequence
import csv
from pathlib import Path
import textwrap
from typing import NamedTuple

from matplotlib import axes as axes_lib
from matplotlib import figure
from matplotlib import patches
from matplotlib import ticker
import numpy as np

from ..common import files
from ..common import finished
from ..common import study
from ..common import style
from . import table

UNSOLVED = table.UNSOLVED
BAD_RATE = 0.9


class Point(NamedTuple):
  """Result of an agent at one size.

  Attributes:
    size: N.
    mean: episodes to solve; a seed that never did counts as 10,000.
    solved: number of seeds that solved it.
    seeds: number of seeds.
    low: lower end of the mean's 95% interval; the mean if it is not known.
    high: upper end of the same.
  """

  size: int
  mean: float
  solved: int
  seeds: int
  low: float
  high: float


Lines = dict[str, list[Point]]


def published() -> Lines:
  """Returns the published points by algorithm."""
  lines = {}
  with open(table.PUBLISHED, newline='', encoding='utf-8') as f:
    for row in csv.DictReader(f):
      mean = float(row['mean_episodes_to_learn'])
      lines.setdefault(row['algorithm'], []).append(Point(
          int(row['size']), mean, int(row['solved_of_10']), 10, mean, mean))
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


def _bsuite_episodes(folder: Path) -> np.ndarray:
  """Returns `bsuite_episode` of each seed of a run, [S]."""
  rows = files.read_columns(
      folder / 'episodes.csv', ('seed', 'episode_return'))
  return np.array([
      bsuite_episode(rows['episode_return'][rows['seed'] == seed].astype(
          float)) for seed in dict.fromkeys(rows['seed'])])


def ours(folder: Path) -> tuple[Lines, Lines, Lines]:
  """Returns our points by run: by the published criterion, and by bsuite's.

  The third are those of stochastic DeepSea, by the published criterion. The
  second leaves out a run in which a seed that had solved the task was stopped
  before bsuite's criterion was met: what is left would be those that failed.
  """
  by_paper, by_bsuite, stochastic = {}, {}, {}
  points = finished.points(folder, table.FIELDS)
  for (config, paths), words in zip(
      points, finished.names(points, 'size'), strict=True):
    settings = config['settings']
    name = f'{settings["agent"]}: {words}'
    episodes = np.concatenate([table.episodes_to_learn(x) for x in paths])
    bsuite = np.concatenate([_bsuite_episodes(x) for x in paths])
    # In a stochastic DeepSea noise hides which episodes were bad.
    criteria = [(stochastic if settings.get('stochastic') else by_paper,
                 episodes)]
    known = np.all(np.isfinite(bsuite) | np.isinf(episodes))
    if known and not settings.get('stochastic'):
      criteria.append((by_bsuite, bsuite))
    for lines, found in criteria:
      solved = np.isfinite(found)
      found = table.counted(found, settings['num_episodes'])
      lines.setdefault(name, []).append(Point(
          settings['size'], np.mean(found), int(solved.sum()), len(found),
          *table.interval(found)))
  return tuple({name: sorted(points) for name, points in sorted(lines.items())}
               for lines in (by_paper, by_bsuite, stochastic))


def _is_hyperagent(name: str) -> bool:
  return name.lower().startswith('hyperagent')


def _title(name: str) -> str:
  """Returns a short name of a run: without what is understood."""
  agent, _, preset = name.partition(': ')
  if _is_hyperagent(name) and preset:
    return preset
  return agent if preset in ('', 'default') else f'{agent}, {preset}'


def _draw_lines(ax: axes_lib.Axes, groups: Sequence[tuple[Lines, bool]]):
  """Draws episodes over the size where at least one seed solves it.

  Args:
    ax: axes to draw into.
    groups: lines, and whether they are published ones, which are grey.
  """
  ours_first = [name for lines, theirs in groups for name in lines
                if not theirs]
  colors = style.colors(ours_first)
  ends = []
  for lines, theirs in groups:
    for name, points in lines.items():
      points = [p for p in points if p.solved]
      if not points:
        continue
      color = style.GREY if theirs else colors[name]
      run: list[Point] = []
      for p in [*points, None]:  # Only what all seeds solve is joined.
        if p is not None and p.solved == p.seeds and (
            not run or p.size - run[-1].size <= 50):
          run.append(p)
          continue
        ax.plot([q.size for q in run], [q.mean for q in run], color=color,
                linewidth=1.4, linestyle='--' if theirs else '-')
        run = [p] if p is not None and p.solved == p.seeds else []
      whole = [p for p in points if p.solved == p.seeds]
      ax.plot([p.size for p in whole], [p.mean for p in whole], 'o',
              color=color, markersize=4)
      for p in points:
        if p.solved == p.seeds:
          ax.plot([p.size, p.size], [p.low, p.high], color=color,
                  linewidth=4., alpha=0.35, solid_capstyle='butt')
        else:
          ax.plot(p.size, p.mean, 'o', color=color, markersize=5,
                  markerfacecolor='white')
      title = f'{_title(name)}{", published" if theirs else ""}'
      title = textwrap.fill(title, 30, break_long_words=False)
      ends.append((title, points[-1].size, points[-1].mean, color))
  ax.set_xscale('log')
  ax.set_yscale('log')
  drawn = [p for lines, _ in groups for points in lines.values()
           for p in points if p.solved]
  sizes, means = [p.size for p in drawn], [p.mean for p in drawn]
  ax.set_xlim(0.9 * min([10., *sizes]), 1.1 * max([200., *sizes]))
  ax.set_ylim(0.8 * min([31.25, *means]), 1.4 * max([10_000., *means]))
  ax.set_xticks([10, 20, 50, 100, 200], ['10', '20', '50', '100', '200'])
  ax.xaxis.set_minor_formatter(ticker.NullFormatter())
  ax.set_xlabel('N, size of DeepSea')
  ax.spines[['top', 'right']].set_visible(False)
  ax.grid(color='0.93', linewidth=0.7)
  style.label_ends(ax, ends)


def _draw_shares(ax: axes_lib.Axes, groups: Sequence[tuple[str, Lines]]):
  """Draws who solves which size: shares of seeds, one row for each agent."""
  sizes = sorted({p.size for _, lines in groups
                  for points in lines.values() for p in points})
  names, y = [], 0.
  for head, lines in groups:
    if not lines:
      continue
    names.append((y, head, 'bold'))
    y += 1.
    for name, points in sorted(
        lines.items(), key=lambda line: -sum(
            p.solved / p.seeds for p in line[1])):
      title = textwrap.shorten(
          name.replace(': default', ''), 56, placeholder=' ...')
      names.append((y, title, 'normal'))
      for p in points:
        share = p.solved / p.seeds
        ax.add_patch(patches.Rectangle(
            (sizes.index(p.size) - 0.48, y - 0.46), 0.96, 0.92,
            facecolor=_shade(share)))
        ax.text(sizes.index(p.size), y, f'{p.solved}/{p.seeds}', ha='center',
                va='center', fontsize='small',
                color='white' if share > 0.55 else '0.2')
      y += 1.
    y += 0.3
  ax.set_xlim(-0.6, len(sizes) - 0.4)
  ax.set_ylim(y - 0.6, -0.7)
  ax.set_xticks(range(len(sizes)), [f'N = {size}' for size in sizes])
  ax.xaxis.tick_top()
  ax.set_yticks([y for y, _, _ in names], [name for _, name, _ in names])
  for label, (_, _, weight) in zip(ax.get_yticklabels(), names, strict=True):
    label.set_fontweight(weight)
  ax.tick_params(length=0)
  ax.spines[:].set_visible(False)


def _shade(share: float) -> tuple[float, ...]:
  """Returns a colour between light grey (none) and dark blue (all seeds)."""
  return tuple(a + share * (b - a) for a, b in zip(
      (0.91, 0.91, 0.91), (0., 0.36, 0.58), strict=True))


def draw(folder: Path):
  """Draws the figure of the runs in a folder.

  Raises:
    ValueError: if there is none, or one is damaged.
  """
  by_paper, by_bsuite, stochastic = ours(folder)
  theirs = published()
  num_rows = sum(map(len, (theirs, by_paper, stochastic))) + 4
  lower, upper = 0.24 * num_rows, 4.2  # Inches, as all of these.
  width, height = 15.7, upper + lower + 2.2
  fig = figure.Figure(figsize=(width, height))

  def place(x, y, dx, dy):
    return fig.add_axes((x / width, y / height, dx / width, dy / height))

  axes = [place(0.9 + 4.9 * i, lower + 1.7, 2.9, upper) for i in range(3)]

  def only(lines: Lines, hyperagent: bool) -> Lines:
    return {name: points for name, points in lines.items()
            if _is_hyperagent(name) == hyperagent}

  for ax, title, groups in (
      (axes[0], 'How many episodes does HyperAgent need?',
       ((only(by_paper, True), False), (only(theirs, True), True))),
      (axes[1], 'How many do the others need?',
       ((only(by_paper, False), False), (only(theirs, False), True))),
      (axes[2], "And by bsuite's criterion?", ((by_bsuite, False),))):
    _draw_lines(ax, groups)
    ax.set_title(title, loc='left', fontweight='bold')
  axes[0].set_ylabel('mean episodes to solve (seeds that fail: 10,000)')
  ax = place(5.4, 0.5, 8.6, lower)
  _draw_shares(ax, (('published', theirs), ('ours', by_paper),
                    ('ours, stochastic DeepSea', stochastic)))
  ax.set_title('Who solves which size? Seeds that do, of all.', loc='left',
               fontweight='bold', pad=22.)
  fig.text(0.5, 0.15 / height, 'Bars: 95% interval of the mean over seeds. '
           'Open circles: some seeds fail. Where none solves it, nothing is '
           'drawn above.', ha='center', color='0.35')
  files.write_figure(folder / 'deep_sea.png', fig)


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(draw, __spec__.name, argv)


if __name__ == '__main__':
  main()
