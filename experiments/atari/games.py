"""The Atari games by envpool's names, and human-normalised scores."""

import csv
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hyperjax.environments import envpool

PUBLISHED = Path(__file__).parents[1] / 'published'

ATARI26 = (
    'Alien', 'Amidar', 'Assault', 'Asterix', 'BankHeist', 'BattleZone',
    'Boxing', 'Breakout', 'ChopperCommand', 'CrazyClimber', 'DemonAttack',
    'Freeway', 'Frostbite', 'Gopher', 'Hero', 'Jamesbond', 'Kangaroo', 'Krull',
    'KungFuMaster', 'MsPacman', 'Pong', 'PrivateEye', 'Qbert', 'RoadRunner',
    'Seaquest', 'UpNDown')
ATARI8_HARD = (
    'Alien', 'Freeway', 'Gravitar', 'Hero', 'Pitfall', 'Qbert', 'Solaris',
    'Venture')
SUITES = {'atari26': ATARI26, 'atari8-hard': ATARI8_HARD}


class Reference(NamedTuple):
  """A game's scores of a uniformly random policy and of a human."""

  random: float
  human: float


def camel_case(name: str) -> str:
  """envpool's name of a game in snake_case: ms_pacman is MsPacman."""
  return ''.join(part.capitalize() for part in name.split('_'))


@functools.cache
def references() -> dict[str, Reference]:
  """Returns the games of known random and human score, by envpool's names."""
  path = PUBLISHED / 'atari57_random_human.csv'
  with open(path, newline='', encoding='utf-8') as f:
    return {camel_case(row['game']): Reference(
        float(row['random']), float(row['human']))
            for row in csv.DictReader(f) if row['random'] and row['human']}


def normalised(
    game: str, score: float | np.ndarray) -> float | np.ndarray:
  """Returns the human-normalised score: 0 for a random policy, 1 for a human.

  Args:
    game: envpool's name, without -v5.
    score: of the game itself, of any shape.

  Raises:
    ValueError: for a game whose random or human score is not known.
  """
  if game not in references():
    raise ValueError(
        f'no human score is known of game {game!r}; '
        f'{envpool.hint(game, references())}')
  random, human = references()[game]
  return (score - random) / (human - random)


def select(games: str | None, suite: str | None) -> list[str]:
  """Returns the games that a command line asks for.

  Args:
    games: envpool's names, with commas between them.
    suite: one of `SUITES`; exactly one of both is given.

  Raises:
    ValueError: if both or none are given, and for a name that is not known or
      is there twice.
  """
  if (games is None) == (suite is None):
    raise ValueError(
        f'expected either games or a suite, got games {games!r} and suite '
        f'{suite!r}')
  if suite is not None:
    if suite not in SUITES:
      raise ValueError(
          f'unknown suite {suite!r}; known: {", ".join(SUITES)}')
    return list(SUITES[suite])
  names = [name.strip() for name in games.split(',')]
  for i, name in enumerate(names):
    envpool.check_game(name)
    if name not in references():
      raise ValueError(
          f'game {name!r} has no published scores to compare with; known: '
          f'{", ".join(sorted(references()))}')
    if name in names[:i]:
      raise ValueError(f'game {name} is there twice')
  return names
