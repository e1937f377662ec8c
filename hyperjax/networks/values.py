"""Values of actions, those of them that an environment does not have included.

Environments that are trained side by side in one program may have different
numbers of actions. Then the agent has as many as the largest, and each of its
copies is told by a collection beside its weights which of them are legal.
"""

from typing import Any

from flax import linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hyperjax import acting
from hyperjax import types


def value(
    network: nn.Module, params: types.Params, encoding: Any,
    index: Float[Array, ' M'],
) -> Float[Array, ' A']:
  """Q(s, .; z), [A], from the network's encoding of s and an index z."""
  return mask_illegal(
      params, network.apply(params, encoding, index, method='value'))


def mask_illegal(
    params: types.Params, values: Float[Array, '*N A']
) -> Float[Array, '*N A']:
  """Values [..., A] with `acting.ILLEGAL` for actions that are not legal.

  Which ones are says params['legal']['actions'], bool [A]; all, without it.
  """
  if 'legal' not in params:
    return values
  return jnp.where(params['legal']['actions'], values, acting.ILLEGAL)


def with_legal_actions(
    params: types.Params, legal: Bool[Array, ' A']) -> types.Params:
  """Flax variables that say which actions are legal."""
  return {**params, 'legal': {'actions': legal}}
