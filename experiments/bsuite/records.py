"""Rows of a run in the format of bsuite's own CSV files."""

from typing import Any
import zlib

from hyperjax.environments.bsuite import suite

# Of the names of bsuite's files.
PREFIX = 'bsuite_id_-_'
FIRST = ('steps', 'episode', 'total_return', 'episode_len', 'episode_return')
# What each family logs beside these, as far as its scores need it.
MORE = {
    'bandit': ('total_regret',),
    'catch': ('total_regret',),
    'mnist': ('total_regret',),
    'umbrella_length': ('total_regret',),
    'umbrella_distract': ('total_regret',),
    'cartpole': ('raw_return', 'best_episode'),
    'cartpole_swingup': ('raw_return', 'total_upright', 'best_episode'),
    'mountain_car': ('raw_return',),
    'deep_sea': ('total_bad_episodes', 'denoised_return'),
    'deep_sea_stochastic': ('total_bad_episodes', 'denoised_return'),
    'discounting_chain': (),
    'memory_len': ('total_perfect', 'total_regret'),
    'memory_size': ('total_perfect', 'total_regret'),
}
# Episodes that are logged: these times each power of ten.
_ROWS = (1., 1.2, 1.4, 1.7, 2., 2.5, 3., 4., 5., 6., 7., 8., 9., 10.)


def family(bsuite_id: str) -> str:
  """Returns an id's family without noise and scale."""
  return suite.plain(suite.family_of(bsuite_id))


def fields(bsuite_id: str) -> tuple[str, ...]:
  """Returns the columns of an id's CSV."""
  return FIRST + MORE[family(bsuite_id)]


def log_name(bsuite_id: str, seed: int) -> str:
  """Returns the path of a run's CSV, as bsuite names it."""
  return f'seed_{seed}/{PREFIX}{bsuite_id.replace("/", "-")}.csv'


def checksum(text: str) -> str:
  """Returns a short checksum, for names of folders."""
  return f'{zlib.crc32(text.encode()):08x}'


def is_logged(episode: int) -> bool:
  """Returns whether bsuite logs an episode, counted from 1."""
  power = 10 ** (len(str(episode)) - 1)
  return any(abs(episode - x * power) < 1e-9 for x in _ROWS)


def last_logged(num_episodes: int) -> int:
  """Returns the last episode that bsuite logs of so many, at least 1."""
  return next(x for x in range(num_episodes, 0, -1) if is_logged(x))


def begin() -> dict[str, float]:
  """Returns the totals before the first episode."""
  return dict.fromkeys(
      ('steps', 'episode', 'total_return', 'total_regret', 'total_perfect',
       'raw_return', 'best_episode', 'total_upright', 'total_bad_episodes',
       'denoised_return'), 0)


def count(
    totals: dict[str, Any], bsuite_id: str, length: int, episode_return: float,
    info: dict[str, float],
) -> tuple[Any, ...] | None:
  """Adds an episode to the totals of a run.

  Args:
    totals: changed in place, see `begin`.
    bsuite_id: of the run.
    length: steps of the episode.
    episode_return: with noise and scale, as bsuite logs it.
    info: what the environment logs, see `task.Task.episode_log`.

  Returns:
    The row of the CSV, if bsuite has one for this episode.
  """
  raw, last = info['raw_return'], info['last_reward']
  totals['steps'] += length
  totals['episode'] += 1
  totals['total_return'] += episode_return
  totals['raw_return'] += raw
  totals['best_episode'] = max(totals['best_episode'], raw)
  totals['total_upright'] += info.get('num_upright', 0.)
  totals['total_bad_episodes'] += info.get('is_bad', 0.)
  totals['denoised_return'] += info.get('found_treasure', 0.)
  is_perfect = last > 0.
  totals['total_perfect'] += is_perfect
  kind = family(bsuite_id)
  if kind in ('bandit', 'catch', 'mnist'):
    totals['total_regret'] += 1. - raw
  elif not is_perfect:  # Only a wrong end is logged, which costs 2.
    totals['total_regret'] += 2.
  if not is_logged(totals['episode']):
    return None
  known = {**totals, 'episode_len': length, 'episode_return': episode_return}
  return tuple(_short(known[name]) for name in fields(bsuite_id))


def _short(value: float) -> str:
  return str(int(value)) if value == int(value) else f'{value:.9g}'
