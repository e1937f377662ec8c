"""The sum tree against NumPy."""

import functools

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax.replay import sum_tree

_SETS = 4  # Items in a call.

_set = jax.jit(sum_tree.set_priorities)
_sample = jax.jit(sum_tree.sample, static_argnums=2)


def _leaves(num_items: int, calls) -> np.ndarray:
  """After calls of (items, priorities); an item given twice has the larger."""
  priorities = np.zeros(num_items, np.float32)
  for items, values in calls:
    for item in items:
      priorities[item] = max(
          v for i, v in zip(items, values, strict=True) if i == item)
  return priorities


def _tree(num_items: int, calls):
  nodes = sum_tree.init(num_items)
  for items, values in calls:
    nodes = _set(nodes, jnp.asarray(items, jnp.int32),
                 jnp.asarray(values, jnp.float32))
  return nodes


# Sums of these have no rounding errors.
_PRIORITIES = st.integers(0, 800).map(lambda x: x / 8.)


@st.composite
def _cases(draw):
  num_items = draw(st.sampled_from([1, 2, 3, 7, 8, 13]))
  items = st.lists(st.integers(0, num_items - 1), min_size=_SETS,
                   max_size=_SETS)
  values = st.lists(_PRIORITIES, min_size=_SETS, max_size=_SETS)
  return num_items, draw(st.lists(st.tuples(items, values), max_size=6))


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(_cases(), st.integers(0, 1000))
def test_is_the_array_of_its_priorities(case, seed):
  num_items, calls = case
  nodes, expected = _tree(num_items, calls), _leaves(num_items, calls)
  np.testing.assert_array_equal(
      sum_tree.get_priorities(nodes, jnp.arange(num_items)), expected)
  assert sum_tree.total(nodes) == expected.sum()
  # Every node is the sum of its children.
  inner = np.arange(1, nodes.size // 2)
  nodes = np.asarray(nodes)
  np.testing.assert_array_equal(
      nodes[inner], nodes[2 * inner] + nodes[2 * inner + 1])
  if not expected.any():
    return
  # One draw from each of equal parts of the total.
  key = jax.random.key(seed)
  items = _sample(jnp.asarray(nodes), key, 16)
  mass = (np.arange(16) + np.asarray(jax.random.uniform(
      key, (16,), jnp.float32))) / 16 * expected.sum()
  np.testing.assert_array_equal(
      items, np.searchsorted(np.cumsum(expected), mass, side='right'))


@functools.cache
def _counts(num_batches: int, batch_size: int):
  """How often each item is drawn, in each of some batches."""

  @jax.jit
  def counts(nodes, key):
    items = jax.vmap(lambda k: sum_tree.sample(nodes, k, batch_size))(
        jax.random.split(key, num_batches))
    return jax.vmap(lambda x: jnp.bincount(x, length=nodes.size // 2))(items)

  return lambda *args: np.asarray(counts(*args))


@pytest.mark.parametrize('priorities', [
    [1., 2., 0., 5., 0.5], [1e-3, 1e3, 1., 0.], [7.]], ids=str)
def test_draws_in_proportion_to_priorities(priorities):
  p = np.array(priorities)
  nodes = _tree(p.size, [([i], [v]) for i, v in enumerate(p)])
  counts = _counts(4000, 8)(nodes, jax.random.key(0))[:, :p.size]
  assert counts.sum() == 4000 * 8
  expected = 8 * p / p.sum()
  assert not counts[:, p == 0.].any()
  error = np.abs(counts.mean(axis=0) - expected)
  assert (error <= 5. * counts.std(axis=0) / np.sqrt(4000) + 1e-3).all()
  # Stratified: an item comes as often as it should, but for its two ends.
  assert (np.abs(counts - expected) < 2.).all()


def test_never_draws_what_has_no_priority():
  """Whatever the rounding: the sums of these are far from exact."""
  num = 1000
  p = np.random.default_rng(0).uniform(size=num).astype(np.float32)**8
  p[np.random.default_rng(1).random(num) < 0.5] = 0.
  nodes = _set(sum_tree.init(num), jnp.arange(num), jnp.asarray(p))
  counts = _counts(500, 64)(nodes, jax.random.key(0))[:, :num].sum(axis=0)
  assert counts.sum() == 500 * 64
  assert not counts[p == 0.].any()
