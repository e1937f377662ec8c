"""The skeleton of small studies: a table on the console, its rows in a CSV."""

from collections.abc import Iterable
from pathlib import Path
import sys
from typing import Any

from experiments.common import files
from experiments.common import run_folder


def write(
    folder: Path, settings: dict[str, Any], filename: str,
    fields: tuple[str, ...], header: str,
    lines: Iterable[tuple[str, list[tuple[Any, ...]]]],
):
  """Prints a table line by line, and writes its rows when it is whole.

  Args:
    folder: to write to, empty or of the same study.
    settings: what config.json says of the study.
    filename: of the CSV.
    fields: columns of the CSV.
    header: of the table, in Markdown.
    lines: for each line of the table its text, and rows of the CSV.

  Raises:
    ValueError: for a folder that cannot be used.
  """
  run_folder.open_folder(folder, settings)
  rows = []
  print(header)
  for text, more in lines:
    print(text, flush=True)
    rows += more
  files.write_csv(folder / filename, fields, rows)


def folder_argument(prog: str) -> Path:
  """Returns the one argument of a study's command, its folder."""
  if len(sys.argv) != 2:
    sys.exit(f'usage: {prog} FOLDER')
  return Path(sys.argv[1])
