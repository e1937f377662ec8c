"""Tables and figures of folders that are damaged: one line."""

import shutil

import pytest

from experiments.atari import analyse
from experiments.common import study
from experiments.deep_sea import plot
from experiments.deep_sea import table
from tests.faults import commands
from tests.faults.inside import call  # noqa: F401
from tests.faults.inside import keep_devices  # noqa: F401
from tests.faults.inside import templates  # noqa: F401


def cut(path):
  data = path.read_bytes()
  path.write_bytes(data[:len(data) // 2])


READERS = {
    'table': lambda argv: study.main(table.print_table, 'table', argv),
    'plot': lambda argv: study.main(plot.draw, 'plot', argv),
}
DAMAGES = {
    'no runs': lambda f: shutil.rmtree(f / 'run'),
    'summary empty': lambda f: (f / 'run/summary.csv').write_text(''),
    'summary without rows': lambda f: (f / 'run/summary.csv').write_text(
        (f / 'run/summary.csv').read_text().split('\n')[0] + '\n'),
    'summary cut': lambda f: cut(f / 'run/summary.csv'),
    'summary not text': lambda f: (f / 'run/summary.csv').write_bytes(b'\xff'),
    'summary a folder': lambda f: [
        (f / 'run/summary.csv').unlink(), (f / 'run/summary.csv').mkdir()],
    'summary without a column': lambda f: (
        f / 'run/summary.csv').write_text('agent,size\nx,4\n'),
    'summary without a number': lambda f: (f / 'run/summary.csv').write_text(
        (f / 'run/summary.csv').read_text().replace(',1,', ',1,x')),
    'config gone': lambda f: (f / 'run/config.json').unlink(),
    'config cut': lambda f: cut(f / 'run/config.json'),
    'config empty': lambda f: (f / 'run/config.json').write_text(''),
    'config of nothing': lambda f: (
        f / 'run/config.json').write_text('{"settings": {}}'),
}
PLOT_DAMAGES = {
    'episodes gone': lambda f: (f / 'run/episodes.csv').unlink(),
    'episodes empty': lambda f: (f / 'run/episodes.csv').write_text(''),
    'episodes cut': lambda f: cut(f / 'run/episodes.csv'),
    'episodes without numbers': lambda f: (
        f / 'run/episodes.csv').write_text('seed,episode_return\n0,x\n'),
}
CASES = [(reader, name, damage) for reader in READERS
         for name, damage in DAMAGES.items()] + [
             ('plot', name, damage) for name, damage in PLOT_DAMAGES.items()]


@pytest.mark.parametrize(
    'reader, damage', [
        pytest.param(reader, damage, id=f'{reader}, {name}',
                     marks=pytest.mark.slow if i % 6 else ())
        for i, (reader, name, damage) in enumerate(CASES)])
def test_one_line_for_a_damaged_folder(
    reader, damage, templates, tmp_path, call):  # noqa: F811
  shutil.copytree(templates['finished'], tmp_path / 'run')
  damage(tmp_path)
  result = call(READERS[reader], [str(tmp_path)])
  assert result.status == 1, result
  assert commands.is_one_line(result), result.err
  assert result.err[0].startswith('error: ')
  assert not list(tmp_path.glob('*.png'))


@pytest.mark.parametrize('argv', [[], ['a', 'b'], ['']])
@pytest.mark.parametrize('reader', [*READERS.values(), analyse.main])
def test_one_folder_is_named(reader, argv, call):  # noqa: F811
  result = call(reader, argv)
  assert result.status == 2
  said = ' '.join(result.err)
  assert 'Traceback' not in said
  assert any(text in said for text in (
      'PATH', "expected a path, got ''", 'Unrecognized'))


@pytest.mark.parametrize('reader', [*READERS.values(), analyse.main])
def test_a_folder_that_is_not_there(reader, tmp_path, call):  # noqa: F811
  result = call(reader, [str(tmp_path / 'none')])
  assert result.status == 1
  assert commands.is_one_line(result)
