"""Table and figure of runs on MinAtar.

  python -m experiments.minatar.analyse DIR

Takes all finished runs in the folders of DIR, joins those of the same game,
agent and settings, and writes to DIR

  scores.csv  mean returns of the last parameters; printed as a table, too
  curves.png  evaluations while learning, game by game

Intervals are of 95%, by Student's t, over seeds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib import figure
from matplotlib import ticker
import numpy as np

from ..common import files
from ..common import finished
from ..common import intervals
from ..common import study
from ..common import style
from . import run as run_lib

# Settings that a run must name.
FIELDS = ('agent', 'preset', 'game', 'num_steps')
SCORES = ('game', 'agent', 'seeds', 'env_steps', 'final_return', 'half_width',
          'core_hours')
HEADER = ('| game | agent | seeds | steps | final return | core-hours |\n'
          '|---|---|---|---|---|---|')


class Runs(NamedTuple):
  """The seeds of one game, agent and settings.

  Attributes:
    game: of MinAtar.
    agent: and its settings, in words.
    steps: at the evaluations, rising, [E].
    returns: of the evaluations of each seed, [S, E].
    final: returns of the last parameters, [S].
    core_hours: of all seeds together, see `finished.core_hours`.
  """

  game: str
  agent: str
  steps: np.ndarray
  returns: np.ndarray
  final: np.ndarray
  core_hours: float


def _curves(folder: Path) -> dict[str, dict[int, float]]:
  """Returns the evaluations of each seed, by steps."""
  path = folder / 'evaluations.csv'
  rows = files.read_columns(path, run_lib.EVALUATIONS)
  curves: dict[str, dict[int, float]] = {}
  for seed, steps, value in zip(
      rows['seed'], rows['env_steps'], rows['eval_return'], strict=True):
    curves.setdefault(seed, {})[
        int(files.read_number(steps, path, 'env_steps'))] = files.read_number(
            value, path, 'eval_return')
  return curves


def read(folder: Path) -> list[Runs]:
  """Returns what a folder's finished runs have come to, by game and agent.

  Raises:
    ValueError: if no run has finished there, or one is damaged.
  """
  found = []
  points = finished.points(folder, FIELDS)
  for (config, paths), words in zip(
      points, finished.names(points, 'game'), strict=True):
    settings = config['settings']
    curves, final = [], []
    for path in paths:
      curves += _curves(path).values()
      summary = path / 'summary.csv'
      final += [files.read_number(x, summary, 'final_return')
                for x in files.read_columns(
                    summary, run_lib.SUMMARY)['final_return']]
    if len(curves) != len(final) or any(
        curve.keys() != curves[0].keys() for curve in curves):
      raise ValueError(
          f'expected evaluations after the same steps for every seed of '
          f'summary.csv, in {", ".join(map(str, paths))}')
    steps = sorted(curves[0])
    found.append(Runs(
        settings['game'], f'{settings["agent"]}: {words}',
        np.array(steps), np.array([[curve[x] for x in steps]
                                   for curve in curves]),
        np.array(final), sum(map(finished.core_hours, paths))))
  return sorted(found, key=lambda runs: (runs.game, runs.agent))


def draw(found: Sequence[Runs], path: Path):
  """Draws returns over steps, a panel for each game."""
  games = list(dict.fromkeys(runs.game for runs in found))
  colors = style.colors(dict.fromkeys(runs.agent for runs in found))
  fig = figure.Figure(
      figsize=(max(5., 3.4 * len(games)), 3.4 + 0.2 * len(colors)),
      layout='constrained')
  handles = {}
  for game, ax in zip(
      games, fig.subplots(1, len(games), squeeze=False)[0], strict=True):
    for runs in found:
      if runs.game != game:
        continue
      mean, color = runs.returns.mean(axis=0), colors[runs.agent]
      handles[runs.agent], = ax.plot(
          runs.steps, mean, color=color, linewidth=1.4)
      if len(runs.returns) > 1:
        half = intervals.half_width(runs.returns)
        ax.fill_between(runs.steps, mean - half, mean + half, color=color,
                        alpha=0.18, linewidth=0)
    ax.set_title(game, fontsize='medium')
    ax.xaxis.set_major_formatter(ticker.EngFormatter(sep=''))
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.spines[['top', 'right']].set_visible(False)
  fig.supxlabel('steps', fontsize='medium')
  fig.supylabel('mean return of an evaluation', fontsize='medium')
  fig.legend(handles.values(), handles, frameon=False, fontsize='small',
             loc='outside upper center', ncols=1)
  files.write_figure(path, fig)


def analyse(folder: Path):
  """Writes both files and prints the table.

  Raises:
    ValueError: as `read` does.
  """
  rows, lines = [], [HEADER]
  found = read(folder)
  for runs in found:
    mean, count = np.mean(runs.final), len(runs.final)
    half = intervals.half_width(runs.final)
    several = count > 1  # A single seed has no interval.
    rows.append((
        runs.game, runs.agent, count, runs.steps[-1], f'{mean:.6g}',
        f'{half:.6g}' if several else '', f'{runs.core_hours:.3f}'))
    lines.append(
        f'| {runs.game} | {runs.agent} | {count} | {runs.steps[-1]:,} '
        f'| {mean:.1f}{f" ± {half:.1f}" if several else ""} '
        f'| {runs.core_hours:.2f} |')
  files.write_csv(folder / 'scores.csv', SCORES, rows)
  draw(found, folder / 'curves.png')
  print('\n'.join(lines))


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(analyse, __spec__.name, argv)


if __name__ == '__main__':
  main()
