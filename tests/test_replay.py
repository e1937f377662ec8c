"""The replay: what is kept, what is drawn, and how much memory it takes."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import replay as replay_lib
from hyperjax import specs
from hyperjax import types

_CELL = specs.ObservationSpec((), 'int32', 100)
_IMAGE = specs.ObservationSpec((2, 3), 'uint8', None)


def _transitions(first, num, spec=_CELL) -> types.Transition:
  """Transitions of uids first..first+num-1; every field tells the uid."""
  uid = np.arange(first, first + num, dtype=np.int32)
  observation = np.broadcast_to(
      uid.reshape(-1, *[1] * len(spec.shape)),
      (num, *spec.shape)).astype(spec.dtype)
  return types.Transition(
      observation=observation,
      action=uid % 7,
      reward=(0.5 * uid - 3.).astype(np.float32),
      discount=(uid / 1024.).astype(np.float32),
      next_observation=observation + np.ones((), spec.dtype),
      uid=uid)


@functools.cache
def _add(replay):
  return jax.jit(replay.add)


@functools.cache
def _sample(replay):
  return jax.jit(jax.vmap(replay.sample, in_axes=(None, 0)))


def _filled(replay, sizes) -> replay_lib.ReplayState:
  """The state after adding batches of these sizes, one after the other."""
  state, add, first = replay.init(), _add(replay), 0
  for size in sizes:
    state = add(state, _transitions(first, size, replay.spec))
    first += size
  return state


def _draw(replay, state, num=200) -> types.Transition:
  """`num` batches, [num, B]."""
  keys = jax.random.split(jax.random.PRNGKey(0), num)
  return _sample(replay)(state, keys)


@pytest.mark.parametrize('sizes', [
    25 * [1],
    5 * [5],
    [4, 4, 4, 4, 4, 4, 1],  # Behind the end of the ring and on at its start.
    [10, 10, 5],
    [3, 10, 2, 10],
], ids=str)
def test_keeps_the_last_ones(sizes):
  replay = replay_lib.Replay(_CELL, capacity=10, batch_size=4)
  assert sum(sizes) == 25
  uids = _draw(replay, _filled(replay, sizes)).uid
  assert set(np.unique(uids)) == set(range(15, 25))


@pytest.mark.parametrize('sizes', [[1], [3], [1, 1, 4], [9], [10]], ids=str)
def test_draws_only_what_was_stored(sizes):
  replay = replay_lib.Replay(_CELL, capacity=10, batch_size=5)
  batch = _draw(replay, _filled(replay, sizes))
  assert batch.uid.shape == (200, 5)
  assert set(np.unique(batch.uid)) == set(range(sum(sizes)))


@pytest.mark.parametrize('sizes, kept', [
    ([7], range(7)), ([10], range(10)), ([8, 8, 8], range(14, 24))], ids=str)
def test_draws_uniformly_with_replacement(sizes, kept):
  replay = replay_lib.Replay(_CELL, capacity=10, batch_size=10)
  uids = np.asarray(_draw(replay, _filled(replay, sizes), num=2000).uid)
  counts = np.array([(uids == uid).sum() for uid in kept])
  assert counts.sum() == uids.size
  expected = uids.size / len(kept)
  # At most 9 degrees of freedom: above 40 once in 100,000 keys.
  assert ((counts - expected)**2 / expected).sum() < 40.
  # Two places in a batch agree as often as independent draws do.
  p = 1. / len(kept)
  agree = (uids[:, 0] == uids[:, 1]).mean()
  assert abs(agree - p) < 5. * np.sqrt(p * (1. - p) / len(uids))


@pytest.mark.parametrize('spec', [
    _CELL, _IMAGE, specs.ObservationSpec((4,), 'float32', None)], ids=repr)
def test_values_and_dtypes_round_trip(spec):
  replay = replay_lib.Replay(spec, capacity=10, batch_size=8)
  batch = jax.device_get(_draw(replay, _filled(replay, [6, 6]), num=5))
  for i in range(5):
    for j in range(8):
      uid = int(batch.uid[i, j])
      expected = jax.tree.map(lambda x: x[0], _transitions(uid, 1, spec))
      got = jax.tree.map(lambda x, i=i, j=j: x[i, j], batch)
      for name, x, y in zip(
          types.Transition._fields, got, expected, strict=True):
        np.testing.assert_array_equal(x, y, err_msg=name)
        assert x.dtype == y.dtype, name
  assert batch.observation.dtype == np.dtype(spec.dtype)
  assert batch.observation.shape == (5, 8, *spec.shape)


def test_uids_beyond_float_precision_round_trip():
  replay = replay_lib.Replay(_CELL, capacity=4, batch_size=4)
  first = 2**24 + 1
  state = _add(replay)(replay.init(), _transitions(first, 4))
  assert set(np.unique(_draw(replay, state).uid)) == set(
      range(first, first + 4))


def test_sample_is_a_function_of_state_and_key():
  replay = replay_lib.Replay(_CELL, capacity=10, batch_size=8)
  state = _filled(replay, [10])
  one, two, other = (
      replay.sample(state, jax.random.PRNGKey(k)).uid for k in (0, 0, 1))
  np.testing.assert_array_equal(one, two)
  assert (np.asarray(one) != np.asarray(other)).any()


@pytest.mark.parametrize('spec', [
    _CELL, _IMAGE, specs.ObservationSpec((5, 5), 'float32', None)], ids=repr)
@pytest.mark.parametrize('capacity', [7, 1000])
def test_num_bytes_is_what_the_state_takes(spec, capacity):
  replay = replay_lib.Replay(spec, capacity=capacity, batch_size=3)
  expected = sum(x.nbytes for x in jax.tree.leaves(replay.init()))
  assert replay.num_bytes() == expected
  per_transition = 2 * np.dtype(spec.dtype).itemsize * int(
      np.prod(spec.shape)) + 4 * 4
  assert expected >= capacity * per_transition


def test_refuses_what_does_not_fit():
  """Constructing and asking must not allocate: this is 2.4 exabytes."""
  start = time.monotonic()
  replay = replay_lib.Replay(_CELL, capacity=10**17, batch_size=3)
  with pytest.raises(MemoryError) as error:
    replay_lib.check_fits(replay, 1, jax.devices()[0])
  assert '2400000000.0 GB' in str(error.value)
  assert str(10**17) in str(error.value)
  assert time.monotonic() - start < 30.


def test_counts_every_replay(monkeypatch):
  monkeypatch.setattr(replay_lib, 'available_bytes', lambda device: 10_000_000)
  device = jax.devices()[0]
  replay = replay_lib.Replay(_CELL, capacity=100_000, batch_size=3)  # 2.4 MB
  replay_lib.check_fits(replay, 4, device)
  with pytest.raises(MemoryError, match='5 replays of 100000 steps'):
    replay_lib.check_fits(replay, 5, device)


def test_accepts_where_the_device_does_not_say(monkeypatch):
  monkeypatch.setattr(replay_lib, 'available_bytes', lambda device: None)
  replay_lib.check_fits(
      replay_lib.Replay(_CELL, 10**15, 3), 1, jax.devices()[0])


def test_available_bytes_of_this_machine():
  available = replay_lib.available_bytes(jax.devices('cpu')[0])
  assert 10**6 < available < 10**15


def test_refuses_a_batch_larger_than_the_capacity():
  replay_lib.Replay(_CELL, capacity=10, batch_size=10)
  with pytest.raises(ValueError, match='10, got 11'):
    replay_lib.Replay(_CELL, capacity=10, batch_size=11)


@pytest.mark.parametrize('added', [30, 75, 230])
def test_a_part_of_each_batch_is_recent(added):
  """Before the ring is full, and after it has wrapped around."""
  capacity, window = 100, 20
  replay = replay_lib.Replay(
      _CELL, capacity, batch_size=8, recent_fraction=0.5, recent_window=window)
  uids = np.asarray(_draw(replay, _filled(replay, added // 5 * [5])).uid)
  recent, rest = uids[:, :4].ravel(), uids[:, 4:].ravel()
  # All of the window and of the replay, and nothing else; evenly.
  for drawn, size in ((recent, window), (rest, min(added, capacity))):
    counts = np.bincount(drawn, minlength=added)
    assert not counts[:added - size].any()
    expected = drawn.size / size
    assert np.abs(counts[added - size:] - expected).max() < 6 * expected**0.5


def test_a_window_wider_than_the_replay_is_the_replay():
  replay = replay_lib.Replay(
      _CELL, 10, batch_size=8, recent_fraction=1., recent_window=1000)
  uids = np.asarray(_draw(replay, _filled(replay, [5])).uid)
  assert set(uids.ravel()) == set(range(5))


def _prioritized(tournament_size):
  return replay_lib.Replay(
      _CELL, 10, batch_size=8, recent_fraction=0.25, recent_window=1,
      prioritized_fraction=0.5, tournament_size=tournament_size)


def _record(replay, state, uids, losses):
  """The state after the losses of these transitions were noted."""
  transitions = jax.tree.map(lambda x: jnp.asarray(x)[np.array(uids)],
                             _transitions(0, max(uids) + 1))
  return replay.record(state, transitions, jnp.asarray(losses, jnp.float32))


@pytest.mark.parametrize('size', [1, 3])
def test_a_part_of_each_batch_goes_to_the_largest_losses(size):
  """As often as the largest of `size` uniform draws; the ring has wrapped."""
  replay = _prioritized(size)
  state = _filled(replay, [7, 7])
  # By rank of loss, from the smallest: not the order of the uids.
  by_rank = np.array([9, 4, 13, 6, 11, 5, 12, 7, 10, 8])
  state = _record(replay, state, by_rank, 0.1 * np.arange(10))
  uids = np.asarray(_draw(replay, state, num=2000).uid)
  assert (uids[:, :2] == 13).all()  # The newest.
  rank = np.arange(1, 11)
  for drawn, share in (
      (uids[:, 2:4], np.full(10, 0.1)),
      (uids[:, 4:], (rank / 10)**size - ((rank - 1) / 10)**size)):
    expected = drawn.size * share
    counts = np.array([(drawn == uid).sum() for uid in by_rank])
    assert (np.abs(counts - expected) < 5. * np.sqrt(expected) + 1.).all()


def test_what_was_never_drawn_comes_before_any_loss():
  replay = _prioritized(50)
  state = _record(replay, _filled(replay, [10]), range(9), 9 * [1e30])
  assert (np.asarray(_draw(replay, state).uid)[:, 4:] == 9).mean() > 0.95
  # Another one in the place of number 3 has a loss of its own to come.
  state = _record(replay, state, [9], [0.])
  state = _add(replay)(state, _transitions(10, 4))
  state = _record(replay, state, [10, 11, 12], 3 * [1e30])
  assert (np.asarray(_draw(replay, state).uid)[:, 4:] == 13).mean() > 0.95


def test_more_than_a_whole_batch_is_refused():
  replay_lib.Replay(
      _CELL, 10, batch_size=8, recent_fraction=0.9, prioritized_fraction=0.1)
  with pytest.raises(ValueError, match='1 together, got 0.5 and 0.75'):
    replay_lib.Replay(
        _CELL, 10, batch_size=8, recent_fraction=0.5, prioritized_fraction=0.75)


def test_without_prioritisation_no_loss_is_kept():
  replay = replay_lib.Replay(_CELL, 10, batch_size=8, recent_fraction=0.5)
  state = _filled(replay, [5])
  assert _record(replay, state, [2], [1.]) is state
  assert state.losses is None
