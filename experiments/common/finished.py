"""Finished runs, put together: the seeds of the same settings."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from . import files
from . import folder as folder_lib
from . import registry


def folders(folder: Path) -> list[Path]:
  """Returns the folders of the finished runs in a folder, by name.

  Raises:
    ValueError: if there is none.
  """
  found = sorted(
      path.parent for path in folder.glob('*/summary.csv')
      if not folder_lib.is_aside(path.relative_to(folder)))
  if not found:
    raise ValueError(f'no finished run in {folder}')
  return found


def points(
    folder: Path, fields: Collection[str]
) -> list[tuple[dict[str, Any], list[Path]]]:
  """Returns config.json and the folders of finished runs, point by point.

  Runs of the same settings are one point: a sweep may give each some of the
  seeds.

  Args:
    folder: of a sweep, or of several runs.
    fields: settings that a run must name.

  Raises:
    ValueError: if no run has finished there, one is damaged, or two of the same
      settings have a seed in common.
  """
  found: list[tuple[dict[str, Any], set[int], list[Path]]] = []
  for path in folders(folder):
    config = folder_lib.read_config(path, fields)
    seeds = {int(x) for x in files.read_columns(
        path / 'summary.csv', ('seed',))['seed']}
    for other, taken, paths in found:
      if _but_seeds(other) == _but_seeds(config):
        if taken & seeds:
          raise ValueError(
              f'{paths[0]} and {path} have the same settings, and both have '
              f'seed {min(taken & seeds)}; expected each seed once')
        taken |= seeds
        paths.append(path)
        break
    else:
      found.append((config, seeds, [path]))
  return [(config, paths) for config, _, paths in found]


def names(
    found: Sequence[tuple[dict[str, Any], list[Path]]], task: str) -> list[str]:
  """Returns the settings of each agent in words.

  Args:
    found: `points`.
    task: name of the setting that says what was learned. Points of the same one
      differ in their words: settings that are none of the agent's, such as the
      number of steps, are named where they tell points apart.
  """
  words = [registry.settings_in_words(config) for config, _ in found]
  settings = [config['settings'] for config, _ in found]
  result = []
  for own, mine in zip(words, settings, strict=True):
    twins = [other for word, other in zip(words, settings, strict=True)
             if word == own and all(
                 mine[name] == other[name] for name in ('agent', task))]
    result.append(', '.join([own, *(
        f'{name} {value}' for name, value in mine.items()
        if name not in ('config', 'seed', 'num_seeds') and any(
            other.get(name) != value for other in twins))]))
  return result


def core_hours(folder: Path) -> float:
  """Returns the time of a run, until its last seed was done, on all devices.

  A CPU device is a core; what else ran on it counts too.
  """
  path = folder / 'summary.csv'
  seconds = [
      files.read_number(x, path, 'wall_seconds')
      for x in files.read_columns(path, ('wall_seconds',))['wall_seconds']]
  config = folder_lib.read_config(folder)
  if not isinstance(config.get('devices'), list):
    raise ValueError(
        f'{folder / folder_lib.CONFIG} has no list of devices; expected it as '
        f'the run wrote it')
  return max(seconds) / 3600 * len(config['devices'])


def _but_seeds(config: dict[str, Any]) -> dict[str, Any]:
  """Returns the settings of a run without its seeds."""
  return {name: x for name, x in config['settings'].items()
          if name not in ('seed', 'num_seeds')}
