"""Regularisers: losses that wrap a loss, and weight decay as optax transforms.

HyperAgent's released code for Atari has both.
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

from hyperjax import checks
from hyperjax import data_parallel
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import types


@dataclasses.dataclass(frozen=True)
class GradientPenalty:
  """Adds coefficient * |grad_params f|^2, with f the mean value, to a loss.

    f = mean_b E_z Q(s_b, a_b; z),

  for a value function affine in z. HyperAgent's released code for Atari has
  this penalty with the expectation sampled. With v the gradient of f, held
  constant, the gradient of the penalty is that of 2 * coefficient * (df along
  v): a forward-mode derivative of f instead of a second derivative.

  Attributes:
    loss: loss that the penalty is added to.
    network: value function, see `hyperjax.networks.AffineValue`.
    index: distribution of z.
    coefficient: coefficient of the penalty.
  """

  loss: losses.Loss
  network: nn.Module
  index: index_lib.IndexDistribution
  coefficient: float

  def __post_init__(self):
    checks.fields(
        self, 'a penalty', loss=checks.instance(losses.Loss),
        network=checks.instance(nn.Module),
        index=checks.instance(index_lib.IndexDistribution),
        coefficient=checks.NONNEGATIVE)

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

    direction = jax.lax.stop_gradient(data_parallel.mean(
        jax.grad(mean_value)(params['params'])))
    _, squared_norm = jax.jvp(mean_value, (params['params'],), (direction,))
    penalty = self.coefficient * (
        2. * squared_norm - jax.lax.stop_gradient(squared_norm))
    return loss + penalty, {**metrics, 'gradient_penalty': penalty}


@functools.cache
def head_l2(
    coefficient: float, second_moment: float, num_weights: int,
    num_first: int, num_per_update: float, num_most: int,
) -> optax.GradientTransformationExtraArgs:
  """Returns a transform that adds the gradient of an L2 penalty on the head.

  HyperAgent's released code for Atari adds

    coefficient / |D| * mean over all weights of E_z w(z)^2,  w(z) = b + A z,

  to the loss, where |D| is the number of transitions in the replay. Here the
  expectation is exact, with E[z] = 0 and E[z z^T] = second_moment * I, and |D|
  is computed from the number of updates. This is right for a run that keeps its
  replay and has at most as many environments as steps per update.

  Cached, so that agents of equal settings share their compiled programs.

  Args:
    coefficient: coefficient of the penalty.
    second_moment: c of the index, E[z z^T] = c I.
    num_weights: number of weights w(z), F * A.
    num_first: |D| at the first update.
    num_per_update: growth of |D| per update.
    num_most: largest |D|, the capacity of the replay.

  Raises:
    ValueError: if a number is out of range.
  """
  for name, value in (
      ('coefficient', coefficient), ('second_moment', second_moment)):
    checks.NONNEGATIVE(name, value)
  for name, value in (
      ('num_weights', num_weights), ('num_first', num_first),
      ('num_per_update', num_per_update), ('num_most', num_most)):
    checks.positive(name, value)

  def decay(moment: float) -> optax.Schedule:
    return lambda count: 2. * coefficient * moment / (
        num_weights * jnp.minimum(
            num_first + num_per_update * count, num_most))

  return optax.with_extra_args_support(optax.chain(
      optax.add_decayed_weights(decay(1.), _leaves_named('mean')),
      optax.add_decayed_weights(decay(second_moment),
                                _leaves_named('factors'))))


def _leaves_named(name: str) -> Callable[[Any], Any]:
  """Returns a mask of the weights of `networks.HypermodelHead` of one name."""
  return functools.partial(
      jax.tree_util.tree_map_with_path,
      lambda path, _: getattr(path[-1], 'key', None) == name)
