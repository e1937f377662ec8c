"""Streams of time steps and the replay that makes transitions of them."""

import functools

from hypothesis import Phase
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import replay as replay_lib
from hyperjax import specs

STACK = 3
DISCOUNT = 0.9


FRAMES = specs.ObservationSpec((STACK, 2, 1), 'uint8')
WHOLE = specs.ObservationSpec((2, 1), 'uint8')


class Stream:
  """A raw stream of time steps, and the transitions in it, the obvious way."""

  def __init__(self, steps):
    """Takes (kind, reward) pairs; a kind is what became of the step.

    'mid', 'life' (lost), 'over' (the game), 'cut' (by the time limit), or
    'restart' (the environment begun again, with no last step before).
    """
    self.steps = []
    self.episode = -1
    self._begin()
    for kind, reward in steps:
      if kind == 'restart':
        self._begin()
        continue
      discount = 0. if kind in ('life', 'over') else 1.
      self._append(False, len(self.steps) % 5, reward, discount)
      if kind in ('over', 'cut'):
        self._begin()

  def _begin(self):
    self.episode += 1
    self._append(True, 0, 0., 0.)

  def _append(self, first, action, reward, discount):
    number = len(self.steps)
    self.steps.append(dict(
        frame=np.array([[number % 256], [number // 256]], np.uint8),
        first=first, action=action, reward=reward, discount=discount,
        episode=self.episode, uid=number))

  def stack(self, i):
    """The frames up to i, none of them of an earlier episode."""
    chosen = []
    for j in range(i - STACK + 1, i + 1):
      while j < 0 or self.steps[j]['episode'] != self.steps[i]['episode']:
        j += 1
      chosen.append(self.steps[j]['frame'])
    return np.stack(chosen)

  def transition(self, i, n_step, observation=None):
    """What begins at i, or None; observations are stacks, or as a function."""
    observation = observation or self.stack
    if i + 1 >= len(self.steps) or self.steps[i + 1]['first']:
      return None
    reward, discount, last = 0., 1., i
    for j in range(i + 1, min(i + n_step, len(self.steps) - 1) + 1):
      if self.steps[j]['first']:
        break
      reward += discount * self.steps[j]['reward']
      discount *= DISCOUNT * self.steps[j]['discount']
      last = j
      if discount == 0.:
        break
    return dict(observation=observation(i), next_observation=observation(last),
                action=self.steps[i + 1]['action'], reward=reward,
                discount=discount)


@functools.cache
def compiled(stacked=True, num_batches=4, **arguments):
  """A replay with its functions, compiled once for all examples.

  The one that samples gives `num_batches` batches as one.
  """
  replay = replay_lib.StreamReplay(
      FRAMES if stacked else WHOLE, discount=DISCOUNT, stacked=stacked,
      **arguments)

  @jax.jit
  def sample(state, key):
    batches = jax.vmap(replay.sample, in_axes=(None, 0))(
        state, jax.random.split(key, num_batches))
    return jax.tree.map(
        lambda x: x.reshape(-1, *x.shape[2:]), batches)

  return replay, jax.jit(replay.add), sample


@functools.cache
def jitted_update(replay):
  return jax.jit(replay.update_priorities)


def entries(streams, t):
  rows = [stream.steps[t] for stream in streams]
  return replay_lib.Entry(
      observation=np.stack([row['frame'] for row in rows]),
      action=np.array([row['action'] for row in rows], np.int32),
      reward=np.array([row['reward'] for row in rows], np.float32),
      discount=np.array([row['discount'] for row in rows], np.float32),
      is_first=np.array([row['first'] for row in rows]),
      uid=np.array([row['uid'] * len(streams) + n
                    for n, row in enumerate(rows)], np.int32))


MOST_STEPS = 130


@functools.cache
def add_all(replay):
  """Adds the first so many of padded rows, compiled once for any number."""
  return jax.jit(lambda rows, num: jax.lax.fori_loop(
      0, num, lambda t, state: replay.add(
          state, jax.tree.map(lambda x: x[t], rows)), replay.init()))


def fill(replay, streams, num_steps=None):
  num_steps = num_steps or len(streams[0].steps)
  rows = [entries(streams, t) for t in range(num_steps)]
  rows += (MOST_STEPS - num_steps) * [rows[-1]]
  return add_all(replay)(jax.tree.map(lambda *x: np.stack(x), *rows), num_steps)


KINDS = st.sampled_from(['mid'] * 4 + ['life', 'over', 'cut', 'restart'])
STEPS = st.lists(st.tuples(KINDS, st.floats(-1, 1, width=16)), min_size=30,
                 max_size=60)


def assert_holds(transitions, expected):
  """Compares a batch [B] with B transitions of streams."""
  assert None not in expected, 'no transition begins there'
  for name in expected[0]:
    np.testing.assert_allclose(
        getattr(transitions, name), np.stack([row[name] for row in expected]),
        rtol=1e-5, atol=1e-6, err_msg=name)


# Shrinking compiles hundreds of programs.
@settings(max_examples=50, deadline=None,
          phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(first=STEPS, second=STEPS, n_step=st.sampled_from([1, 4]),
       length=st.sampled_from([8, 25, 80]), seed=st.integers(0, 1000))
@pytest.mark.slow
def test_samples_are_what_the_raw_streams_hold(
    first, second, n_step, length, seed):
  streams = [Stream(first), Stream(second)]
  num_steps = min(len(stream.steps) for stream in streams)
  for stream in streams:
    del stream.steps[num_steps:]
  # What is not worth a draw: streams of nothing but beginnings.
  if not any(stream.transition(i, 1) for stream in streams
             for i in range(num_steps - 4, num_steps)):
    return
  replay, add, sample = compiled(
      num_envs=2, capacity=2 * length, batch_size=16, n_step=n_step)
  batch = jax.device_get(
      sample(fill(replay, streams), jax.random.key(seed))).transitions
  oldest = 0 if num_steps <= length else num_steps - length + STACK - 1
  if num_steps == length:  # The ring is full, though nothing is lost yet.
    oldest = STACK - 1
  rows = [divmod(int(uid), 2) for uid in batch.uid]
  assert min(i for i, _ in rows) >= oldest
  assert_holds(batch, [streams[n].transition(i, n_step) for i, n in rows])


def test_every_transition_is_drawn_equally_often():
  stream = Stream([('mid', 0.), ('over', 1.), ('mid', 0.), ('cut', 0.),
                   ('life', 0.), ('mid', 0.), ('mid', 0.)])
  begins = [i for i in range(len(stream.steps)) if stream.transition(i, 1)]
  replay, add, sample = compiled(
      num_envs=1, capacity=50, batch_size=50, num_batches=140)
  batch = sample(fill(replay, [stream]), jax.random.key(0)).transitions
  counts = np.bincount(np.asarray(batch.uid), minlength=len(stream.steps))
  assert sorted(np.flatnonzero(counts)) == begins
  # Five standard deviations of a binomial.
  mean = 7000 / len(begins)
  assert np.all(np.abs(counts[begins] - mean) < 5 * np.sqrt(mean))


def test_push_fills_the_stack_at_the_first_frame():
  stack = jnp.zeros((3, 1, 1))
  one = jnp.ones((1, 1))
  stack = replay_lib.push(stack, 5 * one, jnp.bool_(True))
  np.testing.assert_array_equal(stack.ravel(), [5, 5, 5])
  stack = replay_lib.push(stack, 6 * one, jnp.bool_(False))
  np.testing.assert_array_equal(stack.ravel(), [5, 5, 6])


def test_holds_each_frame_once():
  atari = specs.ObservationSpec((4, 84, 84), 'uint8', None)
  replay = replay_lib.StreamReplay(
      atari, num_envs=1, capacity=100_000, batch_size=32, discount=0.99,
      stacked=True)
  assert replay.num_bytes() < 100_000 * (84 * 84 + 32)
  assert 26 * replay.num_bytes() < 20e9


def test_holds_each_observation_once():
  spec = specs.ObservationSpec((100,), 'float32')
  streams = replay_lib.StreamReplay(spec, 1000, 32, discount=0.99)
  transitions = replay_lib.TransitionReplay(spec, 1000, 32)
  assert streams.num_bytes() < 1000 * (400 + 32)
  assert transitions.num_bytes() > 2 * 1000 * 400


def checked_streams(num_streams=1, num_steps=60):
  """Streams in which every kind of step is frequent."""
  rng = np.random.default_rng(num_streams)
  kinds = ['mid', 'mid', 'mid', 'life', 'over', 'cut', 'restart']
  streams = [
      Stream([(rng.choice(kinds), float(rng.normal())) for _ in range(80)])
      for _ in range(num_streams)]
  for stream in streams:
    del stream.steps[num_steps:]
  return streams


def whole(stream):
  return lambda i: stream.steps[i]['frame']


SAMPLERS = {
    'uniform': replay_lib.Uniform(),
    'mixed': replay_lib.Mixed(recent_window=6),
    'prioritized': replay_lib.Prioritized(exponent=1., offset=1e-3),
}


@pytest.mark.parametrize('sampler, stacked, num_streams', [
    ('prioritized', False, 2),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in [
        ('mixed', True, 1), ('prioritized', True, 1), ('mixed', False, 2),
        ('uniform', False, 2), ('uniform', True, 1)])])
def test_samplers_draw_what_the_raw_streams_hold(
    sampler, stacked, num_streams):
  """All of it and nothing else, at every moment in the life of the ring.

  Above all none of the steps that are followed by the first of an episode,
  though losses are large and change.
  """
  length, rng = 20, np.random.default_rng(0)
  streams = checked_streams(num_streams)
  replay, add, sample = compiled(
      stacked=stacked, num_envs=num_streams, capacity=num_streams * length,
      batch_size=16, n_step=3, sampler=SAMPLERS[sampler])
  update = jitted_update(replay)
  state, seen = replay.init(), set()
  for t in range(60):
    state = add(state, entries(streams, t))
    here = [Stream.__new__(Stream) for _ in streams]
    for stream, part in zip(streams, here, strict=True):
      part.steps = stream.steps[:t + 1]
    stack = STACK if stacked else 1
    begins = {
        (i, n) for n, stream in enumerate(here)
        for i in range(max(0, t + 1 - length), t)
        if stream.transition(i, 1, whole(stream))}
    # The oldest frames of these are lost.
    partial = {(i, n) for i, n in begins if i < t + stack - length}
    if not begins - partial:
      continue
    for k in range(2):
      batch = sample(state, jax.random.fold_in(jax.random.key(t), k))
      state = update(state, batch, jnp.asarray(
          rng.exponential(size=64)**4, jnp.float32))
      drawn = jax.device_get(batch.transitions)
      rows = [divmod(int(uid), num_streams) for uid in drawn.uid]
      assert begins.issuperset(rows)
      seen.update(rows)
      assert_holds(drawn, [
          here[n].transition(i, 3, None if stacked else whole(here[n]))
          for i, n in rows])
      if t >= length:
        assert partial.isdisjoint(rows)
  everything = {(i, n) for n, stream in enumerate(streams)
                for i in range(59) if stream.transition(i, 1, whole(stream))}
  assert len(seen) > 0.9 * len(everything)


@pytest.mark.parametrize(
    'age', [17, pytest.param(15, marks=pytest.mark.slow)])
def test_sampling_ends_whatever_has_all_the_priority(age):
  """What has almost all of the priority has lost the start of its stack."""
  length = 20
  stream = Stream(30 * [('mid', 0.)])
  replay, add, sample = compiled(
      num_envs=1, capacity=length, batch_size=16,
      sampler=replay_lib.Prioritized(exponent=1.))
  state = fill(replay, [stream], 25)
  batch = sample(state, jax.random.key(0))
  losses = jnp.where(batch.transitions.uid == 24 - age, 1e6, 1e-6)
  assert losses.max() > 1.
  state = jitted_update(replay)(state, batch, losses)
  for t in range(25, 28):
    state = add(state, entries([stream], t))
    drawn = sample(state, jax.random.key(1)).transitions.uid
    assert drawn.min() >= t - length + STACK


def test_sampling_ends_where_nothing_recent_begins_a_transition():
  stream = Stream(5 * [('mid', 0.)] + [('cut', 0.)])
  replay, add, sample = compiled(
      stacked=False, num_envs=1, capacity=20, batch_size=16,
      sampler=replay_lib.Mixed(
          recent_fraction=1., recent_window=1, tournament_fraction=0.))
  state = fill(replay, [stream])
  assert stream.steps[-1]['first']
  uids = sample(state, jax.random.key(0)).transitions.uid
  assert set(np.unique(uids)) <= set(range(6))
  # As soon as the newest one is a transition, it is all that is drawn.
  state = add(state, entries([Stream([*5 * [('mid', 0.)], ('cut', 0.),
                                      ('mid', 0.)])], 8))
  np.testing.assert_array_equal(
      sample(state, jax.random.key(0)).transitions.uid, 0 * uids + 7)


@pytest.mark.parametrize('change, words', [
    (dict(capacity=9), 'at least 12.*got 9'),
    (dict(n_step=0), 'n_step of a replay must be at least 1, got 0'),
    (dict(spec=specs.ObservationSpec((4,), 'float32', None)), r'\(4,\)'),
    (dict(stacked=False, capacity=7), 'at least 8.*got 7'),
])
def test_refuses_what_cannot_be(change, words):
  arguments = dict(spec=FRAMES, num_envs=2, capacity=20, batch_size=4,
                   discount=0.9, n_step=2, stacked=True)
  with pytest.raises(ValueError, match=words):
    replay_lib.StreamReplay(**{**arguments, **change})
