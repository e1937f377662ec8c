"""The interface of environments in pure JAX."""

from typing import Any, Protocol, runtime_checkable

import chex
from dm_env import specs
from jaxtyping import Array, Int

from hyperjax import types

EnvParams = Any
EnvState = Any


@runtime_checkable
class Environment(Protocol):
  """An environment whose every method is a pure function.

  Implementations are frozen dataclasses. What differs between two copies
  (an action mapping, say) is in `params`, a pytree that stays as it is while
  the state changes, so that copies can be stacked and mapped over.

  Attributes:
    max_episode_length: steps after which every episode has ended.
  """

  max_episode_length: int

  def observation_spec(self) -> specs.Array:
    """Of one observation."""

  def action_spec(self) -> specs.DiscreteArray:
    """Of one action."""

  def reset(
      self, params: EnvParams, key: chex.PRNGKey
  ) -> tuple[EnvState, types.TimeStep]:
    """Begins an episode."""

  def step(
      self, params: EnvParams, state: EnvState, action: Int[Array, ''],
      key: chex.PRNGKey,
  ) -> tuple[EnvState, types.TimeStep]:
    """One step within an episode. After its last one call `reset`."""
