"""Figure of the benchmark of the learner."""

from collections.abc import Sequence
import math
from pathlib import Path
from typing import Any

import jax
import matplotlib
from matplotlib import figure
from matplotlib import lines
from matplotlib import ticker
import numpy as np

from benchmarks import machine
from experiments.common import files

matplotlib.use('Agg')


def draw(folder: Path, rows: Sequence[dict[str, Any]]):
  """Draws learner.png: speed and share of the peak against the size.

  Args:
    folder: folder of the figure.
    rows: rows of learner.csv, by the names in `FIELDS`.
  """
  fig = figure.Figure(figsize=(10, 4.4), layout='constrained')
  left, right = fig.subplots(1, 2)
  sizes = sorted({row['size'] for row in rows})
  num_seeds = sorted({row['num_seeds'] for row in rows})
  colors = matplotlib.colormaps['viridis'](
      np.linspace(0., 0.85, len(num_seeds)))
  styles = {'default': '-.', 'optimistic': ':', 'exact': '-',
            'sampled': '--'}
  for seeds, color in zip(num_seeds, colors, strict=True):
    for loss, style in styles.items():
      line = sorted((row for row in rows if row['num_seeds'] == seeds
                     and row['loss'] == loss), key=lambda row: row['size'])
      x = [row['size'] for row in line]
      rate = np.array([row['updates_per_second'] for row in line])
      spread = [rate - [row['min'] for row in line],
                [row['max'] for row in line] - rate]
      look = dict(color=color, linestyle=style, marker='o', markersize=4,
                  markerfacecolor=color if loss == 'exact' else 'white')
      left.errorbar(x, rate, spread, capsize=2, elinewidth=0.8, **look)
      right.plot(x, [100. * row['share_of_peak'] for row in line], **look)
  left.set_ylabel('updates per second, all seeds together')
  right.set_ylabel('share of the peak of a matrix product, %')
  for ax in (left, right):
    ax.set_xscale('log')
    ax.set_yscale('log')
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    # At least one decade, since ticks of a shorter range have no labels.
    low, high = ax.get_ylim()
    if high < 10. * low:
      middle = math.sqrt(low * high)
      ax.set_ylim(middle / math.sqrt(10.), middle * math.sqrt(10.))
    ax.yaxis.set_minor_locator(
        ticker.LogLocator(subs=(2., 5.), numticks=20))
    ax.yaxis.set_minor_formatter(
        ticker.FuncFormatter(lambda y, _: f'{y:g}'))
    ax.yaxis.set_major_formatter(
        ticker.FuncFormatter(lambda y, _: f'{y:g}'))
    ax.grid(axis='y', which='both', color='0.92')
    ax.set_xlabel('N, size of DeepSea')
    ax.spines[['top', 'right']].set_visible(False)
  handles = [
      *[lines.Line2D([], [], color=color,
                     label=f'{seeds} seed{"s" if seeds > 1 else ""}')
        for seeds, color in zip(num_seeds, colors, strict=True)],
      *[lines.Line2D([], [], color='0.3', linestyle=style, marker='o',
                     markersize=4, label=loss,
                     markerfacecolor='0.3' if loss == 'exact' else 'white')
        for loss, style in styles.items()]]
  fig.legend(handles=handles, loc='outside lower center', ncols=len(handles),
             frameon=False)
  devices = jax.devices()
  name = (machine.cpu_name() if devices[0].platform == 'cpu'
          else devices[0].device_kind)
  fig.suptitle(f'HyperAgent on DeepSea, {len(devices)} x {name}')
  files.write_figure(folder / 'learner.png', fig)
