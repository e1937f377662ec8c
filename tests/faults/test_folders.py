"""Folders that were changed between two starts of a command."""

import json
import os
import re
import shutil

import pytest

from experiments.atari import run as atari
from experiments.common import run as run_lib
from experiments.deep_sea import pictures
from experiments.deep_sea import run as deep_sea
from tests.faults import commands
from tests.faults.inside import again
from tests.faults.inside import call  # noqa: F401
from tests.faults.inside import copy  # noqa: F401
from tests.faults.inside import keep_devices  # noqa: F401
from tests.faults.inside import templates  # noqa: F401


def files_of(folder):
  """Every file's bytes, but for the folder of checkpoints."""
  return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def cut(path, fraction=0.5):
  data = path.read_bytes()
  path.write_bytes(data[:int(len(data) * fraction)])


def edit(path, before, after):
  data = path.read_bytes()
  assert before in data
  path.write_bytes(data.replace(before, after, 1))


def newest(folder):
  return max((p for p in (folder / 'checkpoints').iterdir()
              if p.name.isdigit()), key=lambda p: int(p.name))


def cut_arrays(checkpoint):
  """Cuts all files with the values of arrays in a checkpoint."""
  for path in checkpoint.glob('arrays/**/d/*'):
    cut(path)


def all_checkpoints(function):
  def hurt(folder):
    for path in (folder / 'checkpoints').iterdir():
      function(path)
  return hurt


def rewrite(name, **changes):
  def hurt(folder):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
  return hurt


REFUSED = {
    'checkpoints gone': (
        lambda f: shutil.rmtree(f / 'checkpoints'),
        'none is there.*--restart'),
    'checkpoints emptied': (
        all_checkpoints(shutil.rmtree), 'none is there.*--restart'),
    'every array file cut': (
        all_checkpoints(cut_arrays),
        'none can be read'),
    'every metadata cut': (
        all_checkpoints(lambda p: cut(p / 'metadata.json')),
        'none can be read'),
    'every metadata gone': (
        all_checkpoints(lambda p: (p / 'metadata.json').unlink()),
        'none can be read'),
    'config gone': (
        lambda f: (f / 'config.json').unlink(), 'has no config.json'),
    'config empty': (
        lambda f: (f / 'config.json').write_text(''), 'not a config'),
    'config cut': (lambda f: cut(f / 'config.json'), 'not a config'),
    'config a list': (
        lambda f: (f / 'config.json').write_text('[]'), 'not a config'),
    'config not text': (
        lambda f: (f / 'config.json').write_bytes(b'\xff\xfe\x00'),
        'not a config'),
    'config a folder': (
        lambda f: [(f / 'config.json').unlink(), (f / 'config.json').mkdir()],
        'not a config'),
    'config of a newer version': (
        rewrite('config.json', format=99), 'format 99, of a newer version'),
    'config of another agent': (
        lambda f: edit(f / 'config.json', b'"dqn"', b'"boot_dqn"'),
        "agent is 'boot_dqn' there, 'dqn' here"),
    'run.json cut': (lambda f: cut(f / 'run.json'), 'run.json is damaged'),
    'run.json of other types': (
        rewrite('run.json', saved='ten'), 'run.json is damaged'),
    'run.json gone': (
        lambda f: (f / 'run.json').unlink(), 'run.json is missing'),
    'log gone': (
        lambda f: (f / 'episodes.csv').unlink(), 'episodes.csv ends in row'),
    'log too short': (
        lambda f: cut(f / 'episodes.csv'), 'episodes.csv ends in row'),
    'log edited': (
        lambda f: edit(f / 'evaluations.csv', b',20,80,', b',20,81,'),
        'evaluations.csv was changed by something else, in one of the rows'),
    'header edited': (
        lambda f: edit(f / 'evaluations.csv', b'agent', b'model'),
        'evaluations.csv was changed'),
    'log a folder': (
        lambda f: [(f / 'episodes.csv').unlink(), (f / 'episodes.csv').mkdir()],
        'episodes.csv'),
    'log replaced by another': (
        lambda f: shutil.copy(f / 'evaluations.csv', f / 'episodes.csv'),
        'episodes.csv'),
}


@pytest.mark.parametrize('case', [
    pytest.param(case, marks=pytest.mark.slow if i % 4 else ())
    for i, case in enumerate(REFUSED)])
def test_a_stopped_run_is_refused_and_left_as_it_is(case, copy, call):  # noqa: F811
  folder = copy('stopped')
  hurt, message = REFUSED[case]
  hurt(folder)
  before = files_of(folder)
  result = call(deep_sea.main, again(folder))
  assert result.status == 1
  assert re.search(message, result.err[-1]), result.err
  assert result.err[-1].startswith('error: ')
  after = files_of(folder)
  after = {name: data for name, data in after.items()
           if name in before or data.count(b'\n') > 1}
  assert after == before


GOES_ON = {
    'nothing': lambda f: None,
    'newest checkpoint cut': lambda f: cut_arrays(newest(f)),
    'newest checkpoint emptied': lambda f: [
        p.write_bytes(b'') for p in newest(f).glob('arrays/**/d/*')],
    'newest metadata cut': lambda f: cut(newest(f) / 'metadata.json'),
    'newest checkpoint gone': lambda f: shutil.rmtree(newest(f)),
    'a row more': lambda f: (f / 'episodes.csv').open('a').write('x,y\n'),
    'half a row more': lambda f: (f / 'evaluations.csv').open('a').write('hy'),
    'a temporary file': lambda f: (f / 'config.json.tmp').write_text('{'),
    'a checkpoint half written': lambda f: (
        f / 'checkpoints' / '999.tmp').mkdir(),
    "posterior's data cut": lambda f: cut(f / 'posterior_before.npz'),
    "posterior's data gone": lambda f: (f / 'posterior_before.npz').unlink(),
    "posterior's data not data": lambda f: (
        f / 'posterior_before.npz').write_bytes(b'PK\x03\x04 no'),
    'touched': lambda f: os.utime(f / 'episodes.csv', (0, 0)),
    'another file beside it': lambda f: (f / 'notes.txt').write_text('mine'),
    'an option that came later': lambda f: edit(
        f / 'config.json', b',\n    "stop_margin": 0.25', b''),
}


# Each of these runs trains to its end.
_QUICK = ('nothing', 'newest checkpoint cut')


@pytest.mark.parametrize('case', [
    pytest.param(case, marks=() if case in _QUICK else pytest.mark.slow)
    for case in GOES_ON])
def test_a_stopped_run_goes_on_to_the_same_end(case, copy, templates, call):  # noqa: F811
  folder = copy('stopped')
  GOES_ON[case](folder)
  result = call(deep_sea.main, again(folder))
  assert result.status == 0, result.err
  assert not any('Traceback' in line for line in result.err)
  found, whole = (commands.results(x)
                  for x in (folder, templates['finished'])) if (
                      'posterior' not in case) else ('', '')
  assert found == whole
  for name in ('episodes.csv', 'evaluations.csv'):
    assert (folder / name).read_bytes() == (
        templates['finished'] / name).read_bytes()
  assert json.loads((folder / 'run.json').read_text())['finished']
  if 'posterior' in case:
    assert 'posterior.png is not drawn' in result.err[-1]
    assert (folder / 'learning_curves.png').exists()
  else:
    assert (folder / 'posterior.png').read_bytes().startswith(b'\x89PNG')


LEFT_ALONE = {
    'nothing': lambda f: None,
    'checkpoints gone': lambda f: shutil.rmtree(f / 'checkpoints'),
    'checkpoints damaged': all_checkpoints(cut_arrays),
    'log edited': lambda f: edit(f / 'evaluations.csv', b',20,80,', b',20,81,'),
    'picture gone': lambda f: (f / 'posterior.png').unlink(),
    "posterior's data cut": lambda f: cut(f / 'posterior_before.npz'),
    'picture and data gone': lambda f: [
        (f / 'posterior.png').unlink(), (f / 'posterior_after.npz').unlink()],
}


@pytest.mark.parametrize('case', [
    pytest.param(case, marks=pytest.mark.slow if i % 4 else ())
    for i, case in enumerate(LEFT_ALONE)])
def test_a_finished_run_is_left_alone(case, copy, call):  # noqa: F811
  folder = copy('finished')
  LEFT_ALONE[case](folder)
  before = files_of(folder)
  result = call(deep_sea.main, again(folder))
  assert result.status == 0, result.err
  assert 'it is finished' in result.out
  after = files_of(folder)
  pictures_drawn = set(after) - set(before)
  assert {name: after[name] for name in before} == before
  assert all(name.endswith('.png') for name in pictures_drawn)
  assert (folder / 'posterior.png').exists()


UNFINISHED = {
    'summary gone': (lambda f: (f / 'summary.csv').unlink(), 0, ''),
    'summary and checkpoints gone': (
        lambda f: [(f / 'summary.csv').unlink(),
                   shutil.rmtree(f / 'checkpoints')], 1, 'none is there'),
    'summary cut': (lambda f: cut(f / 'summary.csv'), 1, 'summary.csv'),
    'summary empty': (
        lambda f: (f / 'summary.csv').write_text(''), 1, 'summary.csv'),
}


@pytest.mark.parametrize('case', [
    pytest.param(case, marks=pytest.mark.slow if i % 4 else ())
    for i, case in enumerate(UNFINISHED)])
def test_a_finished_run_without_its_summary(case, copy, templates, call):  # noqa: F811
  folder = copy('finished')
  hurt, status, message = UNFINISHED[case]
  hurt(folder)
  result = call(deep_sea.main, again(folder))
  assert result.status == status, result.err
  if status:
    assert message in result.err[-1] and len(result.err) == 1
  else:
    assert commands.results(folder) == commands.results(templates['finished'])


@pytest.mark.parametrize('hurt', [
    lambda f: None,
    *[pytest.param(hurt, marks=pytest.mark.slow) for hurt in (
        lambda f: shutil.rmtree(f / 'checkpoints'),
        lambda f: cut(f / 'config.json'),
        lambda f: cut(f / 'run.json'),
        lambda f: cut(f / 'episodes.csv'),
        lambda f: edit(f / 'config.json', b'"hyperagent"', b'"dqn"'))],
], ids=['whole', 'checkpoints', 'config', 'run', 'log', 'other'])
def test_restart_moves_aside_and_begins_anew(hurt, copy, templates, call):  # noqa: F811
  folder = copy('stopped')
  hurt(folder)
  before = files_of(folder)
  result = call(deep_sea.main, again(folder, '--restart'))
  assert result.status == 0, result.err
  assert files_of(folder / 'earlier-1') == before
  assert commands.results(folder) == commands.results(templates['finished'])


def test_restart_does_not_touch_what_is_no_run(tmp_path, call):  # noqa: F811
  (tmp_path / 'thesis.tex').write_text('much')
  result = call(deep_sea.main, again(tmp_path, '--restart'))
  assert result.status == 1 and 'other files (thesis.tex' in result.err[0]
  assert [p.name for p in tmp_path.iterdir()] == ['thesis.tex']


def test_pictures_are_drawn_again_by_a_command(copy, call, monkeypatch):  # noqa: F811
  folder = copy('finished')
  for name in pictures.PICTURES:
    (folder / name).unlink()
  monkeypatch.setattr('sys.argv', ['pictures', str(folder)])
  result = call(lambda _: run_lib.draw_main(pictures.PICTURES, 'prog'), [])
  assert result.status == 0 and not result.err
  for name in pictures.PICTURES:
    assert (folder / name).read_bytes().startswith(b'\x89PNG')
  (folder / 'evaluations.csv').unlink()
  result = call(lambda _: run_lib.draw_main(pictures.PICTURES, 'prog'), [])
  assert result.status == 1
  assert 'learning_curves.png is not drawn' in '\n'.join(result.err)


def test_pictures_of_no_run(tmp_path, call, monkeypatch):  # noqa: F811
  monkeypatch.setattr('sys.argv', ['pictures', str(tmp_path / 'nowhere')])
  result = call(lambda _: run_lib.draw_main(pictures.PICTURES, 'prog'), [])
  assert result.status == 1 and 'nowhere' in result.err[-1]


def test_a_folder_of_another_experiment_is_refused(copy, call):  # noqa: F811
  folder = copy('finished')
  result = call(atari.main, [*commands.ATARI[1:], '--output', str(folder)])
  assert result.status == 1 and len(result.err) == 1
  assert 'holds a run of other settings' in result.err[0]


def test_a_start_by_another_version_says_so(copy, call):  # noqa: F811
  folder = copy('stopped')
  path = folder / 'run.json'
  run = json.loads(path.read_text())
  run['starts'][-1]['versions']['jax'] = '0.1'
  run['starts'][-1]['commit'] = 'abc'
  path.write_text(json.dumps(run))
  result = call(deep_sea.main, again(folder))
  assert result.status == 0
  assert len(result.err) == 1
  assert 'goes on with commit' in result.err[0]
  assert 'before: 0.1' in result.err[0]
  assert len(json.loads(path.read_text())['starts']) == 2
