"""Value functions that are affine in the index, with a fixed prior."""

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class FixedPrior(nn.Module):
  """A network whose weights are drawn once and never trained.

  The weights live in the Flax collection 'prior', so that the optimiser, which
  sees the collection 'params' alone, cannot meet them; their gradient is zero.
  (Randomised prior functions: Osband et al., 2018.)

  Attributes:
    network: any module from an observation to an array.
  """

  network: nn.Module

  @nn.compact
  def __call__(self, observation: Array) -> Array:
    network = self.network.clone(parent=None, name=None)
    weights = self.variable(
        'prior', 'weights',
        lambda: network.init(self.make_rng('params'), observation)['params'])
    return network.apply(
        {'params': jax.lax.stop_gradient(weights.value)}, observation)


class UniformPrior(nn.Module):
  """A prior of mean zero and the same spread at every observation and action.

  Of the heads psi of a network it keeps the direction over the index alone:
  for an index with E z z^T = 1 the standard deviation of its values is 1. So
  what an agent does not know draws it equally wherever it lies, and not most
  where the random network happens to be large.

  Attributes:
    network: from an observation to psi, [M+1, A].
  """

  network: nn.Module

  @nn.compact
  def __call__(self, observation: Array) -> Float[Array, 'heads A']:
    psi = self.network(observation).at[0].set(0.)
    length = jnp.linalg.norm(psi, axis=0)
    return psi / jnp.where(length > 0., length, 1.)


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
    """The encoding psi, [M+1, A], of one observation."""
    psi = self.scale * self.body(observation)
    if self.prior is not None:
      psi += self.prior_scale * FixedPrior(self.prior)(observation)
    return psi

  def value(
      self, psi: Float[Array, 'heads A'], index: Float[Array, ' M']
  ) -> Float[Array, ' A']:
    """Q(s, .; z), [A], from the encoding of s and an index z."""
    return psi[0] + jnp.tensordot(index, psi[1:], axes=1)
