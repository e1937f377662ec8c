"""The files of a run: its settings, CSV logs and what is written at once.

A log's length in bytes is part of a checkpoint, so that a resumed run cuts off
what was written after it: no row is there twice and none is missing.
"""

from collections.abc import Collection
import csv
import dataclasses
import fcntl
import importlib.metadata
import io
import json
import os
from pathlib import Path
import subprocess
from typing import Any

import jax
from matplotlib import figure
import numpy as np

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'rlax', 'flashbax', 'numpy')


def write_atomically(path: Path, data: bytes):
  """Writes a file that is either whole or not there."""
  temporary = path.with_name(path.name + '.tmp')
  with open(temporary, 'wb') as f:
    f.write(data)
    f.flush()
    os.fsync(f.fileno())
  os.replace(temporary, path)


class CsvLog:
  """A CSV file to which rows are appended."""

  def __init__(self, path: Path, fields: tuple[str, ...]):
    """Opens the file, and writes the header if it is new or empty."""
    self._file = open(path, 'ab')
    self._fields = fields
    self._header = _csv_bytes([fields])
    if not self._file.tell():
      self._file.write(self._header)

  def append(self, rows: list[tuple[Any, ...]]):
    """Appends rows whose values are in the order of the fields."""
    assert all(len(row) == len(self._fields) for row in rows)
    self._file.write(_csv_bytes(rows))

  def sync(self) -> int:
    """Makes sure all is on disk and returns the length in bytes."""
    self._file.flush()
    os.fsync(self._file.fileno())
    # Not tell(), which after `truncate` is where the file once ended.
    return os.path.getsize(self._file.name)

  def truncate(self, length: int | None):
    """Cuts off all behind `length` bytes; None leaves the header alone."""
    self._file.flush()
    length = len(self._header) if length is None else length
    size = os.path.getsize(self._file.name)
    if size < length:
      raise ValueError(
          f'{self._file.name} has {size} bytes, but its checkpoint knows of '
          f'{length}: it was changed by something else')
    if size > length:
      self._file.truncate(length)

  def close(self):
    self._file.close()


def _csv_bytes(rows) -> bytes:
  text = io.StringIO()
  csv.writer(text, lineterminator='\n').writerows(rows)
  return text.getvalue().encode()


def settings_as_json(
    settings: Any, without: Collection[str] = ()) -> dict[str, Any]:
  """A dataclass of settings as plain data: classes by name, paths as text.

  Args:
    settings: a dataclass; its fields may be dataclasses.
    without: its fields that are left out.
  """

  def plain(value):
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
      return {f.name: plain(getattr(value, f.name))
              for f in dataclasses.fields(value)}
    if isinstance(value, type):
      return value.__name__
    if isinstance(value, (tuple, list)):
      return [plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value

  return {name: value for name, value in plain(settings).items()
          if name not in without}


def _commit() -> str:
  """The commit of the code that runs; marked if files were changed since."""
  folder = Path(__file__).parent
  try:
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
  """Where results come from: commit, versions and devices."""
  return {
      'commit': _commit(),
      'versions': {name: importlib.metadata.version(name)
                   for name in PACKAGES},
      'devices': [f'{d.platform}: {d.device_kind}' for d in jax.devices()],
  }


def make_folder(folder: Path):
  """Makes a folder if need be; raises ValueError if it cannot be written."""
  try:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / '.writable'
    probe.touch()
    probe.unlink()
  except OSError as error:
    raise ValueError(
        f'output folder {folder} cannot be written: {error}') from error


def open_folder(folder: Path, settings: dict[str, Any]):
  """Makes a run's folder, or checks that it is the same run's.

  Args:
    folder: where the run writes.
    settings: as plain data; written to config.json with the provenance.

  Raises:
    ValueError: if the folder cannot be written, holds other files, or holds a
      run of other settings; the first difference is named.
  """
  make_folder(folder)
  path = folder / 'config.json'
  if not path.exists():
    others = sorted(p.name for p in folder.iterdir()
                    if p.name != path.name + '.tmp')
    if others:
      raise ValueError(
          f'output folder {folder} has no config.json but other files '
          f'({others[0]}, ...); expected an empty folder or one of an earlier '
          f'run')
    write_atomically(path, json.dumps(
        {'settings': settings, **provenance()}, indent=2).encode() + b'\n')
    return
  try:
    found = json.loads(path.read_text())['settings']
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(f'{path} is not a config of a run: {error}') from error
  difference = _first_difference(found, settings)
  if difference:
    name, theirs, ours = difference
    raise ValueError(
        f'output folder {folder} holds a run of other settings: {name} is '
        f'{theirs!r} there, {ours!r} here')


class FolderLock:
  """Keeps a folder for one process, until it is closed or the process ends."""

  def __init__(self, folder: Path):
    """Takes the folder.

    Raises:
      ValueError: if another process has it.
    """
    self._descriptor = os.open(folder, os.O_RDONLY)
    try:
      fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      self.close()
      raise ValueError(
          f'output folder {folder} is in use by another run; expected one that '
          f'no other process writes to') from None

  def close(self):
    """Lets others have it."""
    os.close(self._descriptor)


def _first_difference(a: Any, b: Any, name: str = ''):
  if isinstance(a, dict) and isinstance(b, dict):
    for key in {**a, **b}:
      found = _first_difference(
          a.get(key), b.get(key), f'{name}.{key}' if name else key)
      if found:
        return found
    return None
  return None if a == b else (name, a, b)


def read_columns(path: Path) -> dict[str, np.ndarray]:
  """The columns of a CSV file by name, as text."""
  with open(path, newline='', encoding='utf-8') as f:
    header, *rows = csv.reader(f)
  columns = np.array(rows).reshape(-1, len(header)).T
  return dict(zip(header, columns, strict=True))


def write_csv(path: Path, fields: tuple[str, ...], rows: list[tuple]):
  """Writes a whole CSV file at once."""
  write_atomically(path, _csv_bytes([fields, *rows]))


def write_npz(path: Path, **arrays: Any):
  """Writes a whole NumPy archive at once."""
  data = io.BytesIO()
  np.savez(data, **arrays)
  write_atomically(path, data.getvalue())


def write_figure(path: Path, fig: figure.Figure):
  """Writes a whole picture at once."""
  data = io.BytesIO()
  fig.savefig(data, dpi=120, format='png')
  write_atomically(path, data.getvalue())
