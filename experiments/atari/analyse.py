"""Table and figures of Atari runs, ours beside the published ones.

  python -m experiments.atari.analyse DIR

Takes all finished runs below DIR (folders with config.json and summary.csv),
joins those of the same agent and settings, and writes to DIR

  aggregates.csv  interquartile mean, median, mean and optimality gap of the
                  human-normalised scores; printed as a table, too
  aggregates.png  the same, drawn
  scores.csv      the mean score of every game, published and ours
  profiles.png    the fraction of runs with more than a score, over the score
  curves.png      evaluations while learning, game by game
  parameters.png  parameters over the steps until the interquartile mean is 1

Scores are of the last parameters ('final') and of the best checkpoint in
hindsight ('best'). The second flatters; it is what was published of HyperAgent
on 26 games.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..common import study
from . import figures
from . import reading
from . import table


def _notes(runs: reading.Runs) -> list[str]:
  """Returns notes on what intervals and means do not say."""
  notes = []
  for name, mine in runs.items():
    groups = reading.by_game(mine)
    counts = {game: len(group) for game, group in groups.items()}
    single = [game for game, count in counts.items() if count == 1]
    if single:
      notes.append(
          f'{name}: a single run of {", ".join(single)}, so that the interval '
          f'has no part of what its seeds would differ by.')
    if len(set(counts.values())) > 1:
      notes.append(
          f'{name}: from {min(counts.values())} to {max(counts.values())} runs '
          f'of a game; in IQM, optimality gap and profile a game with more '
          f'runs weighs more.')
    uneven = [game for game, group in groups.items() if any(
        not np.array_equal(run.steps, group[0].steps) for run in group)]
    if uneven:
      notes.append(
          f'{name}: evaluated at different steps in {", ".join(uneven)}; '
          f'curves.png has those that all seeds have.')
  return notes


def analyse(folder: Path):
  """Writes all files and prints the table.

  Raises:
    ValueError: as `reading.read` does.
  """
  runs, notes = reading.read(folder)
  # Aggregates compare only over the same games.
  by_games = {}
  for name, mine in runs.items():
    games = frozenset(run.game for run in mine)
    by_games.setdefault(games, {})[name] = mine
  rows = []
  for games, group in by_games.items():
    rows += table.our_rows(group) + table.published_rows(games)
  table.write_aggregates(rows, folder / 'aggregates.csv')
  table.write_scores(runs, folder / 'scores.csv')
  figures.draw_aggregates(rows, folder / 'aggregates.png')
  figures.draw_profiles(runs, folder / 'profiles.png')
  figures.draw_curves(runs, folder / 'curves.png')
  reasons = figures.draw_parameters(runs, folder / 'parameters.png')
  print(table.markdown(rows))
  print()
  flatters = ("'best' is the best checkpoint in hindsight, which flatters; so "
              "are HyperAgent's published scores in atari26, of 2M steps. "
              "What was published of 100k steps is of the last parameters.")
  for note in [flatters, *_notes(runs), *notes, *reasons]:
    print(f'- {note}')


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(analyse, __spec__.name, argv)


if __name__ == '__main__':
  main()
