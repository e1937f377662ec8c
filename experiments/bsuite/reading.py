"""Runs of bsuite, finished or not, from what lies in their folders.

A run is a folder with config.json and a folder seed_N for each seed N, in which
is a CSV file for each id, in bsuite's own format. A folder with such files but
without config.json is that of an agent from elsewhere, named as the folder is;
its files are of seed 0, or lie in folders seed_N.
"""

from collections.abc import Iterable
import math
from pathlib import Path
import re
from typing import NamedTuple

import numpy as np

from ..common import folder as folder_lib
from ..common import registry
from . import families as families_lib
from . import records
from . import scores as scores_lib

_SEED = re.compile('seed_([0-9]+)')
SETTINGS = ('agent', 'preset', 'num_seeds', 'seed')


class Seed(NamedTuple):
  """The logs of one seed of an agent.

  Attributes:
    agent: name.
    preset: and what was set otherwise.
    seed: number.
    logs: of the ids that are there, by family and index, families in order.
  """

  agent: str
  preset: str
  seed: int
  logs: dict[str, scores_lib.Logs]

  def scores(self) -> dict[str, float]:
    """Returns the scores of the families that are there."""
    return {family: scores_lib.score(family, logs)
            for family, logs in self.logs.items()}

  def finished(self, family: str) -> int:
    """Returns how many ids of a family have all of their episodes."""
    whole = families_lib.FAMILIES[family].num_episodes
    return sum(int(log.episodes[-1]) == whole
               for log in self.logs.get(family, {}).values())


# Seeds in order, by agent and settings.
Runs = dict[str, list[Seed]]


def _numbers(path: Path, row: int, values: list[str]) -> list[float]:
  """Returns the numbers of a row.

  Raises:
    ValueError: if a value is not a finite number.
  """
  numbers = []
  for value in values:
    try:
      numbers.append(float(value))
    except ValueError:
      numbers.append(math.nan)
    if not math.isfinite(numbers[-1]):
      raise ValueError(
          f'{path}, row {row}: expected a finite number, got {value!r}')
  return numbers


def read_log(
    path: Path, family: str) -> tuple[scores_lib.Log | None, list[str]]:
  """Returns the log of an id, None if it has no row yet, and notes.

  The process that writes a file may end within a row, so the last row may be
  cut short. Nothing else may be wrong.

  Args:
    path: of the file.
    family: of the id.

  Raises:
    ValueError: if the file cannot be read or is damaged.
  """
  try:
    data = path.read_bytes()
  except OSError as error:
    raise ValueError(f'{path} cannot be read: {error}') from error
  # What is no text is no number either, and is refused as such.
  *lines, rest = data.decode(errors='replace').split('\n')
  rows = [line.rstrip('\r').split(',') for line in lines]
  cut = bool(rest)
  if len(rows) > 1 and not cut and len(rows[-1]) < len(rows[0]):
    cut = bool(rows.pop())
  notes = [f'{path}, row {len(rows) + 1} is cut short: left out.'] * cut
  if not rows:
    return None, notes
  header, *rows = rows
  needed = ('episode', *scores_lib.measure(family).columns)
  for name in needed:
    if header.count(name) != 1:
      raise ValueError(
          f'{path}, row 1: expected one column {name}, got '
          f'{header.count(name)}')
  for i, row in enumerate(rows):
    if len(row) != len(header):
      raise ValueError(
          f'{path}, row {i + 2}: expected {len(header)} values, got {len(row)}')
  table = np.array(
      [_numbers(path, i + 2, row) for i, row in enumerate(rows)],
      float).reshape(-1, len(header))
  columns = {name: table[:, header.index(name)] for name in needed}
  episodes = columns['episode']
  wrong = (episodes % 1 != 0) | (np.diff(episodes, prepend=0.) <= 0.)
  if wrong.any():
    i = int(np.argmax(wrong))
    raise ValueError(
        f'{path}, row {i + 2}: expected an episode after '
        f'{episodes[i - 1] if i else 0:g}, got {episodes[i]:g}')
  # bsuite's scores are of so many episodes, whatever comes after them.
  within = episodes <= families_lib.FAMILIES[family].num_episodes
  if not within.any():
    return None, notes
  return scores_lib.Log(
      episodes[within].astype(int),
      {name: column[within] for name, column in columns.items()}), notes


def _read_seed(
    folder: Path) -> tuple[dict[str, scores_lib.Logs], list[str]]:
  """Returns the logs of a seed's folder, and notes."""
  found, notes = {}, []
  for path in folder.glob(f'{records.PREFIX}*.csv'):
    name, _, index = path.stem.removeprefix(records.PREFIX).rpartition('-')
    try:
      family, index = families_lib.parse(f'{name}/{index}')
    except ValueError as error:
      raise ValueError(f'{path}: {error}') from error
    log, more = read_log(path, family)
    notes += more
    if log is not None:
      found.setdefault(family, {})[index] = log
  return {family: dict(sorted(found[family].items()))
          for family in families_lib.FAMILIES if family in found}, sorted(notes)


def _is_aside(path: Path) -> bool:
  """Returns whether a file is no result: moved aside, or of a half-run id."""
  return folder_lib.is_aside(path) or any(
      part.endswith('.unfinished') for part in path.parts)


def _run_folders(folders: Iterable[Path]) -> list[Path]:
  """Returns the folders of runs of agents in and below folders, each once."""
  found = {}
  for folder in folders:
    if not folder.is_dir():
      raise ValueError(f'{folder} is no folder; expected one of runs')
    for path in sorted(folder.rglob(folder_lib.CONFIG)):
      if not _is_aside(path.relative_to(folder)):
        found.setdefault(path.parent.resolve(), path.parent)
  return list(found.values())


def _seed_folders(folder: Path, seeds: range) -> dict[int, Path]:
  """Returns the folders of a run's seeds, those that there are."""
  found = {}
  for path in folder.glob('seed_*'):
    match = _SEED.fullmatch(path.name)
    if match and path.is_dir():
      if int(match[1]) not in seeds:
        raise ValueError(
            f'{path}: the seeds of this run are {seeds[0]} to {seeds[-1]} by '
            f'its {folder_lib.CONFIG}')
      found[int(match[1])] = path
  return dict(sorted(found.items()))


def _foreign_seeds(
    folders: Iterable[Path]) -> dict[tuple[Path, int], Path]:
  """Returns the seeds' folders of runs without a config, by run and seed."""
  found = {}
  for folder in folders:
    for file in sorted(folder.rglob(f'{records.PREFIX}*.csv')):
      path, seed = file.parent, 0
      match = _SEED.fullmatch(path.name)
      if match:
        path, seed = path.parent, int(match[1])
      if not (path / folder_lib.CONFIG).exists() and not _is_aside(
          file.relative_to(folder)):
        other = found.setdefault((path.resolve(), seed), file.parent)
        if other != file.parent:
          raise ValueError(f'{path} has seed {seed} twice: in {other} and in '
                           f'{file.parent}')
  return found


def _seeds(config: dict, path: Path) -> range:
  """Returns the seeds that a run is to have."""
  first, num = (config['settings'][name] for name in ('seed', 'num_seeds'))
  if not (isinstance(first, int) and isinstance(num, int) and num > 0):
    raise ValueError(
        f'{path}: seed and num_seeds must be whole numbers, num_seeds at least '
        f'1, got {first!r} and {num!r}')
  return range(first, first + num)


def read(folders: Iterable[Path]) -> tuple[Runs, list[str]]:
  """Returns all runs in and below folders, in their order, and notes on them.

  Raises:
    ValueError: if there is none, a file cannot be read, or an agent has a seed
      twice.
  """
  folders = list(folders)
  found, notes = {}, []

  def add(name, preset, agent, seed, folder, path):
    logs, more = _read_seed(path) if path is not None else ({}, [])
    notes.extend(more)
    if not logs:
      notes.append(f'{folder} has nothing of seed {seed} yet.')
      return
    mine = found.setdefault(name, {})
    if seed in mine:
      raise ValueError(
          f'{name} has seed {seed} twice: in {mine[seed][0]} and in {folder}')
    mine[seed] = (folder, Seed(agent, preset, seed, logs))

  for folder in _run_folders(folders):
    config = folder_lib.read_config(folder)
    settings, path = config['settings'], folder / folder_lib.CONFIG
    if not set(SETTINGS) <= set(settings) and not any(folder.glob('seed_*')):
      continue  # Of a program of a run, or of a sweep over other folders.
    folder_lib.read_config(folder, SETTINGS)
    try:
      preset = registry.settings_in_words(config) if settings.get(
          'config') else str(settings['preset'])
    except (ValueError, KeyError, AttributeError) as error:
      raise ValueError(f'{path}: {error}') from error
    if settings.get('num_episodes') is not None:
      preset = f'{preset}, num_episodes {settings["num_episodes"]}'
    if settings.get('reference'):
      preset = f'{preset}, reference'
    name = f'{settings["agent"]}: {preset}'
    seeds = _seeds(config, path)
    present = _seed_folders(folder, seeds)
    for seed in seeds:
      add(name, preset, settings['agent'], seed, folder, present.get(seed))
  for (folder, seed), path in _foreign_seeds(folders).items():
    name = folder.resolve().name
    add(name, '', name, seed, folder, path)
  if not found:
    raise ValueError(
        f'no results of bsuite in {", ".join(map(str, folders))}; expected '
        f'folders of runs, in which a seed has a folder')
  return {name: [seed for _, (_, seed) in sorted(mine.items())]
          for name, mine in found.items()}, notes
