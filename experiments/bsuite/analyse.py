"""Scores, table and figures of runs on bsuite, ours beside published ones.

  python -m experiments.bsuite.analyse DIR [DIR ...] [--output DIR]

Takes all runs in and below the folders, finished or not, and writes to the
first folder, or to --output,

  scores.csv    the score of each family, for each agent and seed
  ids.csv       the score of each id, as if it were all of its family
  radar.png     scores by tag, a polygon for each agent
  bars.png      scores by family
  learning.png  what a family's score is made of, over the episodes

and prints a table in Markdown of families, tags and all, means over seeds with
95% intervals (Student's t). Scores are over those ids that are there, and over
those episodes of them that have been played; the table says where some lack.
"""

from collections.abc import Sequence
import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from ..common import folder as folder_lib
from ..common import study
from . import families as families_lib
from . import figures
from . import reading
from . import table


@dataclasses.dataclass(frozen=True)
class Settings:
  """Scores runs on bsuite, and draws them.

  Attributes:
    folders: of runs, or above them.
    output: folder to write to; the first of the folders if None.
  """

  folders: Annotated[
      tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(
          metavar='DIR [DIR ...]', help_behavior_hint='(required)')]
  output: Path | None = None

  def __post_init__(self):
    if not self.folders:
      raise ValueError('expected at least one folder, got none')


def _notes(runs: reading.Runs, scores: dict[str, table.Scores]) -> list[str]:
  """Returns notes on what means and intervals do not say."""
  common = table.common_families(scores)
  whole = len(families_lib.FAMILIES)
  notes = []
  if len(common) < whole:
    notes.append(
        f'Rows of tags and of all families are over the {len(common)} of '
        f'{whole} families that every seed of every agent has, published '
        f'columns too.')
  if any(table.coverage(mine, family) for mine in runs.values()
         for family in families_lib.FAMILIES):
    notes.append(
        'A family is scored over those of its ids that are there; an id that '
        'has not finished counts with what it has. Published scores are of all '
        'ids.')
  for name, mine in runs.items():
    if len(mine) == 1:
      notes.append(f'{name}: a single seed, so there is no interval.')
  return notes


def analyse(settings: Settings):
  """Writes all files and prints the table.

  Raises:
    ValueError: as `reading.read` does.
  """
  runs, notes = reading.read(settings.folders)
  scores = {name: [seed.scores() for seed in mine]
            for name, mine in runs.items()}
  output = settings.output or settings.folders[0]
  folder_lib.make(output)
  table.write_scores(runs, scores, output / 'scores.csv')
  table.write_id_scores(runs, output / 'ids.csv')
  reasons = figures.draw_radar(scores, output / 'radar.png')
  figures.draw_bars(runs, scores, output / 'bars.png')
  figures.draw_learning(runs, output / 'learning.png')
  print(table.markdown(runs, scores))
  print()
  for note in [*_notes(runs, scores), *reasons, *notes]:
    print(f'- {note}')


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(analyse, __spec__.name, argv, Settings)


if __name__ == '__main__':
  main()
