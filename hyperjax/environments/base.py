"""The interface of environments in pure JAX."""

from typing import Any, Protocol, runtime_checkable

import chex
from dm_env import specs
from jaxtyping import Array, Float, Int

from hyperjax import types

EnvParams = Any
EnvState = Any


@runtime_checkable
class Environment(Protocol):
  """An environment whose methods are pure functions.

  Implementations are frozen dataclasses. Differences between copies, such as an
  action mapping, are in `params`, a pytree that is constant while the state
  changes, so that copies can be stacked and mapped over.
  """

  @property
  def max_episode_length(self) -> int:
    """Number of steps after which every episode has ended."""
    ...

  def observation_spec(self) -> specs.Array:
    """Returns the spec of one observation."""
    ...

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of one action."""
    ...

  def reset(
      self, params: EnvParams, key: chex.PRNGKey
  ) -> tuple[EnvState, types.TimeStep]:
    """Begins an episode and returns its first time step.

    Args:
      params: parameters of this copy of the environment.
      key: PRNG key of the reset.
    """
    ...

  def step(
      self, params: EnvParams, state: EnvState, action: Int[Array, ''],
      key: chex.PRNGKey,
  ) -> tuple[EnvState, types.TimeStep]:
    """Takes one step within an episode.

    Args:
      params: parameters of this copy of the environment.
      state: state before the step; after a last time step call `reset` instead.
      action: int32 [].
      key: PRNG key of the step.
    """
    ...


@runtime_checkable
class LoggedEnvironment(Environment, Protocol):
  """An environment with more to log of an episode than its return.

  The method is optional: not every `Environment` has it.
  """

  def episode_log(self, state: EnvState) -> dict[str, Float[Array, '']]:
    """Returns numbers to log of an episode that has ended.

    Args:
      state: state after the episode's last step, before the next reset.

    Returns:
      Numbers by name, each float32 []; the names are the same for all states.
    """
    ...
