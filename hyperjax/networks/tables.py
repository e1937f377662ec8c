"""Parameters with one row per category, marked as tables."""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
import flax.struct

from hyperjax import types
from hyperjax.networks import initializers


class Table(flax.struct.PyTreeNode, nn.meta.AxisMetadata):
  """A parameter [..., num_values, F] of which each category reads one row.

  Lazy updates (`hyperjax.lazy_adam`) leave the other rows unchanged. `table`
  marks the parameter of an initialiser; `unbox` removes the mark.

  Attributes:
    value: array of the parameter.
  """

  value: Any

  def unbox(self) -> Any:
    """Returns the array without the mark."""
    return self.value

  def replace_boxed(self, val: Any) -> 'Table':
    """Returns another array with the same mark."""
    return self.replace(value=val)

  def add_axis(self, index: int, params: dict[Any, Any]) -> 'Table':
    """Returns the mark of a parameter that `nn.vmap` has stacked."""
    del index, params
    return self

  def remove_axis(self, index: int, params: dict[Any, Any]) -> 'Table':
    """Returns the mark of one of the stacked parameters."""
    del index, params
    return self


def table(initializer: initializers.Initializer) -> Callable[..., Any]:
  """Returns an initialiser whose parameter is marked as a table."""
  return lambda *args: Table(initializer(*args))


def unbox(variables: types.Params) -> types.Params:
  """Returns Flax variables as plain arrays, without metadata."""
  return nn.meta.unbox(variables)
