"""What is drawn, by each sampler and from each storage."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import replay as replay_lib
from hyperjax import schedules
from hyperjax import specs
from hyperjax import types

_SPEC = specs.ObservationSpec((), 'int32', 1000)
# A ring of transitions, one stream of time steps, and two.
_NUM_STREAMS = {'transitions': 1, 'stream': 1, 'streams': 2}

_storages = pytest.mark.parametrize('storage', [
    'transitions', 'streams',
    pytest.param('stream', marks=pytest.mark.slow)])


@functools.cache
def _replay(storage, sampler, capacity, batch_size):
  """A replay that holds as many transitions as `capacity` says."""
  if storage == 'transitions':
    return replay_lib.TransitionReplay(
        _SPEC, capacity, batch_size, sampler=sampler)
  num_envs = _NUM_STREAMS[storage]
  return replay_lib.StreamReplay(
      _SPEC, capacity + num_envs, batch_size, discount=0.9, num_envs=num_envs,
      sampler=sampler)


@functools.cache
def _add(replay):
  return jax.jit(replay.add)


@functools.cache
def _sample(replay):
  return jax.jit(jax.vmap(replay.sample, in_axes=(None, 0)))


@functools.cache
def _update(replay):
  return jax.jit(replay.update_priorities)


def _extend(replay, state, first, num):
  """Adds the transitions of uids first..first+num-1."""
  if isinstance(replay, replay_lib.TransitionReplay):
    for uid in range(first, first + num):
      one = np.array([uid], np.int32)
      state = _add(replay)(state, types.Transition(
          one, one % 3, np.zeros(1, np.float32), np.ones(1, np.float32), one,
          one))
    return state
  num_envs = replay.num_envs
  begin, end = first // num_envs, (first + num) // num_envs
  for t in range(begin + (first > 0), end + 1):
    uid = num_envs * t + np.arange(num_envs, dtype=np.int32)
    state = _add(replay)(state, replay_lib.Entry(
        observation=uid, action=uid % 3,
        reward=np.zeros(num_envs, np.float32),
        discount=np.ones(num_envs, np.float32),
        is_first=np.full(num_envs, t == 0), uid=uid))
  return state


def _filled(replay, num):
  return _extend(replay, replay.init(), 0, num)


def _draw(replay, state, num=500) -> types.Batch:
  """Batches [num, B]."""
  return jax.device_get(_sample(replay)(
      state, jax.random.split(jax.random.key(0), num)))


def _keys(replay, state, uids) -> jax.Array:
  """Where the replay keeps transitions; all are found by drawing."""
  uniform = _replay(
      'transitions' if isinstance(replay, replay_lib.TransitionReplay) else
      {1: 'stream', 2: 'streams'}[replay.num_envs],
      replay_lib.Uniform(), _capacity(replay), replay.batch_size)
  batch = _draw(uniform, state._replace(sampler=()))
  keys = dict(zip(batch.transitions.uid.ravel(), batch.keys.ravel(),
                  strict=True))
  return jnp.array([keys[uid] for uid in uids], jnp.int32)


def _capacity(replay) -> int:
  if isinstance(replay, replay_lib.TransitionReplay):
    return replay.capacity
  return replay.capacity - replay.num_envs


def _note(replay, state, uids, losses):
  """The state after these transitions had these losses."""
  num = len(uids)
  zeros = jnp.zeros(num, jnp.int32)
  batch = types.Batch(
      types.Transition(zeros, zeros, 0. * zeros, 0. * zeros, zeros, zeros),
      keys=_keys(replay, state, uids))
  return _update(replay)(state, batch, jnp.asarray(losses, jnp.float32))


def _assert_counts(drawn, uids, shares):
  """Binomial counts of uids, each within 5 standard deviations."""
  counts = np.array([(drawn == uid).sum() for uid in uids])
  assert counts.sum() == drawn.size  # Nothing else.
  expected = drawn.size * np.asarray(shares)
  assert (np.abs(counts - expected) < 5. * np.sqrt(expected) + 1.).all(), (
      counts, expected)


@_storages
@pytest.mark.parametrize('added', [6, 10, 34])
def test_uniform(storage, added):
  """Before the ring is full, when it just is, and after it has wrapped."""
  replay = _replay(storage, replay_lib.Uniform(), 10, 8)
  batch = _draw(replay, _filled(replay, added))
  assert batch.weights is None
  kept = np.arange(max(0, added - 10), added)
  _assert_counts(batch.transitions.uid, kept, np.full(kept.size, 1 / kept.size))


@_storages
@pytest.mark.parametrize('added', [30, 74, 230])
def test_a_part_of_each_batch_is_recent(storage, added):
  """Before the ring is full, and after it has wrapped around."""
  capacity, window = 100, 20
  replay = _replay(storage, replay_lib.Mixed(
      recent_fraction=0.5, recent_window=window, tournament_fraction=0.),
      capacity, 8)
  batch = _draw(replay, _filled(replay, added))
  assert batch.weights is None
  uids = batch.transitions.uid
  # All of the window and of the replay, and nothing else; evenly.
  for drawn, size in ((uids[:, :4], window),
                      (uids[:, 4:], min(added, capacity))):
    _assert_counts(
        drawn, np.arange(added - size, added), np.full(size, 1 / size))


@_storages
def test_a_window_wider_than_the_replay_is_the_replay(storage):
  replay = _replay(storage, replay_lib.Mixed(
      recent_fraction=1., recent_window=1000, tournament_fraction=0.), 10, 8)
  uids = _draw(replay, _filled(replay, 6)).transitions.uid
  assert set(uids.ravel()) == set(range(6))


def _tournaments(storage, size):
  return _replay(storage, replay_lib.Mixed(
      recent_fraction=0.25, recent_window=2, tournament_fraction=0.5,
      tournament_size=size), 10, 8)


@_storages
@pytest.mark.parametrize('size', [1, 3])
def test_a_part_of_each_batch_goes_to_the_largest_losses(storage, size):
  """As often as the largest of `size` uniform draws; the ring has wrapped."""
  replay = _tournaments(storage, size)
  state = _filled(replay, 14)
  # By rank of loss, from the smallest: not the order of the uids.
  by_rank = np.array([9, 4, 13, 6, 11, 5, 12, 7, 10, 8])
  state = _note(replay, state, by_rank, 0.1 * np.arange(10))
  uids = _draw(replay, state, num=2000).transitions.uid
  assert set(np.unique(uids[:, :2])) == {12, 13}  # The newest.
  rank = np.arange(1, 11)
  _assert_counts(uids[:, 2:4], by_rank, np.full(10, 0.1))
  _assert_counts(uids[:, 4:], by_rank,
                 (rank / 10)**size - ((rank - 1) / 10)**size)


@_storages
def test_what_was_never_drawn_comes_before_any_loss(storage):
  replay = _tournaments(storage, 50)
  state = _note(replay, _filled(replay, 10), range(9), 9 * [1e30])
  assert (_draw(replay, state).transitions.uid[:, 4:] == 9).mean() > 0.95
  # Another one in the place of number 3 has a loss of its own to come.
  state = _note(replay, state, [9], [0.])
  state = _extend(replay, state, 10, 4)
  state = _note(replay, state, [10, 11, 12], 3 * [1e30])
  assert (_draw(replay, state).transitions.uid[:, 4:] == 13).mean() > 0.95


@_storages
def test_of_two_losses_of_one_transition_the_larger_counts(storage):
  replay = _tournaments(storage, 50)
  state = _filled(replay, 10)
  state = _note(replay, state, range(10), 10 * [1.])
  state = _note(replay, state, [4, 6, 4, 6], [0., 3., 2., 0.])
  drawn = _draw(replay, state).transitions.uid[:, 4:]
  assert (drawn == 6).mean() > 0.95
  state = _note(replay, state, [6], [0.])
  assert (_draw(replay, state).transitions.uid[:, 4:] == 4).mean() > 0.95


def test_more_than_a_whole_batch_is_refused():
  replay_lib.Mixed(recent_fraction=0.9, tournament_fraction=0.1)
  with pytest.raises(ValueError, match='1 together, got 0.5 and 0.75'):
    replay_lib.Mixed(recent_fraction=0.5, tournament_fraction=0.75)


@_storages
@pytest.mark.parametrize('sampler', [
    replay_lib.Uniform(),
    replay_lib.Mixed(recent_fraction=0.5, tournament_fraction=0.)], ids=repr)
def test_without_priorities_no_loss_is_kept(storage, sampler):
  replay = _replay(storage, sampler, 10, 8)
  state = replay.init()
  assert not sampler.needs_losses
  assert not jax.tree.leaves(state.sampler)
  zeros = jnp.zeros(1, jnp.int32)
  batch = types.Batch(
      types.Transition(zeros, zeros, 0. * zeros, 0. * zeros, zeros, zeros),
      keys=zeros)
  assert jax.tree.map(lambda a, b: a is b, state, replay.update_priorities(
      state, batch, jnp.ones(1))) == jax.tree.map(lambda _: True, state)


_PRIORITIZED = replay_lib.Prioritized(
    exponent=0.5, correction=0.7, offset=0.01)


@_storages
@pytest.mark.parametrize('added', [6, 14])
def test_prioritized_draws_in_proportion_to_priorities(storage, added):
  replay = _replay(storage, _PRIORITIZED, 10, 8)
  kept = np.arange(max(0, added - 10), added)
  losses = np.random.default_rng(0).permutation(kept.size)**2 / 20.
  state = _note(replay, _filled(replay, added), kept, losses)
  batch = _draw(replay, state, num=2000)
  priorities = (losses + 0.01)**0.5
  _assert_counts(batch.transitions.uid, kept, priorities / priorities.sum())
  # The importance weights, by their formula, in each batch.
  p = (priorities / priorities.sum())[batch.transitions.uid - kept[0]]
  weights = (kept.size * p)**-0.7
  weights /= weights.max(axis=1, keepdims=True)
  np.testing.assert_allclose(batch.weights, weights, rtol=1e-4)
  assert batch.weights.dtype == np.float32


@_storages
def test_prioritized_gives_new_transitions_the_largest_priority(storage):
  replay = _replay(storage, _PRIORITIZED, 10, 8)
  state = _filled(replay, 10)
  _assert_counts(  # None has had a loss.
      _draw(replay, state).transitions.uid, range(10), np.full(10, 0.1))
  state = _note(replay, state, range(10), [4.] + 9 * [0.25])
  state = _note(replay, state, [0], [0.25])  # The largest so far stays so.
  state = _extend(replay, state, 10, 2)
  priorities = np.sqrt(np.array(8 * [0.25] + 2 * [4.]) + 0.01)
  _assert_counts(_draw(replay, state).transitions.uid, range(2, 12),
                 priorities / priorities.sum())


@pytest.mark.parametrize('storage', [
    'transitions', *(pytest.param(storage, marks=pytest.mark.slow)
                     for storage in ('stream', 'streams'))])
@pytest.mark.parametrize('sampler, weighted', [
    (replay_lib.Prioritized(exponent=0.), False),
    (replay_lib.Prioritized(correction=0.), False),
    (replay_lib.Prioritized(correction=1.), True)], ids=repr)
def test_extremes_of_prioritized(storage, sampler, weighted):
  replay = _replay(storage, sampler, 10, 8)
  losses = np.arange(1., 11.)
  state = _note(replay, _filled(replay, 10), range(10), losses)
  batch = _draw(replay, state)
  p = losses**sampler.exponent
  _assert_counts(batch.transitions.uid, range(10), p / p.sum())
  if not weighted:
    np.testing.assert_allclose(batch.weights, 1., rtol=1e-5)
    return
  # Unbiased: what is drawn often counts for as much less.
  np.testing.assert_allclose(
      batch.weights * p[batch.transitions.uid],
      np.broadcast_to(
          (batch.weights * p[batch.transitions.uid]).max(axis=1)[:, None],
          batch.weights.shape), rtol=1e-4)


@pytest.mark.parametrize('make, message', [
    (lambda: replay_lib.Mixed(recent_fraction=-0.1),
     r'recent_fraction must.* got -0\.1'),
    (lambda: replay_lib.Mixed(tournament_fraction=1.1),
     r'tournament_fraction must.* got 1\.1'),
    (lambda: replay_lib.Mixed(tournament_size=0),
     'tournament_size must.* got 0'),
    (lambda: replay_lib.Mixed(recent_window=0), 'recent_window must.* got 0'),
    (lambda: replay_lib.Prioritized(exponent=-1.), 'exponent .* got -1'),
    (lambda: replay_lib.Prioritized(correction=1.5),
     r'correction .* got 1\.5'),
    (lambda: replay_lib.Prioritized(correction=schedules.Linear(0.4, 5., 9)),
     r'correction of Prioritized at step 9 must .* got 5\.0'),
    (lambda: replay_lib.Prioritized(offset=0.), 'offset .* got 0'),
    (lambda: replay_lib.Prioritized(exponent=math.nan), 'exponent .* got nan'),
])
def test_refuses_a_setting_and_names_it(make, message):
  with pytest.raises(ValueError, match=message):
    make()


@pytest.mark.parametrize('one, two, other', [
    (replay_lib.Mixed(), replay_lib.Mixed(),
     replay_lib.Mixed(recent_window=7)),
    (replay_lib.Prioritized(), replay_lib.Prioritized(),
     replay_lib.Prioritized(0.5)),
    (replay_lib.Uniform(), replay_lib.Uniform(), replay_lib.Mixed()),
])
def test_samplers_are_hashable_and_equal_by_value(one, two, other):
  assert one == two and hash(one) == hash(two)
  assert one != other
