"""A sum tree: drawing in proportion to priorities in logarithmic time.

A complete binary tree in an array: node 1 is the root, nodes 2i and 2i + 1 are
the children of node i, and the last half are the leaves, one for each item. A
node is the sum of its children, computed anew along the paths that change, so
that no rounding error builds up and repeated items do no harm.
"""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Nodes = Float[Array, ' nodes']


def init(num_items: int) -> Nodes:
  """Returns a tree of items whose priorities are zero."""
  return jnp.zeros(2 * _num_leaves(num_items), jnp.float32)


def _num_leaves(num_items: int) -> int:
  return 1 << max(1, (num_items - 1).bit_length())


def set_priorities(
    nodes: Nodes, items: Int[Array, ' B'], priorities: Float[Array, ' B']
) -> Nodes:
  """Returns the tree with new priorities; an item given twice has the larger.

  Args:
    nodes: the tree.
    items: numbers from 0 on.
    priorities: at least 0.
  """
  num_leaves = nodes.shape[0] // 2
  node = num_leaves + items
  nodes = nodes.at[node].set(0.).at[node].max(priorities)
  for _ in range(num_leaves.bit_length() - 1):
    node = node // 2
    nodes = nodes.at[node].set(nodes[2 * node] + nodes[2 * node + 1])
  return nodes


def get_priorities(
    nodes: Nodes, items: Int[Array, ' B']) -> Float[Array, ' B']:
  """Returns the priorities of items."""
  return nodes[nodes.shape[0] // 2 + items]


def total(nodes: Nodes) -> Float[Array, '']:
  """Returns the sum of all priorities."""
  return nodes[1]


def sample(
    nodes: Nodes, key: chex.PRNGKey, batch_size: int) -> Int[Array, ' B']:
  """Draws items with replacement, in proportion to their priorities.

  Stratified, as in Schaul et al. (2016): one draw from each of `batch_size`
  equal parts of the total.
  """
  offsets = jax.random.uniform(key, (batch_size,), jnp.float32)
  mass = (jnp.arange(batch_size) + offsets) / batch_size * total(nodes)
  node = jnp.ones(batch_size, jnp.int32)
  for _ in range((nodes.shape[0] // 2).bit_length() - 1):
    left = nodes[2 * node]
    # Never into a child without priority, whatever the rounding.
    right = (mass >= left) & (nodes[2 * node + 1] > 0.)
    mass = jnp.where(right, mass - left, mass)
    node = 2 * node + right.astype(jnp.int32)
  return node - nodes.shape[0] // 2
