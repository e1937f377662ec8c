"""The ids of bsuite as environments in JAX, and as few compiled programs.

  for program in suite.programs(suite.ids('memory')):
    loop = OnDeviceLoop(make_agent(program.environment), program.environment)
    state = loop.init(seeds, program.params)  # One seed for each id.

For several seeds per id, repeat the leaves of `params` along their first axis.
Settings, tags and numbers of episodes are those of the package bsuite, which
has to be installed (`pip install hyperjax[bsuite]`).
"""

from collections.abc import Iterable
import difflib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hyperjax.environments.bsuite import families as families_lib
from hyperjax.environments.bsuite import mnist
from hyperjax.environments.bsuite import task


class Setting(NamedTuple):
  """One id of bsuite.

  Attributes:
    bsuite_id: id, such as 'catch_noise/3'.
    family: name before the slash.
    environment: environment of the id, equal for all ids of equal shapes.
    params: parameters of the id.
    num_episodes: number of episodes of a whole run.
  """

  bsuite_id: str
  family: str
  environment: task.Task
  params: task.TaskParams
  num_episodes: int


class Program(NamedTuple):
  """Ids with one environment, which one compiled program can run.

  Attributes:
    environment: environment of all ids.
    params: parameters of the ids, every leaf with a leading axis [ids].
    bsuite_ids: ids, in the order of the parameters.
    num_episodes: number of episodes of a whole run of each id.
  """

  environment: task.Task
  params: task.TaskParams
  bsuite_ids: tuple[str, ...]
  num_episodes: tuple[int, ...]


def families() -> tuple[str, ...]:
  """Returns the names of bsuite's 23 families, in its order."""
  return tuple(dict.fromkeys(map(family_of, _sweep().SWEEP)))


def tags() -> tuple[str, ...]:
  """Returns the names of bsuite's seven tags, such as 'exploration'."""
  return tuple(_sweep().TAGS)


def family_of(bsuite_id: str) -> str:
  """Returns the family of an id, the name before the slash."""
  return bsuite_id.split('/')[0]


def plain(family: str) -> str:
  """Returns the name of a family without _noise or _scale."""
  return family.removesuffix('_noise').removesuffix('_scale')


def needs_images(bsuite_id: str) -> bool:
  """Returns whether an id is one of the families with MNIST's images."""
  return plain(family_of(bsuite_id)) == 'mnist'


def num_episodes(bsuite_id: str) -> int:
  """Returns the number of episodes of a whole run of an id."""
  return _sweep().EPISODES[bsuite_id]


def ids(name: str) -> tuple[str, ...]:
  """Returns the ids that a name stands for, in bsuite's order.

  Args:
    name: 'SWEEP' for all 468, 'TESTING' for the first of each family without
      noise and scale, a family, a tag, or a single id.

  Raises:
    ValueError: if the name is unknown; the message has near matches.
  """
  sweep = _sweep()
  if name in ('SWEEP', 'TESTING'):
    return getattr(sweep, name)
  if name in sweep.TAGS:
    return sweep.TAGS[name]
  if name in sweep.SETTINGS:
    return (name,)
  of_family = tuple(i for i in sweep.SWEEP if family_of(i) == name)
  if not of_family:
    groups = ('SWEEP', 'TESTING', *tags(), *families())
    raise ValueError(_unknown(
        'id, family, tag or sweep of bsuite', name, (*groups, *sweep.SWEEP),
        f'known: {", ".join(groups)}, and ids such as catch/0'))
  return of_family


def load(bsuite_id: str, images: mnist.Images | None = None) -> Setting:
  """Returns the environment and the parameters of an id.

  Args:
    bsuite_id: id, such as 'catch_noise/3'.
    images: images of MNIST for its three families, see `mnist.load`. To share
      a program, ids have to be loaded with the same object.

  Raises:
    ValueError: if the id is unknown, or needs images and there are none.
  """
  sweep = _sweep()
  if bsuite_id not in sweep.SETTINGS:
    raise ValueError(_unknown(
        'id of bsuite', bsuite_id, sweep.SWEEP,
        f'families: {", ".join(families())}; ids are such as catch/0'))
  family, settings = family_of(bsuite_id), sweep.SETTINGS[bsuite_id]
  if needs_images(bsuite_id):
    if images is None:
      raise ValueError(
          f'{bsuite_id} needs the images of MNIST, which are not downloaded: '
          f'pass images=mnist.load(folder)')
    environment, params = families_lib.of_images(images)
  else:
    environment, params = families_lib.MAKERS[plain(family)](
        settings, [sweep.SETTINGS[i] for i in ids(family)])
  wrapped = task.Task(environment)
  return Setting(
      bsuite_id=bsuite_id,
      family=family,
      environment=wrapped,
      params=wrapped.params(
          params, settings.get('noise_scale', 0.),
          settings.get('reward_scale', 1.)),
      num_episodes=sweep.EPISODES[bsuite_id])


def programs(
    bsuite_ids: Iterable[str], images: mnist.Images | None = None
) -> tuple[Program, ...]:
  """Returns the fewest programs that run all ids, with stacked parameters.

  The ids of a family with equal shapes are one program, also with those of its
  versions with noise and scale. The order is that of the first ids.

  Args:
    bsuite_ids: different ids.
    images: images of MNIST for its three families.

  Raises:
    ValueError: as `load`, or if an id occurs twice, or one is given as text.
  """
  if isinstance(bsuite_ids, str):  # Its characters are no ids.
    raise ValueError(
        f'expected a sequence of ids, such as ids({bsuite_ids!r}), got the '
        f'text {bsuite_ids!r}')
  by_environment: dict[task.Task, dict[str, Setting]] = {}
  for bsuite_id in bsuite_ids:
    setting = load(bsuite_id, images)
    same = by_environment.setdefault(setting.environment, {})
    if bsuite_id in same:
      raise ValueError(f'expected different ids, got {bsuite_id} twice')
    same[bsuite_id] = setting
  return tuple(
      Program(
          environment=environment,
          params=jax.tree.map(
              lambda *x: jnp.stack(x), *(s.params for s in same.values())),
          bsuite_ids=tuple(same),
          num_episodes=tuple(s.num_episodes for s in same.values()))
      for environment, same in by_environment.items())


def _sweep() -> Any:
  """Returns `bsuite.sweep`, which only those need who name an id."""
  try:
    from bsuite import sweep
  except ImportError as error:
    raise ImportError(
        'the ids of bsuite need the package bsuite: pip install bsuite'
    ) from error
  return sweep


def _unknown(what: str, name: str, candidates: Iterable[str], known: str):
  name = str(name)
  family = family_of(name)
  of_family = [i for i in _sweep().SWEEP if family_of(i) == family]
  if of_family:
    near = f'{family} has the ids {of_family[0]} to {of_family[-1]}; '
  else:
    matches = difflib.get_close_matches(name, list(candidates))
    near = f'did you mean {" or ".join(matches)}? ' if matches else ''
  return f'unknown {what} {name!r}; {near}{known}'
