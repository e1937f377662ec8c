"""The memory chain of bsuite: recall a bit that was seen once.

The first observation shows B random bits, the deciding one L steps later the
number of one of them; the last action has to be that bit. The last step has
reward 1 if it is, else -1; the others 0.

As in bsuite a step shows the observation of the time before it, so that the
first observation is seen twice and an episode has L + 1 steps. For L = 1 the
deciding observation is the first one, and no memory is needed.

Equal to `bsuite.environments.memory_chain.MemoryChain` step for step, except
that bits and query are drawn from a PRNG key.
"""

import dataclasses
from typing import NamedTuple

import chex
from dm_env import specs
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
import numpy as np

from hyperjax import arrays
from hyperjax import checks
from hyperjax import types
from hyperjax.environments import timesteps


class MemoryChainParams(NamedTuple):
  """Parameters of a memory chain, constant over episodes.

  Attributes:
    memory_length: L, int32 [].
  """

  memory_length: Int[Array, '']


class MemoryChainState(NamedTuple):
  """The bits, the number of the one to recall, and time.

  Attributes:
    context: the bits, 0 or 1, int32 [B].
    query: number of the bit to recall, 0..B-1, int32 [].
    t: number of steps so far, int32 [].
  """

  context: Int[Array, ' B']
  query: Int[Array, '']
  t: Int[Array, '']


@dataclasses.dataclass(frozen=True)
class MemoryChain:
  """Memory chains of one number of bits; see the module.

  Attributes:
    num_bits: B, number of bits.
    max_length: largest L of all copies.
  """

  num_bits: int = 1
  max_length: int = 100

  def __post_init__(self):
    checks.fields(self, num_bits=checks.COUNT, max_length=checks.COUNT)

  @property
  def max_episode_length(self) -> int:
    """Number of steps of the longest chain, `max_length` + 1."""
    return self.max_length + 1

  def observation_spec(self) -> specs.Array:
    """Returns the spec of the observation, see `observe`."""
    return specs.Array((1, self.num_bits + 2), np.float32, 'observation')

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of the two values of a bit."""
    return specs.DiscreteArray(2, np.int32, 'action')

  def params(self, memory_length: int) -> MemoryChainParams:
    """Returns the parameters of one copy.

    Args:
      memory_length: L, 1..`max_length`.

    Raises:
      ValueError: if the length is invalid.
    """
    return MemoryChainParams(jnp.int32(
        checks.integer(1, self.max_length)('memory_length', memory_length)))

  def observe(
      self, params: MemoryChainParams, state: MemoryChainState
  ) -> Float[Array, '1 inputs']:
    """Returns 1 - t / L, the query at t = L - 1, the bits as +-1 at t = 0."""
    length = arrays.check_array(
        'memory_length', params.memory_length, (), jnp.int32)
    return jnp.concatenate([
        jnp.stack([
            1. - state.t / length,
            jnp.where(state.t == length - 1, state.query, 0)]),
        jnp.where(state.t == 0, 2 * state.context - 1, 0),
    ]).astype(jnp.float32)[None]

  def reset(
      self, params: MemoryChainParams, key: chex.PRNGKey
  ) -> tuple[MemoryChainState, types.TimeStep]:
    """Begins an episode with uniformly random bits and query."""
    key_context, key_query = jax.random.split(key)
    state = MemoryChainState(
        context=jax.random.bernoulli(
            key_context, shape=(self.num_bits,)).astype(jnp.int32),
        query=jax.random.randint(key_query, (), 0, self.num_bits, jnp.int32),
        t=jnp.int32(0))
    return state, timesteps.first(self.observe(params, state))

  def step(
      self, params: MemoryChainParams, state: MemoryChainState,
      action: Int[Array, ''], key: chex.PRNGKey,
  ) -> tuple[MemoryChainState, types.TimeStep]:
    """Takes one step, which is not random."""
    del key
    observation = self.observe(params, state)
    is_last = state.t == params.memory_length
    recalled = jnp.where(action == state.context[state.query], 1., -1.)
    return state._replace(t=state.t + 1), timesteps.after_step(
        jnp.where(is_last, recalled, 0.), is_last, observation)
