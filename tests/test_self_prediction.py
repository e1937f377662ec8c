"""Self-prediction by hand, and the network that predicts itself."""

import dataclasses

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import losses
from hyperjax import networks
from hyperjax import specs
from hyperjax import types
from hyperjax.networks import impala
from hyperjax.networks import self_predictive

VECTORS = specs.ObservationSpec((3,), 'float32')


@pytest.mark.ci
@pytest.mark.slow
def test_maxima_and_padding_are_those_of_flax():
  rng = np.random.default_rng(0)
  for shape in ((84, 84, 2), (21, 10, 3), (5, 4, 1)):
    x = jnp.asarray(rng.normal(size=shape), jnp.float32)
    np.testing.assert_array_equal(
        impala.max_pool(x), nn.max_pool(x, (3, 3), (2, 2), 'SAME'))
  conv = networks.Conv(3, 3, kernel_init=networks.initializers.xavier_uniform)
  params = conv.init(jax.random.key(0), impala.padded(x, (3, 3)))
  np.testing.assert_allclose(
      conv.apply(params, impala.padded(x, (3, 3))),
      nn.Conv(3, (3, 3)).apply(params, x), rtol=1e-4, atol=1e-5)


@pytest.mark.ci
@pytest.mark.slow
def test_impala_is_its_layers_in_flax():
  spec = specs.ObservationSpec((2, 9, 11), 'uint8')
  torso = networks.ImpalaTorso((), spec, widths=(3, 4), flatten=False)
  image = jax.random.randint(jax.random.key(0), spec.shape, 0, 256, jnp.uint8)
  params = torso.init(jax.random.key(1), image)
  found = torso.apply(params, image)

  def conv(i, x):
    weights = params['params'][f'Conv_{i}']
    return nn.Conv(weights['bias'].size, (3, 3)).apply({'params': weights}, x)

  x = jnp.moveaxis(image, 0, -1) / 255.
  for stage in range(2):
    first = 5 * stage
    x = nn.max_pool(conv(first, x), (3, 3), (2, 2), 'SAME')
    for block in (first + 1, first + 3):
      x += conv(block + 1, nn.relu(conv(block, nn.relu(x))))
  np.testing.assert_allclose(found, nn.relu(x), rtol=1e-4, atol=1e-5)
  flat = torso.clone(flatten=True).apply(params, image)
  np.testing.assert_array_equal(flat, jnp.ravel(found))


def test_latents_of_images_and_vectors():
  network = networks.SelfPredictiveValue(
      networks.MLPTorso((5,), VECTORS), 6, 2, networks.Support(-1., 1., 3))
  params = network.init(jax.random.key(0), jnp.ones(3))
  latent = network.apply(params, jnp.ones(3))
  assert latent.shape == (1, 1, 5)
  assert float(latent.min()) == 0. and 0.99 < float(latent.max()) <= 1.
  for action in range(2):
    after = network.apply(params, latent, jnp.int32(action), method='step')
    # Dense layers, of the latent and one number for each action.
    x = jnp.concatenate([latent[0, 0], jnp.eye(2)[action]])
    for i in range(2):
      layer = params['params']['transition'][f'Conv_{i}']
      x = nn.relu(x @ layer['kernel'][0, 0] + layer['bias'])
    np.testing.assert_allclose(
        after[0, 0], self_predictive.renormalize(x), rtol=1e-5, atol=1e-6)
  hidden = network.apply(params, latent, method='project')
  weights = params['params']
  out = lambda name: (nn.relu(hidden) @ weights[name]['kernel']
                      + weights[name]['bias']).reshape(-1, 3)
  advantage = out('advantage')
  np.testing.assert_allclose(
      network.apply(params, latent, jnp.zeros(0), method='logits'),
      out('state_value') + advantage - advantage.mean(axis=0), rtol=1e-5,
      atol=1e-6)


class HandMade(nn.Module):
  """A network whose transition model is made by hand: it turns a latent.

  By a quarter for action 0, and by a half for action 1.
  """

  @nn.compact
  def __call__(self, observation):
    return observation * self.param('scale', nn.initializers.ones, ())

  def step(self, latent, action):
    x, y = latent
    return jnp.where(action == 0, jnp.stack([-y, x]), jnp.stack([-x, -y]))

  def project(self, latent):
    return 3. * latent

  def predict(self, latent):
    return 2. * latent


@dataclasses.dataclass(frozen=True)
class Nothing:
  """A loss of one half of each transition."""

  def __call__(self, params, target_params, batch, index_key, noise_key):
    del params, target_params, index_key, noise_key
    found = jnp.full(batch.transitions.reward.shape, 0.5)
    return losses.base.reduce(found, batch)


def test_self_prediction_of_a_hand_made_model():
  turn = lambda angle: [np.cos(np.pi * angle / 2.), np.sin(np.pi * angle / 2.)]
  first = jnp.array([turn(0), turn(1), turn(0), turn(0)])
  actions = jnp.array([[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
  # True in all steps; half a turn away in the last; a quarter away in all; of
  # the same, but only one step exists.
  later = jnp.array([
      [turn(1), turn(2), turn(4)], [turn(3), turn(4), turn(7)],
      [turn(2), turn(3), turn(4)], [turn(2), turn(3), turn(4)]])
  exists = jnp.array([[True] * 3, [True] * 3, [True] * 3, [True, False, False]])
  weights = jnp.array([1., 2., 3., 4.])
  zeros = jnp.zeros(4)
  batch = types.Batch(
      types.Transition(first, actions[:, 0], zeros, zeros, first,
                       zeros.astype(jnp.int32)),
      weights, sequences=types.Sequences(actions, later, exists))
  loss = losses.SelfPrediction(Nothing(), HandMade(), 3, weight=6.)
  params = {'params': {'scale': jnp.float32(5.)}}
  keys = jax.random.key(0), jax.random.key(1)
  value, metrics = loss(params, params, batch, *keys)
  expected = 6. * np.array([0., 4. / 3., 2., 2. / 3.])
  np.testing.assert_allclose(
      metrics['self_prediction'], np.mean(weights * expected), rtol=1e-5)
  np.testing.assert_allclose(
      value, np.mean(weights * (0.5 + expected)), rtol=1e-5)
  # Priorities are of the other loss.
  np.testing.assert_array_equal(metrics['losses'], 0.5 * np.ones(4))
  # Without its last jumps it is another mean.
  _, shorter = dataclasses.replace(loss, num_jumps=1)(
      params, params, batch, *keys)
  np.testing.assert_allclose(
      shorter['self_prediction'],
      np.mean(weights * 6. * np.array([0., 0., 2., 2.])), rtol=1e-5, atol=1e-5)
  with pytest.raises(ValueError, match='sequence_length, 3, got 4'):
    dataclasses.replace(loss, num_jumps=4)(params, params, batch, *keys)
  with pytest.raises(ValueError, match='sequence_length, 0, got 3'):
    loss(params, params, batch._replace(sequences=None), *keys)
