"""Figures of tabular experiments."""

import math

from matplotlib import axes as axes_lib
from matplotlib import figure
import numpy as np

from ..common import regret as regret_lib
from ..common import style

# Agents of a family share a colour; what tells them apart is the dashes.
_FAMILIES = ('rlsvi', 'hyperagent', 'ensemble_plus', 'psrl', 'bayes_ucbvi',
             'ucbvi', 'lmc_lsvi')
_ALSO = {'opsrl': 'bayes_ucbvi'}
_DASHES = ('-', '--', ':', '-.', (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)),
           (0, (3, 1)), (0, (1, 3)))


def _family(name: str) -> str:
  kin = {**{family: family for family in _FAMILIES}, **_ALSO}
  return next((kin[start] for start in kin if name.startswith(start)),
              'other')


def looks(names: list[str]) -> dict[str, dict]:
  """Returns colour and dashes of each agent's line."""
  colors = dict(zip(_FAMILIES, style.COLORS, strict=True))
  seen, found = {}, {}
  for name in names:
    family = _family(name)
    number = seen.setdefault(family, 0)
    seen[family] += 1
    found[name] = {'color': colors.get(family, style.GREY),
                   'linestyle': _DASHES[number % len(_DASHES)]}
  return found


def title(name: str) -> str:
  """Returns an agent's or environment's name in words."""
  return name.replace('_', ' ')


def _draw(ax: axes_lib.Axes, curves: dict[str, regret_lib.Curves]):
  ends = []
  for name, look in looks(list(curves)).items():
    found = curves[name]
    mean = regret_lib.mean(found.regret)
    ax.plot(found.times, mean.mean, linewidth=1.3, **look)
    ax.fill_between(
        found.times, np.maximum(mean.mean - mean.half, 1e-9),
        mean.mean + mean.half, color=look['color'], alpha=0.15, linewidth=0)
    ends.append((title(name), found.times[-1], mean.mean[-1],
                 look['color']))
  ax.set_xscale('log')
  ax.set_yscale('log')
  last = [regret_lib.mean(found.regret).mean for found in curves.values()]
  ax.set_ylim(max(0.3, 0.5 * min(x[0] for x in last)),
              1.5 * max(x[-1] for x in last))
  ax.set_xlabel('episodes')
  ax.set_ylabel('cumulative regret')
  style.label_ends(ax, ends)


def regret(
    by_environment: dict[str, dict[str, regret_lib.Curves]],
) -> figure.Figure:
  """Returns cumulative regret over episodes, a panel for each environment.

  Args:
    by_environment: curves of each agent, for each environment.
  """
  columns = min(2, len(by_environment))
  rows = math.ceil(len(by_environment) / columns)
  fig = figure.Figure(figsize=(6.6 * columns, 4.6 * rows))
  for i, (name, curves) in enumerate(by_environment.items()):
    ax = fig.add_subplot(rows, columns, i + 1)
    ax.set_title(title(name))
    _draw(ax, curves)
  fig.suptitle('Mean over seeds and its 95% interval', fontsize='small')
  fig.subplots_adjust(
      left=0.85 / (6.6 * columns), right=1. - 2.1 / (6.6 * columns),
      wspace=0.8, hspace=0.32, top=1. - 0.75 / (4.6 * rows),
      bottom=0.55 / (4.6 * rows))
  return fig
