"""Figures of linear bandits."""

import re

from matplotlib import figure
import numpy as np

from ..common import regret as regret_lib
from ..common import style

_PAIR = re.compile(r'hyperagent_(\d+)_([a-z]+)_([a-z]+)')


def regret(
    dim: int, num_actions: int, curves: dict[str, regret_lib.Curves],
) -> figure.Figure:
  """Returns regret over steps, and the last regret of each run.

  Args:
    dim: d.
    num_actions: X; 0 for the sphere.
    curves: curves of each agent.
  """
  plain = {name: found for name, found in curves.items()
           if not _PAIR.fullmatch(name)}
  pairs = {name: found for name, found in curves.items() if name not in plain}
  fig = figure.Figure(figsize=(12., 4.6))
  left, right = fig.subplots(1, 2)
  actions = f'{num_actions:,} actions' if num_actions else 'unit sphere'
  ends = []
  for name, color in style.colors(plain).items():
    found = plain[name]
    mean = regret_lib.mean(found.regret)
    left.plot(found.times, mean.mean, color=color, linewidth=1.3)
    left.fill_between(
        found.times, mean.mean - mean.half, mean.mean + mean.half,
        color=color, alpha=0.2, linewidth=0)
    ends.append((name.replace('_', ' '), found.times[-1], mean.mean[-1],
                 color))
  left.set(xlabel='steps', ylabel='cumulative regret', xscale='log',
           yscale='log', title=f'd = {dim}, {actions}')
  style.label_ends(left, ends)
  if pairs:
    _draw_pairs(right, pairs, curves.get('thompson'))
  else:
    _draw_runs(right, plain)
  fig.subplots_adjust(left=0.06, right=0.98, wspace=0.62, top=0.9, bottom=0.12)
  return fig


def _draw_runs(ax, curves: dict[str, regret_lib.Curves]):
  """Draws the share of runs whose regret is above a value."""
  for name, color in style.colors(curves).items():
    last = np.sort(curves[name].regret[:, -1])
    ax.step(last, 1. - np.arange(len(last)) / len(last), color=color,
            linewidth=1.3, label=name.replace('_', ' '))
  ax.set(xscale='log', yscale='log', xlabel='regret of a run',
         ylabel='share of runs above', title='Tails')
  ax.legend(fontsize='x-small')


def _draw_pairs(
    ax, pairs: dict[str, regret_lib.Curves],
    exact: regret_lib.Curves | None):
  """Draws the regret over M of each reference, a line for each perturbation."""
  lines = {}
  for name, found in pairs.items():
    size, reference, perturbation = _PAIR.fullmatch(name).groups()
    lines.setdefault((reference, perturbation), []).append(
        (int(size), float(found.regret[:, -1].mean())))
  colors = style.colors(dict.fromkeys(r for r, _ in lines))
  dashes = dict(zip(dict.fromkeys(p for _, p in lines),
                    ('-', '--', ':', '-.', (0, (5, 1, 1, 1, 1, 1))),
                    strict=False))
  for (reference, perturbation), line in lines.items():
    sizes, regrets = zip(*sorted(line), strict=True)
    ax.plot(sizes, regrets, color=colors[reference],
            linestyle=dashes[perturbation], linewidth=1.2, marker='o',
            markersize=3)
  if exact is not None:
    ax.axhline(exact.regret[:, -1].mean(), color=style.GREY, linewidth=0.8)
  for reference, color in colors.items():
    ax.plot([], [], color=color, label=f'reference {reference}')
  for perturbation, dash in dashes.items():
    ax.plot([], [], color='0.3', linestyle=dash, label=f'z {perturbation}')
  sizes = sorted({size for line in lines.values() for size, _ in line})
  ax.set(xscale='log', yscale='log', xlabel='M', ylabel='regret',
         title='Pairs of distributions (grey: exact)')
  ax.set_xticks(sizes, [str(size) for size in sizes])
  ax.minorticks_off()
  ax.legend(fontsize='x-small', ncol=2)
