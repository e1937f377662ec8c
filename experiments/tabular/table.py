"""The tables and the figure of finished tabular runs, in Markdown.

  python -m experiments.tabular.table experiments/results/tabular

For each environment in the folder, as `experiments.tabular.run` leaves them:
the regret of each agent after the last episode, with its 95% interval over
seeds, how much it is above RLSVI's, seed by seed, and the runs that are stuck.
Also draws regret.png of all of them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..common import files
from ..common import finished
from ..common import folder as folder_lib
from ..common import regret as regret_lib
from ..common import study
from . import figures
from . import run

HEADER = ('| agent | regret | median | above RLSVI | stuck |\n'
          '|---|---|---|---|---|')


def lines(folder: Path) -> list[str]:
  """Returns the lines of one environment's table."""
  curves = regret_lib.read(folder)
  path = folder / 'summary.csv'
  summary = files.read_columns(path, run.SUMMARY)
  exact = curves.get('rlsvi')
  result = []
  for name, found in curves.items():
    rows = np.flatnonzero(summary['agent'] == name)
    if len(rows) != 1:
      raise ValueError(
          f'{path}: expected one row of agent {name}, as {regret_lib.NAME} '
          f'has it, got {len(rows)}; the command of the run mends it')
    last = found.regret[:, -1]
    mean, relative = regret_lib.mean(last), '-'
    if exact is not None and name != 'rlsvi':
      above = regret_lib.relative(last, exact.regret[:, -1])
      relative = (f'{100. * above.mean:+.1f}% ± {100. * above.half:.1f}'
                  if abs(above.mean) < 10. else f'× {1. + above.mean:.0f}')
    result.append(
        f'| {figures.title(name)} | {mean.mean:,.0f} ± {mean.half:,.0f} '
        f'| {float(summary["median"][rows[0]]):,.0f} | {relative} '
        f'| {summary["stuck"][rows[0]]} of {len(last)} |')
  return result


def print_tables(folder: Path):
  """Prints the tables of all runs in a folder, and draws regret.png."""
  paths = finished.folders(folder)
  shown = {}
  for path in paths:
    settings = folder_lib.read_config(
        path, ('environment', 'num_episodes', 'num_seeds'))['settings']
    name = settings['environment']
    if settings.get('scale') is not None:
      name = f'{name}, scale {settings["scale"]:g}'
    if name in shown:
      name = f'{name}, {path.name}'
    shown[name] = regret_lib.read(path)
    print(f'\n{figures.title(name)}, {settings["num_episodes"]:,} episodes, '
          f'{settings["num_seeds"]} seeds\n\n{HEADER}')
    print('\n'.join(lines(path)))
    files.write_figure(
        path / 'regret.png', figures.regret({name: shown[name]}))
  files.write_figure(folder / 'regret.png', figures.regret(shown))


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(print_tables, __spec__.name, argv)


if __name__ == '__main__':
  main()
