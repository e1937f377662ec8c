"""The protocol of losses, and their weighted mean over a batch."""

from typing import Protocol, runtime_checkable

import chex
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax import types


@runtime_checkable
class Loss(Protocol):
  """A function of a batch and the weights that the learner minimises."""

  def __call__(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Batch,
      index_key: chex.PRNGKey,
      noise_key: chex.PRNGKey,
  ) -> tuple[Float[Array, ''], types.Metrics]:
    """Returns the loss of one batch and its metrics.

    Args:
      params: Flax variables of the online network, the prior included.
      target_params: Flax variables of the target network, the prior included.
      batch: weighted transitions [B].
      index_key: PRNG key of the indices, new at every update.
      noise_key: PRNG key of the transitions' noise, the same at every update.

    Returns:
      The mean of the weighted losses, float32 [], and metrics: 'loss', this
      mean, and 'losses', the loss of each transition before it is weighted,
      float32 [B]. Of a batch in several parts (`hyperjax.data_parallel`) these
      are those of one part. The loss must be a mean over transitions; what it
      draws for each of them it draws by `data_parallel.rows`.
    """
    ...


def reduce(losses, batch: types.Batch):
  """Returns the loss of a batch and its metrics."""
  weighted = losses if batch.weights is None else batch.weights * losses
  loss = jnp.mean(weighted)
  return loss, {'loss': loss, 'losses': losses}
