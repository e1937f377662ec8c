"""BBF: its size part by part, its settings, an update by formulas."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperjax import agents
from hyperjax import augment
from hyperjax import configs
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import resets
from hyperjax import specs
from hyperjax import types
from hyperjax.agents import presets
from tests import small
from tests.test_self_prediction import HandMade
from tests.test_self_prediction import Nothing

FRAMES = specs.ObservationSpec((4, 84, 84), 'uint8')
VECTORS = specs.ObservationSpec((3,), 'float32')
CATEGORIES = specs.ObservationSpec((), 'int32', 9)


def _shapes(preset, num_actions=6):
  agent = agents.BBF(FRAMES, num_actions, presets.make('bbf', preset))
  return jax.eval_shape(agent.init, jax.random.key(0)).params['params']


def _size(tree):
  return networks.num_parameters({'params': tree})


@pytest.mark.parametrize(('num_actions', 'total', 'transition', 'head'), [
    (6, 38_503_589, 302_080, 731_493), (18, 39_771_401, 315_904, 1_985_481)])
def test_parameters_are_the_published_ones(
    num_actions, total, transition, head):
  for preset in ('paper_atari', 'paper_atari_ratio_2'):
    params = _shapes(preset, num_actions)
    assert _size(params) == total
  torso = params['torso']
  assert [_size([torso[f'Conv_{i}'] for i in range(5 * j, 5 * j + 5)])
          for j in range(3)] == [150_080, 664_192, 737_920]
  assert _size(params['projection']) == 31_721_472
  assert _size(params['predictor']) == 4_196_352
  assert _size(params['transition']) == transition
  assert _size([params['advantage'], params['state_value']]) == head


def test_presets_say_what_the_text_says():
  for preset, ratio, at in (
      ('paper_atari', 8, range(5_000, 100_000, 5_000)),
      ('paper_atari_ratio_2', 2, range(20_000, 100_000, 20_000))):
    config = presets.make('bbf', preset)
    assert config.updates_per_period == ratio
    resets_at = [step for step in range(0, 100_000, 1000) if step >= 2000
                 and config.resets.since((step - 2000) * ratio) == 0][1:]
    assert resets_at == list(at)
    steps = jnp.array([0, 5000, 10_000, 39_000])
    np.testing.assert_array_equal(
        jnp.round(jax.vmap(config.n_step)(steps)), [10, 5, 3, 3])
    np.testing.assert_allclose(
        jax.vmap(config.discount)(steps),
        [0.97, 1. - 0.03 * 0.1**0.5, 0.997, 0.997], rtol=1e-6)
    epsilon = config.acting.epsilon
    np.testing.assert_allclose(
        [epsilon(jnp.int32(t)) for t in (0, 2000, 4001, 9999)],
        [1., 1., 0., 0.])
  for preset in presets.names('bbf'):  # All of them are plain data.
    config = presets.make('bbf', preset)
    data = configs.to_json(config)
    assert configs.from_json(agents.BBFConfig, data) == config


def test_gradients_of_self_prediction_reach_the_online_network_alone():
  agent = _vectors()
  params = jax.jit(agent.init)(jax.random.key(0)).params
  loss = dataclasses.replace(agent.components.loss, loss=Nothing())
  gradients = jax.jit(jax.grad(lambda online, target: loss(
      {'params': online}, {'params': target}, _batch(agent),
      jax.random.key(0), jax.random.key(1))[0], argnums=0))(
          params['params'], params['params'])
  moved = {name: any(np.any(x) for x in jax.tree.leaves(tree))
           for name, tree in gradients.items()}
  assert moved == {
      'torso': True, 'projection': True, 'predictor': True, 'transition': True,
      'advantage': False, 'state_value': False}


def _vectors(**config):
  return agents.BBF(VECTORS, 2, agents.BBFConfig(**{
      **small.SMALL, 'hidden_sizes': (5, 6), **config}))


def _batch(agent, num=4):
  batch = types.Batch(small.batch_of(agent, num))
  length = agent.config.sequence_length
  rng = np.random.default_rng(0)
  shape = agent.observation_spec.shape
  return batch._replace(
      transitions=batch.transitions._replace(observation=jnp.asarray(
          rng.normal(size=(num, *shape)), jnp.float32)),
      sequences=types.Sequences(
          jnp.zeros((num, length), jnp.int32),
          jnp.asarray(rng.normal(size=(num, length, *shape)), jnp.float32),
          jnp.ones((num, length), bool)))


@pytest.mark.slow
@pytest.mark.ci
def test_an_update_is_adamw_of_two_parts_and_a_moving_average():
  agent = _vectors(learning_rate=0.01, weight_decay=0.3)
  learner = jax.jit(agent.init)(jax.random.key(0))
  update = jax.jit(agent.update)
  first, _ = update(learner, _batch(agent))
  second, metrics = update(first, _batch(agent))
  assert np.isfinite(metrics['self_prediction'])
  np.testing.assert_array_equal(  # The average begins at the online network.
      first.target_params['projection']['kernel'],
      learner.params['params']['projection']['kernel'])
  jax.tree.map(
      lambda old, online, new: np.testing.assert_allclose(
          new, old + 0.005 * (online - old), rtol=1e-5, atol=1e-7),
      first.target_params, first.params['params'], second.target_params)
  assert agent.acting_params(second)['params'] is second.target_params
  # Adam's first step is the gradient's sign; kernels decay, biases do not.
  gradients = jax.jit(jax.grad(lambda params: agent.components.loss(
      {'params': params}, {'params': learner.target_params}, _batch(agent),
      jax.random.key(0), jax.random.key(1))[0]))(learner.params['params'])
  by_hand = optax.adamw(0.01, eps=1.5e-4, weight_decay=0.3)
  changes, _ = by_hand.update(
      gradients, by_hand.init(learner.params['params']),
      learner.params['params'])
  for name in ('torso', 'projection', 'predictor', 'advantage'):
    before, after, change = (
        jax.tree.leaves(tree[name])[-1] for tree in (
            learner.params['params'], first.params['params'], changes))
    assert before.ndim == 2
    np.testing.assert_allclose(after - before, change, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(('make', 'message'), [
    (lambda: agents.BBFConfig(support=(-1., 1., 1)),
     'atoms of support must be at least 2, got 1'),
    (lambda: agents.BBFConfig(support=(1., -1., 51)),
     'support must rise, got 1.0 to -1.0'),
    (lambda: agents.BBFConfig(num_jumps=6),
     'num_jumps must be at most sequence_length, 5, got 6'),
    (lambda: agents.BBFConfig(updates_per_period=3),
     'period of resets must be a multiple of updates_per_period, 3, .* 40000'),
    (lambda: _vectors(resets=resets.Periodic(4, keep_of=(('encoder', 0.5),))),
     "keep_of of resets must name .* got 'encoder'; .*projection.*torso"),
    (lambda: _vectors(augmentation=augment.ShiftAndIntensity()),
     r'ShiftAndIntensity.* expects images: .* got observations of .* \(3,\)'),
    (lambda: agents.DQN(
        specs.ObservationSpec((10, 10, 4), 'bool'), 2, agents.DQNConfig(
            torso=networks.MinAtarTorso,
            augmentation=augment.ShiftAndIntensity())),
     'must have channels_last=True, as MinAtarTorso has, got Shift'),
    (lambda: agents.BBF(VECTORS, 2, agents.BBFConfig(hidden_sizes=(16,))),
     r'hidden_sizes must have at least two layers, .* got \(16,\)'),
    (lambda: agents.DQN(CATEGORIES, 2, agents.DQNConfig(
        augmentation=augment.ShiftAndIntensity())),
     'expects images: .* got categories'),
    (lambda: losses.SelfPrediction(
        Nothing(), networks.MLPTorso((4,), VECTORS)),
     'a network with predict, such as networks.SelfPredictiveValue'),
    (lambda: losses.CategoricalTD(HandMade(), index_lib.NoIndex()),
     'a network with logits')])
def test_what_cannot_be_is_refused(unchecked, make, message):
  del unchecked
  with pytest.raises(ValueError, match=message):
    make()


def test_a_batch_without_its_sequences_is_refused():
  agent = _vectors()
  learner = small.start(agent)
  with pytest.raises(ValueError, match='sequence_length, 0, got 5'):
    agent.update(learner, small.batch_of(agent))
  batch = _batch(agent)
  with pytest.raises(ValueError, match='observations of the sequences'):
    agent.update(learner, batch._replace(sequences=batch.sequences._replace(
        observations=batch.sequences.observations[..., :2])))


@pytest.mark.slow
def test_runs_on_images_as_minatar_shows_them():
  spec = specs.ObservationSpec((10, 10, 4), 'bool')
  agent = agents.BBF(spec, 3, presets.make(
      'bbf', 'minatar', hidden_sizes=(8,), batch_size=4))
  learner = jax.jit(agent.init)(jax.random.key(0))
  assert learner.params['params']['projection']['kernel'].shape == (
      2 * 2 * 32, 8)
  batch = types.Batch(small.batch_of(agent), sequences=types.Sequences(
      jnp.zeros((4, 5), jnp.int32), jnp.zeros((4, 5, 10, 10, 4), bool),
      jnp.ones((4, 5), bool)))
  _, metrics = jax.jit(agent.update)(learner, batch)
  assert np.isfinite(metrics['loss']) and metrics['losses'].shape == (4,)
