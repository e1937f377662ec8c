"""Updates that cost the same however many categories there are.

Where an observation is a category, a batch reads few rows of the first layer's
weights, but Adam sweeps over all of them at every update: over 640,000 weights
on DeepSea-100, of which a batch of 128 reads a fortieth. Lazy updates leave
the rows that a batch does not read as they are, their moments included (as
`SparseAdam` of PyTorch and `LazyAdam` of TensorFlow Addons do). It is another
optimiser, not the same one made faster: a row's momentum waits for the row's
next turn.

This works for any optimiser whose state is of the parameters' shape: the rows
that a batch reads are cut out of every array, updated as if there were no
others, and put back.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hyperjax import types

# Names of the modules that are an `InputLayer`, their beginnings at least.
_INPUT_LAYERS = ('InputLayer', 'from_input')

Update = Callable[
    [types.LearnerState, types.Transition],
    tuple[types.LearnerState, types.Metrics]]


def update(
    step: Update, learner: types.LearnerState, batch: types.Transition,
    num_values: int,
) -> tuple[types.LearnerState, types.Metrics]:
  """One update of the rows that a batch reads, and of all other weights.

  Args:
    step: the update, which must leave target_params alone.
    learner: before.
    batch: transitions [B] whose observations are categories.
    num_values: how many categories there are.

  Returns:
    What `step` does.

  Raises:
    ValueError: if the network has no `InputLayer` under a name that tells it.
  """
  paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(
      learner.params['params'])]
  if not any(map(_is_table, paths)):
    names = ', '.join(map(jax.tree_util.keystr, paths))
    raise ValueError(
        f'lazy_rows expects the layers on the observation to be '
        f'hyperjax.networks.InputLayer, with names that begin with one of '
        f'{_INPUT_LAYERS}, got a network with {names}; set lazy_rows=False')
  batch_size, = batch.observation.shape
  categories = jnp.concatenate(
      [batch.observation, batch.next_observation]).astype(jnp.int32)
  # All that stands for no category is one row, behind the last.
  in_range = (categories >= 0) & (categories < num_values)
  rows, position = jnp.unique(
      jnp.where(in_range, categories, num_values), size=2 * batch_size,
      fill_value=num_values, return_inverse=True)
  # Not of the observations' type, which may end below the number of rows.
  small_batch = batch._replace(
      observation=position[:batch_size],
      next_observation=position[batch_size:])

  def take(path, x):
    if not _is_table(path):
      return x
    return jnp.take(x, rows, axis=-2, mode='fill', fill_value=0.)

  def put(path, whole, part):
    if not _is_table(path):
      return part
    return whole.at[..., rows, :].set(part, mode='drop')

  small, metrics = step(
      jax.tree_util.tree_map_with_path(take, learner), small_batch)
  trained, opt_state = jax.tree_util.tree_map_with_path(
      put, (learner.params['params'], learner.opt_state),
      (small.params['params'], small.opt_state))
  return small._replace(
      params={**learner.params, 'params': trained},
      target_params=learner.target_params,
      opt_state=opt_state), metrics


def _is_table(path: tuple[Any, ...]) -> bool:
  """Whether a leaf is a kernel of an `InputLayer`, [..., num_values, F]."""
  keys = [str(getattr(entry, 'key', '')) for entry in path[-2:]]
  return keys[1:] == ['kernel'] and keys[0].startswith(_INPUT_LAYERS)
