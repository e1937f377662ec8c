"""Values of actions, and the legal actions of an environment.

Environments that train together in one program may have different numbers of
actions. Then the agent has the largest of these numbers, and each copy of the
agent has a Flax collection 'legal' that marks its legal actions.
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
  """Returns Q(s, .; z), float32 [A], from an encoding of s and an index z.

  The values of illegal actions are meaningless; see `mask_illegal`.

  Args:
    network: value function.
    params: Flax variables of the network.
    encoding: network's encoding of s.
    index: z, [M].
  """
  return network.apply(  # pyright: ignore[reportReturnType] Nothing mutable.
      params, encoding, index, method='value')


def legal_actions(params: types.Params) -> Bool[Array, ' A'] | None:
  """Returns the mask of the legal actions, bool [A]; None if all are."""
  return params['legal']['actions'] if 'legal' in params else None


def mask_illegal(
    params: types.Params, values: Float[Array, '*N A']
) -> Float[Array, '*N A']:
  """Returns values [..., A] with -inf for illegal actions."""
  legal = legal_actions(params)
  return values if legal is None else jnp.where(legal, values, -jnp.inf)


def with_legal_actions(
    params: types.Params, legal: Bool[Array, ' A']) -> types.Params:
  """Returns Flax variables with a mask of the legal actions, bool [A]."""
  return {**params, 'legal': {'actions': legal}}
