"""Values of actions, and which actions an environment has.

Environments that are trained side by side in one program may have different
numbers of actions. Then the agent has as many as the largest, and each of its
copies is told by a collection beside its weights which of them are legal.
"""

from typing import Any

from flax import linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hyperjax import types


def value(
    network: nn.Module, params: types.Params, encoding: Any,
    index: Float[Array, ' M'],
) -> Float[Array, ' A']:
  """Returns Q(s, .; z), [A], from the network's encoding of s and an index z.

  Actions that are not legal have values too; they mean nothing.
  """
  return network.apply(  # pyright: ignore[reportReturnType] Nothing mutable.
      params, encoding, index, method='value')


def legal_actions(params: types.Params) -> Bool[Array, ' A'] | None:
  """Returns which actions are legal; None for all."""
  return params['legal']['actions'] if 'legal' in params else None


def mask_illegal(
    params: types.Params, values: Float[Array, '*N A']
) -> Float[Array, '*N A']:
  """Returns values [..., A] with -inf for actions that are not legal."""
  legal = legal_actions(params)
  return values if legal is None else jnp.where(legal, values, -jnp.inf)


def with_legal_actions(
    params: types.Params, legal: Bool[Array, ' A']) -> types.Params:
  """Returns Flax variables that say which actions are legal."""
  return {**params, 'legal': {'actions': legal}}
