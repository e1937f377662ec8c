"""Pairs of the index z of a transition and the index z' of its target."""

import dataclasses
from typing import Protocol, runtime_checkable

import chex
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax import checks
from hyperjax import data_parallel
from hyperjax import index as index_lib


@runtime_checkable
class Pairs(Protocol):
  """Pairs each index z of a transition with the index z' of its target."""

  @property
  def tied(self) -> bool:
    """Whether z' = z; otherwise z' is drawn independently of z."""
    ...

  def __call__(
      self, distribution: index_lib.IndexDistribution, key: chex.PRNGKey,
      batch_size: int,
  ) -> Float[Array, 'B K M']:
    """Returns the indices z of a batch, float32 [B, K, M].

    Args:
      distribution: distribution of z.
      key: PRNG key of the draws.
      batch_size: B, of one part if the batch has several; what is drawn for
        each transition is then drawn by `data_parallel.rows`.
    """
    ...


@dataclasses.dataclass(frozen=True)
class Independent:
  """K independent indices per transition, as in HyperAgent.

  Attributes:
    num_samples: K, at least 1.
    tied: whether z' = z, see `Pairs`.
  """

  num_samples: int = 20
  tied: bool = False

  def __post_init__(self):
    checks.fields(self, num_samples=checks.COUNT, tied=checks.flag)

  def __call__(self, distribution, key, batch_size) -> Float[Array, 'B K M']:
    """See `Pairs`."""
    return data_parallel.rows(
        lambda num: distribution.sample(key, (num, self.num_samples)),
        batch_size)


@dataclasses.dataclass(frozen=True)
class Shared:
  """K indices that all transitions of a batch share, as in HyperDQN.

  Attributes:
    num_samples: K, at least 1.
    tied: whether z' = z, see `Pairs`.
  """

  num_samples: int = 20
  tied: bool = True

  def __post_init__(self):
    checks.fields(self, num_samples=checks.COUNT, tied=checks.flag)

  def __call__(self, distribution, key, batch_size) -> Float[Array, 'B K M']:
    """See `Pairs`."""
    indices = distribution.sample(key, (self.num_samples,))
    return jnp.broadcast_to(indices, (batch_size, *indices.shape))


@dataclasses.dataclass(frozen=True)
class Members:
  """The M one-hot indices, z' = z: every member of an ensemble."""

  @property
  def tied(self) -> bool:
    """See `Pairs`."""
    return True

  def __call__(self, distribution, key, batch_size) -> Float[Array, 'B K M']:
    """See `Pairs`."""
    del key
    members = jnp.eye(distribution.dim, dtype=jnp.float32)
    return jnp.broadcast_to(members, (batch_size, *members.shape))


def check_index(pairs: Pairs, index: index_lib.IndexDistribution):
  """Checks that pairs of this module are for indices of a distribution.

  Raises:
    ValueError: if they are for others.
  """
  if isinstance(pairs, Members) and not isinstance(index, index_lib.OneHot):
    raise ValueError(f'pairs of members are for a one-hot index, got '
                     f'{type(index).__name__}')
