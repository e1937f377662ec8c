"""Stacks of frames and the replay that makes transitions of them."""

import functools

from hypothesis import Phase
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import frames
from hyperjax import specs

STACK = 3
DISCOUNT = 0.9


def spec(stack=STACK):
  return specs.ObservationSpec((stack, 2, 1), 'uint8', None)


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

  def transition(self, i, n_step):
    """What begins at i, or None."""
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
    return dict(observation=self.stack(i), next_observation=self.stack(last),
                action=self.steps[i + 1]['action'], reward=reward,
                discount=discount)


@functools.cache
def compiled(**arguments):
  """A replay with its functions, compiled once for all examples."""
  replay = frames.FrameReplay(spec(), discount=DISCOUNT, **arguments)
  return replay, jax.jit(replay.add), jax.jit(replay.sample)


def fill(replay, add, streams):
  state = replay.init()
  for t in range(len(streams[0].steps)):
    rows = [stream.steps[t] for stream in streams]
    state = add(state, frames.Entry(
        frame=np.stack([row['frame'] for row in rows]),
        action=np.array([row['action'] for row in rows], np.int32),
        reward=np.array([row['reward'] for row in rows], np.float32),
        discount=np.array([row['discount'] for row in rows], np.float32),
        is_first=np.array([row['first'] for row in rows]),
        uid=np.array([row['uid'] * len(streams) + n
                      for n, row in enumerate(rows)], np.int32)))
  return state


KINDS = st.sampled_from(['mid'] * 4 + ['life', 'over', 'cut', 'restart'])
STEPS = st.lists(st.tuples(KINDS, st.floats(-1, 1, width=16)), min_size=30,
                 max_size=60)


# Shrinking compiles hundreds of programs.
@settings(max_examples=50, deadline=None,
          phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(first=STEPS, second=STEPS, n_step=st.sampled_from([1, 4]),
       length=st.sampled_from([8, 25, 80]), seed=st.integers(0, 1000))
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
      num_envs=2, capacity=2 * length, batch_size=64, n_step=n_step)
  batch = jax.device_get(
      sample(fill(replay, add, streams), jax.random.key(seed)))
  oldest = 0 if num_steps <= length else num_steps - length + STACK - 1
  if num_steps == length:  # The ring is full, though nothing is lost yet.
    oldest = STACK - 1
  for b in range(64):
    i, n = divmod(int(batch.uid[b]), 2)
    assert i >= oldest
    expected = streams[n].transition(i, n_step)
    assert expected is not None, 'no transition begins there'
    for name, value in expected.items():
      np.testing.assert_allclose(
          getattr(batch, name)[b], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_every_transition_is_drawn_equally_often():
  stream = Stream([('mid', 0.), ('over', 1.), ('mid', 0.), ('cut', 0.),
                   ('life', 0.), ('mid', 0.), ('mid', 0.)])
  begins = [i for i in range(len(stream.steps)) if stream.transition(i, 1)]
  replay, add, sample = compiled(num_envs=1, capacity=50, batch_size=7000)
  batch = sample(fill(replay, add, [stream]), jax.random.key(0))
  counts = np.bincount(np.asarray(batch.uid), minlength=len(stream.steps))
  assert sorted(np.flatnonzero(counts)) == begins
  # Five standard deviations of a binomial.
  mean = 7000 / len(begins)
  assert np.all(np.abs(counts[begins] - mean) < 5 * np.sqrt(mean))


def test_push_fills_the_stack_at_the_first_frame():
  stack = jnp.zeros((3, 1, 1))
  one = jnp.ones((1, 1))
  stack = frames.push(stack, 5 * one, jnp.bool_(True))
  np.testing.assert_array_equal(stack.ravel(), [5, 5, 5])
  stack = frames.push(stack, 6 * one, jnp.bool_(False))
  np.testing.assert_array_equal(stack.ravel(), [5, 5, 6])


def test_holds_each_frame_once():
  atari = specs.ObservationSpec((4, 84, 84), 'uint8', None)
  replay = frames.FrameReplay(
      atari, num_envs=1, capacity=100_000, batch_size=32, discount=0.99)
  assert replay.num_bytes() < 100_000 * (84 * 84 + 32)
  assert 26 * replay.num_bytes() < 20e9


@pytest.mark.parametrize('change, words', [
    (dict(capacity=9), 'at least 12.*got 9'),
    (dict(n_step=0), 'n_step must be at least 1, got 0'),
    (dict(spec=specs.ObservationSpec((4,), 'float32', None)), r'\(4,\)'),
])
def test_refuses_what_cannot_be(change, words):
  arguments = dict(spec=spec(), num_envs=2, capacity=20, batch_size=4,
                   discount=0.9, n_step=2)
  with pytest.raises(ValueError, match=words):
    frames.FrameReplay(**{**arguments, **change})
