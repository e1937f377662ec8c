"""The table of scores: ours beside the published ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..common import files
from . import families as families_lib
from . import reading
from . import scores as scores_lib

PUBLISHED = Path(__file__).parents[1] / 'published' / 'bsuite_scores.csv'
FIELDS = ('agent', 'preset', 'seed', 'family', 'score', 'ids', 'ids_of',
          'finished')
ID_FIELDS = ('agent', 'preset', 'seed', 'bsuite_id', 'score', 'episodes',
             'episodes_of')

# Scores by family, seed after seed.
Scores = list[dict[str, float]]


def published() -> dict[str, dict[str, float]]:
  """Returns the published scores by agent and family."""
  columns = files.read_columns(PUBLISHED)
  families = columns.pop('family')
  return {agent: dict(zip(families, column.astype(float).tolist(), strict=True))
          for agent, column in columns.items()}


def common_families(scores: dict[str, Scores]) -> list[str]:
  """Returns the families that every seed of every agent has, in order."""
  return [family for family in families_lib.FAMILIES
          if all(family in seed for mine in scores.values() for seed in mine)]


def of_families(
    mine: Scores, families: list[str]) -> scores_lib.Estimate | None:
  """Returns the mean score over families, None if a seed has none of them."""
  if not all(any(name in seed for name in families) for seed in mine):
    return None
  return scores_lib.over_seeds(np.array([
      scores_lib.over_families(seed, families) for seed in mine]))


def of_family(mine: Scores, family: str) -> scores_lib.Estimate | None:
  """Returns the mean score over those seeds that have a family."""
  return of_families([seed for seed in mine if family in seed], [family]) if (
      any(family in seed for seed in mine)) else None


def write_scores(runs: reading.Runs, scores: dict[str, Scores], path: Path):
  """Writes a row for each agent, seed and family."""
  rows = []
  for name, mine in runs.items():
    for seed, values in zip(mine, scores[name], strict=True):
      rows += [
          (seed.agent, seed.preset, seed.seed, family, f'{value:.6g}',
           len(seed.logs[family]), families_lib.FAMILIES[family].num_ids,
           seed.finished(family))
          for family, value in values.items()]
  files.write_csv(path, FIELDS, rows)


def write_id_scores(runs: reading.Runs, path: Path):
  """Writes a row for each agent, seed and id."""
  files.write_csv(path, ID_FIELDS, [
      (seed.agent, seed.preset, seed.seed, f'{family}/{index}',
       f'{scores_lib.score(family, {index: log}):.6g}', log.episodes[-1],
       families_lib.FAMILIES[family].num_episodes)
      for mine in runs.values() for seed in mine
      for family, logs in seed.logs.items()
      for index, log in sorted(logs.items())])


def text(estimate: scores_lib.Estimate | None) -> str:
  """Returns a cell of the table."""
  if estimate is None:
    return '-'
  half = '' if np.isnan(estimate.half) else f' ± {estimate.half:.2f}'
  return f'{estimate.mean:.2f}{half}'


def _range(numbers: list[int]) -> str:
  low, high = min(numbers), max(numbers)
  return str(low) if low == high else f'{low} to {high}'


def coverage(mine: list[reading.Seed], family: str) -> str:
  """Returns how much of a family there is, nothing if it is all of it."""
  seeds = [seed for seed in mine if family in seed.logs]
  if not seeds:
    return ''
  whole = families_lib.FAMILIES[family].num_ids
  ids = [len(seed.logs[family]) for seed in seeds]
  finished = [seed.finished(family) for seed in seeds]
  parts = []
  if min(ids) < whole:
    parts.append(f'{_range(ids)} of {whole} ids')
  if finished != ids:
    parts.append(f'{_range(finished)} finished')
  if len(seeds) < len(mine):
    parts.append(f'{len(seeds)} of {len(mine)} seeds')
  return f' ({", ".join(parts)})' if parts else ''


def markdown(runs: reading.Runs, scores: dict[str, Scores]) -> str:
  """Returns the table for people.

  The rows of tags and of all families compare: they are over the families that
  every seed of every agent of ours has, in the published columns as well. If
  all seeds of an agent have more, the last row is over those.
  """
  theirs, common = published(), common_families(scores)
  lines = []

  def add(
      title: str, ours: Callable[[str], str], families: list[str],
      with_theirs: bool = True):
    others = [text(of_families([values], families)) if with_theirs and families
              else '-' for values in theirs.values()]
    lines.append([title, *map(ours, runs), *others])

  def part(title: str, families: list[str]):
    present = [family for family in families if family in common]
    count = '' if len(present) == len(families) else (
        f' ({len(present)} of {len(families)} families)')
    add(f'**{title.replace("_", " ")}**{count}',
        lambda name: text(of_families(scores[name], present)), present)

  header = ['family', *[f'{name} ({_count(len(mine), "seed")})'
                        for name, mine in runs.items()], *theirs]
  lines += [header, ['---'] * len(header)]
  for family in families_lib.FAMILIES:
    add(family, lambda name, family=family: (
        text(of_family(scores[name], family)) + coverage(runs[name], family)),
        [family])
  for tag in families_lib.TAGS:
    part(tag, families_lib.with_tag(tag))
  part('all', list(families_lib.FAMILIES))
  most = {name: common_families({name: mine}) for name, mine in scores.items()}
  if any(len(families) > len(common) for families in most.values()):
    add('each agent over what it has', lambda name: (
        f'{text(of_families(scores[name], most[name]))} '
        f'({_count(len(most[name]), "family", "families")})'),
        [], with_theirs=False)
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _count(number: int, what: str, many: str = '') -> str:
  return f'{number} {what if number == 1 else many or f"{what}s"}'
