"""Scores of bsuite's families, from what is logged of their ids.

The formulas are those of the analyses in the package bsuite 0.3.6 (Osband et
al., "Behaviour Suite for Reinforcement Learning", ICLR 2020), in which all
totals count from the first episode on, so that a score rewards speed.

There is one deviation. While ids of a family have come to different episodes,
bsuite leaves out those that are behind; here each counts with what it has.
Shapes: T rows of a log, S seeds.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hyperjax.environments.bsuite import suite

from ..common import intervals
from . import families as families_lib

# Ids of a family with noise or scale that share one scale, in a row.
_IDS_PER_SCALE = 4


class Log(NamedTuple):
  """Totals of one id after some of its episodes.

  Attributes:
    episodes: numbers of the episodes, from 1, rising, [T].
    columns: what is logged, by name, [T] each.
  """

  episodes: np.ndarray
  columns: dict[str, np.ndarray]

  def per_episode(self, name: str) -> np.ndarray:
    """Returns the total of a column over the number of episodes, [T]."""
    return self.columns[name] / self.episodes


# Logs of a family by the indices of its ids, of which there is at least one.
Logs = dict[int, Log]


def _mean(logs: Logs, name: str) -> float:
  return np.mean([log.per_episode(name)[-1] for log in logs.values()])


def _share_above(logs: Logs, name: str, threshold: float) -> float:
  return np.mean([
      np.max(log.columns[name]) > threshold for log in logs.values()])


def bandit(logs: Logs) -> float:
  """Returns the score: regret per episode against 0.5 of a random policy."""
  return np.clip(1. - _mean(logs, 'total_regret') / 0.5, 0., 1.)


def catch(logs: Logs) -> float:
  """Returns the score: regret per episode against 1.6 of a random policy."""
  return np.clip(1. - _mean(logs, 'total_regret') / 1.6, 0., 1.)


def last_accuracy(log: Log) -> float:
  """Returns the share of right answers in the last tenth of the episodes.

  An answer has a regret of 0 or 2. Of an id that has not finished it is the
  last tenth of what there is, where bsuite has no score.
  """
  regret = np.diff(log.columns['total_regret'], prepend=0.)
  regret /= np.diff(log.episodes, prepend=0)
  late = log.episodes > 0.9 * log.episodes[-1]
  return np.mean(1. - regret[late] / 2.)


def mnist(logs: Logs) -> float:
  """Returns the score: half regret, half the accuracy at the end."""
  early = np.clip(1. - _mean(logs, 'total_regret') / 1.8, 0., 1.)
  late = np.mean([last_accuracy(log) for log in logs.values()])
  return (early + late) / 2.


def mountain_car(logs: Logs) -> float:
  """Returns the score: steps beyond 100 against 1,000; a step has return -1."""
  return np.clip(1.1 + _mean(logs, 'raw_return') / 1000., 0., 1.)


def cartpole(logs: Logs) -> float:
  """Returns the score: half mean return, half ids with an episode over 500."""
  balanced = np.clip(_mean(logs, 'raw_return') / 1000., 0., 1.)
  return (balanced + _share_above(logs, 'best_episode', 500.)) / 2.


def cartpole_swingup(logs: Logs) -> float:
  """Returns the score: half mean return, half [an episode over 100], per id."""
  up = [np.clip(log.per_episode('total_return')[-1] / 700., 0., 1.)
        for log in logs.values()]
  return (np.mean(up) + _share_above(logs, 'best_episode', 100.)) / 2.


def discounting_chain(logs: Logs) -> float:
  """Returns the score: 1 for the best mean return, 1.1; 0 below 1."""
  return np.clip(1. - 10. * (1.1 - _mean(logs, 'total_return')), 0., 1.)


def wrong(log: Log) -> np.ndarray:
  """Returns the share of wrong episodes so far in a memory chain, [T]."""
  return (log.episodes - log.columns['total_perfect']) / log.episodes


def memory(logs: Logs) -> float:
  """Returns the share of ids with under 3/4 of a random policy's mistakes."""
  return np.mean([wrong(log)[-1] < 0.375 for log in logs.values()])


def umbrella(logs: Logs) -> float:
  """Returns the share of ids with under half of a random policy's regret."""
  return np.mean([
      log.per_episode('total_regret')[-1] < 0.5 for log in logs.values()])


def _solved(log: Log, size: int, bad: float, first: int) -> bool:
  """Returns whether DeepSea is solved sooner than by chance, 2^N episodes."""
  good = log.per_episode('total_bad_episodes') < bad
  episodes = log.episodes[good & (log.episodes >= first)]
  return len(episodes) > 0 and episodes[0] < 2**size + 100


def deep_sea(logs: Logs) -> float:
  """Returns the share of sizes solved: under 90% of all episodes were bad."""
  return np.mean([
      _solved(log, families_lib.deep_sea_size(index), bad=0.9, first=1)
      for index, log in logs.items()])


def deep_sea_stochastic(logs: Logs) -> float:
  """Returns the share of sizes solved: under 80% bad, from episode 100 on."""
  return np.mean([
      _solved(log, families_lib.deep_sea_size(index), bad=0.8, first=100)
      for index, log in logs.items()])


def over_scales(logs: Logs, score: Callable[[Logs], float]) -> float:
  """Returns the score of a family with noise or scale.

  It is half the mean over scales, half the mean less one standard deviation.

  Args:
    logs: of the family.
    score: of the same family without noise or scale.
  """
  groups = {}
  for index, log in logs.items():
    groups.setdefault(index // _IDS_PER_SCALE, {})[index] = log
  values = [score(group) for group in groups.values()]
  mean, spread = np.mean(values), np.std(values)
  return (np.clip(mean, 0., 1.) + np.clip(mean - spread, 0., 1.)) / 2.


_PLAIN = {
    'bandit': bandit, 'mnist': mnist, 'catch': catch,
    'mountain_car': mountain_car, 'cartpole': cartpole,
    'deep_sea': deep_sea, 'deep_sea_stochastic': deep_sea_stochastic,
    'cartpole_swingup': cartpole_swingup, 'umbrella_length': umbrella,
    'umbrella_distract': umbrella, 'discounting_chain': discounting_chain,
    'memory_len': memory, 'memory_size': memory,
}


def score(family: str, logs: Logs) -> float:
  """Returns the score of a family over those of its ids that are there.

  Args:
    family: name.
    logs: of at least one id, by index.
  """
  name = suite.plain(family)
  of_plain = _PLAIN[name]
  return float(of_plain(logs) if name == family else over_scales(
      logs, of_plain))


class Measure(NamedTuple):
  """A curve over the episodes, of what a family's score is made of.

  Attributes:
    columns: of the log that the score needs.
    label: of the axis.
    level: to beat, or to reach; None if the score has no such number.
  """

  columns: tuple[str, ...]
  label: str
  level: float | None = None


_MEASURES = {
    'bandit': Measure(('total_regret',), 'regret', 0.5),
    'mnist': Measure(('total_regret',), 'regret', 1.8),
    'catch': Measure(('total_regret',), 'regret', 1.6),
    'mountain_car': Measure(('raw_return',), 'return', -100.),
    'cartpole': Measure(('raw_return', 'best_episode'), 'return', 1000.),
    'deep_sea': Measure(('total_bad_episodes',), 'bad episodes', 0.9),
    'deep_sea_stochastic': Measure(
        ('total_bad_episodes',), 'bad episodes', 0.8),
    'cartpole_swingup': Measure(
        ('total_return', 'best_episode'), 'return', 700.),
    'umbrella_length': Measure(('total_regret',), 'regret', 0.5),
    'umbrella_distract': Measure(('total_regret',), 'regret', 0.5),
    'discounting_chain': Measure(('total_return',), 'return', 1.1),
    'memory_len': Measure(('total_perfect',), 'wrong episodes', 0.375),
    'memory_size': Measure(('total_perfect',), 'wrong episodes', 0.375),
}


def measure(family: str) -> Measure:
  """Returns what the score of a family is made of."""
  return _MEASURES[suite.plain(family)]


def curve(family: str, log: Log) -> np.ndarray:
  """Returns a family's measure per episode, over all episodes so far, [T]."""
  name = measure(family).columns[0]
  return wrong(log) if name == 'total_perfect' else log.per_episode(name)


class Estimate(NamedTuple):
  """A mean over seeds, and half its 95% interval, NaN for a single seed."""

  mean: float
  half: float = np.nan


def over_seeds(values: np.ndarray) -> Estimate:
  """Returns the mean of [S] numbers and its 95% interval, Student's t."""
  return Estimate(float(np.mean(values)), float(intervals.half_width(values)))


def over_families(scores: dict[str, float], names: list[str]) -> float:
  """Returns the mean score of those of the named families that have one."""
  return float(np.mean([scores[name] for name in names if name in scores]))
