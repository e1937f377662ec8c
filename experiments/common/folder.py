"""A folder that a command writes to, and the settings that it was made with.

  lock, then look, then write:

one process has a folder at a time; a folder is new or empty, or it was made
with the same settings, or it is refused before anything in it changes.
"""

from collections.abc import Collection
import dataclasses
import fcntl
import json
import os
from pathlib import Path
from typing import Any

from . import files
from . import provenance

# Of config.json. 2: names of presets and settings as today, see `registry` for
# the former ones. 3: run.json lies beside it, see `run_folder`.
FORMAT = 3
CONFIG = 'config.json'
# What `--restart` moves aside lies in earlier-1, earlier-2 and so on.
EARLIER = 'earlier-'
# A difference in these says more than those in what follows from them.
_FIRST = ('agent', 'preset')


class InUseError(ValueError):
  """Another process has the folder."""


class Folder:
  """A folder that this process has, until it is closed or the process ends.

  Attributes:
    path: where it is.
    config: contents of config.json.
    is_new: whether config.json was written just now.
  """

  def __init__(
      self, path: Path, settings: Any, without: Collection[str] = (),
      restart: bool = False):
    """Takes the folder, and makes it if need be.

    Args:
      path: where it is.
      settings: of the command, a dataclass or plain data; config.json has them,
        with the provenance.
      without: fields that say nothing of what is run, and are left out.
      restart: whether what the folder holds is moved aside first, into
        earlier-1, earlier-2 and so on, which lie in it.

    Raises:
      ValueError: if another process has the folder, it cannot be written, holds
        other files, or was made with other settings; the first difference is
        named.
    """
    self.path = path
    self._descriptor = _lock(path)
    try:
      if restart:
        self._move_aside()
      found = self._read_config()
      self.is_new = found is None
      plain = settings if isinstance(settings, dict) else (
          provenance.settings_as_json(settings, without))
      if found is None:
        self.config = {
            'format': FORMAT, 'settings': plain, **provenance.provenance()}
        self._write_config()
      else:
        self.config = found
        self._compare(plain, settings)
    except BaseException:
      self.close()
      raise

  def close(self):
    """Lets other processes have the folder."""
    os.close(self._descriptor)

  def __enter__(self) -> 'Folder':
    return self

  def __exit__(self, *unused):
    self.close()

  def _read_config(self) -> dict[str, Any] | None:
    path = self.path / CONFIG
    if not path.exists():
      others = sorted(
          p.name for p in self.path.iterdir()
          if p.name != f'{CONFIG}.tmp' and not p.name.startswith(EARLIER))
      if others:
        raise ValueError(
            f'output folder {self.path} has no {CONFIG} but other files '
            f'({others[0]}, ...); expected an empty folder or one of an '
            f'earlier run')
      return None
    return read_config(self.path)

  def _write_config(self):
    try:
      files.write_atomically(self.path / CONFIG, json.dumps(
          self.config, indent=2).encode() + b'\n')
    except OSError as error:
      raise ValueError(
          f'output folder {self.path} cannot be written: {error}') from error

  def _compare(self, plain: dict[str, Any], settings: Any):
    found = self.config['settings']
    difference = _first_difference(_completed(found, plain, settings), plain)
    if difference:
      name, theirs, ours = difference
      raise ValueError(
          f'output folder {self.path} holds a run of other settings: {name} is '
          f'{theirs!r} there, {ours!r} here')

  def _move_aside(self):
    present = [p for p in self.path.iterdir()
               if not p.name.startswith(EARLIER)]
    if not present:
      return
    if not (self.path / CONFIG).exists():
      return  # Not a run's: refused later.
    number = 1
    while (self.path / f'{EARLIER}{number}').exists():
      number += 1
    aside = self.path / f'{EARLIER}{number}'
    aside.mkdir()
    # The config last: until then the folder is still this run's.
    for path in sorted(present, key=lambda p: p.name == CONFIG):
      path.rename(aside / path.name)
    print(f'what {self.path} held is in {aside}')


def is_aside(path: Path) -> bool:
  """Returns whether `--restart` has moved a path aside, from a run's folder."""
  return any(part.startswith(EARLIER) for part in path.parts)


def make(path: Path):
  """Makes a folder if need be; raises ValueError if it cannot be written."""
  try:
    path.mkdir(parents=True, exist_ok=True)
    probe = path / '.writable'
    probe.touch()
    probe.unlink()
  except OSError as error:
    raise ValueError(
        f'output folder {path} cannot be written: {error}') from error


def read_config(
    folder: Path, fields: Collection[str] = ()) -> dict[str, Any]:
  """Returns the contents of a folder's config.json.

  Args:
    folder: of a run.
    fields: settings that it must have.

  Raises:
    ValueError: if it is missing, damaged, or of a newer version.
  """
  path = folder / CONFIG
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
    settings, number = found['settings'], found.get('format', 1)
    if not isinstance(settings, dict) or not isinstance(number, int):
      raise TypeError('settings or format are of another type')
    missing = [name for name in fields if name not in settings]
    if missing:
      raise KeyError(f'no {", ".join(missing)}')
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise ValueError(f'{path} is not a config of a run: {error}') from error
  if number > FORMAT:
    raise ValueError(
        f'{path} has format {number}, of a newer version; expected at most '
        f'{FORMAT}')
  return found


def _lock(path: Path) -> int:
  """Makes a folder if need be and locks it; returns its descriptor."""
  try:
    path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
  except OSError as error:
    raise ValueError(
        f'output folder {path} cannot be written: {error}') from error
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    os.close(descriptor)
    if isinstance(error, BlockingIOError):
      raise InUseError(
          f'output folder {path} is in use by another run; expected one that '
          f'no other process writes to') from None
    raise ValueError(
        f'output folder {path} cannot be locked: {error}') from error
  return descriptor


def _completed(
    found: dict[str, Any], ours: dict[str, Any], settings: Any
) -> dict[str, Any]:
  """Returns settings with options that came later, by what they default to.

  What a run did before there was an option is what its default does; where it
  is not, `registry` translates the run's settings.

  Args:
    found: settings of the run, as plain data.
    ours: those of today.
    settings: the same as a dataclass; anything else has no defaults.
  """
  completed = dict(found)
  if not dataclasses.is_dataclass(settings):
    return completed
  for field in dataclasses.fields(settings):
    name, value = field.name, getattr(settings, field.name)
    if name in found:
      theirs = found[name]
      if isinstance(theirs, dict) and isinstance(ours.get(name), dict):
        completed[name] = _completed(theirs, ours[name], value)
    elif name in ours and field.default is not dataclasses.MISSING:
      completed[name] = provenance.plain(field.default)
  return completed


def _first_difference(a: Any, b: Any, name: str = ''):
  """Returns the name and both values of the first difference, or None."""
  if isinstance(a, dict) and isinstance(b, dict):
    keys = {**a, **b}
    for key in sorted(keys, key=lambda key: key not in _FIRST):
      found = _first_difference(
          a.get(key), b.get(key), f'{name}.{key}' if name else key)
      if found:
        return found
    return None
  return None if a == b else (name, a, b)
