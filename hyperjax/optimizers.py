"""Optimisers as optax transforms.

The Langevin optimisers need a PRNG key at every update: `update(gradients,
state, params, key=...)`. The learner passes a key to every optimiser;
`optax.with_extra_args_support` drops the key for the others.
"""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int
import optax

from hyperjax import checks
from hyperjax import parts


@functools.cache
def adam(
    learning_rate: float, epsilon: float, weight_decay: float = 0.,
) -> optax.GradientTransformationExtraArgs:
  """Returns Adam, or AdamW of Loshchilov and Hutter (2019, arXiv 1711.05101).

  Cached, as all optimisers of this module, so that agents of equal settings are
  equal and have equal hashes.

  Args:
    learning_rate: step size.
    epsilon: number added to the root of the second moment.
    weight_decay: every update moves weights, but no biases, towards 0 by this
      share of them times the learning rate.

  Raises:
    ValueError: if a number is out of range, as in every optimiser here.
  """
  if not callable(learning_rate):  # A schedule of optax.
    checks.positive('learning_rate', learning_rate)
  checks.positive('epsilon', epsilon)
  if checks.NONNEGATIVE('weight_decay', weight_decay) == 0.:
    return optax.with_extra_args_support(
        optax.adam(learning_rate, eps=epsilon))
  return optax.with_extra_args_support(optax.adamw(
      learning_rate, eps=epsilon, weight_decay=weight_decay,
      mask=_is_matrix))


def _is_matrix(params: optax.Params) -> optax.Params:
  """Returns which parameters are weights of inputs, not biases."""
  return jax.tree.map(lambda x: x.ndim > 1, params)


@functools.cache
def clipped(
    optimizer: optax.GradientTransformationExtraArgs,
    max_gradient_norm: float | None,
) -> optax.GradientTransformationExtraArgs:
  """Returns an optimiser that limits the global norm of its gradients.

  Args:
    optimizer: optimiser that takes the clipped gradients.
    max_gradient_norm: largest norm, to which larger gradients are scaled down;
      None for no limit.
  """
  if max_gradient_norm is None:
    return optimizer
  checks.positive('max_gradient_norm', max_gradient_norm)
  return optax.chain(
      optax.clip_by_global_norm(max_gradient_norm), optimizer)


@functools.cache
def chain(
    *transforms: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
  """Returns a chain of transforms, cached as `adam` is."""
  return optax.with_extra_args_support(optax.chain(*transforms))


@functools.cache
def partitioned(
    optimizer: optax.GradientTransformationExtraArgs, names: tuple[str, ...],
) -> optax.GradientTransformationExtraArgs:
  """Returns an optimiser with two states: of some parameters, and of the rest.

  Each has numbers of its own, such as Adam's count and a norm of the gradient.

  Args:
    optimizer: optimiser of both.
    names: names of parts of the parameters, see `hyperjax.parts`.
  """

  def labels(params: Any) -> Any:
    parts.check_exist('names of an optimiser', names, params)
    return jax.tree_util.tree_map_with_path(
        lambda path, _: 'named' if any(
            parts.is_within(parts.names(path), name) for name in names)
        else 'rest', params)

  return optax.with_extra_args_support(optax.partition(
      {'named': optimizer, 'rest': optimizer}, labels))


class MomentsState(NamedTuple):
  """Running moments of the gradient.

  Attributes:
    count: number of updates, int32 [].
    mean: running mean of the gradient, a tree like the parameters.
    square: running mean of the squared gradient, a tree like the parameters.
  """

  count: Int[Array, '']
  mean: chex.ArrayTree
  square: chex.ArrayTree


def _init_moments(params: optax.Params) -> MomentsState:
  # Separate arrays, so that the state may be donated.
  return MomentsState(
      jnp.int32(0), jax.tree.map(jnp.zeros_like, params),
      jax.tree.map(jnp.zeros_like, params))


def _next_moments(state, gradients, b1, b2) -> MomentsState:
  return MomentsState(
      state.count + 1,
      jax.tree.map(lambda m, g: b1 * m + (1. - b1) * g, state.mean, gradients),
      jax.tree.map(
          lambda v, g: b2 * v + (1. - b2) * g * g, state.square, gradients))


def _standard_normal(key: chex.PRNGKey, like: chex.ArrayTree):
  leaves, structure = jax.tree.flatten(like)
  keys = jax.random.split(key, len(leaves))
  return jax.tree.unflatten(structure, [
      jax.random.normal(k, x.shape, x.dtype)
      for k, x in zip(keys, leaves, strict=True)])


def _check(learning_rate, noise_scale, epsilon, b1, b2):
  checks.positive('learning_rate', learning_rate)
  checks.NONNEGATIVE('noise_scale', noise_scale)
  checks.positive('epsilon', epsilon)
  for name, rate in (('b1', b1), ('b2', b2)):
    if checks.FRACTION(name, rate) == 1.:  # The moments would stay 0.
      raise ValueError(f'{name} must be below 1, got {rate}')


@functools.cache
def adam_lmc(
    learning_rate: float, noise_scale: float, adam_factor: float,
    epsilon: float = 1e-8, b1: float = 0.9, b2: float = 0.999,
) -> optax.GradientTransformationExtraArgs:
  """Returns Adam SGLD: gradients, an adaptive drift, and Langevin noise.

    w <- w - lr (g + a m / (sqrt(v) + eps)) + noise_scale sqrt(2 lr) N(0, I),

  where m and v are the running moments of the gradient g, without correction of
  their bias. Kim, Song and Liang (2022, arXiv 2009.09535), as used in Adam
  LMCDQN (Ishfaq et al., 2024, algorithm 2). With a = 0 this is plain Langevin
  dynamics at temperature noise_scale^2.

  Args:
    learning_rate: lr.
    noise_scale: root of the temperature.
    adam_factor: a, weight of the adaptive drift.
    epsilon: eps.
    b1: decay rate of m.
    b2: decay rate of v.
  """
  _check(learning_rate, noise_scale, epsilon, b1, b2)
  checks.NONNEGATIVE('adam_factor', adam_factor)

  def update(gradients, state, params=None, *, key):
    del params
    state = _next_moments(state, gradients, b1, b2)
    noise_std = noise_scale * jnp.sqrt(2. * learning_rate)
    updates = jax.tree.map(
        lambda g, m, v, x: noise_std * x - learning_rate * (
            g + adam_factor * m / (jnp.sqrt(v) + epsilon)),
        gradients, state.mean, state.square, _standard_normal(key, gradients))
    return updates, state

  return optax.GradientTransformationExtraArgs(
      _init_moments, update)  # pyright: ignore[reportArgumentType] Typed as its base.


@functools.cache
def langevin_adam(
    learning_rate: float, noise_scale: float, epsilon: float = 1e-8,
    b1: float = 0.9, b2: float = 0.999,
) -> optax.GradientTransformationExtraArgs:
  """Returns Adam with Langevin noise that is preconditioned as its step is.

    w <- Adam's step + noise_scale sqrt(2 lr' / (sqrt(v) + eps)) N(0, I),
    lr' = lr sqrt(1 - b2^t) / (1 - b1^t).

  The Langevin DQN of Dwaracherla and Van Roy (2020, arXiv 2002.07282) with
  Adam, as in the comparison of Ishfaq et al. (hmishfaq/LMC-LSVI,
  `components/langevin_dqn/optim.py`).

  Args:
    learning_rate: lr.
    noise_scale: root of the temperature.
    epsilon: eps.
    b1: decay rate of the first moment.
    b2: decay rate of the second moment v.
  """
  _check(learning_rate, noise_scale, epsilon, b1, b2)

  def update(gradients, state, params=None, *, key):
    del params
    state = _next_moments(state, gradients, b1, b2)
    mean_correction = 1. - b1**state.count
    root_correction = jnp.sqrt(1. - b2**state.count)
    noise_factor = noise_scale * jnp.sqrt(
        2. * learning_rate * root_correction / mean_correction)

    def one(m, v, x):
      root = jnp.sqrt(v)
      step = m / mean_correction / (root / root_correction + epsilon)
      return noise_factor * x / jnp.sqrt(root + epsilon) - learning_rate * step

    updates = jax.tree.map(one, state.mean, state.square,
                           _standard_normal(key, gradients))
    return updates, state

  return optax.GradientTransformationExtraArgs(
      _init_moments, update)  # pyright: ignore[reportArgumentType] Typed as its base.
