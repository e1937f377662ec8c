"""Random perturbations that belong to a transition.

HyperAgent adds sigma * xi^T z to the target of a transition, where xi is drawn
once when the transition is stored (Li et al., 2024, eq. 5; there the symbols
are exchanged). Here nothing is stored: xi is a function of the transition's
uid, drawn again whenever it is needed. The replay holds no noise, M may
change, and a resumed run sees the same perturbations.
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import index as index_lib


@dataclasses.dataclass(frozen=True)
class Perturbation:
  """The vector u = sigma * xi(uid) in R^M; the target is moved by u^T z.

  Attributes:
    distribution: of xi. The analysis asks for unit norm: `index.Sphere`.
    scale: sigma, in units of reward; 0 means no perturbation.
  """

  distribution: index_lib.IndexDistribution
  scale: float

  def __call__(
      self, key: chex.PRNGKey, uid: Int[Array, '']
  ) -> Float[Array, ' M']:
    """The perturbation of one transition.

    Args:
      key: the same at every call in the life of a learner.
      uid: the transition's global number, int32 [].

    Returns:
      u, float32 [M].
    """
    if self.scale == 0.:  # Known when traced: no random numbers are drawn.
      return jnp.zeros(self.distribution.dim, jnp.float32)
    return self.scale * self.distribution.sample(jax.random.fold_in(key, uid))


@dataclasses.dataclass(frozen=True)
class BootstrapMask:
  """Which members of an ensemble learn from a transition, in {0, 1}^M.

  Osband et al. (2016, Bootstrapped DQN), here without storing the masks.

  Attributes:
    dim: M, the members.
    probability: that a member learns from a transition, each for itself.
  """

  dim: int
  probability: float

  def __call__(
      self, key: chex.PRNGKey, uid: Int[Array, '']
  ) -> Float[Array, ' M']:
    """The mask of one transition, float32 [M]; arguments as `Perturbation`."""
    # Another stream than that of the perturbation.
    key, _ = jax.random.split(jax.random.fold_in(key, uid))
    return jax.random.bernoulli(
        key, self.probability, (self.dim,)).astype(jnp.float32)
