"""A ring of transitions: what is kept, n-step returns, and its memory.

What is drawn by which sampler is in `test_samplers`.
"""

import functools

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
  """The transitions of `num` batches, [num, B]."""
  keys = jax.random.split(jax.random.PRNGKey(0), num)
  return _sample(replay)(state, keys).transitions


@pytest.mark.parametrize('sizes', [
    25 * [1],
    5 * [5],
    [4, 4, 4, 4, 4, 4, 1],  # Behind the end of the ring and on at its start.
    [10, 10, 5],
    [3, 10, 2, 10],
], ids=str)
def test_keeps_the_last_ones(sizes):
  replay = replay_lib.TransitionReplay(_CELL, capacity=10, batch_size=4)
  assert sum(sizes) == 25
  uids = _draw(replay, _filled(replay, sizes)).uid
  assert set(np.unique(uids)) == set(range(15, 25))


@pytest.mark.parametrize('sizes', [[1], [3], [1, 1, 4], [9], [10]], ids=str)
def test_draws_only_what_was_stored(sizes):
  replay = replay_lib.TransitionReplay(_CELL, capacity=10, batch_size=5)
  batch = _draw(replay, _filled(replay, sizes))
  assert batch.uid.shape == (200, 5)
  assert set(np.unique(batch.uid)) == set(range(sum(sizes)))


@pytest.mark.parametrize('sizes, kept', [
    ([7], range(7)), ([10], range(10)), ([8, 8, 8], range(14, 24))], ids=str)
def test_draws_uniformly_with_replacement(sizes, kept):
  replay = replay_lib.TransitionReplay(_CELL, capacity=10, batch_size=10)
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
  replay = replay_lib.TransitionReplay(spec, capacity=10, batch_size=8)
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
  replay = replay_lib.TransitionReplay(_CELL, capacity=4, batch_size=4)
  first = 2**24 + 1
  state = _add(replay)(replay.init(), _transitions(first, 4))
  assert set(np.unique(_draw(replay, state).uid)) == set(
      range(first, first + 4))


def test_sample_is_a_function_of_state_and_key():
  replay = replay_lib.TransitionReplay(_CELL, capacity=10, batch_size=8)
  state = _filled(replay, [10])
  one, two, other = (
      replay.sample(state, jax.random.PRNGKey(k)).transitions.uid
      for k in (0, 0, 1))
  np.testing.assert_array_equal(one, two)
  assert (np.asarray(one) != np.asarray(other)).any()


@pytest.mark.parametrize('spec', [
    _CELL, _IMAGE, specs.ObservationSpec((5, 5), 'float32', None)], ids=repr)
@pytest.mark.parametrize('capacity', [7, 1000])
def test_num_bytes_is_what_the_state_takes(spec, capacity):
  replay = replay_lib.TransitionReplay(spec, capacity=capacity, batch_size=3)
  expected = sum(x.nbytes for x in jax.tree.leaves(replay.init()))
  assert replay.num_bytes() == expected
  per_transition = 2 * np.dtype(spec.dtype).itemsize * int(
      np.prod(spec.shape)) + 4 * 4 + 1
  assert expected >= capacity * per_transition



def test_refuses_a_batch_larger_than_the_capacity():
  replay_lib.TransitionReplay(_CELL, capacity=10, batch_size=10)
  with pytest.raises(ValueError, match='10, got 11'):
    replay_lib.TransitionReplay(_CELL, capacity=10, batch_size=11)


@pytest.mark.parametrize('change, words', [
    (dict(capacity=0), 'capacity of a replay must be at least 1, got 0'),
    (dict(batch_size=0), 'batch_size of a replay must be at least 1, got 0'),
    (dict(n_step=0), 'n_step of a replay must be at least 1, got 0'),
    (dict(num_envs=0), 'num_envs of a replay must be at least 1, got 0'),
    (dict(n_step=4, num_envs=3),
     '3 environments and 4 steps must be at least 12, got 10'),
])
def test_refuses_what_cannot_be(change, words):
  with pytest.raises(ValueError, match=words):
    replay_lib.TransitionReplay(
        **{'spec': _CELL, 'capacity': 10, 'batch_size': 4, **change})


def test_add_refuses_what_it_cannot_keep():
  replay = replay_lib.TransitionReplay(_CELL, capacity=10, batch_size=4)
  with pytest.raises(ValueError, match='at most 10 transitions.* got 11'):
    replay.add(replay.init(), _transitions(0, 11))
  n_step = replay_lib.TransitionReplay(
      _CELL, capacity=10, batch_size=4, n_step=2, num_envs=3)
  with pytest.raises(ValueError, match='all 3 environments.* got 2 trans'):
    n_step.add(n_step.init(), _transitions(0, 2), jnp.zeros(2, bool))
  with pytest.raises(ValueError, match='is_last, got 3 .* is_last None'):
    n_step.add(n_step.init(), _transitions(0, 3))


# Returns of several steps.


class _Steps:
  """Random steps of N environments and their returns, the obvious way."""

  def __init__(self, seed, num_envs, num_steps):
    rng = np.random.default_rng(seed)
    shape = (num_steps, num_envs)
    # Terminated, cut short, a life lost (the episode goes on), or neither.
    kind = rng.choice(['over', 'cut', 'life', 'mid'], shape,
                      p=[0.1, 0.1, 0.1, 0.7])
    self.is_last = (kind == 'over') | (kind == 'cut')
    uid = np.arange(num_steps * num_envs, dtype=np.int32).reshape(shape)
    self.transitions = types.Transition(
        observation=uid,
        action=rng.integers(3, size=shape, dtype=np.int32),
        reward=rng.normal(size=shape).astype(np.float32),
        discount=np.where(
            (kind == 'over') | (kind == 'life'), 0., 0.9).astype(np.float32),
        # The true successor, never the next episode's first observation.
        next_observation=uid + 10_000,
        uid=uid)

  def n_step(self, uid, n, num_steps):
    """What begins with a transition, when `num_steps` have been taken."""
    t, env = divmod(int(uid), self.is_last.shape[1])
    first = jax.tree.map(lambda x: x[t, env], self.transitions)
    reward, discount, last = 0., 1., t
    for last in range(t, min(t + n, num_steps)):
      reward += discount * self.transitions.reward[last, env]
      discount *= self.transitions.discount[last, env]
      if self.is_last[last, env] or discount == 0.:
        break
    return first._replace(
        reward=reward, discount=discount,
        next_observation=self.transitions.next_observation[last, env])


@pytest.mark.parametrize('num_envs, n_step, capacity', [
    (1, 3, 20), (3, 2, 20), (2, 5, 11), (4, 1, 9)])
def test_returns_of_several_steps(num_envs, n_step, capacity):
  """Before and after the ring has come round, within a step of it too."""
  replay = replay_lib.TransitionReplay(
      _CELL, capacity, batch_size=8, n_step=n_step, num_envs=num_envs)
  num_checked = 0
  for seed in range(3):
    steps = _Steps(seed, num_envs, 3 * capacity // num_envs + 1)
    state = replay.init()
    for t in range(len(steps.is_last)):
      state = _add(replay)(state, *jax.tree.map(
          lambda x, t=t: x[t], (steps.transitions, steps.is_last)))
      if t % 5:
        continue
      batch = jax.device_get(_draw(replay, state, num=40))
      num_stored = (t + 1) * num_envs
      assert set(batch.uid.ravel()) == set(
          range(max(0, num_stored - capacity), num_stored))
      expected = jax.tree.map(
          lambda *x: np.stack(x),
          *[steps.n_step(uid, n_step, t + 1) for uid in batch.uid.ravel()])
      for name, x, y in zip(
          types.Transition._fields, batch, expected, strict=True):
        np.testing.assert_allclose(
            x.ravel(), y, rtol=1e-5, atol=1e-6, err_msg=name)
      num_checked += batch.uid.size
  assert num_checked > 1000


@pytest.mark.parametrize('num_envs, n_step', [(1, 1), (1, 3), (2, 3)])
@pytest.mark.slow
def test_streams_and_transitions_hold_the_same(num_envs, n_step):
  """Of one stream of experience, whichever way it is kept.

  The environments' episodes end together, since a stream has a row for the
  first observation of an episode, which is no transition.
  """
  num_steps, capacity = 40, 200
  steps = _Steps(0, num_envs, num_steps)
  steps.is_last[:] = steps.is_last[:, :1]
  transitions = replay_lib.TransitionReplay(
      _CELL, capacity, 8, n_step=n_step, num_envs=num_envs)
  streams = replay_lib.StreamReplay(
      _CELL, capacity, 8, discount=0.9, n_step=n_step, num_envs=num_envs)
  ring, stream = transitions.init(), streams.init()

  def entry(observation, uid, t=None):
    zeros = np.zeros(num_envs, np.float32)
    step = steps.transitions
    return replay_lib.Entry(
        observation=observation,
        action=zeros.astype(np.int32) if t is None else step.action[t],
        reward=zeros if t is None else step.reward[t],
        discount=zeros if t is None else np.float32(step.discount[t] / 0.9),
        is_first=np.full(num_envs, t is None), uid=uid)

  for t in range(num_steps):
    now = jax.tree.map(lambda x, t=t: x[t], steps.transitions)
    begins = t == 0 or steps.is_last[t - 1, 0]
    if begins:
      stream = _add(streams)(stream, entry(now.observation, now.uid))
    ends = t + 1 == num_steps or steps.is_last[t, 0]
    # Within an episode a successor is the next observation.
    if not ends:
      now = now._replace(
          next_observation=steps.transitions.observation[t + 1])
    ring = _add(transitions)(ring, now, steps.is_last[t])
    stream = _add(streams)(stream, entry(
        now.next_observation,
        now.uid + num_envs if not ends else now.uid * 0 - 1, t))
  held = []
  for replay, state in ((transitions, ring), (streams, stream)):
    batch = jax.device_get(_draw(replay, state, num=200))
    rows = {tuple(float(f'{x[i]:.5g}') for x in batch)
            for i in np.ndindex(200, 8)}
    held.append(rows)
  assert len(held[0]) == num_steps * num_envs
  assert held[0] == held[1]
