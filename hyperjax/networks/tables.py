"""Parameters that have a row for each category, marked as such."""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
import flax.struct

from hyperjax import types
from hyperjax.networks import initializers


class Table(flax.struct.PyTreeNode, nn.meta.AxisMetadata):
  """A parameter [..., num_values, F] of which a category reads one row.

  Lazy updates (`hyperjax.lazy_adam`) leave the other rows alone. Wrap the
  initialiser of such a parameter in `table`; `unbox` takes the mark off again.

  Attributes:
    value: the array.
  """

  value: Any

  def unbox(self) -> Any:
    """Returns the array."""
    return self.value

  def replace_boxed(self, val: Any) -> 'Table':
    """Returns the same mark on another array."""
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
  """Returns Flax variables as plain arrays, without any metadata."""
  return nn.meta.unbox(variables)
