"""Regularisers: losses that wrap a loss, and weight decay as optax transforms.

Both are of HyperAgent's released code on Atari.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import optax

from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import types


@dataclasses.dataclass(frozen=True)
class GradientPenalty:
  """A loss plus coefficient * |grad_params f|^2, f the mean value of a batch.

  f = mean_b E_z Q(s_b, a_b; z), for a value function affine in z. HyperAgent's
  released code has it on Atari, with the expectation sampled. With v the
  gradient of f, held constant, the gradient of the penalty is that of
  2 * coefficient * (df along v): f once more, in forward mode, instead of the
  derivative of a derivative.

  Attributes:
    loss: what is penalised.
    network: see `hyperjax.networks.AffineValue`.
    index: distribution of z.
    coefficient: of the penalty.
  """

  loss: losses.Loss
  network: nn.Module
  index: index_lib.IndexDistribution
  coefficient: float

  def __call__(
      self, params, target_params, batch, index_key, noise_key
  ) -> tuple[Float[Array, ''], types.Metrics]:
    """See `hyperjax.losses.Loss`."""
    loss, metrics = self.loss(
        params, target_params, batch, index_key, noise_key)

    def mean_value(trained):
      variables = {**params, 'params': trained}

      def value(s, a):
        encoding = self.network.apply(variables, s)
        return networks.value(
            self.network, variables, encoding,
            jnp.full(self.index.dim, self.index.mean, jnp.float32))[a]

      return jnp.mean(jax.vmap(value)(
          batch.transitions.observation, batch.transitions.action))

    direction = jax.lax.stop_gradient(jax.grad(mean_value)(params['params']))
    _, squared_norm = jax.jvp(mean_value, (params['params'],), (direction,))
    penalty = self.coefficient * (
        2. * squared_norm - jax.lax.stop_gradient(squared_norm))
    return loss + penalty, {**metrics, 'gradient_penalty': penalty}


@functools.cache
def head_l2(
    coefficient: float, second_moment: float, num_weights: int,
    num_first: int, num_per_update: float, num_most: int,
) -> optax.GradientTransformationExtraArgs:
  """Adds the gradient of an L2 penalty on the weights of a hypermodel.

  HyperAgent's released code adds, on Atari,

    coefficient / |D| * mean over all weights of E_z w(z)^2,  w(z) = b + A z,

  to the loss, |D| the number of transitions in the replay; here with the
  expectation exact, E[z] = 0 and E[z z^T] = second_moment * I. |D| counts
  updates, as a run makes them that is never without its replay, in no more
  environments than there are steps for each update.

  Cached, so that agents of equal settings share their programs.

  Args:
    coefficient: of the penalty.
    second_moment: of the index.
    num_weights: number of weights w(z), F * A.
    num_first: |D| at the first update.
    num_per_update: growth of |D| with each update.
    num_most: |D| at most.
  """

  def decay(moment: float) -> optax.Schedule:
    return lambda count: 2. * coefficient * moment / (
        num_weights * jnp.minimum(
            num_first + num_per_update * count, num_most))

  return optax.with_extra_args_support(optax.chain(
      optax.add_decayed_weights(decay(1.), _leaves_named('mean')),
      optax.add_decayed_weights(decay(second_moment),
                                _leaves_named('factors'))))


def _leaves_named(name: str) -> Callable[[Any], Any]:
  """A mask of the weights of `networks.HypermodelHead` of one name."""
  return functools.partial(
      jax.tree_util.tree_map_with_path,
      lambda path, _: getattr(path[-1], 'key', None) == name)
