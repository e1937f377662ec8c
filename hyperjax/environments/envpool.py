"""Atari by envpool or ale-py, and the other tasks of envpool.

The emulators step in C++ threads. `Atari` defines the semantics of their steps
for N environments of one game. In addition to those of every
`vector.VectorEnvironment`:

  * The discount is 0 when the game is over, and when a life is lost (the return
    ends, but the game and its frames go on). At the time limit the discount is
    1: the episode is truncated.
  * Rewards for learning are clipped to [-1, 1]; `score` has the game's own.
  * An observation is one frame. Stacks are assembled by the replay
    (`hyperjax.replay.push`), so that each frame is sent and stored once.

When a life is lost, the published code resets the frame stack, does nothing for
one step and then presses FIRE in games that begin with it. Here the game goes
on, as in DQN Zoo, and the agent has to press FIRE itself.
"""

from collections.abc import Iterable, Sequence
import difflib
import functools
import importlib.util
import os
from typing import Any
import warnings

from dm_env import specs
import numpy as np

from hyperjax import checks
from hyperjax import seeds as seeds_lib
from hyperjax.environments import gymnasium
from hyperjax.environments import vector

FRAMES_PER_STEP = 4
HEIGHT = WIDTH = 84

StalledError = vector.StalledError

# Those of ale-py that need a second player.
_TWO_PLAYERS = {'combat', 'joust', 'maze_craze', 'warlords'}


@functools.cache
def games() -> tuple[str, ...]:
  """Returns the names of all games as in envpool: 'Pong', 'MsPacman'."""
  if not importlib.util.find_spec('envpool') and importlib.util.find_spec(
      'ale_py'):
    return tuple(sorted(_ale_names()))
  envpool = _envpool()
  specs_by_name = envpool.registration.registry.specs
  return tuple(sorted(
      name.removesuffix('-v5') for name in envpool.list_all_envs()
      if name.endswith('-v5') and 'atari' in specs_by_name[name][0]))


def _ale_names() -> dict[str, str]:
  """Returns ale-py's name of each game, by envpool's name."""
  from ale_py import roms
  return {
      ''.join(word[:1].upper() + word[1:] for word in name.split('_')): name
      for name in roms.get_all_rom_ids() if name not in _TWO_PLAYERS}


def check_game(game: str):
  """Raises ValueError, with near matches, if there is no such game."""
  if game not in games():
    raise ValueError(f'unknown game {game!r}; {hint(game, games())}')


def hint(name: str, known: Iterable[str], example: str = 'MsPacman') -> str:
  """Returns a sentence about the names that an unknown one may stand for."""

  def plain(x):
    return x.lower().replace('_', '')

  names = {plain(x): x for x in known}
  near = [names[x] for x in difflib.get_close_matches(plain(name), names)]
  return f'did you mean {" or ".join(near)}?' if near else (
      f'names are like {example}')


class Atari(vector.VectorBase):
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
    """Makes the environments; call `reset` first.

    Args:
      game: name of the game, see `games`.
      seeds: seed of each environment, N in total, 31 bits. The steps of an
        environment are a function of its seed and actions, independent of the
        others.
      sticky_actions: probability that an environment repeats its last action
        instead of the new one, at each frame; 0 as published, 0.25 in the
        protocol of Machado et al. (2018).
      life_ends_return: whether the discount is 0 when a life is lost.
      clip_rewards: whether rewards for learning are clipped to [-1, 1].
      max_frames: number of frames after which an episode is truncated, a
        multiple of `FRAMES_PER_STEP`.
      max_noops: upper limit (exclusive) of the random number of frames without
        action at the beginning of an episode. (envpool adds one frame in games
        that do not begin with FIRE; ale-py does not.)
      num_threads: number of threads of these environments; by default one per
        environment, at most the number of cores.
      timeout_s: seconds after which a step is abandoned.
      backend: 'envpool', or 'ale' for ale-py's `AtariVectorEnv`.

    Raises:
      ValueError: if a setting is invalid.
    """
    check_game(game)
    checked = _check_seeds(seeds)
    sticky_actions = checks.FRACTION('sticky_actions', sticky_actions)
    max_frames = checks.integer(FRAMES_PER_STEP)('max_frames', max_frames)
    if max_frames % FRAMES_PER_STEP:  # The backends would round differently.
      raise ValueError(
          f'max_frames must be a multiple of {FRAMES_PER_STEP}, got '
          f'{max_frames}')
    max_noops = checks.COUNT('max_noops', max_noops)
    self._life_ends_return = checks.flag('life_ends_return', life_ends_return)
    self._clip_rewards = checks.flag('clip_rewards', clip_rewards)
    vector.check_timeout(timeout_s)  # Before the emulators begin.
    if backend not in _BACKENDS:
      raise ValueError(
          f'backend must be one of {", ".join(_BACKENDS)}, got {backend!r}')
    emulators, num_actions = _BACKENDS[backend](
        game, checked, sticky_actions, max_frames, max_noops,
        _num_threads(num_threads, checked))
    super().__init__(game, emulators, len(checked), num_actions, timeout_s)
    self._lives = np.zeros(self.num_envs, np.int32)

  @property
  def game(self) -> str:
    """Name of the game."""
    return self.name

  def observation_spec(self) -> specs.BoundedArray:
    """Returns the spec of one frame, uint8 [84, 84]."""
    return specs.BoundedArray((HEIGHT, WIDTH), np.uint8, 0, 255, 'frame')

  def _timestep(self, frames, score, terminated, truncated, info):
    timestep = super()._timestep(
        frames[:, 0], score, terminated, truncated, info)
    lives = np.asarray(info['lives'], np.int32)
    # Some games report 0 lives for a moment before they are over.
    lost = (lives > 0) & (lives < self._lives) & ~timestep.first()
    self._lives = lives.copy()
    if self._life_ends_return:
      timestep = timestep._replace(
          discount=np.where(lost, np.float32(0.), timestep.discount))
    if self._clip_rewards:
      timestep = timestep._replace(reward=np.clip(timestep.score, -1., 1.))
    return timestep


class Envpool(gymnasium.Gymnasium):
  """N environments of one of envpool's tasks, without changes.

  For tasks with one player, discrete actions and observations of one array:
  'CartPole-v1', 'Acrobot-v1', 'MountainCar-v0', 'Catch-v0'. An episode that
  ends in the step of its time limit counts as truncated, even if it terminated:
  envpool does not distinguish the two.
  """

  def __init__(
      self,
      task_id: str,
      seeds: Sequence[int],
      *,
      num_threads: int | None = None,
      timeout_s: float = 60.,
      **options: Any,
  ):
    """Makes the environments; call `reset` first.

    Args:
      task_id: name of the task, see `tasks`.
      seeds: seed of each environment, N in total, 31 bits. The steps of an
        environment are a function of its seed and actions, independent of the
        others.
      num_threads: number of threads of these environments; by default one per
        environment, at most the number of cores.
      timeout_s: seconds after which a step is abandoned.
      **options: options of the task, for `envpool.make_gymnasium`.
        `max_episode_steps` is the time limit, if the task has one; other tasks
        (Catch-v0) continue beyond it, and a later end counts as truncated.

    Raises:
      ValueError: if the task does not exist or is of another kind, or a setting
        is invalid.
    """
    if task_id not in tasks():
      raise ValueError(
          f'unknown task {task_id!r}; {hint(task_id, tasks(), "CartPole-v1")}')
    checked = _check_seeds(seeds)
    vector.check_timeout(timeout_s)
    if 'batch_size' in options:
      raise ValueError('all environments step together: no batch_size, please')
    with warnings.catch_warnings():
      # gymnasium warns about the dtype of the bounds in envpool.
      warnings.filterwarnings('ignore', message='.*precision lowered')
      emulators = _envpool().make_gymnasium(
          task_id, num_envs=len(checked), env_seed=checked,
          num_threads=_num_threads(num_threads, checked), **options)
      num_players = emulators.spec.config.max_num_players
      if num_players != 1:
        raise ValueError(f'{task_id} has {num_players} players, expected one')
      super().__init__(emulators, name=task_id, timeout_s=timeout_s)


@functools.cache
def tasks() -> tuple[str, ...]:
  """Returns the names of all tasks of envpool, of any kind."""
  return tuple(sorted(_envpool().list_all_envs()))


def _envpool() -> Any:
  """Returns the package envpool, which is imported on demand: it is slow."""
  try:
    import envpool
  except ImportError as error:
    raise ImportError(
        'these environments need the package envpool: pip install envpool '
        "(for Atari ale-py is enough: backend='ale')") from error
  return envpool


def _check_seeds(seeds: Sequence[int]) -> list[int]:
  """Returns the seeds; raises ValueError unless there are any, of 31 bits."""
  return [checks.integer(0)('a seed', seed)
          for seed in seeds_lib.check_seeds(seeds).tolist()]


def _num_threads(num_threads: int | None, seeds: Sequence[int]) -> int:
  if num_threads is None:
    return min(len(seeds), os.cpu_count() or 1)
  return checks.COUNT('num_threads', num_threads)


def _make_envpool(
    game, seeds, sticky_actions, max_frames, max_noops, num_threads
) -> tuple[vector.Emulators, int]:
  emulators = _envpool().make_gymnasium(
      f'{game}-v5', num_envs=len(seeds), env_seed=seeds,
      num_threads=num_threads, stack_num=1, frame_skip=FRAMES_PER_STEP,
      noop_max=max_noops, max_episode_steps=max_frames // FRAMES_PER_STEP,
      repeat_action_probability=sticky_actions,
      img_height=HEIGHT, img_width=WIDTH)
  return emulators, int(emulators.action_space.n)


class _Ale:
  """ale-py's environments, with seeds that are used at the first reset."""

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
) -> tuple[vector.Emulators, int]:
  try:
    from ale_py import vector_env
  except ImportError as error:
    raise ValueError(
        "backend 'ale' needs the package ale-py: pip install ale-py") from error
  environments = vector_env.AtariVectorEnv(
      _ale_names()[game], len(seeds), stack_num=1, num_threads=num_threads,
      frameskip=FRAMES_PER_STEP, noop_max=max_noops,
      max_num_frames_per_episode=max_frames,
      repeat_action_probability=sticky_actions, reward_clipping=False,
      img_height=HEIGHT, img_width=WIDTH)
  space: Any = environments.single_action_space
  return _Ale(environments, seeds), int(space.n)


_BACKENDS = {'envpool': _make_envpool, 'ale': _make_ale}
