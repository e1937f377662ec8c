"""A sum tree: draws in proportion to priorities in logarithmic time.

A complete binary tree in an array: node 1 is the root, nodes 2i and 2i + 1 are
the children of node i, and the last half of the nodes are the leaves, one per
item. A node is the sum of its children. Nodes are recomputed along the paths
that change, so that rounding errors do not accumulate and repeated items are
safe.
"""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Nodes = Float[Array, ' nodes']


def init(num_items: int) -> Nodes:
  """Returns a tree of items with priority 0, float32 [nodes]."""
  return jnp.zeros(2 * _num_leaves(num_items), jnp.float32)


def _num_leaves(num_items: int) -> int:
  return 1 << max(1, (num_items - 1).bit_length())


def set_priorities(
    nodes: Nodes, items: Int[Array, ' B'], priorities: Float[Array, ' B']
) -> Nodes:
  """Returns the tree with new priorities; a repeated item gets its largest.

  Args:
    nodes: tree, float32 [nodes].
    items: numbers of the items, from 0, int32 [B].
    priorities: new priorities, at least 0, float32 [B].
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
  """Returns the priorities of items, float32 [B]."""
  return nodes[nodes.shape[0] // 2 + items]


def total(nodes: Nodes) -> Float[Array, '']:
  """Returns the sum of all priorities, float32 []."""
  return nodes[1]


def sample(
    nodes: Nodes, key: chex.PRNGKey, batch_size: int) -> Int[Array, ' B']:
  """Draws items with replacement, in proportion to their priorities.

  The draws are stratified, as in Schaul et al. (2016): one draw from each of
  `batch_size` equal parts of the total.
  """
  offsets = jax.random.uniform(key, (batch_size,), jnp.float32)
  mass = (jnp.arange(batch_size) + offsets) / batch_size * total(nodes)
  node = jnp.ones(batch_size, jnp.int32)
  for _ in range((nodes.shape[0] // 2).bit_length() - 1):
    left = nodes[2 * node]
    # Rounding must not lead into a child of priority 0.
    right = (mass >= left) & (nodes[2 * node + 1] > 0.)
    mass = jnp.where(right, mass - left, mass)
    node = 2 * node + right.astype(jnp.int32)
  return node - nodes.shape[0] // 2
