"""Checkpoints: whole or passed over."""

import contextlib
import gc
import os
from pathlib import Path
import shutil
import threading
from typing import NamedTuple
import warnings
import zlib

import hypothesis
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import psutil
import pytest

from hyperjax import checkpoint


class _State(NamedTuple):
  weights: jax.Array
  counts: jax.Array
  key: jax.Array
  empty: jax.Array


def make_state(seed):
  key = jax.random.split(jax.random.key(seed), 3)
  return _State(jax.random.normal(key[0], (3, 400)), jnp.arange(3) + seed, key,
                jnp.zeros((3, 0)))


def assert_equal(a, b):
  np.testing.assert_array_equal(
      jax.random.key_data(a.key), jax.random.key_data(b.key))
  jax.tree.map(np.testing.assert_array_equal,
               a._replace(key=0), b._replace(key=0))


@pytest.fixture
def saved(tmp_path):
  """Three checkpoints, of which two are kept."""
  checkpointer = checkpoint.Checkpointer(tmp_path)
  for step in (1, 2, 3):
    checkpointer.save(step, make_state(step), {'step': step})
  checkpointer.close()
  return tmp_path


def restore(folder, like=None):
  checkpointer = checkpoint.Checkpointer(folder)
  try:
    return checkpointer.restore(make_state(0) if like is None else like)
  finally:
    checkpointer.close()


def save(folder, step, state, metadata=None, **options):
  checkpointer = checkpoint.Checkpointer(folder, **options)
  checkpointer.save(step, state, {} if metadata is None else metadata)
  checkpointer.close()


def contents(folder):
  """Each file below a folder with what is in it, and the folders."""
  return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
          for p in Path(folder).rglob('*')}


def data_files(folder, step):
  """The files of a checkpoint, the largest first: that has the arrays."""
  files = [p for p in Path(folder, str(step)).rglob('*') if p.is_file()]
  return sorted(files, key=lambda p: -p.stat().st_size)


def test_the_newest_is_restored_exactly(saved):
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    state, metadata = restore(saved)
  assert_equal(state, make_state(3))
  assert metadata == {'step': 3}
  assert sorted(p for p in os.listdir(saved) if p.isdigit()) == ['2', '3']


@contextlib.contextmanager
def _peak(process):
  """Yields a function that returns the peak of the memory of a process."""
  found, done = [process.memory_info().rss], threading.Event()

  def watch():
    while not done.wait(0.002):
      found.append(process.memory_info().rss)

  thread = threading.Thread(target=watch)
  thread.start()
  try:
    yield lambda: max(found)
  finally:
    done.set()
    thread.join()


@pytest.mark.slow  # Its figure is that of a process with nothing else in it.
def test_it_makes_no_copy_of_the_state(tmp_path):
  """Replays may take most of the memory."""
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ('runs',))
  state = {'replay': jax.device_put(
      np.arange(8 * 10**8, dtype=np.uint8).reshape(2, 4 * 10**8),
      jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('runs')))}
  like = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
      state)
  jax.block_until_ready(state)
  gc.collect()
  process = psutil.Process()
  used = process.memory_info().rss
  checkpointer = checkpoint.Checkpointer(tmp_path)
  with _peak(process) as peak:
    checkpointer.save(1, state, {})
  assert peak() - used < 10**8
  del state
  with _peak(process) as peak:
    state, _ = checkpointer.restore(like)
  # Of one piece: as stored, as read, and where it is decompressed.
  assert peak() - used < 4e8
  assert int(state['replay'][1, -1]) == (8 * 10**8 - 1) % 256
  checkpointer.close()


def test_nothing_is_restored_from_an_empty_folder(tmp_path):
  assert restore(tmp_path) is None


def damage_truncate(files):
  with open(files[0], 'r+b') as f:
    f.truncate(files[0].stat().st_size // 2)


def damage_flip_a_byte(files):
  data = bytearray(files[0].read_bytes())
  data[len(data) // 2] ^= 0xff
  files[0].write_bytes(bytes(data))


def damage_remove(files):
  files[0].unlink()


def damage_remove_metadata(files):
  for path in files:
    if 'meta' in path.name.lower():
      path.unlink()


@pytest.mark.parametrize('large', [checkpoint._LARGE, 1000])
@pytest.mark.parametrize('damage', [
    damage_truncate, damage_flip_a_byte, damage_remove, damage_remove_metadata])
def test_a_damaged_one_is_passed_over_with_a_warning(
    saved, damage, large, monkeypatch):
  monkeypatch.setattr(checkpoint, '_LARGE', large)  # Weights are 4,800 bytes.
  damage(data_files(saved, 3))
  with pytest.warns(UserWarning, match=r'/3 is damaged and passed over'):
    state, metadata = restore(saved)
  assert_equal(state, make_state(2))
  assert metadata == {'step': 2}


def assert_goes_on_behind_a_damaged_one(folder, step, seed):
  """What is saved as `step`, after others are passed over, is restored."""
  checkpointer = checkpoint.Checkpointer(folder)
  with pytest.warns(UserWarning, match='passed over'):
    checkpointer.restore(make_state(0))
  checkpointer.save(step, make_state(seed), {'step': seed})
  checkpointer.close()
  state, metadata = restore(folder)
  assert_equal(state, make_state(seed))
  assert metadata == {'step': seed}


def test_a_damaged_one_is_replaced_when_its_step_comes_again(saved):
  damage_flip_a_byte(data_files(saved, 3))
  assert_goes_on_behind_a_damaged_one(saved, 3, 33)


def test_a_damaged_one_does_not_hide_those_that_come_after(saved):
  damage_flip_a_byte(data_files(saved, 3))
  checkpointer = checkpoint.Checkpointer(saved)
  checkpointer.save(4, make_state(4), {'step': 4})
  checkpointer.close()
  damage_flip_a_byte(data_files(saved, 4))
  assert_goes_on_behind_a_damaged_one(saved, 2, 22)


def test_all_damaged_restores_nothing(saved):
  for step in (2, 3):
    damage_truncate(data_files(saved, step))
  with pytest.warns(UserWarning, match='passed over'):
    assert restore(saved) is None


@pytest.mark.parametrize('name', ['4.orbax-checkpoint-tmp-1', '4.tmp'])
def test_an_unfinished_one_is_not_seen(saved, name):
  """What a killed save leaves behind: a folder of another name."""
  (saved / name / 'state').mkdir(parents=True)
  state, _ = restore(saved)
  assert_equal(state, make_state(3))


# Another structure is not damage.


@pytest.mark.parametrize('like, message', [
    (lambda s: s._replace(weights=jnp.zeros((3, 500))),
     r'/3 .*\n\.weights: stored float32\[3,400\], expected float32\[3,500\]$'),
    (lambda s: s._replace(counts=jnp.zeros(3)),
     r'\n\.counts: stored int32\[3\], expected float32\[3\]$'),
    (lambda s: s._replace(key=jax.random.split(jax.random.key(0, impl='rbg'))),
     r'\n\.key: stored key<fry>\[3\], expected key<rbg>\[2\]$'),
    (lambda s: s._replace(empty=jnp.zeros((4, 0))),
     r'\n\.empty: stored float32\[3,0\], expected float32\[4,0\]$'),
    (lambda s: s._replace(counts={'sum': s.counts}),
     r"\n\.counts: stored int32\[3\], expected no such array\n"
     r"\.counts\['sum'\]: stored no such array, expected int32\[3\]$"),
], ids=['width', 'dtype', 'key', 'empty', 'names'])
def test_another_structure_is_an_error_with_both_shapes(saved, like, message):
  before = contents(saved)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    with pytest.raises(ValueError, match=message):
      restore(saved, like(make_state(0)))
  assert contents(saved) == before


def test_what_did_not_fit_is_not_deleted(saved):
  before = contents(saved)
  checkpointer = checkpoint.Checkpointer(saved, max_to_keep=1)
  with pytest.raises(ValueError, match='another structure'):
    checkpointer.restore({'another': jnp.zeros(2)})
  with pytest.raises(ValueError, match='step is 2, .* expected a larger step'):
    checkpointer.save(2, {'another': jnp.zeros(2)}, {})
  for step in (4, 5, 6):
    checkpointer.save(step, {'another': jnp.ones(2)}, {})
  checkpointer.close()
  assert checkpointer.steps() == [2, 3, 6]
  assert before.items() <= contents(saved).items()


# What is restored may be described in several ways.


def test_numpy_arrays_are_restored_as_such(tmp_path):
  """Those of 64 bits too, which JAX would cut."""
  state = {'wide': np.arange(5) + 2**40, 'flag': np.array(True),
           'scalar': np.float64(0.1), 'empty': np.zeros((0, 2)),
           'rows': np.arange(12, dtype=np.int16).reshape(3, 4).T}
  save(tmp_path, 1, state)
  restored, _ = restore(tmp_path, jax.tree.map(np.zeros_like, state))
  for name, array in state.items():
    assert isinstance(restored[name], np.ndarray), name
    np.testing.assert_array_equal(restored[name], array, strict=True)
  restored['wide'] += 1  # As its owner may.
  shape = jax.ShapeDtypeStruct((5,), np.int64)
  with pytest.raises(ValueError, match='int64 .* expected jax_enable_x64'):
    restore(tmp_path, {**state, 'wide': shape})


def test_the_byte_order_of_numpy_arrays_does_not_matter(tmp_path):
  state = {'big': np.arange(3, dtype='>i4'), 'little': np.arange(3)}
  restored = state
  for step in (1, 2):  # What was restored is saved as well.
    save(tmp_path, step, restored)
    restored, _ = restore(tmp_path, state)
    for name, array in state.items():
      np.testing.assert_array_equal(restored[name], array, strict=True)


def test_a_numpy_like_restores_what_was_saved_from_devices(saved):
  state = make_state(0)
  restored, _ = restore(saved, state._replace(
      weights=np.asarray(state.weights), counts=np.asarray(state.counts)))
  assert isinstance(restored.weights, np.ndarray)
  assert_equal(restored, make_state(3))


def test_bare_shapes_are_restored_on_the_default_device(saved):
  restored, _ = restore(saved, jax.eval_shape(make_state, 0))
  assert_equal(restored, make_state(3))
  for array in jax.tree.leaves(restored):
    assert array.devices() == {jax.devices()[0]}


P = jax.sharding.PartitionSpec


@pytest.mark.parametrize('in_pieces', [False, True])
@pytest.mark.parametrize('axes', [P(None, 'a'), P('b', 'a'), P()])
@pytest.mark.slow
def test_shards_are_restored_as_they_were_or_otherwise(
    tmp_path, axes, in_pieces, monkeypatch):
  if in_pieces:  # Of three rows, so that they are no shards.
    monkeypatch.setattr(checkpoint, '_PIECE_BYTES', 3 * 8 * 4)
    monkeypatch.setattr(checkpoint, '_LARGE', 100)
  mesh = jax.sharding.Mesh(np.array(jax.devices()).reshape(4, 2), ('a', 'b'))
  sharding = jax.sharding.NamedSharding(mesh, axes)
  values = {'x': jnp.arange(64.).reshape(8, 8), 'empty': jnp.zeros((8, 0)),
            'key': jax.random.split(jax.random.key(1), (8, 4))}
  state = jax.device_put(values, sharding)
  save(tmp_path, 1, state)
  for like in (state, values, jax.eval_shape(lambda: values)):
    restored, _ = restore(tmp_path, like)
    np.testing.assert_array_equal(restored['x'], values['x'])
    np.testing.assert_array_equal(jax.random.key_data(restored['key']),
                                  jax.random.key_data(values['key']))
    for name, array in restored.items():
      expected = like[name].sharding or values[name].sharding
      assert array.sharding.is_equivalent_to(expected, array.ndim)


def test_a_state_may_be_a_single_array_and_names_may_be_anything(tmp_path):
  states = [jnp.arange(3), {'a/b': jnp.ones(1), '': np.ones(2), 'ü.': jnp.ones(
      (), jnp.bfloat16)}, [jnp.zeros(2, bool), (np.zeros(1),)]]
  for i, state in enumerate(states):
    save(tmp_path / str(i), 0, state)
    restored, _ = restore(tmp_path / str(i), state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)


# Damage.


def test_what_the_host_remembers_lies_under_the_checksum(saved):
  changed = [path for path in data_files(saved, 3)
             if b'"step": 3' in path.read_bytes()]
  for path in changed:
    path.write_bytes(path.read_bytes().replace(b'"step": 3', b'"step": 4'))
  assert changed
  with pytest.warns(UserWarning, match=r'/3 is damaged and passed over'):
    state, metadata = restore(saved)
  assert_equal(state, make_state(2))
  assert metadata == {'step': 2}


@hypothesis.settings(max_examples=10, deadline=None, derandomize=True)
@hypothesis.given(st.data())
def test_whatever_is_damaged_what_is_restored_is_whole(tmp_path_factory, data):
  folder = tmp_path_factory.getbasetemp() / 'damaged'
  if not (whole := tmp_path_factory.getbasetemp() / 'whole').exists():
    for step in (2, 3):
      save(whole, step, make_state(step), {'step': step})
  shutil.rmtree(folder, ignore_errors=True)
  shutil.copytree(whole, folder)
  path = data.draw(st.sampled_from(sorted(data_files(folder, 3))))
  content = bytearray(path.read_bytes())
  if content and data.draw(st.booleans()):
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
  else:
    content = content[:data.draw(st.integers(0, len(content)))]
  path.write_bytes(content)
  before = contents(folder)
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    state, metadata = restore(folder)
  passed_over = any('/3 is damaged' in str(w.message) for w in caught)
  step = 2 if passed_over else 3  # Not all that orbax writes is needed.
  assert_equal(state, make_state(step))
  assert metadata == {'step': step}
  assert contents(folder) == before


def test_a_lack_of_memory_is_not_damage(saved, monkeypatch):
  def fail(*_):
    raise MemoryError
  monkeypatch.setattr(zlib, 'crc32', fail)
  with pytest.raises(MemoryError):
    restore(saved)


def test_a_format_of_old_is_named_as_such(tmp_path):
  manager = ocp.CheckpointManager(tmp_path)
  manager.save(3, args=ocp.args.Composite(
      state=ocp.args.StandardSave({'x': jnp.zeros(2)}),
      memory=ocp.args.JsonSave({'checksum': 0, 'memory': {}})))
  manager.close()
  with pytest.raises(ValueError, match=r'an older version wrote .*/3'):
    restore(tmp_path, {'x': jnp.zeros(2)})


# Nothing is deleted before its successor is whole.


def test_a_damaged_one_is_set_aside_and_does_not_count(saved):
  damage_flip_a_byte(data_files(saved, 3))
  damaged = contents(saved / '3')
  checkpointer = checkpoint.Checkpointer(saved)
  with pytest.warns(UserWarning, match='passed over'):
    checkpointer.restore(make_state(0))
  assert contents(saved / '3') == damaged
  checkpointer.save(4, make_state(4), {})
  assert sorted(os.listdir(saved)) == ['2', '3.damaged', '4']
  assert contents(saved / '3.damaged') == damaged
  checkpointer.save(5, make_state(5), {})
  assert sorted(os.listdir(saved)) == ['3.damaged', '4', '5']
  checkpointer.close()


def test_a_save_that_fails_deletes_nothing(saved, monkeypatch):
  damage_flip_a_byte(data_files(saved, 3))
  before = contents(saved)
  checkpointer = checkpoint.Checkpointer(saved, max_to_keep=1)
  with pytest.warns(UserWarning, match='passed over'):
    checkpointer.restore(make_state(0))

  def fail(*_):
    raise OSError('no space left')

  with monkeypatch.context() as patch:
    patch.setattr(zlib, 'crc32', fail)
    with pytest.raises(OSError, match='no space left'):
      checkpointer.save(3, make_state(33), {})
  assert before.items() <= contents(saved).items()
  checkpointer.save(3, make_state(33), {})  # Nothing is in its way.
  checkpointer.close()
  assert sorted(os.listdir(saved)) == ['3', '3.damaged']


def test_what_was_not_written_whole_is_not_shown(saved, monkeypatch):
  """An array that orbax left out, say."""
  before = contents(saved)
  checkpointer = checkpoint.Checkpointer(saved, max_to_keep=1)
  checkpointer.restore(make_state(0))
  orbax_save = ocp.PyTreeCheckpointer.save
  monkeypatch.setattr(
      ocp.PyTreeCheckpointer, 'save', lambda self, path, arrays, **_: (
          orbax_save(self, path, dict(list(arrays.items())[1:]))))
  with pytest.raises(RuntimeError, match='4.tmp was not written'):
    checkpointer.save(4, make_state(4), {})
  checkpointer.close()
  assert before.items() <= contents(saved).items()
  assert checkpointer.steps() == [2, 3]


@pytest.mark.parametrize('step', [3, 4])
@pytest.mark.parametrize('num_calls', [0, 1, 2])
@pytest.mark.slow
def test_a_kill_between_renames_leaves_a_whole_one(
    saved, monkeypatch, step, num_calls):
  checkpointer = checkpoint.Checkpointer(saved, max_to_keep=1)
  checkpointer.restore(make_state(0))
  rename, left = Path.rename, [num_calls]

  def killed(*args):
    if not left[0]:
      raise KeyboardInterrupt
    left[0] -= 1
    return rename(*args)

  with monkeypatch.context() as patch:
    patch.setattr(Path, 'rename', killed)
    with pytest.raises(KeyboardInterrupt):
      checkpointer.save(step, make_state(5), {'step': 5})
      raise KeyboardInterrupt  # It had fewer renames to do.
  checkpointer.close()
  checkpointer = checkpoint.Checkpointer(saved, max_to_keep=1)
  state, metadata = checkpointer.restore(make_state(0))
  assert metadata['step'] in (3, 5)
  assert_equal(state, make_state(metadata['step']))
  checkpointer.save(step, make_state(6), {})
  checkpointer.close()
  assert os.listdir(saved) == [str(step)]


# Who reads, only reads.


def test_reading_changes_nothing_of_another_that_saves(saved, monkeypatch):
  crc32, seen = zlib.crc32, []

  def read_meanwhile(*args):
    if not seen:
      seen.append(contents(saved))
      state, _ = restore(saved)
      assert_equal(state, make_state(3))
      assert contents(saved) == seen[0]
      assert any('tmp' in name for name in seen[0])
    return crc32(*args)

  (saved / '4.orbax-checkpoint-tmp-1').mkdir()
  checkpointer = checkpoint.Checkpointer(saved)
  with monkeypatch.context() as patch:
    patch.setattr(zlib, 'crc32', read_meanwhile)
    checkpointer.save(4, make_state(4), {})
  checkpointer.close()
  state, _ = restore(saved)
  assert_equal(state, make_state(4))


def test_reading_makes_no_folder(tmp_path):
  assert restore(tmp_path / 'none') is None
  assert not os.listdir(tmp_path)


def test_saving_removes_what_a_killed_save_left(tmp_path):
  (tmp_path / '4.tmp' / 'arrays').mkdir(parents=True)
  save(tmp_path, 5, make_state(5))
  assert os.listdir(tmp_path) == ['5']


def test_saving_removes_nothing_of_the_users(tmp_path):
  (tmp_path / 'note.tmp').write_text('x')
  for name in ('user.tmp', 'user', 'user.replaced'):
    (tmp_path / name).mkdir()
  before = contents(tmp_path)
  save(tmp_path, 5, make_state(5))
  assert before.items() <= contents(tmp_path).items()


# What cannot be saved.


@pytest.mark.parametrize('state, metadata, error, message', [
    ({}, {}, ValueError, 'no arrays'),
    ({'x': jnp.zeros((3, 0))}, {}, ValueError, 'only empty ones'),
    ({'x': jnp.zeros(3), 'y': 'text'}, {}, TypeError, r"str at \"\['y'\]\""),
    ({'x': jnp.zeros(3)}, {'a': {1, 2}}, TypeError, 'not JSON serializable'),
    ({'x': jnp.zeros(3)}, {'a': jnp.zeros(3)}, TypeError, 'not JSON serial'),
])
def test_what_cannot_be_saved_is_an_error_before_anything_is_written(
    tmp_path, state, metadata, error, message):
  with pytest.raises(error, match=message):
    save(tmp_path, 1, state, metadata)
  assert not os.listdir(tmp_path)


@pytest.mark.parametrize('metadata', [
    {'best': [[-np.inf, 0]], 'none': None, 'text': 'ü', 'deep': {'a': [1.5]}}])
def test_metadata_is_restored_as_json_has_it(tmp_path, metadata):
  save(tmp_path, 1, make_state(1), metadata)
  assert restore(tmp_path)[1] == metadata


def test_a_bad_number_is_an_error(tmp_path, unchecked):
  for number in (0, 1.5):
    with pytest.raises(ValueError, match=f'max_to_keep must .* got {number}'):
      checkpoint.Checkpointer(tmp_path, max_to_keep=number)
  for step in (-1, 1., np.float64(7.), True, float('nan'), '5', np.array(6)):
    with pytest.raises(ValueError, match='step must be'):
      save(tmp_path, step, make_state(1))
  assert not list(tmp_path.iterdir())
