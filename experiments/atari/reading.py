"""Finished runs on Atari, from what lies in their folders."""

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..common import files
from ..common import folder as folder_lib
from ..common import registry
from . import games as games_lib
from . import scores as scores_lib

EVALUATIONS = ('agent', 'game', 'seed', 'env_steps', 'eval_return', 'eval_std')
SUMMARY = ('agent', 'game', 'seed', 'env_steps', 'updates', 'final_return',
           'final_std', 'best_env_steps', 'best_return', 'best_std',
           'parameters', 'wall_seconds')
# Scores of the last parameters, and of the best checkpoint in hindsight.
KINDS = ('final', 'best')


class Run(NamedTuple):
  """One seed of one game.

  Attributes:
    game: envpool's name.
    seed: of the run.
    final: mean return of the last parameters.
    best: mean return of the best checkpoint in hindsight.
    parameters: that are trained.
    steps: environment steps at the evaluations, rising, [E].
    returns: mean returns of the evaluations, [E].
  """

  game: str
  seed: int
  final: float
  best: float
  parameters: int
  steps: np.ndarray
  returns: np.ndarray


# Runs by agent and settings, ordered by game and seed.
Runs = dict[str, list[Run]]


def _read_rows(path: Path, fields: tuple[str, ...]) -> list[dict[str, str]]:
  """Returns the rows of a log as text, see `files.read_columns`."""
  columns = files.read_columns(path, fields)
  return [dict(zip(columns, row, strict=True))
          for row in zip(*columns.values(), strict=True)]


def _number(path: Path, row: dict[str, str], name: str) -> float:
  return files.read_number(
      row[name], path, f'{name} of {row["game"]}, seed {row["seed"]},')


def _read_folder(folder: Path) -> list[Run]:
  """Returns the runs of a folder, with their evaluations."""
  path = folder / 'evaluations.csv'
  if not path.exists():
    raise ValueError(f'{folder} has a summary.csv but no evaluations.csv')
  curves = {}
  for row in _read_rows(path, EVALUATIONS):
    curve = curves.setdefault((row['game'], row['seed']), {})
    steps = int(_number(path, row, 'env_steps'))
    if steps in curve:
      raise ValueError(f'{path} has the evaluation of {row["game"]}, seed '
                       f'{row["seed"]}, after {steps} steps twice')
    curve[steps] = _number(path, row, 'eval_return')
  path = folder / 'summary.csv'
  runs = []
  for row in _read_rows(path, SUMMARY):
    if row['game'] not in games_lib.references():
      raise ValueError(f'{path}: no human score is known of game '
                       f'{row["game"]!r}')
    if (row['game'], row['seed']) not in curves:
      raise ValueError(f'{folder / "evaluations.csv"} has nothing of '
                       f'{row["game"]}, seed {row["seed"]}')
    curve = sorted(curves[row['game'], row['seed']].items())
    runs.append(Run(
        row['game'], int(_number(path, row, 'seed')),
        _number(path, row, 'final_return'), _number(path, row, 'best_return'),
        int(_number(path, row, 'parameters')),
        np.array([steps for steps, _ in curve]),
        np.array([value for _, value in curve])))
  return runs


def read(folder: Path) -> tuple[Runs, list[str]]:
  """Returns all finished runs below a folder, and what to know of them.

  Raises:
    ValueError: if there is none, if a file cannot be read, or if an agent has a
      seed of a game twice.
  """
  found, settings_of, notes = {}, {}, []
  for path in sorted(folder.rglob('summary.csv')):
    if not (path.parent / 'config.json').exists() or folder_lib.is_aside(
        path.relative_to(folder)):
      continue
    config = folder_lib.read_config(path.parent)
    settings = config['settings']
    if 'agent' not in settings:  # A sweep's own, over runs in other folders.
      continue
    try:
      name = f'{settings["agent"]}: {registry.settings_in_words(config)}'
    except (ValueError, KeyError) as error:
      raise ValueError(f'{path.parent / "config.json"}: {error}') from error
    settings_of.setdefault(name, []).append(settings)
    runs = found.setdefault(name, {})
    for run in _read_folder(path.parent):
      if (run.game, run.seed) in runs:
        raise ValueError(
            f'{name} has {run.game}, seed {run.seed}, twice: in '
            f'{runs[run.game, run.seed][0]} and in {path.parent}')
      runs[run.game, run.seed] = (path.parent, run)
  found = {name: runs for name, runs in found.items() if runs}
  if not found:
    raise ValueError(f'no finished run in {folder}')
  unfinished = sum(not (p.parent / 'summary.csv').exists()
                   and not folder_lib.is_aside(p.relative_to(folder))
                   for p in folder.rglob('config.json'))
  if unfinished:
    notes.append(f'{unfinished} unfinished run(s) left out.')
  for name in sorted(found):
    differing = _differing(settings_of[name])
    if differing:
      notes.append(f'The runs of {name} differ in {", ".join(differing)}.')
  return {name: [run for _, (_, run) in sorted(runs.items())]
          for name, runs in sorted(found.items())}, notes


def _differing(settings: list[dict[str, Any]]) -> list[str]:
  """Settings that are not the same in folders that are joined."""
  # To be joined, folders differ in these.
  expected = {'games', 'game', 'suite', 'seed', 'num_seeds'}
  return sorted(
      name for name in set().union(*settings) - expected
      if any(s.get(name) != settings[0].get(name) for s in settings))


def by_game(runs: list[Run]) -> dict[str, list[Run]]:
  """Runs that are ordered by game, game by game."""
  return {game: list(group)
          for game, group in itertools.groupby(runs, lambda run: run.game)}


def normalised(runs: list[Run], kind: str) -> scores_lib.Scores:
  """Returns human-normalised scores of runs, of one of the `KINDS`."""
  return scores_lib.Scores.by_game({
      game: [games_lib.normalised(game, getattr(run, kind)) for run in group]
      for game, group in by_game(runs).items()})


def common_curves(runs: list[Run]) -> tuple[np.ndarray, np.ndarray]:
  """Returns the evaluations at steps that all runs have, [T] and [R, T]."""
  steps = runs[0].steps
  for run in runs[1:]:
    steps = np.intersect1d(steps, run.steps)
  return steps, np.array(
      [run.returns[np.isin(run.steps, steps)] for run in runs])
