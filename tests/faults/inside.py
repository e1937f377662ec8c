"""Commands within this process, for what needs no process of its own."""

from collections.abc import Callable, Sequence
import shutil

import pytest

from experiments.common import cli
from experiments.common import machine
from experiments.common import run as run_lib
from experiments.common import stopping
from experiments.deep_sea import run as deep_sea
from experiments.deep_sea import settings as settings_lib
from tests import stops
from tests.faults import commands


@pytest.fixture(autouse=True)
def keep_devices(monkeypatch):
  """The tests have made their devices already."""
  monkeypatch.setattr(machine, 'use_all_cores', lambda: None)
  monkeypatch.setattr(machine, 'keep_freed_memory', lambda: None)


@pytest.fixture
def call(capsys):
  """Calls the function of a command and returns a `commands.Result`."""

  def call(main: Callable, argv: Sequence[str]) -> commands.Result:
    capsys.readouterr()
    try:
      main(list(argv))
      status = 0
    except SystemExit as error:
      status = error.code or 0
    out, err = capsys.readouterr()
    return commands.Result(status, out, commands.messages(err), 0.)

  return call


@pytest.fixture(scope='session')
def templates(tmp_path_factory):
  """Folders of a finished run of DeepSea and of one that was stopped."""
  folders = {}
  for name, chunks in (('finished', 10**9), ('stopped', 12)):
    folder = tmp_path_factory.mktemp('faults') / name
    settings = cli.parse(
        settings_lib.Settings,
        [*commands.DEEP_SEA[1:], *commands.ALL_CHECKPOINTS,
         '--output', str(folder)], 'run')
    try:
      run_lib.run(deep_sea.DeepSeaTask(settings), stops.After(chunks))
    except stopping.Stopped:
      assert name == 'stopped'
    folders[name] = folder
  return folders


@pytest.fixture
def copy(templates, tmp_path):
  """Copies one of the templates."""

  def copy(name):
    return shutil.copytree(templates[name], tmp_path / name)

  return copy


def again(folder, *more):
  """Arguments of the command that made a template, in another folder."""
  return [*commands.DEEP_SEA[1:], '--output', str(folder), *more]
