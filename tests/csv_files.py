"""What runs have written, for the tests that look at it."""

import csv
from pathlib import Path


def rows(path: Path) -> list[dict[str, str]]:
  """The rows of a CSV file, each by the names of its columns."""
  with open(path, newline='', encoding='utf-8') as f:
    return list(csv.DictReader(f))
