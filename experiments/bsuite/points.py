"""Ids and seeds that are run, and those of them that are one program."""

from collections.abc import Iterable, Iterator, Sequence
import functools
import itertools
from pathlib import Path
from typing import NamedTuple

import jax

from hyperjax.environments.bsuite import mnist
from hyperjax.environments.bsuite import suite

from ..common import files
from . import records
from . import settings as settings_lib


class Point(NamedTuple):
  """One run.

  Attributes:
    bsuite_id: such as catch/0.
    seed: as the command has it.
  """

  bsuite_id: str
  seed: int

  @property
  def prng_seed(self) -> int:
    """Seed of the run's randomness, of its own for each id and seed."""
    return len(suite.ids('SWEEP')) * self.seed + suite.ids('SWEEP').index(
        self.bsuite_id)


def ids(settings: settings_lib.Settings) -> tuple[str, ...]:
  """Returns the ids that a command names.

  Raises:
    ValueError: for an unknown name, with near matches; or for none or two.
  """
  if (settings.bsuite_id is None) == (settings.sweep is None):
    raise ValueError(
        f'expected either bsuite_id or sweep, got '
        f'{"neither" if settings.sweep is None else "both"}')
  name = settings.bsuite_id or settings.sweep or ''
  if name == 'LADDER':
    chosen = [suite.ids(family) for family in suite.families()
              if not suite.needs_images(f'{family}/0')]
    return tuple(itertools.chain.from_iterable(
        (x[0], x[len(x) // 2], x[-1]) for x in chosen))
  found = suite.ids(name)
  if settings.bsuite_id is not None and found != (name,):
    raise ValueError(
        f'bsuite_id must be one id such as catch/0, got {name!r}; several have '
        f'the option --sweep')
  return found


def num_episodes(settings: settings_lib.Settings, bsuite_id: str) -> int:
  """Returns the episodes of a run."""
  whole = suite.num_episodes(bsuite_id)
  return whole if settings.num_episodes is None else min(
      whole, settings.num_episodes)


def images(settings: settings_lib.Settings) -> mnist.Images | None:
  """Returns the images of MNIST, or None without a folder of them.

  Raises:
    ValueError: if the folder lacks one of its files; it is named.
  """
  return None if settings.mnist_dir is None else _load(settings.mnist_dir)


# Every program of a sweep asks for them.
_load = functools.cache(mnist.load)


def is_finished(
    settings: settings_lib.Settings, folder: Path, point: Point) -> bool:
  """Returns whether a run's CSV is whole: its last row is there."""
  path = folder / records.log_name(*point)
  try:
    columns = files.read_columns(path, records.fields(point.bsuite_id))
    return int(columns['episode'][-1]) >= records.last_logged(
        num_episodes(settings, point.bsuite_id))
  except (ValueError, IndexError):  # Also a row that is cut short.
    return False


def groups(
    settings: settings_lib.Settings, points: Iterable[Point],
    found_images: mnist.Images | None,
) -> Iterator[tuple[Point, ...]]:
  """Yields runs that are one compiled program each, in the order of their ids.

  Args:
    settings: of the command.
    points: runs, in any order.
    found_images: of MNIST.
  """
  together = settings.runs_together
  if together is None and jax.devices()[0].platform == 'cpu':
    together = 4 * len(jax.devices())
  of_id: dict[str, list[Point]] = {}
  for point in points:
    of_id.setdefault(point.bsuite_id, []).append(point)
  for program in suite.programs(of_id, found_images):
    mine = [point for i in program.bsuite_ids for point in of_id[i]]
    size = together or len(mine)
    for first in range(0, len(mine), size):
      yield tuple(mine[first:first + size])


def folder_name(points: Sequence[Point]) -> str:
  """Returns the name of the folder of runs that are one program."""
  first = points[0].bsuite_id.replace('/', '-')
  text = ','.join(f'{x.bsuite_id}:{x.seed}' for x in points)
  return f'{first}_{len(points)}_{records.checksum(text)}'
