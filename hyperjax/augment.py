"""Augmentations of observations between replay and loss.

Any agent takes one in its config, `augmentation=ShiftAndIntensity()`. Each
observation of a batch is augmented by itself, with a new draw at every update.
"""

import dataclasses
from typing import Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax import checks
from hyperjax import data_parallel
from hyperjax import losses
from hyperjax import specs
from hyperjax import types


@runtime_checkable
class Augmentation(Protocol):
  """A random function of one observation."""

  def check(self, spec: specs.ObservationSpec):
    """Checks that it fits the observations.

    Raises:
      ValueError: if they are of another kind.
    """
    ...

  def __call__(self, key: chex.PRNGKey, observation: Array) -> Array:
    """Returns an augmented observation, of the same shape."""
    ...


@dataclasses.dataclass(frozen=True)
class ShiftAndIntensity:
  """A random shift, then a random intensity, of an image.

  Kostrikov, Yarats and Fergus (2021, "Image augmentation is all you need",
  DrQ), as in SPR: the image is padded with its edge by `pad` pixels on all
  sides and cut to its size at a random place, then multiplied by 1 + intensity
  x, with x normal and cut off at -2 and 2.

  Attributes:
    pad: largest shift in pixels along each axis; 0 for none.
    intensity: standard deviation of the factor, before x is cut off; 0 for no
      factor.
    channels_last: whether observations are images [H, W, C] instead of stacks
      of frames [stack, H, W].
  """

  pad: int = 4
  intensity: float = 0.05
  channels_last: bool = False

  def __post_init__(self):
    checks.fields(
        self, 'an augmentation', pad=checks.integer(0),
        intensity=checks.NONNEGATIVE, channels_last=checks.flag)

  def check(self, spec: specs.ObservationSpec):
    """See `Augmentation`."""
    if len(spec.shape) != 3:
      kind = ('categories' if spec.num_values is not None
              else f'observations of shape {spec.shape}')
      raise ValueError(
          f'the augmentation {self} expects images: stacks of frames, '
          f'[stack, H, W], or [H, W, C], got {kind}')

  def __call__(
      self, key: chex.PRNGKey, observation: Array
  ) -> Float[Array, '_ _ _']:
    """See `Augmentation`; returns float32."""
    key_shift, key_intensity = jax.random.split(key)
    channels = 2 if self.channels_last else 0
    x = observation
    if self.pad:
      pads = [(self.pad, self.pad)] * 3
      pads[channels] = (0, 0)
      start = jax.random.randint(key_shift, (3,), 0, 2 * self.pad + 1)
      x = jax.lax.dynamic_slice(
          jnp.pad(x, pads, mode='edge'), start.at[channels].set(0), x.shape)
    x = x.astype(jnp.float32)
    if self.intensity:
      noise = jnp.clip(jax.random.normal(key_intensity), -2., 2.)
      x *= 1. + self.intensity * noise
    return x


@dataclasses.dataclass(frozen=True)
class Augmented:
  """A loss of augmented observations; see `hyperjax.losses.Loss`.

  s, s' and the observations of sequences are augmented, each by itself.

  Attributes:
    loss: loss of a batch.
    augmentation: augmentation of one observation.
  """

  loss: losses.Loss
  augmentation: Augmentation

  def __post_init__(self):
    checks.fields(
        self, 'a loss', loss=checks.instance(losses.Loss),
        augmentation=checks.instance(Augmentation))

  def _apply(self, key, observations, num_axes):
    """Augments observations with `num_axes` leading axes."""
    one = self.augmentation
    for _ in range(num_axes):
      one = jax.vmap(one)
    batch_size, *others = observations.shape[:num_axes]
    keys = data_parallel.rows(
        lambda num: jax.random.split(key, (num, *others)), batch_size)
    return one(keys, observations)

  def __call__(
      self, params, target_params, batch, index_key, noise_key
  ) -> tuple[Float[Array, ''], types.Metrics]:
    """See `Loss`."""
    index_key, *keys = jax.random.split(index_key, 4)
    transitions, sequences = batch.transitions, batch.sequences
    transitions = transitions._replace(
        observation=self._apply(keys[0], transitions.observation, 1),
        next_observation=self._apply(keys[1], transitions.next_observation, 1))
    if sequences is not None:
      sequences = sequences._replace(
          observations=self._apply(keys[2], sequences.observations, 2))
    return self.loss(
        params, target_params,
        batch._replace(transitions=transitions, sequences=sequences),
        index_key, noise_key)
