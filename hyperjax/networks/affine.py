"""Value functions that are affine in the index."""

from flax import linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax import checks
from hyperjax.networks import priors


class AffineValue(nn.Module):
  """Q(s, a; z) = scale * f(s, a; z) + prior_scale * f_prior(s, a; z).

  Both functions are affine in z and given by their M+1 heads psi (see
  `hyperjax.networks.heads`). A plain value function is the case M = 0.

  As every value function of the library, this one has two methods: calling it
  encodes an observation, once; `value` maps the encoding and an index to
  values, once per index.

  Attributes:
    body: module from an observation to psi, [M+1, A].
    prior: module of the fixed prior, from an observation to psi, [M+1, A]; None
      for no prior.
    scale: factor of the trained part.
    prior_scale: factor of the prior, and of its correction.
    correction: trained module from the features of the prior to psi, [M+1, A];
      the prior then returns its psi and its features
      (`networks.PriorCorrection`).
  """

  body: nn.Module
  prior: nn.Module | None = None
  scale: float = 1.
  prior_scale: float = 1.
  correction: nn.Module | None = None

  def __post_init__(self):
    checks.fields(
        self, 'a value function', body=checks.instance(nn.Module),
        prior=checks.optional(checks.instance(nn.Module)),
        scale=checks.NONNEGATIVE, prior_scale=checks.NONNEGATIVE,
        correction=checks.optional(checks.instance(nn.Module)))
    super().__post_init__()

  @nn.compact
  def __call__(self, observation: Array) -> Float[Array, 'heads A']:
    """Returns the encoding psi, [M+1, A], of one observation."""
    psi = self.scale * self.body(observation)
    if self.prior is not None:
      prior = priors.FixedPrior(self.prior)(observation)
      if self.correction is not None:
        prior, features = prior
        prior += self.correction(features)
      psi += self.prior_scale * prior
    return psi

  def value(
      self, psi: Float[Array, 'heads A'], index: Float[Array, ' M']
  ) -> Float[Array, ' A']:
    """Returns Q(s, .; z), float32 [A], from an encoding of s and an index z."""
    return psi[0] + jnp.tensordot(index, psi[1:], axes=1)
