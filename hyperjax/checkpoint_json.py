"""The JSON part of a checkpoint, under a checksum."""

import json
import os
from pathlib import Path
from typing import Any
import zlib

NAME = 'metadata.json'


def _checksum(contents: dict[str, Any]) -> int:
  return zlib.crc32(json.dumps(contents).encode())


def write(folder: Path, contents: dict[str, Any]):
  """Writes what a checkpoint has beside its arrays, to the disk itself."""
  with open(folder / NAME, 'w') as file:
    json.dump({'checksum': _checksum(contents), **contents}, file)
    file.flush()
    os.fsync(file.fileno())  # Orbax does the same with the arrays.


def read(folder: Path) -> dict[str, Any]:
  """Returns what `write` wrote.

  Raises:
    ValueError: if the file is damaged.
  """
  contents = json.loads((folder / NAME).read_text())
  if contents.pop('checksum') != _checksum(contents):
    raise ValueError(f'the checksum of {NAME} does not match')
  return contents
