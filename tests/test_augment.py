"""Augmentation of images, one by one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import augment
from hyperjax import specs
from hyperjax import types
from tests.test_self_prediction import Nothing


@pytest.mark.parametrize('channels_last', [False, True])
def test_a_shift_is_a_crop_and_the_intensity_a_factor(channels_last):
  order = (1, 2, 0) if channels_last else (0, 1, 2)
  image = np.random.default_rng(0).integers(
      1, 256, size=(2, 6, 7)).astype(np.uint8)

  def draws(**numbers):
    one = augment.ShiftAndIntensity(**numbers, channels_last=channels_last)
    found = jax.jit(jax.vmap(one, (0, None)))(
        jax.random.split(jax.random.key(1), 300),
        jnp.asarray(image.transpose(order)))
    return np.asarray(found).transpose(0, *(1 + np.argsort(order)))

  padded = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode='edge')
  crops = {padded[:, i:i + 6, j:j + 7].astype(np.float32).tobytes()
           for i in range(5) for j in range(5)}
  assert {x.tobytes() for x in draws(pad=2, intensity=0.)} == crops
  factors = draws(pad=0, intensity=0.05) / image
  one = factors[:, :1, :1, :1]
  np.testing.assert_allclose(factors, np.broadcast_to(one, factors.shape),
                             rtol=1e-5)
  np.testing.assert_allclose([one.min(), one.max()], [0.9, 1.1], rtol=1e-5)
  assert abs(np.std(one) - 0.05 * 0.96) < 0.005  # Of what is cut off at 2.


@dataclasses.dataclass(frozen=True)
class Seen(Nothing):
  """A loss whose metrics are what it has seen."""

  def __call__(self, params, target_params, batch, index_key, noise_key):
    loss, metrics = super().__call__(
        params, target_params, batch, index_key, noise_key)
    return loss, {**metrics, 'batch': batch}


def test_each_observation_is_augmented_by_itself():
  spec = specs.ObservationSpec((1, 8, 8), 'uint8')
  image = jax.random.randint(jax.random.key(0), spec.shape, 0, 256, jnp.uint8)
  many = lambda *axes: jnp.broadcast_to(image, (*axes, *spec.shape))
  zeros = jnp.zeros(3)
  batch = types.Batch(
      types.Transition(many(3), zeros.astype(jnp.int32), zeros, zeros, many(3),
                       jnp.arange(3)),
      sequences=types.Sequences(
          jnp.zeros((3, 2), jnp.int32), many(3, 2), jnp.ones((3, 2), bool)))
  loss = augment.Augmented(Seen(), augment.ShiftAndIntensity())
  seen = loss(None, None, batch, jax.random.key(1), None)[1]['batch']
  images = np.concatenate([
      np.reshape(x, (-1, 64)) for x in (
          seen.transitions.observation, seen.transitions.next_observation,
          seen.sequences.observations)])
  assert len(images) == 12 == len({x.tobytes() for x in images})
  assert seen.sequences.actions is batch.sequences.actions
