"""Sequences and changing n and discount of both storages, by Python loops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import replay as replay_lib
from hyperjax import schedules
from hyperjax import specs
from hyperjax import types

LENGTH, NUM_STEPS, NUM_ENVS = 4, 37, 2
N = schedules.Geometric(5., 2., 10)
GAMMA = schedules.GeometricHorizon(0.5, 0.9, 10)
FRAMES = specs.ObservationSpec((3, 2, 2), 'uint8')
NUMBERS = specs.ObservationSpec((1,), 'float32')


def _life(seed=0):
  """What happens in each environment, step by step.

  Returns:
    action, reward, discount and whether a step ends its episode, [T, N] each.
    An episode ends by a termination or a truncation; some steps have discount 0
    (a lost life) without an end.
  """
  rng = np.random.default_rng(seed)
  shape = NUM_STEPS, NUM_ENVS
  is_last = rng.random(shape) < 0.2
  discount = np.where(is_last, rng.integers(2, size=shape),
                      rng.random(shape) > 0.1).astype(np.float32)
  return (rng.integers(4, size=shape).astype(np.int32),
          rng.normal(size=shape).astype(np.float32), discount, is_last)




def _transitions(life, **settings):
  """The life in a ring of transitions. An observation is its own number."""
  action, reward, discount, is_last = life
  replay = replay_lib.TransitionReplay(
      NUMBERS, 2 * 20, 32, num_envs=NUM_ENVS,
      **settings)
  state, add = replay.init(), jax.jit(replay.add)
  now = np.array([0., 1000.])
  for t in range(NUM_STEPS):
    state = add(state, types.Transition(
        jnp.asarray(now[:, None], jnp.float32), action[t], reward[t],
        discount[t], jnp.asarray(now[:, None] + 1., jnp.float32),
        jnp.asarray(NUM_ENVS * t + np.arange(NUM_ENVS), jnp.int32)),
        jnp.asarray(is_last[t]))
    # The first observation of an episode is no successor.
    now += np.where(is_last[t], 2., 1.)
  return replay, state


def _episode_of_frames(life):
  """The environment and the number of the episode of each frame."""
  found = {}
  for env in range(NUM_ENVS):
    t, episode, first = 0, 0, True
    for place in range(NUM_STEPS):
      found[128 * env + place] = env, episode
      if not first and life[3][t - 1, env]:  # The next frame begins another.
        first, episode = True, episode + 1
      else:
        first, t = False, t + 1
  return found


def _streams(life, **settings):
  """The life in streams of frames, of which three are an observation."""
  action, reward, discount, is_last = life
  replay = replay_lib.StreamReplay(
      FRAMES, 2 * 30, 32, num_envs=NUM_ENVS,
      stacked=True, **settings)
  state, add = replay.init(), jax.jit(replay.add)
  # Each stream has its first time steps where its episodes begin; what it shows
  # is its position, so a stack tells where it is from.
  first, t = np.ones(NUM_ENVS, bool), np.zeros(NUM_ENVS, int)
  place = np.array([0, 128])
  for _ in range(NUM_STEPS):
    take = lambda x, t=t: x[np.maximum(t - 1, 0), np.arange(NUM_ENVS)]
    frame = np.broadcast_to(place[:, None, None], (NUM_ENVS, 2, 2))
    state = add(state, replay_lib.Entry(
        jnp.asarray(frame, jnp.uint8), take(action), take(reward),
        take(discount), jnp.asarray(first),
        jnp.asarray(NUM_ENVS * t + np.arange(NUM_ENVS), jnp.int32)))
    ended = take(is_last) & ~first
    first = ended
    t = np.where(ended, t, t + 1)
    place = place + 1
  return replay, state


def _expected(life, uid, newest, n, gamma):
  """The return and the sequence from a transition on, by a loop."""
  action, reward, discount, is_last = life
  t, env = divmod(int(uid), NUM_ENVS)
  total, factor, num = 0., 1., 0
  for k in range(n):
    total += factor * reward[t + k, env]
    factor *= gamma * discount[t + k, env]
    num += 1
    if is_last[t + k, env] or factor == 0. or t + k == newest[env]:
      break
  steps = []
  for k in range(LENGTH):
    steps.append((action[t + k, env], k + 1))
    if (is_last[t + k, env] or discount[t + k, env] == 0.
        or t + k == newest[env]):
      break
  return total, factor, num, steps


@pytest.mark.parametrize('num_updates', [0, 4, 10, 10_000])
@pytest.mark.parametrize('storage', ['transitions', 'streams'])
def test_returns_and_sequences_are_those_of_a_loop(storage, num_updates):
  life = _life()
  replay, state, sample = _filled(storage)
  batch = sample(state, jax.random.key(num_updates), jnp.int32(num_updates))
  n = int(np.round(5. * 0.4**min(num_updates / 10, 1.)))
  gamma = 1. - 0.5 * 0.2**min(num_updates / 10, 1.)
  assert (n, round(gamma, 3)) in {(5, .5), (3, .737), (2, .9)}
  transitions, sequences = batch.transitions, batch.sequences
  known = np.asarray(state.ring.experience.transition.uid if (
      storage == 'transitions') else state.ring.experience.uid)
  if storage == 'transitions':
    newest = [max(x // 2 for x in known.ravel() if x % 2 == env)
              for env in range(2)]
  else:  # The last time step of a stream ends the newest transition.
    newest = [int(known[env].max()) // 2 - 1 for env in range(2)]
  for i, uid in enumerate(np.asarray(transitions.uid)):
    total, factor, num, steps = _expected(life, uid, newest, n, gamma)
    np.testing.assert_allclose(transitions.reward[i], total, rtol=1e-4,
                               atol=1e-6)
    np.testing.assert_allclose(transitions.discount[i], factor, rtol=1e-4)
    # Newest pixels are the numbers of observations.
    number = lambda x: int(np.ravel(x)[-1])
    start = number(transitions.observation[i])
    assert number(transitions.next_observation[i]) == start + num
    assert np.sum(sequences.exists[i]) == len(steps)
    assert np.all(np.sort(sequences.exists[i])[::-1] == sequences.exists[i])
    for k in range(LENGTH):
      action, later = steps[min(k, len(steps) - 1)]
      assert int(sequences.actions[i, k]) == action
      assert number(sequences.observations[i, k]) == start + later


@functools.cache
def _filled(storage):
  settings = dict(n_step=N, discount=GAMMA, sequence_length=LENGTH)
  replay, state = {'transitions': _transitions, 'streams': _streams}[storage](
      _life(), **settings)
  return replay, state, jax.jit(replay.sample)


def test_stacks_of_a_sequence_never_cross_an_episode():
  _, state, sample = _filled('streams')
  of_frame = _episode_of_frames(_life())
  batch = sample(state, jax.random.key(7), jnp.int32(0))
  frames = np.concatenate([
      np.asarray(batch.transitions.observation)[:, None],
      np.asarray(batch.sequences.observations)], axis=1)[..., 0, 0]
  for row in frames.reshape(len(frames), -1):
    assert len({of_frame[int(frame)] for frame in row}) == 1


@pytest.mark.parametrize('storage', ['transitions', 'streams'])
def test_sequences_come_with_priorities(storage):
  make = {'transitions': _transitions, 'streams': _streams}[storage]
  gamma = {} if storage == 'transitions' else {'discount': 0.9}
  replay, state = make(_life(), sequence_length=LENGTH, **gamma,
                       sampler=replay_lib.Prioritized())
  batch = jax.jit(replay.sample)(state, jax.random.key(0))
  # All the weight on one transition: then it alone is drawn.
  losses = jnp.where(batch.transitions.uid == batch.transitions.uid[0], 1e9, 0.)
  state = replay.update_priorities(state, batch, losses)
  again = jax.jit(replay.sample)(state, jax.random.key(1))
  share = np.mean(again.transitions.uid == batch.transitions.uid[0])
  assert share > 0.9
  same = np.flatnonzero(again.transitions.uid == batch.transitions.uid[0])
  for x, y in zip(batch.sequences, again.sequences, strict=True):
    np.testing.assert_array_equal(y[same], np.repeat(x[:1], same.size, axis=0))


def test_schedules_without_a_change_are_numbers():
  """A schedule that stays is its number, in every storage."""
  for make, gamma in ((_transitions, {}), (_streams, {'discount': 0.9})):
    replay, state = make(_life(), n_step=3, **gamma)
    changing, _ = make(_life(), n_step=schedules.Linear(3., 3., 5), discount=(
        schedules.Linear(*2 * (gamma.get('discount', 1.),), 5)))
    one = replay.sample(state, jax.random.key(0))
    other = changing.sample(state, jax.random.key(0), jnp.int32(3))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6),
                 one, other)


@pytest.mark.parametrize(('make', 'message'), [
    (lambda: _replay(n_step=schedules.Linear(0., 3., 5)),
     'n_step of a replay must be at least 1 from start to end, got Linear'),
    (lambda: _replay(n_step=lambda steps: 3),
     'n_step of a replay must be an integer or a schedule with a start'),
    (lambda: _replay(discount=schedules.Linear(0.9, 1.5, 5)),
     'discount of a replay at step 5 must be .* got 1.5'),
    (lambda: _replay(sequence_length=-1),
     'sequence_length of a replay must be at least 0, got -1'),
    (lambda: _replay(sequence_length=21),
     'and 21 steps must be at least 21, got 20'),
    (lambda: replay_lib.StreamReplay(NUMBERS, 20, 4, 0.9, sequence_length=19),
     'at least 21, for a stack of 1 and 19 steps each, got 20'),
    (lambda: agents.DQNConfig(sequence_length=2, lazy_adam=True),
     'sequence_length must be 0 with lazy_adam, .* got 2'),
    (lambda: schedules.GeometricHorizon(0.9, 1., 5),
     'end of a schedule must be below 1, .* got 1.0'),
    (lambda: schedules.Geometric(0., 1., 5),
     'start of a schedule must be positive, got 0.0')])
def test_what_cannot_be_is_refused(unchecked, make, message):
  del unchecked
  with pytest.raises(ValueError, match=message):
    make()


def _replay(**settings):
  return replay_lib.TransitionReplay(NUMBERS, 20, 4, **settings)


def test_a_schedule_needs_the_number_of_updates():
  replay, state, _ = _filled('transitions')
  with pytest.raises(ValueError, match='needs num_updates, got n_step G'):
    replay.sample(state, jax.random.key(0))


def test_schedules_are_their_formulas():
  for steps in (0, 2500, 10_000, 20_000):
    done = min(steps / 10_000, 1.)
    np.testing.assert_allclose(
        schedules.Geometric(10., 3., 10_000)(jnp.int32(steps)), 10. * 0.3**done,
        rtol=1e-6)
    np.testing.assert_allclose(
        schedules.GeometricHorizon(0.97, 0.997, 10_000)(jnp.int32(steps)),
        1. - 0.03 * 0.1**done, rtol=1e-6)
  late = schedules.Delayed(schedules.Linear(1., 0., 4), 3)
  assert [float(late(jnp.int32(t))) for t in (0, 3, 5, 7, 99)] == [
      1., 1., 0.5, 0., 0.]
