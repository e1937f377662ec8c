"""The skeleton of small studies: a table on the console, its rows in a CSV."""

from collections.abc import Callable, Iterable, Sequence
import inspect
from pathlib import Path
from typing import Any

from . import cli
from . import command
from . import files
from . import folder as folder_lib


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
  with folder_lib.Folder(folder, settings):
    rows = []
    print(header)
    for text, more in lines:
      print(text, flush=True)
      rows += more
    files.write_csv(folder / filename, fields, rows)


def main(
    function: Callable[[Any], None], module: str,
    argv: Sequence[str] | None = None, settings_class: Any = None,
):
  """Runs the command of a study, a table or a benchmark.

  A request to stop is followed at once: its file is written when it is whole.

  Args:
    function: is called with the settings.
    module: name of the command's module.
    argv: arguments, those of the process by default.
    settings_class: a dataclass, see `cli.parse_plain`; None for one folder,
      with which the function is called.
  """
  prog = command.name_of(module)
  with command.running() as requests:
    if settings_class is None:
      settings = cli.parse_plain(
          cli.Folder, argv, prog, inspect.getdoc(function)).folder
    else:
      settings = cli.parse_plain(settings_class, argv, prog)
    requests.what_is_kept = lambda: 'the same command begins anew'
    with requests.interruptible():
      function(settings)
