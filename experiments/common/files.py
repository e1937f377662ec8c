"""The files of a run: CSV logs, and files that are written at once.

A log's length in bytes is part of a checkpoint, so that a resumed run cuts off
what was written after it: no row is there twice and none is missing.
"""

import csv
import io
import os
from pathlib import Path
from typing import Any

from matplotlib import figure
import numpy as np


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


def read_columns(path: Path) -> dict[str, np.ndarray]:
  """Returns the columns of a CSV file by name, as text."""
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
