"""The Atari wrapper: what its steps mean, on the real emulators."""

import sys
import threading

import dm_env
import numpy as np
import pytest

from hyperjax.environments import envpool

FIRST, MID, LAST = (int(x) for x in dm_env.StepType)


def play(environments, num_steps, seed=0, num_actions=None):
  """Random actions; time steps [T+1] and actions [T]."""
  rng = np.random.default_rng(seed)
  timesteps, actions = [environments.reset()], []
  for _ in range(num_steps):
    actions.append(rng.integers(
        num_actions or environments.num_actions, size=environments.num_envs))
    timesteps.append(environments.step(actions[-1]))
  return timesteps, actions


@pytest.fixture(scope='module')
def breakout():
  """600 random steps in three games of Breakout: several whole games."""
  return play(envpool.Atari('Breakout', [1, 2, 3]), 600)[0]


def test_an_episode_begins_the_step_after_the_last_one(breakout):
  types = np.stack([t.step_type for t in breakout])
  assert (types[0] == FIRST).all()
  last = types[:-1] == LAST
  assert last.sum() >= 3
  np.testing.assert_array_equal(types[1:] == FIRST, last)
  for t in breakout:
    assert (t.score[t.first()] == 0.).all()
    assert (t.reward[t.first()] == 0.).all()


def test_a_life_ends_the_return_but_not_the_game(breakout):
  lives_lost = np.zeros(3, int)
  for t in breakout:
    lives_lost[t.first()] = 0
    lives_lost += (t.discount == 0.) & ~t.first()
    # Breakout has five lives; the fifth one ends the game.
    np.testing.assert_array_equal(lives_lost == 5, t.last())
  game = envpool.Atari('Breakout', [1, 2, 3], life_ends_return=False)
  for t in play(game, 300)[0]:
    np.testing.assert_array_equal(
        t.discount, np.where(t.first() | t.last(), 0., 1.))


def test_a_time_limit_is_no_end():
  timesteps, _ = play(
      envpool.Atari('Pong', [4], max_frames=40 * envpool.FRAMES_PER_STEP), 45)
  types = [int(t.step_type[0]) for t in timesteps]
  assert types.index(LAST) + 1 == types.index(FIRST, 1)
  last = timesteps[types.index(LAST)]
  assert last.discount[0] == 1.
  assert types.index(LAST) == 40


def test_rewards_are_clipped_beside_the_score():
  timesteps, _ = play(envpool.Atari('MsPacman', [1]), 200)
  score = np.array([t.score[0] for t in timesteps])
  assert score.max() > 1.
  np.testing.assert_array_equal(
      [t.reward[0] for t in timesteps], np.clip(score, -1., 1.))
  raw, _ = play(envpool.Atari('MsPacman', [1], clip_rewards=False), 200)
  np.testing.assert_array_equal([t.reward[0] for t in raw], score)


def test_an_environment_is_the_same_in_any_company():
  together = envpool.Atari('Breakout', [5, 6])
  alone = envpool.Atari('Breakout', [6])
  a, b = together.reset(), alone.reset()
  rng = np.random.default_rng(0)
  for _ in range(300):
    np.testing.assert_array_equal(a.observation[1], b.observation[0])
    actions = rng.integers(4, size=2)
    a, b = together.step(actions), alone.step(actions[1:])
  other = envpool.Atari('Breakout', [5]).reset()
  np.testing.assert_array_equal(
      other.observation[0], envpool.Atari('Breakout', [5, 6]).reset()
      .observation[0])


def test_games_begin_with_a_random_number_of_noops():
  observations = envpool.Atari('Freeway', list(range(12))).reset().observation
  assert len({frame.tobytes() for frame in observations}) > 6


def test_sticky_actions_repeat():
  """With probability 1 nothing but what was done at the very first happens."""
  make = lambda p: envpool.Atari('Pong', [3], sticky_actions=p)
  stuck = [play(make(1.), 60, seed)[0][-1].observation for seed in (0, 1)]
  free = [play(make(0.), 60, seed)[0][-1].observation for seed in (0, 1)]
  np.testing.assert_array_equal(*stuck)
  assert (free[0] != free[1]).any()


def play_both(game, num_envs, ale_noops):
  """The same actions in envpool, without random no-ops, and in ale-py."""
  pytest.importorskip('ale_py')
  return [
      play(envpool.Atari(game, list(range(num_envs)), max_noops=noops,
                         backend=backend, max_frames=1600), 700)[0]
      for backend, noops in (('envpool', 1), ('ale', ale_noops))]


@pytest.mark.parametrize('game', ['Breakout', 'Pong', 'Qbert'])
@pytest.mark.slow
def test_both_backends_agree(game):
  """In frames, rewards, lives and ends, over whole games.

  But for the last frame of an episode: where the game or the time is over the
  two leave the four frames of a step at different ones.
  """
  runs = play_both(game, 2, 1)
  ended = 0
  for a, b in zip(*runs, strict=True):
    for name in ('step_type', 'reward', 'discount', 'score'):
      np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)
    goes_on = ~a.last()
    np.testing.assert_array_equal(
        a.observation[goes_on], b.observation[goes_on])
    ended += a.last().sum()
  assert ended >= 2


@pytest.mark.slow
@pytest.mark.parametrize('game', ['MsPacman', 'Freeway'])
def test_backends_differ_by_a_noop_where_games_do_not_begin_with_fire(game):
  """envpool always does one there; where ale-py happens to, they agree."""
  a, b = play_both(game, 6, 3)
  first = lambda run, n: run[0].observation[n]
  alike = [n for n in range(6) if (first(a, n) == first(b, n)).all()]
  assert 0 < len(alike) < 6
  for x, y in zip(a[:390], b[:390], strict=True):  # One episode, no new no-ops.
    for value, other in zip(x, y, strict=True):
      np.testing.assert_array_equal(value[alike], other[alike])


def test_ale_needs_no_envpool(monkeypatch):
  """Not even for the names of the games, which are the same."""
  names = envpool.games()
  monkeypatch.setitem(sys.modules, 'envpool', None)
  envpool.games.cache_clear()
  try:
    assert envpool.games() == names
    # Its name in ale-py has an underscore before the 3.
    environments = envpool.Atari('TicTacToe3d', [1], backend='ale')
    assert environments.reset().observation.shape == (1, 84, 84)
    with pytest.raises(ImportError, match="envpool .*backend='ale'"):
      envpool.Atari('Pong', [1])
  finally:
    envpool.games.cache_clear()


class Emulators:
  """Answers late, or not at all."""

  def __init__(self, answer):
    self.answer = answer

  def send(self, actions):
    pass

  def recv(self):
    return self.answer()


def test_closing_ends_the_thread_that_waits():
  before = set(threading.enumerate())
  game = envpool.Atari('Pong', [0])
  game.reset()
  thread, = set(threading.enumerate()) - before
  game.close()
  thread.join(timeout=60.)
  assert not thread.is_alive()


def test_a_stalled_environment_is_given_up():
  release = threading.Event()
  environments = envpool.Atari('Pong', [1])
  environments.reset()
  environments._timeout_s = 0.2  # Too short for a reset.
  environments._emulators = Emulators(release.wait)
  with pytest.raises(envpool.StalledError, match='Pong.*not answer for 0'):
    environments.step(np.zeros(1, int))
  release.set()


def test_a_dead_environment_is_told_of():
  def die():
    raise OSError('worker 3 is gone')

  environments = envpool.Atari('Pong', [1])
  environments.reset()
  environments._emulators = Emulators(die)
  with pytest.raises(envpool.StalledError, match='Pong.*worker 3 is gone'):
    environments.step(np.zeros(1, int))
  environments._emulators.send = lambda actions: die()
  with pytest.raises(envpool.StalledError, match='Pong.*worker 3 is gone'):
    environments.send(np.zeros(1, int))


@pytest.mark.parametrize('arguments, words', [
    (dict(game='Pnog'), "unknown game 'Pnog'; did you mean Pong"),
    (dict(game='ms_pacman'), 'did you mean MsPacman'),
    (dict(seeds=[]), 'at least one seed'),
    (dict(seeds=[-1]), 'got -1'),
    (dict(sticky_actions=1.5), 'sticky_actions .* got 1.5'),
    (dict(max_frames=1), 'max_frames must be at least 4, got 1'),
    (dict(max_frames=18), 'max_frames must be a multiple of 4, got 18'),
    (dict(max_noops=0), 'max_noops must be at least 1, got 0'),
    (dict(backend='gym'), "backend must be one of envpool, ale, got 'gym'"),
])
def test_refuses_what_cannot_be(arguments, words):
  with pytest.raises(ValueError, match=words):
    envpool.Atari(**{'game': 'Pong', 'seeds': [1], **arguments})


def test_refuses_actions_that_the_game_does_not_have():
  environments = envpool.Atari('Breakout', [1, 2])
  environments.reset()
  with pytest.raises(ValueError, match=r'expected actions of 0\.\.3'):
    environments.step(np.array([0, 4]))
  with pytest.raises(ValueError, match=r'shape \(2,\)'):
    environments.step(np.array([0]))


def test_atari_wants_seeds_in_a_sequence(unchecked):
  with pytest.raises(ValueError, match='a sequence of seeds, got 0'):
    envpool.Atari('Pong', 0)
