"""Figures of Atari runs, ours beside what was published."""

import csv
from pathlib import Path

from matplotlib import figure
from matplotlib import ticker
import numpy as np

from ..common import files
from ..common import style
from . import games as games_lib
from . import reading
from . import scores as scores_lib
from . import table

TITLES = {'iqm': 'IQM', 'median': 'median', 'mean': 'mean',
          'optimality_gap': 'optimality gap'}
# Published parameters are counted for six actions, which Pong has.
SIX_ACTIONS = 'Pong'


def published_curves() -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Returns the published evaluations by game: steps [T], returns [R, T]."""
  columns = files.read_columns(
      games_lib.PUBLISHED / 'atari8_hard_curves.csv')
  curves = {}
  for game in dict.fromkeys(columns['game']):
    mine = columns['game'] == game
    seeds = len(set(columns['seed'][mine]))
    # Seed after seed, each at the same steps.
    steps = columns['env_steps'][mine].astype(int).reshape(seeds, -1)
    returns = columns['eval_episode_return'][mine].astype(float)
    curves[games_lib.camel_case(game)] = (
        steps[0], returns.reshape(steps.shape))
  return curves


def steps_to_human(runs: list[reading.Run]) -> tuple[int | None, str]:
  """Returns the first evaluation whose IQM over the 26 games is at least 1.

  Returns:
    Environment steps, or None and the reason why.
  """
  found = {run.game for run in runs}
  missing = [game for game in games_lib.ATARI26 if game not in found]
  if missing:
    return None, (f'{len(missing)} of the 26 games are missing '
                  f'({", ".join(missing[:3])}{", ..." * (len(missing) > 3)})')
  runs = [run for run in runs if run.game in games_lib.ATARI26]
  steps, returns = reading.common_curves(runs)
  if not len(steps):
    return None, 'the runs have no evaluation after the same number of steps'
  values = np.array([games_lib.normalised(run.game, curve)
                     for run, curve in zip(runs, returns, strict=True)])
  counts = np.array([len(group) for group in reading.by_game(runs).values()])
  iqm = scores_lib.metrics(values.T, counts)['iqm']
  reached = np.flatnonzero(iqm >= 1.)
  if not len(reached):
    return None, (f'the IQM reaches {np.max(iqm):.2f} at most, in '
                  f'{steps[-1]:,} steps')
  if not steps[reached[0]]:
    return None, 'the IQM is 1 before the first step'
  return int(steps[reached[0]]), ''


def _count(number: int, what: str) -> str:
  return f'{number} {what}{"s" * (number != 1)}'


def draw_curves(runs: reading.Runs, path: Path):
  """Returns of the evaluations over the steps, a panel for each game.

  A panel ends where our runs do; what was published goes on. The interval of
  few seeds is cut off where it is wider than all means together.
  """
  colors, theirs = style.colors(runs), published_curves()
  by_agent = {name: reading.by_game(mine) for name, mine in runs.items()}
  games = sorted(set().union(*by_agent.values()))
  columns = min(len(games), max(2, round((2 * len(games))**0.5)))
  lines = -(-len(games) // columns)
  fig = figure.Figure(
      figsize=(max(6., 2.3 * columns + 0.5), 1.9 * lines + 0.9),
      layout='constrained')
  axes = fig.subplots(lines, columns, squeeze=False).flat
  for ax, game in zip(axes, games, strict=False):
    curves = [
        (name, colors[name], '-', reading.common_curves(groups[game]))
        for name, groups in by_agent.items() if game in groups]
    if game in theirs:
      curves.append(('published', 'black', '--', theirs[game]))
    lowest, highest, means = [], [], []
    end = max(curve[0][-1] for _, _, dashes, curve in curves if dashes == '-')
    for name, color, dashes, (steps, returns) in curves:
      mean, low, high = scores_lib.mean_interval(returns)
      ax.plot(steps, mean, dashes, color=color, linewidth=1.1, label=name)
      seen = steps <= end
      # A single run has no interval.
      lowest.append(np.nanmin([low[seen], mean[seen]]))
      highest.append(np.nanmax([high[seen], mean[seen]]))
      means.append(mean[seen])
      if len(returns) > 1:
        ax.fill_between(steps, low, high, color=color, alpha=0.18, linewidth=0)
    ax.set_title(game, fontsize='small')
    ax.tick_params(labelsize='x-small')
    for axis in (ax.xaxis, ax.yaxis):
      axis.set_major_formatter(ticker.EngFormatter(sep=''))
      axis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.set_xlim(0, end)
    mean = np.concatenate(means)
    if width := np.ptp(mean):
      ax.set_ylim(max(np.min(lowest), np.min(mean) - width) - 0.05 * width,
                  min(np.max(highest), np.max(mean) + width) + 0.05 * width)
    ax.spines[['top', 'right']].set_visible(False)
  for ax in list(fig.axes)[len(games):]:
    ax.set_visible(False)
  fig.supxlabel('env steps', fontsize='medium')
  fig.supylabel('mean return of the evaluation', fontsize='medium')
  handles = {}
  for ax in fig.axes:
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
      handles.setdefault(label, handle)
  fig.legend(handles.values(), handles, frameon=False, fontsize='small',
             loc='outside upper center', ncols=min(2, len(handles)))
  files.write_figure(path, fig)


def draw_profiles(runs: reading.Runs, path: Path):
  """Draws the fraction of runs above each score, for both kinds of scores."""
  colors = style.colors(runs)
  top = max(np.max(reading.normalised(mine, kind).values)
            for mine in runs.values() for kind in reading.KINDS)
  # A few games have scores so high that nothing else could be seen.
  thresholds = np.linspace(0., np.clip(1.05 * top, 1.5, 8.), 161)
  fig = figure.Figure(figsize=(9.6, 3.6 + 0.2 * len(runs)),
                      layout='constrained')
  axes = fig.subplots(1, 2, sharex=True, sharey=True)
  for ax, kind, title in zip(
      axes, reading.KINDS, ('last parameters', 'best checkpoint in hindsight'),
      strict=True):
    ax.axvline(1., color='grey', linewidth=0.8, linestyle=':')
    for name, mine in runs.items():
      scores = reading.normalised(mine, kind)
      fraction, low, high = scores_lib.profile(scores, thresholds)
      ax.step(thresholds, fraction, color=colors[name], linewidth=1.2,
              label=f'{name} ({_count(len(scores.counts), "game")}, '
                    f'{_count(len(mine), "run")})')
      ax.fill_between(thresholds, low, high, step='pre', color=colors[name],
                      alpha=0.18, linewidth=0)
    ax.set_title(title, fontsize='medium')
    ax.set_xlabel(r'human-normalised score $\tau$')
    ax.set_xlim(thresholds[0], thresholds[-1])
    ax.set_ylim(0., 1.02)
    ax.spines[['top', 'right']].set_visible(False)
  axes[0].set_ylabel(r'fraction of runs with score > $\tau$')
  fig.legend(*axes[0].get_legend_handles_labels(), frameon=False,
             fontsize='small', loc='outside lower center')
  files.write_figure(path, fig)


def draw_aggregates(rows: list[table.Row], path: Path):
  """Draws the metrics with their intervals, a line per row of the table."""
  is_ours = [row.scores in reading.KINDS for row in rows]
  colors = style.colors(dict.fromkeys(
      row.agent for row, ours in zip(rows, is_ours, strict=True) if ours))
  fig = figure.Figure(figsize=(13, 1.3 + 0.3 * len(rows)), layout='constrained')
  axes = fig.subplots(1, len(scores_lib.METRICS), sharey=True)
  for ax, metric in zip(axes, scores_lib.METRICS, strict=True):
    for y, row in enumerate(rows):
      color = colors[row.agent] if is_ours[y] else 'black'
      value, low, high = row.estimates[metric]
      ax.plot([low, high], [y, y], color=color, linewidth=4, alpha=0.35,
              solid_capstyle='butt')
      ax.plot(value, y, 'o', color=color, markersize=5)
      # Median and mean are of the games' means in any case.
      if metric in ('iqm', 'optimality_gap'):
        ax.plot(row.of_means[metric], y, 'o', color=color, markersize=5,
                markerfacecolor='none')
    for y in range(1, len(rows)):
      if is_ours[y] != is_ours[y - 1]:
        ax.axhline(y - 0.5, color='grey', linewidth=0.6)
    ax.set_xlim(left=min(0., ax.get_xlim()[0]))
    ax.set_title(TITLES[metric] + (
        ', less is better' if metric == 'optimality_gap' else ''),
                 fontsize='medium')
    ax.grid(axis='x', linewidth=0.4)
    ax.tick_params(axis='y', length=0)
    ax.spines[['top', 'right', 'left']].set_visible(False)
  axes[0].set_yticks(range(len(rows)), [
      f'{row.agent}, {row.scores} ({_count(row.num_games, "game")})'
      for row in rows], fontsize='small')
  axes[0].set_ylim(len(rows) - 0.5, -0.5)
  fig.supxlabel('human-normalised score; filled: of all runs, with 95% '
                "interval; hollow: of the games' means", fontsize='small')
  files.write_figure(path, fig)


def draw_parameters(runs: reading.Runs, path: Path) -> list[str]:
  """Parameters over the steps until the IQM of the 26 games is 1.

  Returns:
    Why some of ours are not drawn.
  """
  fig = figure.Figure(figsize=(6.6, 4.4 + 0.2 * len(runs)),
                      layout='constrained')
  ax = fig.subplots()
  published = games_lib.PUBLISHED / 'atari26_parameters.csv'
  with open(published, newline='', encoding='utf-8') as f:
    for i, row in enumerate(csv.DictReader(f)):
      reached = row['reached'] == '1'
      point = float(row['env_steps']), float(row['parameters'])
      ax.plot(*point, 'o' if reached else 'x', color='black', markersize=7,
              label=None if i else 'published', linestyle='none')
      # To the left of one that never got there, as others lie to its right.
      ax.annotate(
          row['agent'] if reached else f'{row["agent"]} (never)', point,
          xytext=(7 if reached else -7, 5), ha='left' if reached else 'right',
          textcoords='offset points', fontsize='small')
  reasons, colors = [], style.colors(runs)
  for name, mine in runs.items():
    steps, reason = steps_to_human(mine)
    if steps is None:
      reasons.append(f'parameters.png has nothing of {name}: {reason}.')
    else:
      ax.plot(steps, reading.by_game(mine)[SIX_ACTIONS][0].parameters, 'D',
              color=colors[name], markersize=7, label=name, linestyle='none')
  ax.set_xscale('log')
  ax.set_yscale('log')
  for axis in (ax.xaxis, ax.yaxis):
    axis.set_major_formatter(ticker.EngFormatter(sep=''))
    axis.set_minor_formatter(ticker.NullFormatter())
  ax.margins(0.15)
  ax.set_xlabel('env steps until the IQM of the 26 games is 1')
  ax.set_ylabel('trainable parameters, with six actions')
  ax.spines[['top', 'right']].set_visible(False)
  fig.legend(frameon=False, fontsize='small', loc='outside upper center')
  files.write_figure(path, fig)
  return reasons
