"""Compiled functions that take and return typed PRNG keys as plain arrays.

JAX dispatches a compiled function in C++ only if all results are plain arrays.
With a typed PRNG key among the results every call goes through Python, which
takes longer than a small network. So a state that stays on the host between
calls has its keys as plain arrays; within the functions the keys are typed.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

import jax
from jaxtyping import Array, UInt


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=['data'],
    meta_fields=['impl'])
@dataclasses.dataclass(frozen=True)
class _PlainKey:
  """A PRNG key [...] as a plain array.

  Attributes:
    data: data of the key, see `jax.random.key_data`.
    impl: implementation of the generator, see `jax.random.key_impl`.
  """

  data: UInt[Array, '...']
  impl: Any


def to_plain(tree: Any) -> Any:
  """Returns a tree with plain arrays instead of its typed keys."""

  def convert(x):
    dtype = getattr(x, 'dtype', None)
    if dtype is None or not jax.dtypes.issubdtype(
        dtype, jax.dtypes.prng_key):
      return x
    return _PlainKey(jax.random.key_data(x), jax.random.key_impl(x))

  return jax.tree.map(convert, tree)


def to_typed(tree: Any) -> Any:
  """Returns the tree that `to_plain` was given; the arrays are the same."""
  is_plain = lambda x: isinstance(x, _PlainKey)
  return jax.tree.map(
      lambda x: (jax.random.wrap_key_data(x.data, impl=x.impl)
                 if is_plain(x) else x), tree, is_leaf=is_plain)


def jit(function: Callable[..., Any], **options: Any) -> Any:
  """Returns a compiled function from and to trees with plain keys.

  Args:
    function: pure function of a hashable constant and of trees with typed keys.
    **options: options of `jax.jit`.
  """

  @functools.wraps(function)
  def plain(static, *trees):
    return to_plain(function(static, *to_typed(trees)))

  return jax.jit(plain, static_argnums=0, **options)
