"""The files of a run: CSV logs, and files that are written at once.

A log's position is part of a checkpoint, so that a resumed run cuts off what
was written after it: no row is there twice, none is missing, none was changed.
"""

from collections.abc import Collection
import csv
import gzip
import io
import math
import os
from pathlib import Path
from typing import Any, NamedTuple
import zlib

from matplotlib import figure
import numpy as np

from hyperjax import multihost

# Bytes of a log under one checksum: some hundred rows.
_BLOCK = 4096


def write_atomically(path: Path, data: bytes):
  """Writes a file that is either whole or not there.

  In a job of several processes only the first one writes.
  """
  if not multihost.is_first():
    return
  temporary = path.with_name(path.name + '.tmp')
  with open(temporary, 'wb') as f:
    f.write(data)
    f.flush()
    os.fsync(f.fileno())
  os.replace(temporary, path)


class Position(NamedTuple):
  """The length of a log, and the checksums of what stood there.

  Attributes:
    length: bytes.
    checksums: CRC-32 of each block of `_BLOCK` bytes, the last one shorter.
  """

  length: int
  checksums: list[int]


class NoLog:
  """The log of a process that writes none; see `CsvLog`."""

  def append(self, rows: list[tuple[Any, ...]]):
    """Does nothing."""

  def sync(self):
    """Does nothing."""

  def close(self):
    """Does nothing."""


class CsvLog:
  """A CSV file to which rows are appended."""

  def __init__(self, path: Path, fields: tuple[str, ...]):
    """Opens the file, and writes the header if it is new or empty."""
    self._path = path
    self._fields = fields
    self._header = _csv_bytes([fields])
    self._checksums: list[int] = []
    self._length = 0
    # Unbuffered: what could not be written is not tried again at the end.
    path.parent.mkdir(exist_ok=True)
    self._file = open(path, 'ab', buffering=0)
    if self._file.tell():
      self._note(path.read_bytes())
    else:
      self._write(self._header)

  def append(self, rows: list[tuple[Any, ...]]):
    """Appends rows whose values are in the order of the fields."""
    assert all(len(row) == len(self._fields) for row in rows)
    self._write(_csv_bytes(rows))

  def _write(self, data: bytes):
    written = 0
    while written < len(data):
      written += self._file.write(data[written:]) or 0
    self._note(data)

  def _note(self, data: bytes):
    """Adds what was written to the checksums."""
    while data:
      used = self._length % _BLOCK
      part, data = data[:_BLOCK - used], data[_BLOCK - used:]
      if not used:
        self._checksums.append(0)
      self._checksums[-1] = zlib.crc32(part, self._checksums[-1])
      self._length += len(part)

  def sync(self) -> Position:
    """Makes sure all is on disk and returns how far the log has come."""
    os.fsync(self._file.fileno())
    return Position(self._length, list(self._checksums))

  def truncate(self, position: Position | None):
    """Cuts off all behind a position; None leaves the header alone.

    Raises:
      ValueError: if the file is too short, or its rows before the position are
        not those that were written.
    """
    data = self._path.read_bytes()
    if position is None:
      if not data.startswith(self._header):
        raise ValueError(
            f'{self._path}, row 1: expected the header {self._header!r}, got '
            f'{data[:len(self._header)]!r}')
      kept = self._header
    else:
      kept = data[:position.length]
      self._compare(kept, position)
    if len(data) > len(kept):
      self._file.truncate(len(kept))
    self._checksums, self._length = [], 0
    self._note(kept)

  def _compare(self, data: bytes, position: Position):
    """Raises ValueError if data are not those of a position."""
    if len(data) < position.length:
      raise ValueError(
          f'{self._path} ends in row {data.count(10) + 1}, after {len(data)} '
          f'bytes, but its checkpoint knows of {position.length}: it was '
          f'changed by something else')
    for i, expected in enumerate(position.checksums):
      block = data[i * _BLOCK:(i + 1) * _BLOCK]
      if zlib.crc32(block) != expected:
        first = data[:i * _BLOCK].count(10) + 1
        raise ValueError(
            f'{self._path} was changed by something else, in one of the rows '
            f'{first} to {first + block.count(10)}; expected the rows that its '
            f'checkpoint knows of')

  def close(self):
    """Closes the file."""
    self._file.close()


def _csv_bytes(rows) -> bytes:
  text = io.StringIO()
  csv.writer(text, lineterminator='\n').writerows(rows)
  return text.getvalue().encode()


def read_columns(
    path: Path, fields: Collection[str] = ()) -> dict[str, np.ndarray]:
  """Returns the columns of a CSV file by name, as text.

  Args:
    path: of the file; where there is none, of `path` with `.gz` appended, as
      long logs are kept among the results.
    fields: columns that it must have.

  Raises:
    ValueError: if the file cannot be read, is empty, lacks a column, or has a
      row that is cut short.
  """
  packed = path.with_name(f'{path.name}.gz')
  try:
    if packed.exists() and not path.exists():
      text = gzip.decompress(packed.read_bytes()).decode()
    else:
      text = path.read_text(encoding='utf-8')
  except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
    raise ValueError(f'{path} cannot be read: {error}') from error
  header, *rows = csv.reader(io.StringIO(text, newline='')) if text else [[]]
  missing = [name for name in fields if name not in header]
  if missing or not header:
    raise ValueError(
        f'{path} has no column {", ".join(missing)}' if missing else
        f'{path} is empty; expected a CSV file')
  for i, row in enumerate(rows):
    if len(row) != len(header):
      raise ValueError(
          f'{path}, row {i + 2}: expected {len(header)} values, got '
          f'{len(row)}; the row is cut short')
  if not text.endswith('\n'):
    raise ValueError(f'{path}: the last row is cut short')
  columns = np.array(rows).reshape(-1, len(header)).T
  return dict(zip(header, columns, strict=True))


def read_number(text: str, path: Path, name: str) -> float:
  """Returns a finite number of a file.

  Raises:
    ValueError: if the text is none, naming the file and the column.
  """
  try:
    number = float(text)
  except ValueError:
    number = math.nan
  if not math.isfinite(number):
    raise ValueError(
        f'{path}: {name} must be a finite number, got {str(text)!r}')
  return number


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
