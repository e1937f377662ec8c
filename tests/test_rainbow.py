"""Rainbow: its network part by part, its loss against histograms."""

import types as types_lib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import replay as replay_lib
from hyperjax import schedules
from hyperjax import specs
from hyperjax import types
from hyperjax.agents import presets

FRAMES = specs.ObservationSpec((4, 84, 84), 'uint8')
VECTORS = specs.ObservationSpec((3,), 'float32')


@pytest.mark.parametrize(('preset', 'torso', 'stream', 'total'), [
    # Each stream's hidden layer, without the sigmas.
    ('paper_atari', 77_984, 3136 * 512 + 512, 6_868_842),
    ('der_atari', 54_496, 576 * 256 + 256, 828_842)])
def test_parameters_are_the_published_ones(preset, torso, stream, total):
  config = presets.make('rainbow', preset)
  params = jax.eval_shape(
      agents.Rainbow(FRAMES, 6, config).init, jax.random.key(0)
  ).params['params']
  assert networks.num_parameters({'params': params}) == total
  assert networks.num_parameters({'params': params['torso']}) == torso
  for layer in (0, 2):
    assert sum(params[f'mean_{x}_{layer}'].size
               for x in ('kernel', 'bias')) == stream
  hidden = config.hidden_sizes[-1]
  for layer, outputs in ((1, 6 * 51), (3, 51)):
    assert params[f'sigma_kernel_{layer}'].shape == (hidden, outputs)


def _agent(**config):
  return agents.Rainbow(VECTORS, 2, agents.RainbowConfig(**{
      'hidden_sizes': (8, 8), 'batch_size': 5, 'warmup_steps': 5,
      'initial_sigma': 0., 'replay_capacity': 50, **config}))


def _batch(rng, num=5):
  return types.Transition(*map(jnp.asarray, (
      rng.normal(size=(num, 3)).astype(np.float32),
      rng.integers(2, size=num).astype(np.int32),
      (3. * rng.normal(size=num)).astype(np.float32),
      rng.choice([0., 0.9], size=num).astype(np.float32),
      rng.normal(size=(num, 3)).astype(np.float32),
      np.arange(num, dtype=np.int32))))


def _distributions(agent, params, observations):
  """Probabilities of the atoms, [B, A, atoms], at the mean weights."""
  network = agent.components.network
  index = jnp.zeros(network.index_dim)

  def one(observation):
    return network.apply(
        params, network.apply(params, observation), index, method='logits')

  return np.asarray(jax.nn.softmax(jax.vmap(one)(observations)), np.float64)


def _cross_entropies(agent, params, target_params, batch):
  """The loss of each transition, atom by atom."""
  atoms = np.asarray(agent.components.network.support.atoms(), np.float64)
  p = _distributions(agent, params, batch.observation)
  chooser = _distributions(agent, params, batch.next_observation)
  following = _distributions(agent, target_params, batch.next_observation)
  found = []
  for b in range(len(batch.reward)):
    best = int(np.argmax(chooser[b] @ atoms))
    histogram = np.zeros(len(atoms))
    for atom, mass in zip(atoms, following[b, best], strict=True):
      moved = np.clip(float(batch.reward[b]) + float(batch.discount[b]) * atom,
                      atoms[0], atoms[-1])
      # Shared by the two atoms beside it, the nearer one gets more.
      above = int(np.searchsorted(atoms, moved))
      if above == 0 or atoms[above] == moved:
        histogram[above] += mass
        continue
      share = (moved - atoms[above - 1]) / (atoms[above] - atoms[above - 1])
      histogram[above - 1] += mass * (1. - share)
      histogram[above] += mass * share
    found.append(-np.sum(histogram * np.log(p[b, int(batch.action[b])])))
  return np.array(found)


@pytest.mark.parametrize('support', [(-10., 10., 51), (-1., 2., 2)])
def test_loss_is_that_of_a_histogram(support):
  agent = _agent(support=support)
  params, target = (
      jax.jit(agent.init)(jax.random.key(seed)).params for seed in (0, 1))
  batch = _batch(np.random.default_rng(0))
  _, metrics = jax.jit(agent.components.loss)(
      params, target, types.Batch(batch), jax.random.key(2),
      jax.random.key(3))
  expected = _cross_entropies(agent, params, target, batch)
  np.testing.assert_allclose(metrics['losses'], expected, rtol=1e-4)


def test_loss_of_two_atoms_is_logistic_regression():
  """Of the target's mean, moved into the support [0, 1]."""
  agent = _agent(support=(0., 1., 2))
  params = jax.jit(agent.init)(jax.random.key(0)).params
  batch = _batch(np.random.default_rng(1))._replace(
      discount=jnp.zeros(5), reward=jnp.linspace(0., 1., 5))
  _, metrics = jax.jit(agent.components.loss)(
      params, params, types.Batch(batch), jax.random.key(2),
      jax.random.key(3))
  p = _distributions(agent, params, batch.observation)[
      np.arange(5), batch.action, 1]
  y = np.linspace(0., 1., 5)
  np.testing.assert_allclose(
      metrics['losses'], -y * np.log(p) - (1. - y) * np.log(1. - p), rtol=1e-4)


def test_values_are_means_and_move_with_the_noise():
  agent = _agent(initial_sigma=0.5)
  params = jax.jit(agent.init)(jax.random.key(0)).params
  observation = jnp.ones((1, 3))
  atoms = np.asarray(agent.components.network.support.atoms())
  mean = agent.q_values(params, observation, jnp.zeros((1, agent.index.dim)))
  np.testing.assert_allclose(
      mean[0], _distributions(agent, params, observation)[0] @ atoms,
      rtol=1e-4, atol=1e-5)
  draws = agent.q_values(
      params, jnp.ones((20, 3)), agent.index.sample(jax.random.key(1), (20,)))
  assert np.std(draws, axis=0).min() > 0.01


def test_illegal_actions_are_no_targets():
  agent = _agent()
  params = jax.jit(agent.init)(jax.random.key(0)).params
  batch = _batch(np.random.default_rng(2))
  loss = jax.jit(agent.components.loss)
  keys = jax.random.key(2), jax.random.key(3)
  found = [loss(networks.with_legal_actions(params, jnp.array(legal)), params,
                types.Batch(batch), *keys)[1]['losses']
           for legal in ((True, False), (False, True))]
  free = loss(params, params, types.Batch(batch), *keys)[1]['losses']
  # Each target is one of the two: that of the better action.
  assert np.all(np.isclose(free, found[0]) | np.isclose(free, found[1]))
  assert not np.allclose(found[0], found[1])


def test_importance_weights_follow_their_schedule():
  sampler = replay_lib.Prioritized(
      exponent=1., correction=schedules.Linear(0.4, 1., 2), offset=1e-9)
  ring = types_lib.SimpleNamespace(num_streams=1, num_ages=4)
  slots, losses_of = jnp.arange(4), jnp.array([1., 2., 3., 4.])
  state = sampler.init(4)
  for correction in (0.7, 1., 1.):  # After one update, two and three.
    state = sampler.update(state, slots, losses_of)
    expected = (4. * losses_of / 10.)**-correction
    np.testing.assert_allclose(
        sampler.weights(state, slots, ring), expected / expected.max(),
        rtol=1e-5)


@pytest.mark.parametrize(('support', 'message'), [
    ((-10., 10., 1), 'atoms of support must be at least 2, got 1'),
    ((10., -10., 51), 'support must rise, got 10.0 to -10.0'),
    ((0., 1.), r'must be \(low, high, number of atoms\)'),
    ((0., float('inf'), 51), 'must be finite')])
def test_a_support_that_is_none_is_refused(unchecked, support, message):
  del unchecked
  with pytest.raises(ValueError, match=message):
    agents.RainbowConfig(support=support)


def test_a_network_without_atoms_is_refused():
  network = networks.NoisyValue(networks.MLPTorso((4,), VECTORS), 4, 4, 2)
  with pytest.raises(ValueError, match='a network with logits, .* NoisyValue'):
    losses.CategoricalTD(network, index_lib.Gaussian(network.index_dim))
