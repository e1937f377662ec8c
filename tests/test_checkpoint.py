"""Checkpoints: whole or passed over."""

import gc
import os
from pathlib import Path
from typing import NamedTuple
import warnings

import jax
import jax.numpy as jnp
import numpy as np
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


def restore(folder):
  checkpointer = checkpoint.Checkpointer(folder)
  try:
    return checkpointer.restore(make_state(0))
  finally:
    checkpointer.close()


def data_files(folder, step):
  """The files of a checkpoint, the largest first: that has the arrays."""
  files = [p for p in Path(folder, str(step)).rglob('*') if p.is_file()]
  return sorted(files, key=lambda p: -p.stat().st_size)


def test_the_newest_is_restored_exactly(saved):
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    state, memory = restore(saved)
  assert_equal(state, make_state(3))
  assert memory == {'step': 3}
  assert sorted(p for p in os.listdir(saved) if p.isdigit()) == ['2', '3']


def test_it_keeps_no_copy_of_the_state(tmp_path):
  """Replays may take most of the memory."""
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ('runs',))
  state = {'replay': jax.device_put(
      np.arange(2 * 10**8, dtype=np.uint8).reshape(2, 10**8),
      jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('runs')))}
  like = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
      state)
  jax.block_until_ready(state)
  gc.collect()
  process = psutil.Process()
  used = process.memory_info().rss
  checkpointer = checkpoint.Checkpointer(tmp_path)
  checkpointer.save(1, state, {})
  assert process.memory_info().rss - used < 10**8
  del state
  state, _ = checkpointer.restore(like)
  assert process.memory_info().rss - used < 10**8
  assert int(state['replay'][1, -1]) == (2 * 10**8 - 1) % 256
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


@pytest.mark.parametrize('damage', [
    damage_truncate, damage_flip_a_byte, damage_remove, damage_remove_metadata])
def test_a_damaged_one_is_passed_over_with_a_warning(saved, damage):
  damage(data_files(saved, 3))
  with pytest.warns(UserWarning, match=r'/3 is damaged and passed over'):
    state, memory = restore(saved)
  assert_equal(state, make_state(2))
  assert memory == {'step': 2}


def assert_goes_on_behind_a_damaged_one(folder, step, seed):
  """What is saved as `step`, after others are passed over, is restored."""
  checkpointer = checkpoint.Checkpointer(folder)
  with pytest.warns(UserWarning, match='passed over'):
    checkpointer.restore(make_state(0))
  checkpointer.save(step, make_state(seed), {'step': seed})
  checkpointer.close()
  state, memory = restore(folder)
  assert_equal(state, make_state(seed))
  assert memory == {'step': seed}


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


def test_an_unfinished_one_is_not_seen(saved):
  """What a killed save leaves behind: a folder of another name."""
  unfinished = saved / '4.orbax-checkpoint-tmp-1'
  unfinished.mkdir()
  (unfinished / 'state').mkdir()
  state, _ = restore(saved)
  assert_equal(state, make_state(3))
