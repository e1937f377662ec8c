"""The size of networks."""

import math

import jax

from hyperjax import types


def num_parameters(params: types.Params) -> int:
  """The number of trainable weights, those of a fixed prior not counted.

  Args:
    params: Flax variables, `LearnerState.params`, or their shapes.
  """
  return sum(math.prod(x.shape) for x in jax.tree.leaves(params['params']))
