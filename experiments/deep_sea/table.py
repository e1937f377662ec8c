"""The table of DeepSea results, ours beside the published ones, in Markdown.

  python -m experiments.deep_sea.table experiments/results/deep_sea
"""

from collections.abc import Sequence
import csv
from pathlib import Path
from typing import Any

import numpy as np

from ..common import files
from ..common import finished
from ..common import intervals
from ..common import registry
from ..common import study

PUBLISHED = Path(__file__).parents[1] / 'published' / 'deep_sea.csv'
# What the publication calls the agents that are in it.
PUBLISHED_NAMES = {'hyperagent': 'HyperAgent', 'hyperdqn': 'HyperDQN',
                   'enn_dqn': 'ENN-DQN', 'boot_dqn': 'BootDQN'}
# Settings that a run must name.
FIELDS = ('agent', 'preset', 'size', 'num_episodes')
# What the publication counts for a seed that never learns.
UNSOLVED = 10_000
HEADER = (
    '| agent | settings | N | published | ours | 95% interval | solved | '
    'given up after | core-hours |\n|---|---|---|---|---|---|---|---|---|')


def published_episodes(agent: str, preset: str, size: int) -> float | None:
  """Returns the published mean of episodes to learn, or None."""
  name = PUBLISHED_NAMES.get(agent) if (
      preset == 'paper_deep_sea' or agent != 'hyperagent') else None
  if preset == 'enn_acme_bsuite':
    name = None
  if preset == 'paper_deep_sea_optimistic':
    name = 'HyperAgent-OIS'
  with open(PUBLISHED, newline='', encoding='utf-8') as f:
    for row in csv.DictReader(f):
      if (row['algorithm'], row['size']) == (name, str(size)):
        return float(row['mean_episodes_to_learn'])
  return None


def episodes_to_learn(folder: Path) -> np.ndarray:
  """Returns the episodes to learn of each seed, [S]; infinity if unsolved."""
  path = folder / 'summary.csv'
  summary = files.read_columns(path, ('solved', 'episodes_to_learn'))
  if not len(summary['solved']):
    raise ValueError(f'{path} has no rows; expected one for each seed')
  return np.array([
      files.read_number(episodes, path, 'episodes_to_learn')
      if solved == '1' else np.inf
      for solved, episodes in zip(
          summary['solved'], summary['episodes_to_learn'], strict=True)])


def counted(episodes: np.ndarray, num_episodes: int) -> np.ndarray:
  """Returns episodes [S], 10,000 or the run's length for what never learns."""
  return np.where(
      np.isfinite(episodes), episodes, max(UNSOLVED, num_episodes))


def interval(episodes: np.ndarray) -> tuple[float, float]:
  """Returns the 95% interval of the mean, Student's t, over seeds [S].

  Both ends are the value of a single seed.
  """
  mean = float(np.mean(episodes))
  half = float(intervals.half_width(episodes)) if len(episodes) > 1 else 0.
  return mean - half, mean + half


def row(config: dict[str, Any], folders: Sequence[Path], words: str) -> str:
  """Returns the table's row of one point; see `finished`."""
  settings = config['settings']
  episodes = np.concatenate([episodes_to_learn(x) for x in folders])
  solved = int(np.isfinite(episodes).sum())
  episodes = counted(episodes, settings['num_episodes'])
  hours = sum(map(finished.core_hours, folders))
  published = None
  if not settings.get('stochastic'):
    published = published_episodes(
        settings['agent'], registry.preset_of(config), settings['size'])
  low, high = interval(episodes)
  return (f'| {settings["agent"]} | {words} | {settings["size"]} '
          f'| {"-" if published is None else f"{published:,.0f}"} '
          f'| {np.mean(episodes):,.0f} | {low:,.0f} to {high:,.0f} '
          f'| {solved} of {len(episodes)} '
          f'| {settings["num_episodes"]:,} | {hours:.3f} |')


def print_table(folder: Path):
  """Prints the table of all finished runs in a folder."""
  points = finished.points(folder, FIELDS)
  rows = []
  for (config, paths), words in zip(
      points, finished.names(points, 'size'), strict=True):
    settings = config['settings']
    rows.append((settings['agent'], words, settings['size'],
                 row(config, paths, words)))
  print(HEADER)
  for *_, line in sorted(rows):
    print(line)


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(print_table, __spec__.name, argv)


if __name__ == '__main__':
  main()
