"""Self-prediction: a loss of latents that are predicted from earlier ones."""

import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import checks
from hyperjax import types
from hyperjax.losses import base


@dataclasses.dataclass(frozen=True)
class SelfPrediction:
  """Adds the loss of self-predictive representations (SPR) to a loss.

  Schwarzer et al. (2021): from the latent of s_0 the transition model leads, by
  the actions taken, to latents of K later steps. With p_k the network's
  prediction there and t_k the target network's projection at s_k, both of
  length 1, a transition's loss grows by

    weight / K sum_k exists_k |p_k - t_k|^2,

  before its importance weight multiplies it. Steps after the end of the episode
  count as 0. The metric 'losses', which gives priorities, is that of the first
  loss alone.

  Attributes:
    loss: loss that the self-prediction is added to.
    network: `networks.SelfPredictiveValue`, or another with its `predict`,
      `project` and `step`.
    num_jumps: K, at most the length of the batch's sequences.
    weight: factor of the self-prediction.
  """

  loss: base.Loss
  network: nn.Module
  num_jumps: int = 5
  weight: float = 5.

  def __post_init__(self):
    checks.fields(
        self, 'a loss', loss=checks.instance(base.Loss),
        network=checks.instance(nn.Module), num_jumps=checks.COUNT,
        weight=checks.NONNEGATIVE)
    for name in ('predict', 'project', 'step'):
      if not hasattr(self.network, name):
        raise ValueError(
            f'a self-prediction needs a network with {name}, such as '
            f'networks.SelfPredictiveValue, got {type(self.network).__name__}')

  def distances(
      self, params: types.Params, target_params: types.Params,
      observation: Array, actions: Int[Array, ' K'], later: Array,
  ) -> Float[Array, ' K']:
    """Returns |p_k - t_k|^2 of one transition, float32 [K].

    Args:
      params: Flax variables of the online network.
      target_params: Flax variables of the target network.
      observation: s_0.
      actions: a_0 to a_{K-1}, int32 [K].
      later: s_1 to s_K, [K, ...].
    """
    apply: Any = self.network.apply

    def target(observation):
      return apply(target_params, apply(target_params, observation),
                   method='project')

    latent, latents = apply(params, observation), []
    for action in actions:
      latent = apply(params, latent, action, method='step')
      latents.append(latent)
    predictions = jax.vmap(
        lambda latent: apply(params, latent, method='predict'))(
            jnp.stack(latents))
    return jnp.sum(jnp.square(
        _unit(predictions) - _unit(jax.vmap(target)(later))), axis=-1)

  def __call__(
      self, params, target_params, batch, index_key, noise_key
  ) -> tuple[Float[Array, ''], types.Metrics]:
    """See `Loss`.

    Raises:
      ValueError: if the batch has no sequences of `num_jumps` steps.
    """
    sequences, num = batch.sequences, self.num_jumps
    length = 0 if sequences is None else sequences.actions.shape[1]
    if sequences is None or length < num:
      raise ValueError(
          f'num_jumps must be at most the length of the sequences of a batch, '
          f'sequence_length, {length}, got {num}')
    loss, metrics = self.loss(
        params, target_params, batch, index_key, noise_key)
    distances = jax.vmap(self.distances, in_axes=(None, None, 0, 0, 0))(
        params, target_params, batch.transitions.observation,
        sequences.actions[:, :num], sequences.observations[:, :num])
    added, _ = base.reduce(self.weight * jnp.mean(
        jnp.where(sequences.exists[:, :num], distances, 0.), axis=1), batch)
    return loss + added, {**metrics, 'self_prediction': added}


def _unit(x: Float[Array, '*K F']) -> Float[Array, '*K F']:
  """Returns vectors of length 1; zero stays zero, with a finite gradient."""
  squares = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(squares, 1e-12))
