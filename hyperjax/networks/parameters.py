"""Size of networks."""

import math

import jax

from hyperjax import types


def num_parameters(params: types.Params) -> int:
  """Returns the number of trainable weights, without those of a fixed prior.

  Args:
    params: Flax variables, such as `LearnerState.params`, or their shapes.
  """
  return sum(math.prod(x.shape) for x in jax.tree.leaves(params['params']))
