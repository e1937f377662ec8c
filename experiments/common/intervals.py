"""Intervals of means over seeds."""

import numpy as np
from scipy import stats


def half_width(values: np.ndarray) -> np.ndarray:
  """Returns half the 95% interval, by Student's t, of a mean over seeds.

  Args:
    values: of each seed, [S, ...].

  Returns:
    Of the shape [...]; NaN for a single seed.
  """
  num = len(values)
  if num < 2:
    return np.full(np.shape(values)[1:], np.nan)
  return stats.t.ppf(0.975, num - 1) * stats.sem(values, axis=0)
