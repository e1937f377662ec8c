"""The table of aggregates: ours beside the published ones."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..common import files
from . import games as games_lib
from . import reading
from . import scores as scores_lib


class Published(NamedTuple):
  """Published numbers of one protocol.

  Attributes:
    protocol: in the table.
    suite: its games.
    scores: file with the mean score of each game.
    aggregates: file with the aggregates over the runs of all its games; None if
      there is none.
  """

  protocol: str
  suite: str
  scores: str
  aggregates: str | None = None


PUBLISHED = (
    Published('atari26', 'atari26', 'atari26_scores.csv',
              'atari26_aggregates.csv'),
    Published('100k steps', 'atari26', 'atari100k_scores.csv',
              'atari100k_aggregates.csv'),
    Published('atari8-hard', 'atari8-hard', 'atari8_hard_scores.csv'))


class Row(NamedTuple):
  """A line of the table.

  Attributes:
    agent: and its settings.
    scores: which they are.
    num_games: that it is about.
    num_runs: of all games together, None where it is not known.
    estimates: by metric; NaN where they are not known.
    of_means: by metric, as if each game had a single run of its mean score.
  """

  agent: str
  scores: str
  num_games: int
  num_runs: int | None
  estimates: dict[str, scores_lib.Estimate]
  of_means: dict[str, float]


def our_rows(runs: reading.Runs) -> list[Row]:
  """Two rows for each agent, one of each kind of scores."""
  rows = []
  for name, mine in runs.items():
    for kind in reading.KINDS:
      scores = reading.normalised(mine, kind)
      rows.append(Row(
          name, kind, len(scores.counts), len(mine),
          scores_lib.estimates(scores),
          _metrics_of_means(scores_lib.game_means(*scores))))
  return rows


def _metrics_of_means(means: np.ndarray) -> dict[str, float]:
  """Returns the metrics of one score for each game, [G]."""
  found = scores_lib.metrics(means, np.ones(len(means), int))
  return {name: float(value) for name, value in found.items()}


def published_rows(games: Iterable[str]) -> list[Row]:
  """Returns the published scores of these games; none if some are missing.

  Of all runs there are only aggregates over all games of a suite. Otherwise the
  means of the games are known, which say what their median and mean are, but
  not the interquartile mean and the optimality gap of the runs.
  """
  games, rows = set(games), []
  for published in PUBLISHED:
    suite = set(games_lib.SUITES[published.suite])
    if not games <= suite:
      continue
    columns = files.read_columns(games_lib.PUBLISHED / published.scores)
    of_runs = {}
    if published.aggregates is not None and games == suite:
      of_runs = _published_aggregates(published.aggregates)
    agents = [name for name in columns
              if name not in ('game', 'random', 'human')]
    for agent in dict.fromkeys([*agents, *of_runs]):
      of_means = dict.fromkeys(scores_lib.METRICS, np.nan)
      if agent in columns:
        of_means = _metrics_of_means(np.array([
            games_lib.normalised(game, float(score))
            for game, score in zip(
                columns['game'], columns[agent], strict=True)
            if game in games]))
      estimates = of_runs.get(agent, {
          name: scores_lib.Estimate(
              of_means[name] if name in ('median', 'mean') else np.nan)
          for name in scores_lib.METRICS})
      rows.append(Row(
          agent, f'published, {published.protocol}', len(games), None,
          estimates, of_means))
  return rows


def _published_aggregates(
    filename: str) -> dict[str, dict[str, scores_lib.Estimate]]:
  """Returns the published aggregates over all games, by agent."""
  columns = files.read_columns(games_lib.PUBLISHED / filename)

  def number(name, i):
    return float(columns[name][i] or np.nan) if name in columns else np.nan

  return {
      agent: {name: scores_lib.Estimate(*[
          number(f'{name}{end}', i) for end in ('', '_low', '_high')])
              for name in scores_lib.METRICS}
      for i, agent in enumerate(columns['agent'])}


def write_aggregates(rows: list[Row], path: Path):
  """Writes all rows; what is not known is left empty."""

  def text(value):
    return '' if np.isnan(value) else f'{value:.6g}'

  fields = ['agent', 'scores', 'num_games', 'num_runs']
  for name in scores_lib.METRICS:
    fields += [name, f'{name}_low', f'{name}_high']
  fields += ['iqm_of_means', 'optimality_gap_of_means']
  lines = []
  for row in rows:
    estimates = [x for name in scores_lib.METRICS for x in row.estimates[name]]
    lines.append((
        row.agent, row.scores, row.num_games,
        '' if row.num_runs is None else row.num_runs,
        *[text(x) for x in estimates],
        text(row.of_means['iqm']), text(row.of_means['optimality_gap'])))
  files.write_csv(path, tuple(fields), lines)


def write_scores(runs: reading.Runs, path: Path):
  """Writes the mean score of every game, published and ours, side by side.

  The games are those of each suite that has all of our games; where none has,
  they are ours. A game that an agent of ours has not played says 'no run'.

  Args:
    runs: by agent and settings.
    path: of the CSV file.
  """
  ours = {name: {game: np.mean([run.final for run in group])
                 for game, group in reading.by_game(mine).items()}
          for name, mine in runs.items()}
  played = {game for means in ours.values() for game in means}
  theirs, games = {}, set(played)
  for published in PUBLISHED:
    if played <= set(games_lib.SUITES[published.suite]):
      columns = files.read_columns(games_lib.PUBLISHED / published.scores)
      games.update(columns['game'])
      for agent in columns:
        if agent not in ('game', 'random', 'human'):
          theirs[f'{agent}, published, {published.protocol}'] = dict(
              zip(columns['game'], columns[agent], strict=True))
  references = games_lib.references()
  lines = []
  for game in sorted(games):
    lines.append((
        game, *[f'{x:g}' for x in references[game]],
        *[scores.get(game, '') for scores in theirs.values()],
        *[f'{means[game]:.6g}' if game in means else 'no run'
          for means in ours.values()]))
  files.write_csv(path, ('game', 'random', 'human', *theirs, *ours), lines)


def markdown(rows: list[Row]) -> str:
  """Returns the table for people."""

  def text(estimate):
    if np.isnan(estimate.value):
      return '-'
    interval = '' if np.isnan(estimate.low) else (
        f' ({estimate.low:.2f} to {estimate.high:.2f})')
    return f'{estimate.value:.2f}{interval}'

  lines = ['| agent | scores | games | runs | IQM | median | mean | '
           'optimality gap | IQM of game means |',
           '|---|---|---|---|---|---|---|---|---|']
  for row in rows:
    cells = [row.agent, row.scores, str(row.num_games),
             '-' if row.num_runs is None else str(row.num_runs),
             *[text(row.estimates[name]) for name in scores_lib.METRICS],
             text(scores_lib.Estimate(row.of_means['iqm']))]
    lines.append(f'| {" | ".join(cells)} |')
  return '\n'.join(lines)
