"""Gamma and Dirichlet samples, vectorized.

Marsaglia and Tsang's method (ACM TOMS, 2000): for d = a - 1/3, a >= 1, accept
d v with v = (1 + x / sqrt(9 d))^3 and x ~ N(0, 1) if

  log u < x^2 / 2 + d - d v + d log v

A sample of a smaller shape a is that of a + 1, times u^(1/a). A whole array is
proposed at once, and again where it was refused (at most 5%). `jax.random` goes
through the entries one by one on a CPU, which takes many times as long.
"""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def log_gamma(
    key: chex.PRNGKey, shape: Float[Array, '...']) -> Float[Array, '...']:
  """Returns logarithms of independent Gamma(shape, 1), float32 [...].

  Args:
    key: PRNG key.
    shape: shapes a, at least 0; the logarithm for 0 is -inf, as it is for what
      is no shape: negative ones and NaN.
  """
  key_boost, key = jax.random.split(key)
  d = shape + 1. - 1. / 3.  # All of them boosted.

  def refused(carry):
    return ~jnp.all(carry[2])

  def propose(carry):
    key, log_v, accepted = carry
    key, key_x, key_u = jax.random.split(key, 3)
    x = jax.random.normal(key_x, shape.shape)
    v = 1. + x / jnp.sqrt(9. * d)
    positive = v > 0.
    new = 3. * jnp.log(jnp.where(positive, v, 1.))
    u = 1. - jax.random.uniform(key_u, shape.shape)
    good = positive & (
        jnp.log(u) < 0.5 * jnp.square(x) + d - d * jnp.exp(new) + d * new)
    return key, jnp.where(accepted, log_v, new), accepted | good

  # What was accepted stays, whatever others take, also under `vmap`. Nothing
  # would ever be accepted for what is no shape.
  _, log_v, _ = jax.lax.while_loop(
      refused, propose,
      (key, jnp.zeros(shape.shape), ~(shape >= 0.)))
  boost = jnp.log(1. - jax.random.uniform(key_boost, shape.shape))
  return jnp.where(
      shape > 0., jnp.log(d) + log_v + boost / shape, -jnp.inf)


def dirichlet(
    key: chex.PRNGKey, masses: Float[Array, '... S']) -> Float[Array, '... S']:
  """Returns independent Dirichlet samples along the last axis.

  Args:
    key: PRNG key.
    masses: of each entry, at least 0 and at least one of a row above; an entry
      of mass 0 has probability 0.
  """
  return jax.nn.softmax(log_gamma(key, masses), axis=-1)


def beta(
    key: chex.PRNGKey, a: Float[Array, '...'], b: Float[Array, '...']
) -> Float[Array, '...']:
  """Returns independent Beta(a, b) samples, float32 [...]."""
  return dirichlet(key, jnp.stack([a, b], axis=-1))[..., 0]
