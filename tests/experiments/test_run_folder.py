"""The folder of a run: what happens to it when its checkpoints are no good."""

import dataclasses
import gzip
import json
from pathlib import Path
import shutil
import subprocess

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import files
from experiments.common import folder as folder_lib
from experiments.common import provenance
from experiments.common import run_folder
from experiments.deep_sea import settings as deep_sea_settings
from hyperjax import acting
from hyperjax import agents
from hyperjax import targets


@dataclasses.dataclass
class _Settings:
  output: Path
  checkpoint_seconds: float = 0.
  restart: bool = False


@pytest.fixture
def open_folder(tmp_path):
  folders = []

  def make():
    while folders:
      folders.pop().close()
    folders.append(run_folder.RunFolder(
        _Settings(tmp_path / 'run'), {'log.csv': ('x',)}))
    return folders[-1]

  yield make
  while folders:
    folders.pop().close()


@pytest.fixture
def saved(open_folder):
  """The length of a log of which the checkpoint does not have the last row."""
  folder = open_folder()
  assert folder.restore({'x': jnp.zeros(2)}) is None
  folder.save(1, {'x': jnp.ones(2)}, {'best': -np.inf})
  folder.logs['log.csv'].append([(1,)])
  return folder.sync()['log.csv'].length


def test_what_is_saved_is_restored(saved, open_folder):
  folder = open_folder()
  state, metadata = folder.restore({'x': jnp.zeros(2)})
  np.testing.assert_array_equal(state['x'], jnp.ones(2))
  assert metadata == {'best': -np.inf}
  assert folder.sync()['log.csv'].length < saved


def test_a_start_without_versions_is_damage(saved, open_folder, tmp_path):
  path = tmp_path / 'run' / 'run.json'
  whole = path.read_text()
  path.write_text(whole.replace('versions', 'version'))
  with pytest.raises(ValueError, match=r'run\.json is damaged: a start has no'):
    open_folder()


@pytest.mark.parametrize('left_out', ['acting', 'batch_size', 'target'])
def test_what_there_was_no_option_for_is_as_it_is_by_default(
    left_out, tmp_path):
  config = agents.DQNConfig()
  settings = deep_sea_settings.Settings(
      output=tmp_path / 'run', agent='dqn', config=config)
  folder_lib.Folder(tmp_path / 'run', settings).close()
  path = tmp_path / 'run' / 'config.json'
  found = json.loads(path.read_text())
  del found['settings']['config'][left_out]
  path.write_text(json.dumps(found))
  folder_lib.Folder(tmp_path / 'run', settings).close()
  other = dataclasses.replace(settings, config=dataclasses.replace(
      config, acting=acting.EpsilonGreedy(0.7), batch_size=77,
      target=targets.Periodic(77)))
  with pytest.raises(ValueError, match=r'config\.'):
    folder_lib.Folder(tmp_path / 'run', other)
  with pytest.raises(ValueError, match='size is 20 there, 10 here'):
    folder_lib.Folder(
        tmp_path / 'run', dataclasses.replace(settings, size=10))


def test_a_run_killed_at_its_first_checkpoint_begins_anew(
    open_folder, tmp_path):
  open_folder()
  (tmp_path / 'run' / 'checkpoints' / '5.tmp').mkdir(parents=True)
  assert open_folder().restore({'x': jnp.zeros(2)}) is None


def test_a_log_is_not_cut_for_a_state_that_does_not_fit(saved, open_folder):
  folder = open_folder()
  with pytest.raises(ValueError, match='another structure'):
    folder.restore({'x': jnp.zeros(3)})
  assert folder.sync()['log.csv'].length == saved


def test_a_log_is_not_cut_if_all_is_damaged(saved, open_folder, tmp_path):
  (tmp_path / 'run' / 'checkpoints' / '1' / 'metadata.json').unlink()
  folder = open_folder()
  with (pytest.warns(UserWarning, match='passed over'),
        pytest.raises(ValueError, match='after step 1, but none can be read')):
    folder.restore({'x': jnp.zeros(2)})
  assert folder.sync()['log.csv'].length == saved


def test_a_compressed_log_is_read_where_there_is_no_other(tmp_path):
  path, packed = tmp_path / 'log.csv', tmp_path / 'log.csv.gz'
  packed.write_bytes(gzip.compress(b'a,b\n1,2\n3,4\n'))
  columns = files.read_columns(path, ('a', 'b'))
  assert columns['a'].tolist() == ['1', '3']
  path.write_bytes(b'a\n5\n')
  assert files.read_columns(path)['a'].tolist() == ['5']
  path.unlink()
  for data in (packed.read_bytes()[:-9], b'not compressed'):
    packed.write_bytes(data)
    with pytest.raises(ValueError, match=r'log\.csv cannot be read'):
      files.read_columns(path)


def test_the_commit_is_that_of_the_repository_that_has_the_code(
    tmp_path, monkeypatch):
  installed = tmp_path / 'site-packages' / 'provenance.py'
  installed.parent.mkdir()
  shutil.copy(provenance.__file__, installed)
  git = lambda *args: subprocess.run(
      ['git', '-c', 'user.name=a', '-c', 'user.email=a@b', *args], cwd=tmp_path,
      check=True, capture_output=True, text=True).stdout.strip()
  git('init')
  git('commit', '--allow-empty', '-m', 'a')
  monkeypatch.setattr(provenance, '__file__', str(installed))
  assert provenance.provenance()['commit'] == 'unknown'
  git('add', '.')
  git('commit', '-m', 'b')
  assert provenance.provenance()['commit'] == git('rev-parse', 'HEAD')
