"""Atari, many games at once on the host, through envpool or ale-py.

The emulators step in C++ threads; this wrapper owns what their steps mean, and
gives it in the terms of dm_env, for N environments of one game side by side:

  * a step after the last one of an episode ignores its action and returns the
    first time step of the next episode, with reward and discount 0;
  * the discount is 0 where the game was over, and where a life was lost (the
    return ends there, but the game and its frames go on). At the time limit the
    last step's discount is 1: the episode was cut short;
  * rewards are clipped to [-1, 1] for learning, and the game's own are beside
    them for the records;
  * an observation is a single frame. A stack of them is made where it is needed
    (`hyperjax.frames`), so that each frame is sent and kept once.

The published code, when a life is lost, resets what it stacks, does nothing for
one step and then, where games begin with FIRE, fires; here the game just goes
on, as in DQN Zoo, and the agent has to fire itself.
"""

from collections.abc import Iterable, Sequence
import concurrent.futures
import difflib
import functools
import os
import queue
import threading
from typing import Any, NamedTuple, Protocol, runtime_checkable
import weakref

import dm_env
from dm_env import specs
import numpy as np

FRAMES_PER_STEP = 4
HEIGHT = WIDTH = 84


class AtariTimeStep(NamedTuple):
  """What N environments returned; NumPy arrays.

  Attributes:
    step_type: the values of `dm_env.StepType`, int32 [N].
    reward: for learning, float32 [N].
    discount: 0 where the game is over or a life was lost, else 1; float32 [N].
    observation: the newest frame, uint8 [N, 84, 84].
    score: the game's own reward, float32 [N].
  """

  step_type: np.ndarray
  reward: np.ndarray
  discount: np.ndarray
  observation: np.ndarray
  score: np.ndarray

  def first(self) -> np.ndarray:
    return self.step_type == int(dm_env.StepType.FIRST)

  def last(self) -> np.ndarray:
    return self.step_type == int(dm_env.StepType.LAST)


class StalledError(RuntimeError):
  """An environment did not answer in time, or raised an error.

  Both libraries step in threads of this process: what aborts there ends it.
  """


@runtime_checkable
class _Emulators(Protocol):
  """What both libraries offer: a gymnasium vector environment in two halves."""

  def reset(self) -> tuple[np.ndarray, dict[str, Any]]:
    ...

  def send(self, actions: np.ndarray) -> None:
    ...

  def recv(self) -> tuple[Any, ...]:
    ...


@functools.cache
def games() -> tuple[str, ...]:
  """All games by the names that envpool has for them: 'Pong', 'MsPacman'."""
  import envpool  # Slow to import, and not needed for anything else.
  specs_by_name = envpool.registration.registry.specs
  return tuple(sorted(
      name.removesuffix('-v5') for name in envpool.list_all_envs()
      if name.endswith('-v5') and 'atari' in specs_by_name[name][0]))


def check_game(game: str):
  """Raises ValueError, with near matches, if there is no such game."""
  if game not in games():
    raise ValueError(f'unknown game {game!r}; {hint(game, games())}')


def hint(game: str, known: Iterable[str]) -> str:
  """What may have been meant by a game's name that is not known."""

  def plain(name):
    return name.lower().replace('_', '')

  names = {plain(name): name for name in known}
  near = difflib.get_close_matches(plain(game), names)
  return f'did you mean {" or ".join(names[name] for name in near)}?' if (
      near) else 'names are like MsPacman'


class Atari:
  """N environments of one game that step together."""

  def __init__(
      self,
      game: str,
      seeds: Sequence[int],
      *,
      sticky_actions: float = 0.,
      life_ends_return: bool = True,
      clip_rewards: bool = True,
      max_frames: int = 108_000,
      max_noops: int = 30,
      num_threads: int | None = None,
      timeout_s: float = 60.,
      backend: str = 'envpool',
  ):
    """Makes the environments; `reset` must come first.

    Args:
      game: see `games`.
      seeds: of each environment, N of them; 31 bits. An environment does the
        same with the same seed and actions, whatever its company.
      sticky_actions: probability that an environment repeats its last action
        instead, at each frame. None as published; 0.25 in the later protocol
        (Machado et al., 2018).
      life_ends_return: whether a lost life has discount 0.
      clip_rewards: whether rewards for learning are clipped to [-1, 1].
      max_frames: after which an episode is cut short.
      max_noops: at its beginning an episode does nothing for a random number of
        frames below this one. (envpool adds one in games that do not begin
        with the action FIRE, and ale-py does not.)
      num_threads: that step these environments; by default one for each, or as
        many as there are cores.
      timeout_s: seconds after which a step is given up.
      backend: 'envpool', or 'ale' for ale-py's `AtariVectorEnv`.

    Raises:
      ValueError: for settings that cannot be meant.
    """
    check_game(game)
    if not len(seeds):
      raise ValueError('expected at least one seed, got none')
    for seed in seeds:
      if not 0 <= seed < 2**31:
        raise ValueError(f'a seed must have 31 bits, got {seed}')
    if not 0. <= sticky_actions <= 1.:
      raise ValueError(
          f'sticky_actions must be between 0 and 1, got {sticky_actions}')
    if max_frames < FRAMES_PER_STEP:
      raise ValueError(
          f'max_frames must be at least {FRAMES_PER_STEP}, got {max_frames}')
    if max_noops < 1:
      raise ValueError(f'max_noops must be at least 1, got {max_noops}')
    if backend not in _BACKENDS:
      raise ValueError(
          f'backend must be one of {", ".join(_BACKENDS)}, got {backend!r}')
    self.game = game
    self.num_envs = len(seeds)
    self._life_ends_return = life_ends_return
    self._clip_rewards = clip_rewards
    self._timeout_s = timeout_s
    num_threads = num_threads or min(self.num_envs, os.cpu_count() or 1)
    self._emulators, self.num_actions = _BACKENDS[backend](
        game, list(seeds), sticky_actions, max_frames, max_noops, num_threads)
    self._calls: queue.SimpleQueue = queue.SimpleQueue()
    # A daemon: a call that hangs must not keep the process from ending.
    threading.Thread(target=_answer, args=(self._calls,), daemon=True).start()
    self._end_calls = weakref.finalize(self, self._calls.put, None)
    self._lives = np.zeros(self.num_envs, np.int32)
    self._was_last = np.ones(self.num_envs, bool)

  def observation_spec(self) -> specs.BoundedArray:
    """Of one environment's frame."""
    return specs.BoundedArray((HEIGHT, WIDTH), np.uint8, 0, 255, 'frame')

  def action_spec(self) -> specs.DiscreteArray:
    return specs.DiscreteArray(self.num_actions, name='action')

  def reset(self) -> AtariTimeStep:
    """Begins the first episodes."""
    frames, info = self._wait(self._emulators.reset)
    self._was_last[:] = True
    zeros = np.zeros(self.num_envs, np.float32)
    return self._timestep(frames, zeros, zeros > 0, zeros > 0, info)

  def send(self, actions: np.ndarray):
    """Begins a step; `recv` ends it.

    Args:
      actions: int [N].

    Raises:
      ValueError: if an action is not one of the game's.
      StalledError: if an environment died.
    """
    actions = np.asarray(actions)
    if actions.shape != (self.num_envs,):
      raise ValueError(
          f'expected actions of shape ({self.num_envs},), got {actions.shape}')
    if actions.min() < 0 or actions.max() >= self.num_actions:
      raise ValueError(
          f'expected actions of 0..{self.num_actions - 1}, got {actions}')
    try:
      self._emulators.send(actions)
    except Exception as error:
      raise self._died(error) from error

  def recv(self) -> AtariTimeStep:
    """Waits for the step that `send` began.

    Raises:
      StalledError: if it does not end within the time limit.
    """
    return self._timestep(*self._wait(self._emulators.recv))

  def step(self, actions: np.ndarray) -> AtariTimeStep:
    """`send` and `recv` at once."""
    self.send(actions)
    return self.recv()

  def close(self):
    """Lets go of the emulators."""
    self._emulators = None
    self._end_calls()

  def _wait(self, function):
    """What a function returns, if it does in time."""
    answer: concurrent.futures.Future = concurrent.futures.Future()
    self._calls.put((function, answer))
    try:
      return answer.result(self._timeout_s)
    except concurrent.futures.TimeoutError as error:
      raise StalledError(
          f'{self.game}: the environments did not answer for '
          f'{self._timeout_s:.0f} seconds') from error
    except Exception as error:
      raise self._died(error) from error

  def _died(self, error: Exception) -> StalledError:
    return StalledError(f'{self.game}: an environment died: {error}')

  def _timestep(self, frames, score, terminated, truncated, info):
    first = self._was_last
    last = (terminated | truncated) & ~first
    lives = np.asarray(info['lives'], np.int32)
    # Some games show no life for a moment before they are over.
    lost = (lives > 0) & (lives < self._lives) & ~first
    over = terminated & ~first
    if self._life_ends_return:
      over |= lost
    self._lives, self._was_last = lives.copy(), last
    score = np.where(first, 0., score).astype(np.float32)
    step_type = np.where(
        first, int(dm_env.StepType.FIRST),
        np.where(last, int(dm_env.StepType.LAST), int(dm_env.StepType.MID)))
    return AtariTimeStep(
        step_type=step_type.astype(np.int32),
        reward=np.clip(score, -1., 1.) if self._clip_rewards else score,
        discount=np.where(first | over, 0., 1.).astype(np.float32),
        observation=frames[:, 0],
        score=score)


def _answer(calls: queue.SimpleQueue):
  """Makes calls, one behind the other, until there is None in their place."""
  while (call := calls.get()) is not None:
    function, answer = call
    try:
      answer.set_result(function())
    except Exception as error:  # pylint: disable=broad-except
      answer.set_exception(error)
    del call, function, answer  # Not kept while there is nothing to do.


def _make_envpool(
    game, seeds, sticky_actions, max_frames, max_noops, num_threads
) -> tuple[_Emulators, int]:
  import envpool
  emulators = envpool.make_gymnasium(
      f'{game}-v5', num_envs=len(seeds), env_seed=seeds,
      num_threads=num_threads, stack_num=1,
      frame_skip=FRAMES_PER_STEP, noop_max=max_noops,
      max_episode_steps=max_frames // FRAMES_PER_STEP,
      repeat_action_probability=sticky_actions,
      img_height=HEIGHT, img_width=WIDTH)
  return emulators, int(emulators.action_space.n)


class _Ale:
  """ale-py's environments, with their seeds given at the first reset."""

  def __init__(self, environments: Any, seeds: list[int]):
    self._environments, self._seeds = environments, seeds

  def reset(self):
    return self._environments.reset(seed=np.array(self._seeds))

  def send(self, actions):
    self._environments.send(actions)

  def recv(self):
    return self._environments.recv()


def _make_ale(
    game, seeds, sticky_actions, max_frames, max_noops, num_threads
) -> tuple[_Emulators, int]:
  try:
    from ale_py import vector_env
  except ImportError as error:
    raise ValueError(
        "backend 'ale' needs the package ale-py: pip install ale-py") from error
  name = ''.join('_' + c.lower() if c.isupper() else c for c in game)
  environments = vector_env.AtariVectorEnv(
      name.lstrip('_'), len(seeds), stack_num=1, num_threads=num_threads,
      frameskip=FRAMES_PER_STEP, noop_max=max_noops,
      max_num_frames_per_episode=max_frames,
      repeat_action_probability=sticky_actions, reward_clipping=False,
      img_height=HEIGHT, img_width=WIDTH)
  return (_Ale(environments, seeds),
          int(environments.single_action_space.n))


_BACKENDS = {'envpool': _make_envpool, 'ale': _make_ale}
