"""Temporal-difference losses, sampled and exact."""

import dataclasses
import math
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import numpy as np
import rlax

from hyperjax import acting
from hyperjax import checks
from hyperjax import data_noise
from hyperjax import data_parallel
from hyperjax import index as index_lib
from hyperjax import networks
from hyperjax import types
from hyperjax.losses import base
from hyperjax.losses import pairs as pairs_lib


@dataclasses.dataclass(frozen=True)
class _TD:
  """Values at s and s', for both losses.

  Attributes:
    network: value function, see `hyperjax.networks.AffineValue`.
    index: distribution of z and of z'.
    double: whether the online network selects the target's action.
    num_target_indices: K, number of z' per transition over which a target that
      is independent of z is averaged. Each K transitions of a batch share their
      z', so that an update draws as many as with K = 1; and one pass through
      the network serves all, if its encoding does not depend on the index.
  """

  network: nn.Module
  index: index_lib.IndexDistribution
  double: bool
  num_target_indices: int = dataclasses.field(default=1, kw_only=True)

  def __post_init__(self):
    checks.fields(
        self, 'a loss', network=checks.instance(nn.Module),
        index=checks.instance(index_lib.IndexDistribution), double=checks.flag,
        num_target_indices=checks.COUNT)

  def _encode(self, params: types.Params, observations: Array) -> Any:
    return jax.vmap(lambda s: self.network.apply(params, s))(observations)

  def _value(self, params, encoding, index) -> Float[Array, ' A']:
    return networks.value(self.network, params, encoding, index)

  def _pair(self, params, target_params, values):
    """Returns the values of the target network and of the action's selector.

    Only the selector's values are masked, so that no target is infinite.
    """
    target = values(target_params)
    chooser = values(params) if self.double else target
    return target, networks.mask_illegal(params, chooser)

  def _sample_shared(self, key, batch) -> Float[Array, 'G K M']:
    """Draws K indices for each of G groups of transitions, one after another.

    K transitions share their draws, which would else take half of an update's
    time. A group is a part of them where K does not divide the batch.
    """
    num, size = self.num_target_indices, batch.reward.shape[0]
    together = math.gcd(num, size)

    def draw(groups):
      first = together * np.arange(groups)
      return self.index.sample(
          key, (-(-together * groups // num), num))[first // num]

    return data_parallel.rows(draw, size // together)

  def _next_values(
      self, params, target_params, batch, indices
  ) -> tuple[Float[Array, 'B K A'], Float[Array, 'B K A']]:
    """Returns target and selector values at s' and each index [G, K, M].

    Each B / G transitions, one after another, have the same indices.
    """
    groups = indices.shape[0]

    def values(params):
      encodings = jax.tree.map(
          lambda x: x.reshape(groups, -1, *x.shape[1:]),
          self._encode(params, batch.next_observation))
      at_indices = jax.vmap(self._value, in_axes=(None, None, 0))
      of_group = jax.vmap(at_indices, in_axes=(None, 0, None))
      values = jax.vmap(of_group, in_axes=(None, 0, 0))(
          params, encodings, indices)
      return values.reshape(-1, *values.shape[2:])

    return self._pair(params, target_params, values)

  def _optimistic_next_values(
      self, params, target_params, batch, optimism, key
  ) -> tuple[Float[Array, 'B A'], Float[Array, 'B A']]:
    """Returns target and selector values at s', each by `optimism`."""
    num = () if optimism.num_indices is None else (optimism.num_indices,)
    indices = data_parallel.rows(
        lambda size: self.index.sample(key, (size, *num)),
        batch.reward.shape[0])

    def values(params):
      encodings = self._encode(params, batch.next_observation)
      return jax.vmap(lambda encoding, index: optimism.values(
          self.index, lambda z: self._value(params, encoding, z), encoding,
          index))(encodings, indices)

    return self._pair(params, target_params, values)

  def _independent_next_value(
      self, params, target_params, batch, key, optimism
  ) -> Float[Array, ' B']:
    """Returns the value of s', a mean over z' or by `optimism`."""
    if optimism is not None:
      return _selected(*self._optimistic_next_values(
          params, target_params, batch, optimism, key))
    return jnp.mean(_selected(*self._next_values(
        params, target_params, batch, self._sample_shared(key, batch))), axis=1)


def _selected(
    values: Float[Array, '*B A'], chooser: Float[Array, '*B A'],
) -> Float[Array, '*B']:
  """Returns the values of the actions that the chooser's values select."""
  action = jnp.argmax(chooser, axis=-1, keepdims=True)
  return jnp.take_along_axis(values, action, axis=-1)[..., 0]


@dataclasses.dataclass(frozen=True)
class SampledTD(_TD):
  """TD loss with the expectation over z as a mean over K indices.

  As published, and for any network:

    1/K sum_k weight_k (y_k + offset_k - Q(s, a; z_k))^2.

  Attributes:
    pairs: pairs of indices z and z'.
    noise: offsets of the targets and weights of the squared errors.
    optimism: values of a target that is not tied; None for the mean over z'.

  Raises:
    ValueError: for tied pairs with optimism, or if pairs or noise are for
      another distribution of z.
  """

  pairs: pairs_lib.Pairs = pairs_lib.Independent()
  noise: data_noise.DataNoise = data_noise.Perturbation()
  optimism: acting.Optimism | None = None

  def __post_init__(self):
    super().__post_init__()
    checks.fields(
        self, 'a loss', pairs=checks.instance(pairs_lib.Pairs),
        noise=checks.instance(data_noise.DataNoise),
        optimism=checks.optional(checks.instance(acting.Optimism)))
    data_noise.check_index(self.noise, self.index)
    pairs_lib.check_index(self.pairs, self.index)
    if self.pairs.tied and self.optimism is not None:
      raise ValueError(
          f'a tied target is taken at one index, got optimism {self.optimism}')

  def __call__(
      self, params, target_params, batch, index_key, noise_key
  ) -> tuple[Float[Array, ''], types.Metrics]:
    """See `Loss`."""
    transitions = batch.transitions
    key_online, key_target = jax.random.split(index_key)
    batch_size = transitions.reward.shape[0]
    indices = self.pairs(self.index, key_online, batch_size)
    if self.pairs.tied:
      next_value = _selected(*self._next_values(
          params, target_params, transitions, indices))
    else:
      next_value = jnp.repeat(
          self._independent_next_value(
              params, target_params, transitions, key_target,
              self.optimism)[:, None], indices.shape[1], axis=1)
    offsets, weights = self.noise(
        noise_key, transitions.uid, indices, key_online)
    if weights is None:
      weights = jnp.ones_like(offsets)

    def example(encoding, next_value, transition, offsets, weights, indices):

      def squared_error(index, offset, next_value):
        td_error = rlax.td_learning(
            v_tm1=self._value(params, encoding, index)[transition.action],
            r_t=transition.reward + offset,
            discount_t=transition.discount,
            v_t=next_value)
        return jnp.square(td_error)

      return jnp.mean(weights * jax.vmap(squared_error)(
          indices, offsets, next_value))

    losses = jax.vmap(example)(
        self._encode(params, transitions.observation), next_value,
        transitions, offsets, weights, indices)
    return base.reduce(losses, batch)


@dataclasses.dataclass(frozen=True)
class ExactTD(_TD):
  """TD loss with the expectation over z in closed form, for Q affine in z.

  With Q(s, a; z) = m + v^T z, w = u - v, delta = y - m, E[z] = mu 1 and E[z
  z^T] = c I,

    E_z (delta + w^T z)^2 = delta^2 + 2 mu delta sum(w) + c |w|^2.

  This form is not in the papers: the published loss converges to it as K grows.
  It requires that z' be independent of z, and that calling the network return
  psi = (m, v), [M+1, A] (`hyperjax.networks.AffineValue`). With M = 0 it is the
  squared TD error of DQN.

  Attributes:
    noise: offsets of the targets, linear in z.
    optimism: values of the target; None for the mean over z'.

  Raises:
    ValueError: if the noise is for another distribution of z.
  """

  noise: data_noise.LinearNoise = data_noise.Perturbation()
  optimism: acting.Optimism | None = None

  def __post_init__(self):
    super().__post_init__()
    checks.fields(
        self, 'an exact loss', noise=checks.instance(data_noise.LinearNoise),
        optimism=checks.optional(checks.instance(acting.Optimism)))
    data_noise.check_index(self.noise, self.index)

  def __call__(
      self, params, target_params, batch, index_key, noise_key
  ) -> tuple[Float[Array, ''], types.Metrics]:
    """See `Loss`."""
    transitions = batch.transitions
    # The same z' as in SampledTD for this key.
    _, key_target = jax.random.split(index_key)

    def example(psi, next_value, transition, u):
      taken = psi[:, transition.action]
      delta = rlax.td_learning(
          v_tm1=taken[0],
          r_t=transition.reward,
          discount_t=transition.discount,
          v_t=next_value)
      w = u - taken[1:]
      return (jnp.square(delta)
              + 2. * self.index.mean * delta * jnp.sum(w)
              + self.index.second_moment * jnp.sum(jnp.square(w)))

    losses = jax.vmap(example)(
        self._encode(params, transitions.observation),
        self._independent_next_value(
            params, target_params, transitions, key_target, self.optimism),
        transitions,
        self.noise.vectors(noise_key, transitions.uid, self.index.dim))
    return base.reduce(losses, batch)
