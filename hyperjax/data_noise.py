"""Noise of a transition: an offset of its target, and a weight of its loss.

HyperAgent adds sigma * xi^T z to the target of a transition, with xi drawn once
when the transition is stored (Li et al., 2024, eq. 5, where the symbols are
exchanged). Bootstrapped ensembles weight the squared error of a transition by a
mask that is drawn once. Here neither is stored: the noise of a transition is a
function of its uid and is drawn again at every use. So the replay holds no
noise, M may change, and a resumed run has the same noise.
"""

from collections.abc import Callable
import dataclasses
from typing import Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import checks
from hyperjax import data_parallel
from hyperjax import index as index_lib


@runtime_checkable
class DataNoise(Protocol):
  """Maps the uids of transitions and their indices to offsets and weights."""

  def __call__(
      self, key: chex.PRNGKey, uids: Int[Array, ' B'],
      indices: Float[Array, 'B K M'], update_key: chex.PRNGKey,
  ) -> tuple[Float[Array, 'B K'], Float[Array, 'B K'] | None]:
    """Returns the offset and the weight of each transition at each index.

    Args:
      key: PRNG key, the same at every update of a learner.
      uids: uids of the transitions, int32 [B].
      indices: K indices z per transition, float32 [B, K, M].
      update_key: PRNG key, new at every update, for noise that is drawn anew.

    Returns:
      Offsets of the targets, in units of reward, and factors of the squared
      errors, or None for 1; both float32 [B, K].
    """
    ...


@runtime_checkable
class LinearNoise(DataNoise, Protocol):
  """Noise with offset u^T z and weight 1, as `losses.ExactTD` requires."""

  def vectors(
      self, key: chex.PRNGKey, uids: Int[Array, ' B'], dim: int
  ) -> Float[Array, 'B M']:
    """Returns the vector u of each transition, float32 [B, M].

    Args:
      key: PRNG key, the same at every update of a learner.
      uids: uids of the transitions, int32 [B].
      dim: M.
    """
    ...


@dataclasses.dataclass(frozen=True)
class Perturbation:
  """The offset u^T z with u = scale * xi(uid).

  Attributes:
    scale: sigma, in units of reward; 0 for no perturbation.
    distribution: class of the distribution of xi. The analysis assumes unit
      norm, as `index.Sphere` has.
  """

  scale: float = 0.
  distribution: Callable[[int], index_lib.IndexDistribution] = index_lib.Sphere

  def __post_init__(self):
    checks.fields(self, 'a perturbation', scale=checks.NONNEGATIVE,
                  distribution=checks.function)

  def vectors(self, key, uids, dim) -> Float[Array, 'B M']:
    """See `LinearNoise`."""
    if self.scale == 0.:  # Static, so no random numbers are drawn.
      return jnp.zeros((uids.shape[0], dim), jnp.float32)
    distribution = self.distribution(dim)
    return jax.vmap(lambda uid: self.scale * distribution.sample(
        jax.random.fold_in(key, uid)))(uids)

  def __call__(self, key, uids, indices, update_key):
    """See `DataNoise`."""
    del update_key
    return _dot(self.vectors(key, uids, indices.shape[-1]), indices), None


@dataclasses.dataclass(frozen=True)
class RawPerturbation(Perturbation):
  """The offset u^T x for a Gaussian x whose direction is z.

  HyperAgent's released code does so for an index on the unit sphere: the
  network sees z, but the perturbation uses the Gaussian vector that z is
  computed from. The length of x is drawn anew at every update.
  """

  def vectors(self, key, uids, dim) -> Float[Array, 'B M']:
    """See `LinearNoise`; u times E|x|, for an equal mean gradient."""
    return index_lib.mean_gaussian_length(dim) * super().vectors(
        key, uids, dim)

  def __call__(self, key, uids, indices, update_key):
    """See `DataNoise`."""
    # Length and direction of a Gaussian vector are independent.
    normal = data_parallel.rows(
        lambda num: jax.random.normal(
            jax.random.fold_in(update_key, 1), (num, *indices.shape[1:]),
            jnp.float32), indices.shape[0])
    lengths = jnp.linalg.norm(normal, axis=-1)
    vectors = super().vectors(key, uids, indices.shape[-1])
    return lengths * _dot(vectors, indices), None


@dataclasses.dataclass(frozen=True)
class BootstrapMask:
  """Bernoulli masks that decide which members learn from a transition.

  Osband et al. (2016, "Deep exploration via bootstrapped DQN"), without storing
  the masks. For one-hot indices: the weight at z is mask^T z.

  Attributes:
    probability: probability that a member learns from a transition, independent
      over members and transitions.
    offset: noise of the target, in addition to the mask.
  """

  probability: float = 0.5
  offset: Perturbation = Perturbation()

  def __post_init__(self):
    checks.fields(self, 'a bootstrap mask', probability=checks.FRACTION,
                  offset=checks.component(DataNoise))

  def __call__(self, key, uids, indices, update_key):
    """See `DataNoise`."""
    offsets, _ = self.offset(key, uids, indices, update_key)
    if self.probability == 1.:
      return offsets, None

    def mask(uid):
      # Independent of the perturbation, whose distribution has this key and may
      # split it in two.
      *_, key_mask = jax.random.split(jax.random.fold_in(key, uid), 3)
      return jax.random.bernoulli(
          key_mask, self.probability, indices.shape[-1:]).astype(jnp.float32)

    masks = jax.vmap(mask)(uids)
    return offsets, jnp.einsum('bm,bkm->bk', masks, indices)


def check_index(noise: DataNoise, index: index_lib.IndexDistribution):
  """Checks that a noise of this module is for indices of a distribution.

  Raises:
    ValueError: if it is for others.
  """
  kind = type(index).__name__
  if isinstance(noise, RawPerturbation) and not isinstance(
      index, index_lib.Sphere):
    raise ValueError(
        f'a raw perturbation is for an index on the unit sphere, got {kind}')
  if isinstance(noise, BootstrapMask):
    check_index(noise.offset, index)
    if noise.probability < 1. and not isinstance(index, index_lib.OneHot):
      raise ValueError(f'a bootstrap mask is for a one-hot index, got {kind}')


def _dot(
    vectors: Float[Array, 'B M'], indices: Float[Array, 'B K M']
) -> Float[Array, 'B K']:
  return jax.vmap(lambda u, zs: jax.vmap(lambda z: u @ z)(zs))(vectors, indices)
