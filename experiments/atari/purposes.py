"""Purposes of environments, and their seeds."""

import numpy as np

TRAINING, EVALUATION, FINAL, BEST, PICTURE = range(5)


def environment_seeds(
    seed: int, purpose: int, step: int, count: int) -> list[int]:
  """Returns seeds of environments, 31 bits: a function of all arguments.

  Args:
    seed: of the run.
    purpose: one of the above, or another number.
    step: of the run.
    count: number of environments.
  """
  state = np.random.SeedSequence((seed, purpose, step)).generate_state(count)
  return (state >> 1).tolist()
