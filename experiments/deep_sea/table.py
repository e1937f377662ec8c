"""The table of DeepSea results, ours beside the published ones, in Markdown.

  python -m experiments.deep_sea.table experiments/results/deep_sea
"""

from collections.abc import Sequence
import csv
from pathlib import Path

import numpy as np
from scipy import stats

from ..common import files
from ..common import folder as folder_lib
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
  """Returns the episodes to learn of each seed, [S]; 10,000 if unsolved."""
  path = folder / 'summary.csv'
  summary = files.read_columns(path, ('solved', 'episodes_to_learn'))
  if not len(summary['solved']):
    raise ValueError(f'{path} has no rows; expected one for each seed')
  return np.array([
      files.read_number(episodes, path, 'episodes_to_learn')
      if solved == '1' else float(UNSOLVED)
      for solved, episodes in zip(
          summary['solved'], summary['episodes_to_learn'], strict=True)])


def interval(episodes: np.ndarray) -> tuple[float, float]:
  """Returns the 95% interval of the mean, Student's t, over seeds [S]."""
  if len(episodes) < 2 or np.ptp(episodes) == 0:
    return float(np.mean(episodes)), float(np.mean(episodes))
  low, high = stats.t.interval(
      0.95, len(episodes) - 1, np.mean(episodes), stats.sem(episodes))
  return float(low), float(high)


def row(folder: Path) -> str:
  """Returns the table's row of one run."""
  config = folder_lib.read_config(folder, FIELDS)
  settings = config['settings']
  summary = files.read_columns(
      folder / 'summary.csv', ('solved', 'wall_seconds'))
  solved = summary['solved'] == '1'
  episodes = episodes_to_learn(folder)
  published = None
  if not settings.get('stochastic'):
    published = published_episodes(
        settings['agent'], registry.preset_of(config), settings['size'])
  low, high = interval(episodes)
  # Until the last seed had learned, on all devices; a CPU device is a core.
  seconds = [files.read_number(x, folder / 'summary.csv', 'wall_seconds')
             for x in summary['wall_seconds']]
  hours = max(seconds) / 3600 * len(config['devices'])
  return (f'| {settings["agent"]} | {registry.settings_in_words(config)} '
          f'| {settings["size"]} '
          f'| {"-" if published is None else f"{published:,.0f}"} '
          f'| {np.mean(episodes):,.0f} | {low:,.0f} to {high:,.0f} '
          f'| {solved.sum()} of {len(solved)} '
          f'| {settings["num_episodes"]:,} | {hours:.3f} |')


def print_table(folder: Path):
  """Prints the table of all finished runs in a folder."""
  runs = [(folder_lib.read_config(p.parent, FIELDS), p)
          for p in folder.glob('*/summary.csv')]
  if not runs:
    raise ValueError(f'no finished run in {folder}')
  runs.sort(key=lambda run: (
      run[0]['settings']['agent'], registry.settings_in_words(run[0]),
      run[0]['settings']['size']))
  print(HEADER)
  for _, path in runs:
    print(row(path.parent))


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(print_table, __spec__.name, argv)


if __name__ == '__main__':
  main()
