"""Optimisers that are used here, as optax transforms.

The Langevin ones need a key at every update: `update(gradients, state, params,
key=...)`. The learner gives one to every optimiser; those that do not want it
are made with `optax.with_extra_args_support`, which drops it.
"""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int
import optax


@functools.cache
def adam(
    learning_rate: float, epsilon: float
) -> optax.GradientTransformationExtraArgs:
  """Returns Adam.

  Cached, as all optimisers here, so that agents of equal settings are equal
  and hash alike.
  """
  return optax.with_extra_args_support(optax.adam(learning_rate, eps=epsilon))


@functools.cache
def clipped(
    optimizer: optax.GradientTransformationExtraArgs,
    max_gradient_norm: float | None,
) -> optax.GradientTransformationExtraArgs:
  """Returns an optimiser after a limit on the global gradient norm.

  Args:
    optimizer: that takes the gradients.
    max_gradient_norm: gradients of a larger norm are scaled down to it; None
      for no limit.
  """
  if max_gradient_norm is None:
    return optimizer
  return optax.chain(
      optax.clip_by_global_norm(max_gradient_norm), optimizer)


@functools.cache
def chain(
    *transforms: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
  """Returns transforms one after another, cached as `adam` is."""
  return optax.with_extra_args_support(optax.chain(*transforms))


class MomentsState(NamedTuple):
  """Running moments of the gradient.

  Attributes:
    count: updates so far, int32 [].
    mean: of the gradient.
    square: of its square.
  """

  count: Int[Array, '']
  mean: chex.ArrayTree
  square: chex.ArrayTree


def _init_moments(params: optax.Params) -> MomentsState:
  # Arrays of their own each, so that the state may be donated.
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


@functools.cache
def adam_lmc(
    learning_rate: float, noise_scale: float, adam_factor: float,
    epsilon: float = 1e-8, b1: float = 0.9, b2: float = 0.999,
) -> optax.GradientTransformationExtraArgs:
  """Returns Adam SGLD: gradients, an adaptive drift, and Langevin noise.

    w <- w - lr (g + a m / (sqrt(v) + eps)) + noise_scale sqrt(2 lr) N(0, I),

  with the running moments m, v of the gradient g, not corrected for their
  bias. Kim, Song and Liang (2022, arXiv 2009.09535), as used in Adam LMCDQN
  (Ishfaq et al., 2024, algorithm 2). With a = 0 it is plain Langevin dynamics
  at temperature noise_scale^2.
  """

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
      _init_moments, update)  # pyright: ignore[reportArgumentType] Its base's.


@functools.cache
def langevin_adam(
    learning_rate: float, noise_scale: float, epsilon: float = 1e-8,
    b1: float = 0.9, b2: float = 0.999,
) -> optax.GradientTransformationExtraArgs:
  """Returns Adam plus noise that is preconditioned as its step is.

    w <- Adam's step + noise_scale sqrt(2 lr' / (sqrt(v) + eps)) N(0, I),
    lr' = lr sqrt(1 - b2^t) / (1 - b1^t).

  The Langevin DQN of Dwaracherla and Van Roy (2020, arXiv 2002.07282) with
  Adam, as in the comparison of Ishfaq et al. (hmishfaq/LMC-LSVI,
  `components/langevin_dqn/optim.py`).
  """

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
      _init_moments, update)  # pyright: ignore[reportArgumentType] Its base's.
