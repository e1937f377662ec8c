"""Finished runs, put together: the seeds of the same settings."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from . import files
from . import folder as folder_lib


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

  Runs of the same settings are one point if their seeds differ: a sweep may
  give each some of the seeds.

  Args:
    folder: of a sweep, or of several runs.
    fields: settings that a run must name.

  Raises:
    ValueError: if no run has finished there, or one is damaged.
  """
  found: list[tuple[dict[str, Any], set[int], list[Path]]] = []
  for path in folders(folder):
    config = folder_lib.read_config(path, fields)
    seeds = {int(x) for x in files.read_columns(
        path / 'summary.csv', ('seed',))['seed']}
    for other, taken, paths in found:
      if _but_seeds(other) == _but_seeds(config) and not taken & seeds:
        taken |= seeds
        paths.append(path)
        break
    else:
      found.append((config, seeds, [path]))
  return [(config, paths) for config, _, paths in found]


def core_hours(folder: Path) -> float:
  """Returns the time of a run, until its last seed was done, on all devices.

  A CPU device is a core; what else ran on it counts too.
  """
  path = folder / 'summary.csv'
  seconds = [
      files.read_number(x, path, 'wall_seconds')
      for x in files.read_columns(path, ('wall_seconds',))['wall_seconds']]
  return max(seconds) / 3600 * len(folder_lib.read_config(
      folder)['devices'])


def _but_seeds(config: dict[str, Any]) -> dict[str, Any]:
  """Returns the settings of a run without its seeds."""
  return {name: x for name, x in config['settings'].items()
          if name not in ('seed', 'num_seeds')}
