"""Aggregates of scores over games and runs, with bootstrap intervals.

The definitions are those of Agarwal et al., "Deep Reinforcement Learning at the
Edge of the Statistical Precipice" (NeurIPS 2021). Shapes: R runs of all games
together, G games, B resamples, T thresholds.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from ..common import intervals

METRICS = ('iqm', 'median', 'mean', 'optimality_gap')
NUM_RESAMPLES = 2000
PERCENTILES = (2.5, 97.5)
# The score beyond which the optimality gap counts nothing.
GAMMA = 1.


class Scores(NamedTuple):
  """Human-normalised scores, game after game.

  Attributes:
    values: of all runs, [R].
    counts: how many of them each game has, at least 1, [G].
  """

  values: np.ndarray
  counts: np.ndarray

  @classmethod
  def by_game(cls, scores: dict[str, list[float]]) -> 'Scores':
    return cls(np.concatenate([np.asarray(s, float) for s in scores.values()]),
               np.array([len(s) for s in scores.values()]))


class Estimate(NamedTuple):
  """A number and its 95% interval; NaN where it is not known."""

  value: float
  low: float = np.nan
  high: float = np.nan


def game_means(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
  """Returns the means over the runs of each game, [..., R] to [..., G]."""
  starts = np.cumsum(counts) - counts
  return np.add.reduceat(values, starts, axis=-1) / counts


def metrics(values: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
  """Returns the aggregates of one or many samples of runs.

  The interquartile mean and the optimality gap are of all runs alike, so a game
  with more runs weighs more in them; median and mean are of the games' means.

  Args:
    values: [..., R], ordered as in `Scores`.
    counts: [G].

  Returns:
    Each of `METRICS`, [...].
  """
  means = game_means(values, counts)
  return {
      'iqm': stats.trim_mean(values, 0.25, axis=-1),
      'median': np.median(means, axis=-1),
      'mean': np.mean(means, axis=-1),
      'optimality_gap': GAMMA - np.mean(np.minimum(values, GAMMA), axis=-1),
  }


def resample(
    scores: Scores, num: int, rng: np.random.Generator) -> np.ndarray:
  """Stratified bootstrap: each game's runs drawn from its own, [B, R]."""
  first = np.repeat(np.cumsum(scores.counts) - scores.counts, scores.counts)
  choices = np.repeat(scores.counts, scores.counts)
  draws = first + rng.integers(choices, size=(num, len(scores.values)))
  return scores.values[draws]


def estimates(scores: Scores, seed: int = 0) -> dict[str, Estimate]:
  """Each of `METRICS` with its percentile bootstrap interval.

  The interval is NaN where no game has more than one run.
  """
  if np.max(scores.counts) == 1:
    return {name: Estimate(float(value), np.nan, np.nan)
            for name, value in metrics(*scores).items()}
  resampled = metrics(
      resample(scores, NUM_RESAMPLES, np.random.default_rng(seed)),
      scores.counts)
  return {
      name: Estimate(float(value), *map(
          float, np.percentile(resampled[name], PERCENTILES)))
      for name, value in metrics(*scores).items()}


def profile(
    scores: Scores, thresholds: np.ndarray, seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the performance profile: the fraction of runs above thresholds.

  Args:
    scores: of the runs.
    thresholds: [T].
    seed: of the bootstrap.

  Returns:
    The fraction, and the ends of its pointwise 95% interval, each [T]; the
    interval is NaN where no game has more than one run.
  """
  fraction = np.mean(scores.values > thresholds[:, None], axis=-1)
  if np.max(scores.counts) == 1:
    unknown = np.full(len(thresholds), np.nan)
    return fraction, unknown, unknown
  resampled = resample(scores, NUM_RESAMPLES, np.random.default_rng(seed))
  # One threshold at a time, as [B, T, R] would be large.
  low, high = np.transpose([
      np.percentile(np.mean(resampled > t, axis=-1), PERCENTILES)
      for t in thresholds])
  return fraction, low, high


def mean_interval(
    values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the mean over runs [R, ...] and its 95% interval, Student's t.

  The interval is NaN for a single run.
  """
  mean, half = np.mean(values, axis=0), intervals.half_width(values)
  return mean, mean - half, mean + half
