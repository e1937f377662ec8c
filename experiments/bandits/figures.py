"""Figures of linear bandits."""

import math
import re

from matplotlib import figure
from matplotlib import ticker
import numpy as np

from ..common import regret as regret_lib
from ..common import style

_PAIR = re.compile(r'hyperagent_(\d+)_([a-z]+)_([a-z]+)')


def _looks(names: list[str]) -> dict[str, dict]:
  """Returns a colour for each M or J, and dashes for all but HyperAgent."""
  dashes = {'hyperagent': '-', 'ensemble': '--', 'langevin': (0, (1, 1))}
  others = ('-.', ':', (0, (8, 3)), (0, (5, 1, 1, 1, 1, 1)))
  split = {name: name.rpartition('_') for name in names}
  sizes = sorted({int(size) for kind, _, size in split.values()
                  if kind in dashes})
  colors = style.colors(sizes)
  found = {}
  for name, (kind, _, size) in split.items():
    if kind in dashes:
      found[name] = {'color': colors[int(size)], 'linestyle': dashes[kind]}
    else:
      number = sum(look['color'] == '0.3' for look in found.values())
      found[name] = {
          'color': '0.3', 'linestyle': others[number % len(others)]}
  return found


def _log_axis(axis):
  """Writes numbers on a logarithmic axis, whose lines are drawn already."""
  low, high = axis.get_view_interval()
  axis.set_major_locator(ticker.LogLocator(
      subs=(1., 2., 5.) if high < 100. * low else (1.,)))
  axis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f'{x:,g}'))
  axis.set_minor_formatter(ticker.NullFormatter())


def regret(
    dim: int, num_actions: int, curves: dict[str, regret_lib.Curves],
) -> figure.Figure:
  """Returns regret over steps and the last regret of each run.

  With pairs of distributions it is a matrix of these for each M instead.

  Args:
    dim: d.
    num_actions: X; 0 for the sphere.
    curves: curves of each agent.
  """
  plain = {name: found for name, found in curves.items()
           if not _PAIR.fullmatch(name)}
  pairs = {name: found for name, found in curves.items() if name not in plain}
  actions = f'{num_actions:,} actions' if num_actions else 'unit sphere'
  if pairs:
    return _of_pairs(dim, actions, pairs, curves.get('thompson'))
  fig = figure.Figure(figsize=(12., 4.6))
  left, right = fig.subplots(1, 2)
  ends = []
  for name, look in _looks(list(plain)).items():
    found, color = plain[name], look['color']
    mean = regret_lib.mean(found.regret)
    left.plot(found.times, mean.mean, linewidth=1.3, **look)
    left.fill_between(
        found.times, mean.mean - mean.half, mean.mean + mean.half,
        color=color, alpha=0.2, linewidth=0)
    ends.append((name.replace('_', ' '), found.times[-1], mean.mean[-1],
                 color))
  left.set(xlabel='steps', ylabel='cumulative regret', xscale='log',
           yscale='log', title=f'd = {dim}, {actions}')
  _log_axis(left.yaxis)
  style.label_ends(left, ends)
  _draw_runs(right, plain)
  fig.subplots_adjust(left=0.07, right=0.87, wspace=0.55, top=0.9, bottom=0.12)
  return fig


def _draw_runs(ax, curves: dict[str, regret_lib.Curves]):
  """Draws the share of runs whose regret is above a value."""
  for name, look in _looks(list(curves)).items():
    last = np.sort(curves[name].regret[:, -1])
    ax.step(last, 1. - np.arange(len(last)) / len(last), linewidth=1.3,
            label=name.replace('_', ' '), **look)
  ax.set(xscale='log', yscale='log', xlabel='regret of a run',
         ylabel='share of runs above', title='Tails')
  _log_axis(ax.xaxis)
  ax.legend(fontsize='x-small', loc='upper left', bbox_to_anchor=(1.01, 1.))


def _of_pairs(
    dim: int, actions: str, pairs: dict[str, regret_lib.Curves],
    exact: regret_lib.Curves | None,
) -> figure.Figure:
  """Returns a matrix of the mean regret for each M."""
  found = {}
  for name, curves in pairs.items():
    size, *pair = _PAIR.fullmatch(name).groups()
    found.setdefault(int(size), {})[tuple(pair)] = curves.regret[:, -1].mean()
  unit = exact.regret[:, -1].mean() if exact else 1.
  names = [list(dict.fromkeys(pair[i] for line in found.values()
                              for pair in line)) for i in (0, 1)]
  columns = min(3, len(found))
  rows = math.ceil(len(found) / columns)
  fig = figure.Figure(
      figsize=(4.6 * columns, 4.2 * rows + 0.2), layout='constrained')
  for i, size in enumerate(sorted(found)):
    ax = fig.add_subplot(rows, columns, i + 1)
    values = np.array([[found[size].get((r, p), np.nan) / unit
                        for p in names[1]] for r in names[0]])
    ax.imshow(np.log(values), cmap='Blues', vmin=-0.1, vmax=np.log(8.))
    for (row, column), value in np.ndenumerate(values):
      if np.isfinite(value):
        ax.text(column, row, f'{value:.2f}', ha='center', va='center',
                color='white' if value > 2.5 else 'black', fontsize='small')
    ax.set_xticks(range(len(names[1])), names[1], rotation=30)
    ax.set_yticks(range(len(names[0])), names[0])
    ax.set(xlabel='perturbation', ylabel='reference', title=f'M = {size}')
  fig.suptitle(f'd = {dim}, {actions}: mean regret'
               f'{" over that of exact sampling" if exact else ""}',
               fontsize='small')
  return fig
