"""Temporal-difference losses over an index-conditioned value function.

For a transition (s, a, r, d, s') and its perturbation u in R^M the loss is

  E_z (y + u^T z - Q(s, a; z))^2,   y = r + d Q-(s', a*; z'),

with z' drawn afresh for every transition, independent of z, and a* greedy for
the online network at z' (Double DQN) or for the target network (DQN). Li et
al. (2024), eq. 6 to 8. There are two ways to take the expectation over z:
`SampledTD` averages over K draws, as published; `ExactTD` has no noise of its
own and costs less. Other algorithms choose the indices otherwise, tie z' to z,
weigh the errors by a bootstrap mask, or take y at a quantile over several z':
fields of the losses here. A loss is a plug point of the learner: a function of

  (params, target_params, batch, index_key, perturbation_key)

that returns the loss, averaged over the batch, and metrics, among them the
loss of each transition.
"""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import chex
from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import rlax

from hyperjax import acting
from hyperjax import index as index_lib
from hyperjax import networks
from hyperjax import perturbation as perturbation_lib
from hyperjax import types


@runtime_checkable
class Loss(Protocol):
  """What the learner minimises."""

  def __call__(
      self,
      params: types.Params,
      target_params: types.Params,
      batch: types.Transition,
      index_key: chex.PRNGKey,
      perturbation_key: chex.PRNGKey,
  ) -> tuple[Float[Array, ''], types.Metrics]:
    """The loss of one batch.

    Args:
      params: Flax variables of the online network, the prior included.
      target_params: the same for the target network.
      batch: transitions [B].
      index_key: fresh at every update.
      perturbation_key: the same at every update.

    Returns:
      The loss, float32 [], and metrics to log: 'loss', and 'losses', [B], of
      each transition, which the replay may want to know.
    """


@dataclasses.dataclass(frozen=True)
class _TD:
  """What both losses share.

  Attributes:
    network: a value function, see `hyperjax.networks.AffineValue`.
    index: distribution of z and of z'.
    perturbation: of the targets.
    double: whether the online network chooses the target's action.
    optimism: over indices in the target; None for one z'.
  """

  network: nn.Module
  index: index_lib.IndexDistribution
  perturbation: perturbation_lib.Perturbation
  double: bool
  optimism: acting.Optimism | None = dataclasses.field(
      default=None, kw_only=True)

  def _encode(self, params: types.Params, observations: Array) -> Any:
    return jax.vmap(lambda s: self.network.apply(params, s))(observations)

  def _value(self, params, encoding, index) -> Float[Array, ' A']:
    return networks.value(self.network, params, encoding, index)

  def _next_values(
      self, params, target_params, batch, indices
  ) -> tuple[Float[Array, 'B K A'], Float[Array, 'B K A']]:
    """Values at (s', z') of the target network and of the action's chooser.

    Args:
      params: of the online network.
      target_params: of the target network.
      batch: transitions [B].
      indices: z', [B, K, M].
    """

    def values(params):
      encodings = self._encode(params, batch.next_observation)
      at_indices = jax.vmap(self._value, in_axes=(None, None, 0))
      return jax.vmap(at_indices, in_axes=(None, 0, 0))(
          params, encodings, indices)

    target = values(target_params)
    return target, values(params) if self.double else target

  def _independent_next_values(
      self, params, target_params, batch, key
  ) -> tuple[Float[Array, 'B A'], Float[Array, 'B A']]:
    """The same at a z' of its own for each transition.

    With optimism in its place, of each network and action by itself.
    """
    batch_size = batch.reward.shape[0]
    if self.optimism is None:
      indices = self.index.sample(key, (batch_size, 1))
      values = self._next_values(params, target_params, batch, indices)
      return jax.tree.map(lambda x: x[:, 0], values)
    indices = self.index.sample(key, (batch_size, self.optimism.num_indices))

    def values(params):
      encodings = self._encode(params, batch.next_observation)
      return jax.vmap(lambda encoding, zs: self.optimism(
          lambda z: self._value(params, encoding, z), encoding, zs))(
              encodings, indices)

    target = values(target_params)
    return target, values(params) if self.double else target

  def _perturbations(self, key, uids) -> Float[Array, 'B M']:
    return jax.vmap(self.perturbation, in_axes=(None, 0))(key, uids)


@runtime_checkable
class Indices(Protocol):
  """How the indices z of a batch are chosen, a plug point of `SampledTD`."""

  def __call__(
      self, distribution: index_lib.IndexDistribution, key: chex.PRNGKey,
      batch_size: int,
  ) -> Float[Array, 'B K M']:
    """Indices for each transition of a batch."""


@dataclasses.dataclass(frozen=True)
class FreshIndices:
  """K draws for each transition, as HyperAgent has them.

  Attributes:
    num_samples: K.
  """

  num_samples: int

  def __call__(self, distribution, key, batch_size) -> Float[Array, 'B K M']:
    return distribution.sample(key, (batch_size, self.num_samples))


@dataclasses.dataclass(frozen=True)
class SharedIndices:
  """K draws for the whole batch, as HyperDQN has them.

  Attributes:
    num_samples: K.
  """

  num_samples: int

  def __call__(self, distribution, key, batch_size) -> Float[Array, 'B K M']:
    indices = distribution.sample(key, (self.num_samples,))
    return jnp.broadcast_to(indices, (batch_size, *indices.shape))


@dataclasses.dataclass(frozen=True)
class EveryMember:
  """The M one-hot indices for each transition: every head of an ensemble."""

  def __call__(self, distribution, key, batch_size) -> Float[Array, 'B K M']:
    del key
    members = jnp.eye(distribution.dim)
    return jnp.broadcast_to(members, (batch_size, *members.shape))


@dataclasses.dataclass(frozen=True)
class SampledTD(_TD):
  """The expectation over z as a mean over K indices for each transition.

  As published, and for any network.

  Attributes:
    indices: how the K indices of each transition are chosen.
    tied: whether the target of an index is taken at that same index, as in
      HyperDQN and ensembles, or at z', one for each transition.
    mask: of the bootstrap; the squared error at z counts mask^T z times.
    raw_perturbation: whether the perturbation is u^T x for a Gaussian x of
      which z, on the unit sphere, is the direction, in the place of u^T z: a
      habit of HyperAgent's released code.
  """

  indices: Indices = FreshIndices(20)
  tied: bool = False
  mask: perturbation_lib.BootstrapMask | None = None
  raw_perturbation: bool = False

  def __post_init__(self):
    """Raises ValueError for a tied target with optimism over indices."""
    if self.tied and self.optimism is not None:
      raise ValueError(
          f'a tied target is taken at one index, got optimism {self.optimism}')

  def __call__(
      self, params, target_params, batch, index_key, perturbation_key
  ) -> tuple[Float[Array, ''], types.Metrics]:
    key_online, key_target = jax.random.split(index_key)
    batch_size = batch.reward.shape[0]
    indices = self.indices(self.index, key_online, batch_size)
    if self.tied:
      next_values = self._next_values(params, target_params, batch, indices)
    else:
      next_values = jax.tree.map(
          lambda x: jnp.repeat(x[:, None], indices.shape[1], axis=1),
          self._independent_next_values(
              params, target_params, batch, key_target))

    def example(encoding, next_target, next_chooser, transition, u, weights,
                indices, radii):

      def squared_error(index, radius, next_target, next_chooser):
        td_error = rlax.double_q_learning(
            q_tm1=self._value(params, encoding, index),
            a_tm1=transition.action,
            r_t=transition.reward + radius * (u @ index),
            discount_t=transition.discount,
            q_t_value=next_target,
            q_t_selector=next_chooser)
        return jnp.square(td_error)

      return jnp.mean(weights * jax.vmap(squared_error)(
          indices, radii, next_target, next_chooser))

    losses = jax.vmap(example)(
        self._encode(params, batch.observation), *next_values, batch,
        self._perturbations(perturbation_key, batch.uid),
        self._weights(perturbation_key, batch.uid, indices), indices,
        self._radii(key_online, indices))
    loss = jnp.mean(losses)
    return loss, {'loss': loss, 'losses': losses}

  def _radii(self, key, indices) -> Float[Array, 'B K']:
    """What the indices are multiplied by where they meet a perturbation."""
    if not self.raw_perturbation:
      return jnp.ones(indices.shape[:2])
    # Length and direction of a Gaussian vector are independent.
    key = jax.random.fold_in(key, 1)
    return jnp.linalg.norm(jax.random.normal(key, indices.shape), axis=-1)

  def _weights(self, key, uids, indices) -> Float[Array, 'B K']:
    """How much each squared error counts."""
    if self.mask is None:
      return jnp.ones(indices.shape[:2])
    masks = jax.vmap(self.mask, in_axes=(None, 0))(key, uids)
    return jnp.einsum('bm,bkm->bk', masks, indices)


@dataclasses.dataclass(frozen=True)
class ExactTD(_TD):
  """The expectation over z in closed form, for a value function affine in z.

  With Q(s, a; z) = m + v^T z, w = u - v, delta = y - m, E[z] = mu 1 and
  E[z z^T] = c I,

    E_z (delta + w^T z)^2 = delta^2 + 2 mu delta sum(w) + c |w|^2.

  Not in the papers: the published loss converges on it as K grows. It asks
  that z' be independent of z, as it is here, and that calling the network
  give psi = (m, v), [M+1, A] (`hyperjax.networks.AffineValue`). With M = 0 it
  is the squared TD error of DQN.
  """

  def __call__(
      self, params, target_params, batch, index_key, perturbation_key
  ) -> tuple[Float[Array, ''], types.Metrics]:
    # The same z' as SampledTD draws from this key.
    _, key_target = jax.random.split(index_key)

    def example(psi, next_target, next_chooser, transition, u):
      delta = rlax.double_q_learning(
          q_tm1=psi[0],
          a_tm1=transition.action,
          r_t=transition.reward,
          discount_t=transition.discount,
          q_t_value=next_target,
          q_t_selector=next_chooser)
      w = u - psi[1:, transition.action]
      return (jnp.square(delta)
              + 2. * self.index.mean * delta * jnp.sum(w)
              + self.index.second_moment * jnp.sum(jnp.square(w)))

    losses = jax.vmap(example)(
        self._encode(params, batch.observation),
        *self._independent_next_values(
            params, target_params, batch, key_target),
        batch, self._perturbations(perturbation_key, batch.uid))
    loss = jnp.mean(losses)
    return loss, {'loss': loss, 'losses': losses}


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

  loss: Loss
  network: nn.Module
  index: index_lib.IndexDistribution
  coefficient: float

  def __call__(
      self, params, target_params, batch, index_key, perturbation_key
  ) -> tuple[Float[Array, ''], types.Metrics]:
    loss, metrics = self.loss(
        params, target_params, batch, index_key, perturbation_key)

    def mean_value(trained):
      variables = {**params, 'params': trained}

      def value(s, a):
        encoding = self.network.apply(variables, s)
        return networks.value(
            self.network, variables, encoding,
            jnp.full(self.index.dim, self.index.mean))[a]

      return jnp.mean(jax.vmap(value)(batch.observation, batch.action))

    direction = jax.lax.stop_gradient(jax.grad(mean_value)(params['params']))
    _, squared_norm = jax.jvp(mean_value, (params['params'],), (direction,))
    penalty = self.coefficient * (
        2. * squared_norm - jax.lax.stop_gradient(squared_norm))
    return loss + penalty, {**metrics, 'gradient_penalty': penalty}
