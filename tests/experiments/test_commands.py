"""The commands by one name, as the program `hyperjax` has them."""

import importlib
import importlib.resources

import pytest

from experiments import __main__ as commands
from experiments.common import command
from tests.faults.inside import keep_devices  # noqa: F401


@pytest.mark.parametrize('name', commands._COMMANDS)
def test_every_command_explains_itself(name, capsys):
  with pytest.raises(SystemExit) as end:
    commands.main([*name.split(), '--help'])
  assert end.value.code == 0
  out = capsys.readouterr().out
  module = 'experiments.' + name.replace(' ', '.').replace('-', '_')
  assert out.startswith(f'usage: python -m {module} [-h]')
  assert callable(importlib.import_module(module).main)


def test_every_module_that_is_a_command_is_listed():
  names = {name.replace(' ', '.').replace('-', '_')
           for name in commands._COMMANDS}
  for area in ('deep_sea', 'bsuite', 'atari', 'minatar', 'tabular', 'bandits'):
    package = importlib.import_module(f'experiments.{area}')
    folder = importlib.resources.files(package)
    for path in folder.iterdir():
      if path.name.endswith('.py') and '\ndef main(' in path.read_text():
        assert f'{area}.{path.name.removesuffix(".py")}' in names


@pytest.mark.parametrize('argv, expected', [
    (['deep-se', 'run'], 'deep-sea run'),
    (['deep-sea'], 'deep-sea run, deep-sea sweep, deep-sea plot'),
    (['bsuite', 'analyze'], 'bsuite run, bsuite analyse'),
    (['frogs'], 'regression'),
])
def test_an_unknown_command_lists_near_ones(argv, expected, capsys):
  with pytest.raises(SystemExit) as end:
    commands.main(argv)
  assert end.value.code == 2
  err = capsys.readouterr().err
  assert len(err.splitlines()) == 1
  assert repr(' '.join(argv)) in err and expected in err


def test_a_missing_package_names_the_extra(capsys, monkeypatch):
  monkeypatch.setattr(
      commands.importlib.util, 'find_spec',
      lambda name: None if name == 'tyro' else True)
  with pytest.raises(SystemExit) as end:
    commands.main(['regression', '--help'])
  assert end.value.code == 1
  assert capsys.readouterr().err == (
      'error: the commands need tyro; install hyperjax[experiments]\n')


def test_a_command_is_called_what_the_user_types():
  assert command.name_of('experiments.deep_sea.run') == (
      'python -m experiments.deep_sea.run')
  assert command.name_of('hyperjax_experiments.deep_sea.tabular_optimist') == (
      'hyperjax deep-sea tabular-optimist')
  assert command.name_of('hyperjax_experiments.regression') == (
      'hyperjax regression')
