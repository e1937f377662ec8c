"""Value functions that are affine in the index."""

from flax import linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax.networks import priors


class AffineValue(nn.Module):
  """Q(s, a; z) = scale * f(s, a; z) + prior_scale * f_prior(s, a; z).

  Both f are affine in z and given by their M+1 heads psi (see
  `hyperjax.networks.heads`). The plain value function is the case M = 0.

  Like every network of the library it has two methods: calling it encodes an
  observation, once; `value` turns the encoding and an index into values, as
  often as there are indices.

  Attributes:
    body: from an observation to psi, [M+1, A].
    prior: the same for the fixed prior, or None.
    scale: of the trained part.
    prior_scale: of the prior.
  """

  body: nn.Module
  prior: nn.Module | None = None
  scale: float = 1.
  prior_scale: float = 1.

  @nn.compact
  def __call__(self, observation: Array) -> Float[Array, 'heads A']:
    """Returns the encoding psi, [M+1, A], of one observation."""
    psi = self.scale * self.body(observation)
    if self.prior is not None:
      psi += self.prior_scale * priors.FixedPrior(self.prior)(observation)
    return psi

  def value(
      self, psi: Float[Array, 'heads A'], index: Float[Array, ' M']
  ) -> Float[Array, ' A']:
    """Returns Q(s, .; z), [A], from the encoding of s and an index z."""
    return psi[0] + jnp.tensordot(index, psi[1:], axes=1)
