"""Lazy (sparse) Adam: updates whose cost is independent of the number of rows.

If an observation is a category, a batch reads few rows of the first layer's
weights, but Adam updates all of them: 640,000 weights on DeepSea-100, of which
a batch of 128 reads a fortieth. Lazy updates leave unchanged the rows that a
batch does not read, including their moments (as `SparseAdam` of PyTorch and
`LazyAdam` of TensorFlow Addons do). This is a different optimiser, not a faster
implementation of Adam: the momentum of a row is applied only when a batch reads
the row.

Lazy updates work for any optimiser whose state has the parameters' shape: the
rows that a batch reads are gathered from every array, updated as if there were
no others, and scattered back. A network marks the arrays with one row per
category as `hyperjax.networks.Table`.
"""

from collections.abc import Callable
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hyperjax import memory
from hyperjax import networks
from hyperjax import parts
from hyperjax import specs
from hyperjax import types

Update = Callable[
    [types.LearnerState, types.Batch],
    tuple[types.LearnerState, types.Metrics]]


@functools.cache  # Looking costs a compilation; equal agents have it once.
def find_tables(
    network: nn.Module, spec: specs.ObservationSpec
) -> frozenset[tuple[str, ...]]:
  """Returns the paths of the network's tables, without their collection.

  Args:
    network: network whose variables may be `networks.Table`.
    spec: spec of its observation, a category.

  Raises:
    ValueError: if there is no table, or if the network uses the number of a
      category except as a row of its tables: lazy updates renumber the rows.
    MemoryError: if the network does not fit into memory.
  """
  boxed = memory.traced(
      jax.eval_shape, network.init, jax.random.key(0), spec.zeros())
  is_table = lambda x: isinstance(x, networks.Table)
  leaves = jax.tree_util.tree_flatten_with_path(boxed, is_leaf=is_table)[0]
  tables = frozenset(
      parts.names(path)[1:] for path, leaf in leaves if is_table(leaf))
  if not tables:
    names = ', '.join(jax.tree_util.keystr(path) for path, _ in leaves)
    raise ValueError(
        f'lazy updates need a hyperjax.networks.InputLayer, or another module '
        f'that marks its parameter as networks.Table, got a network with '
        f'{names}; set lazy_adam=False')
  # Looking makes the network's variables, and once more with other rows.
  memory.check_fits([memory.parameters(networks.unbox(boxed), times=2)],
                    jax.local_devices()[0])
  _check_reads_tables_alone(network, spec, tables)
  return tables


def _check_reads_tables_alone(network, spec, tables):
  """Checks that permuting categories and table rows changes nothing."""
  last = spec.num_values - 1

  def init(key):
    return networks.unbox(network.init(key, spec.zeros()))

  def flip(path, x):
    return jnp.flip(x, -2) if parts.names(path)[1:] in tables else x

  # The same program for both, so that what is equal is equal to the bit.
  values = jax.jit(network.apply)
  with jax.ensure_compile_time_eval():
    variables = jax.jit(init)(jax.random.key(0))
    flipped = jax.tree_util.tree_map_with_path(flip, variables)
    for c in {0, last // 3}:
      found = values(variables, jnp.asarray(c, spec.dtype))
      expected = values(flipped, jnp.asarray(last - c, spec.dtype))
      if not all(map(np.array_equal, jax.tree.leaves(found),
                     jax.tree.leaves(expected))):
        raise ValueError(
            f'lazy updates need a network that reads a category only as the '
            f'row of its tables, {sorted("/".join(path) for path in tables)}; '
            f'this one reads its number elsewhere too; set lazy_adam=False')


def update(
    step: Update, learner: types.LearnerState, batch: types.Batch,
    num_values: int, tables: frozenset[tuple[str, ...]],
) -> tuple[types.LearnerState, types.Metrics]:
  """Updates the rows that a batch reads, and all other weights.

  Args:
    step: update, which must not change target_params.
    learner: state before the update.
    batch: transitions [B] whose observations are categories.
    num_values: number of categories.
    tables: paths of the arrays with one row per category.

  Returns:
    The learner state and metrics of `step`.
  """
  transitions = batch.transitions
  batch_size, = transitions.observation.shape
  categories = jnp.concatenate(
      [transitions.observation, transitions.next_observation]
  ).astype(jnp.int32)
  # All numbers that are no category share one row, after the last.
  in_range = (categories >= 0) & (categories < num_values)
  rows, position = jnp.unique(
      jnp.where(in_range, categories, num_values), size=2 * batch_size,
      fill_value=num_values, return_inverse=True)
  # What is no category stays none: a row has a gradient, which would count
  # towards a limit on its norm.
  position = jnp.where(in_range, position, 2 * batch_size)
  # Not of the observations' type, which may end below the number of rows.
  small_batch = batch._replace(transitions=transitions._replace(
      observation=position[:batch_size],
      next_observation=position[batch_size:]))
  weights = {parts.names(path)[1:]
             for path, _ in jax.tree.leaves_with_path(learner.params)}

  def is_table(path) -> bool:
    return parts.owner(path, weights) in tables

  def take(path, x):
    if not is_table(path):
      return x
    return jnp.take(x, rows, axis=-2, mode='fill', fill_value=0.)

  def put(path, whole, part):
    if not is_table(path):
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
