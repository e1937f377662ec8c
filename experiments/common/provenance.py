"""Origin of results: settings, commit, versions and devices."""

from collections.abc import Collection
import dataclasses
import importlib.metadata
from pathlib import Path
import subprocess
from typing import Any

import jax

from hyperjax import configs

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'rlax', 'flashbax', 'numpy')


def settings_as_json(
    settings: Any, without: Collection[str] = ()) -> dict[str, Any]:
  """Returns settings as plain data: classes by name, paths as text.

  Args:
    settings: a dataclass; its fields may be dataclasses.
    without: its fields that are left out.
  """
  return {f.name: plain(getattr(settings, f.name), f.name)
          for f in dataclasses.fields(settings) if f.name not in without}


def plain(value: Any, name: str = '') -> Any:
  """Returns a setting as plain data; see `hyperjax.configs`.

  Args:
    value: the setting.
    name: name of its field.
  """
  if name == 'config':  # Of one class, unlike a component.
    return configs.to_json(value)
  return str(value) if isinstance(value, Path) else configs.plain(value)


def _commit() -> str:
  """Returns the commit of the running code, marked if files have changes."""
  folder = Path(__file__).parent
  try:
    # What is installed may lie in the repository of something else.
    subprocess.run(
        ['git', 'ls-files', '--error-unmatch', Path(__file__).name],
        cwd=folder, check=True, capture_output=True)
    commit = subprocess.run(
        ['git', 'rev-parse', 'HEAD'], cwd=folder, check=True,
        capture_output=True, text=True).stdout.strip()
    changed = subprocess.run(
        ['git', 'status', '--porcelain', '--untracked-files=no'], cwd=folder,
        check=True, capture_output=True, text=True).stdout.strip()
    return commit + ('+changes' if changed else '')
  except (OSError, subprocess.CalledProcessError):
    return 'unknown'


def provenance() -> dict[str, Any]:
  """Returns the origin of results: commit, versions and devices."""
  return {
      'commit': _commit(),
      'versions': {name: importlib.metadata.version(name)
                   for name in PACKAGES},
      'devices': [f'{d.platform}: {d.device_kind}' for d in jax.devices()],
  }


def changes(before: dict[str, Any], now: dict[str, Any]) -> str:
  """Returns in words where two provenances differ, '' if nowhere."""
  differences = [
      f'{name} {now["versions"].get(name)} (before: '
      f'{before["versions"].get(name)})' for name in PACKAGES
      if before['versions'].get(name) != now['versions'].get(name)]
  if before['commit'] != now['commit']:
    differences.insert(0, f'commit {now["commit"]} (before: '
                          f'{before["commit"]})')
  if before['devices'] != now['devices']:
    differences.append(
        f'devices {", ".join(now["devices"])} (before: '
        f'{", ".join(before["devices"])})')
  return '; '.join(differences)
