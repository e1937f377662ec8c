"""Figures of linear bandits."""

import re

from matplotlib import figure
from matplotlib import ticker
import numpy as np

from ..common import regret as regret_lib
from ..common import style

_PAIR = re.compile(r'hyperagent_(\d+)_([a-z]+)_([a-z]+)')


def _looks(names: list[str]) -> dict[str, dict]:
  """Returns a colour for each M, and dashes for all but HyperAgent."""
  sizes = sorted({int(name.rsplit('_', 1)[1]) for name in names
                  if name.rsplit('_', 1)[-1].isdecimal()})
  colors = style.colors(sizes)
  dashes = {'hyperagent': '-', 'ensemble': '--', 'langevin': ':'}
  found = {}
  for name in names:
    kind, _, size = name.rpartition('_')
    if kind in dashes:
      found[name] = {'color': colors[int(size)], 'linestyle': dashes[kind]}
    else:
      found[name] = {'color': '0.3', 'linestyle': '-.'}
  return found


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
  style.label_ends(left, ends)
  if pairs:
    _draw_pairs(right, pairs, curves.get('thompson'))
  else:
    _draw_runs(right, plain)
  fig.subplots_adjust(left=0.08, right=0.98, wspace=0.62, top=0.9, bottom=0.12)
  return fig


def _draw_runs(ax, curves: dict[str, regret_lib.Curves]):
  """Draws the share of runs whose regret is above a value."""
  for name, look in _looks(list(curves)).items():
    last = np.sort(curves[name].regret[:, -1])
    ax.step(last, 1. - np.arange(len(last)) / len(last), linewidth=1.3,
            label=name.replace('_', ' '), **look)
  ax.set(xscale='log', yscale='log', xlabel='regret of a run',
         ylabel='share of runs above', title='Tails')
  ax.xaxis.set_minor_formatter(ticker.NullFormatter())
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
