"""Convolutions as matrix products, and the torsos made of them."""

import functools
import math

from dm_env import specs as dm_specs
from flax import linen as nn
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import networks
from hyperjax import specs

# Programs here run once: optimising them costs more than it gains.
_jit = functools.partial(
    jax.jit, compiler_options={'xla_backend_optimization_level': 0})

_TORSOS = {
    networks.NatureTorso: ((32, 8, 4), (64, 4, 2), (64, 3, 1)),
    networks.DataEfficientTorso: ((32, 5, 5), (64, 5, 5)),
}


class _ReferenceTorso(nn.Module):
  """The same in Flax's own layers, of a batch [B, stack, H, W]."""

  layers: tuple
  hidden_sizes: tuple
  scale_input: bool
  normalise: bool

  @nn.compact
  def __call__(self, observations):
    x = observations.transpose(0, 2, 3, 1).astype(jnp.float32)
    if self.scale_input:
      x = x / 255.
    for features, size, stride in self.layers:
      x = nn.relu(nn.Conv(
          features, (size, size), (stride, stride), padding='VALID')(x))
    x = x.reshape(x.shape[0], -1)
    if self.normalise:
      low = x.min(axis=1, keepdims=True)
      high = x.max(axis=1, keepdims=True)
      x = (x - low) / (high - low + 1e-8)
    for size in self.hidden_sizes:
      x = nn.relu(nn.Dense(size)(x))
    return x


def _spec(*shape) -> specs.ObservationSpec:
  return specs.observation_spec(dm_specs.Array(shape, np.uint8))


def _frames(seed, *shape) -> jax.Array:
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.integers(256, size=shape, dtype=np.uint8))


def _normal(seed, *shape) -> np.ndarray:
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _params(module, x, *leading):
  """Weights and biases of the usual size, drawn without compiling `init`."""
  shapes = jax.eval_shape(module.init, jax.random.key(0), x)
  return jax.tree.map(
      lambda s: (_normal(len(s.shape), *leading, *s.shape)
                 / np.sqrt(np.float32(math.prod(s.shape[:-1])))), shapes)


def _value_and_vjp(apply, out_cotangent, *inputs):
  """The output, and gradients of <out_cotangent, output>."""
  output, vjp = jax.vjp(apply, *inputs)
  return output, vjp(out_cotangent)


def _assert_close(ours, theirs, tolerance=1e-5):
  """Up to rounding errors of the largest number of each array."""
  assert jax.tree.structure(ours) == jax.tree.structure(theirs)
  for (path, x), y in zip(
      jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
    np.testing.assert_allclose(
        x, y, rtol=tolerance, atol=tolerance * np.abs(y).max(),
        err_msg=jax.tree_util.keystr(path))


def _sides():
  """Of image, kernel and stride, along one axis."""
  return st.integers(1, 6).flatmap(lambda kernel: st.tuples(
      st.integers(kernel, 13), st.just(kernel), st.integers(1, 7)))


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(_sides(), _sides(), st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_conv_is_flax_conv(vertical, horizontal, channels, features, use_bias):
  shape, size, strides = zip(vertical, horizontal, strict=True)
  image = _normal(0, *shape, channels)
  ours = networks.Conv(features, size, strides, use_bias=use_bias)
  theirs = nn.Conv(
      features, size, strides, padding='VALID', use_bias=use_bias)
  params = _params(theirs, image)

  @_jit
  def both(params, image, cotangent):
    return [_value_and_vjp(conv.apply, cotangent, params, image)
            for conv in (ours, theirs)]

  cotangent = _normal(
      1, *jax.eval_shape(theirs.apply, params, image).shape)
  _assert_close(*both(params, image, cotangent))


def test_initial_params_are_those_of_flax_conv():
  init = nn.initializers.xavier_normal()
  image = _frames(0, 6, 7, 2)
  ours = networks.Conv(4, (3, 2), kernel_init=init)
  theirs = nn.Conv(4, (3, 2), padding='VALID', kernel_init=init)
  _assert_close(ours.init(jax.random.key(0), image),
                theirs.init(jax.random.key(0), image), 0.)


def test_conv_of_agents_and_examples():
  """Each agent has its own kernel and its own batch."""
  images = _normal(0, 3, 2, 12, 11, 4)  # [agents, B, H, W, C]
  ours = networks.Conv(5, 4, 2)
  theirs = nn.Conv(5, (4, 4), (2, 2), padding='VALID')
  params = _params(ours, images[0, 0], 3)
  cotangent = _normal(1, 3, 2, 5, 4, 5)

  def mapped(params, images):
    return jax.vmap(lambda p, batch: jax.vmap(
        functools.partial(ours.apply, p))(batch))(params, images)

  def one_by_one(params, images):
    return jnp.stack([
        theirs.apply(jax.tree.map(lambda x, i=i: x[i], params), images[i])
        for i in range(3)])

  _assert_close(
      _jit(functools.partial(_value_and_vjp, mapped))(
          cotangent, params, images),
      _jit(functools.partial(_value_and_vjp, one_by_one))(
          cotangent, params, images))


def test_conv_scales_its_input():
  image = _frames(0, 9, 9, 2)
  conv = networks.Conv(3, 3, 2)
  params = _params(conv, image)
  _assert_close(
      conv.clone(input_scale=0.1).apply(params, image),
      conv.apply(params, jnp.float32(0.1) * image))


@pytest.mark.parametrize('shape', [(7, 8, 1), (8, 7, 1)])
def test_kernel_larger_than_the_image(shape):
  with pytest.raises(ValueError, match=rf'\(8, 8\).*\({shape[0]}, {shape[1]}'):
    _params(networks.Conv(1, 8), jnp.zeros(shape))


@pytest.mark.parametrize('make, shape, scale_input, normalise', [
    (networks.NatureTorso, (4, 84, 84), False, True),
    (networks.NatureTorso, (3, 40, 53), True, False),
    (networks.DataEfficientTorso, (4, 84, 84), True, False),
    (networks.DataEfficientTorso, (1, 36, 58), False, True)])
def test_torso_is_flax_layers(make, shape, scale_input, normalise):
  ours = make((7, 5), _spec(*shape), scale_input=scale_input,
              normalize=normalise)
  theirs = _ReferenceTorso(_TORSOS[make], (7, 5), scale_input, normalise)
  observations = _frames(0, 2, *shape)
  params = _params(ours, observations[0])

  @_jit
  def both(params, observations, cotangent):
    mapped = jax.vmap(ours.apply, in_axes=(None, 0))
    return [
        _value_and_vjp(
            lambda p, f=apply: f(p, observations), cotangent, params)
        for apply in (mapped, theirs.apply)]

  one, two = both(params, observations, _normal(1, 2, 5))
  assert np.abs(two[0]).max() > 1e-2
  _assert_close(one, two, 1e-4)


@pytest.mark.parametrize('make, num_features', [
    (networks.NatureTorso, 3136), (networks.DataEfficientTorso, 576)])
def test_output_of_the_convolutions(make, num_features):
  torso = make((), _spec(4, 84, 84), normalize=True)
  observation = _frames(0, 4, 84, 84)
  params = _params(torso, observation)
  x = torso.apply(params, observation)
  assert x.shape == (num_features,)
  assert x.min() == 0.
  assert x.max() == pytest.approx(1.)


def test_constant_features_are_normalised_to_zero():
  torso = networks.DataEfficientTorso((), _spec(4, 30, 56), normalize=True)
  observation = _frames(0, 4, 30, 56)
  params = _params(torso, observation)
  last = params['params']['Conv_1']
  last['kernel'][:], last['bias'][:] = 0., 0.7
  x, (gradient,) = _jit(functools.partial(
      _value_and_vjp, lambda p: torso.apply(p, observation)))(
          _normal(0, 128), params)
  np.testing.assert_array_equal(x, np.zeros(128))
  for g in jax.tree.leaves(gradient):
    assert np.isfinite(g).all()


def test_initial_kernels_are_xavier_normal_with_the_receptive_field():
  spec = _spec(4, 84, 84)
  params = _jit(networks.NatureTorso((5,), spec).init)(
      jax.random.key(0), spec.zeros())['params']
  channels = 4
  for i, (features, size, _) in enumerate(_TORSOS[networks.NatureTorso]):
    kernel = params[f'Conv_{i}']['kernel']
    std = math.sqrt(2. / (size**2 * (channels + features)))
    assert np.std(kernel) == pytest.approx(std, rel=0.05)
    channels = features
  for layer in params.values():
    np.testing.assert_array_equal(layer['bias'], 0.)


def test_biases_may_be_uniform_with_the_receptive_field():
  spec = _spec(4, 84, 84)
  params = _jit(networks.NatureTorso(
      (50,), spec, bias_init=networks.initializers.uniform_bias).init)(
          jax.random.key(0), spec.zeros())['params']
  inputs = 4
  for i, (features, size, _) in enumerate(_TORSOS[networks.NatureTorso]):
    bias, bound = params[f'Conv_{i}']['bias'], (size**2 * inputs)**-0.5
    assert np.abs(bias).max() <= bound
    assert np.std(bias) == pytest.approx(bound / math.sqrt(3.), rel=0.25)
    inputs = features
  assert np.any(params['Dense_0']['bias'])


def test_nothing_computes_the_gradient_of_the_observation():
  """Two products of matrices in each layer's backward pass, one in the first.

  And none of it is a convolution for XLA.
  """
  spec = _spec(4, 84, 84)
  torso = networks.NatureTorso((5,), spec)
  params = _params(torso, spec.zeros())
  program = str(jax.make_jaxpr(jax.grad(
      lambda p, s: torso.apply(p, s).sum()))(params, spec.zeros()))
  assert program.count('dot_general[') == 4 + 3 * 2 + 1
  assert 'conv_general_dilated' not in program


def test_equal_settings_are_equal_torsos():
  spec = _spec(4, 84, 84)
  torso = networks.NatureTorso((5,), spec, normalize=True)
  again = networks.NatureTorso((5,), _spec(4, 84, 84), normalize=True)
  assert torso == again
  assert hash(torso) == hash(again)
  assert torso != networks.NatureTorso((5,), spec)
  assert torso != networks.DataEfficientTorso((5,), spec, normalize=True)


@pytest.mark.parametrize('spec', [
    dm_specs.Array((84, 84), np.uint8),
    dm_specs.Array((1, 4, 84, 84), np.uint8), dm_specs.DiscreteArray(5)])
def test_observations_that_are_no_stacks_of_frames(spec):
  spec = specs.observation_spec(spec)
  with pytest.raises(ValueError) as error:
    networks.NatureTorso((5,), spec)
  assert str(spec.shape) in str(error.value)


def test_frames_too_small_for_the_layers():
  spec = _spec(4, 35, 84)
  with pytest.raises(ValueError, match=r'\(3, 3\).*\(2, 9, 64\)'):
    _params(networks.NatureTorso((5,), spec), spec.zeros())


@pytest.mark.parametrize('hidden_size, head, published', [
    (256, functools.partial(networks.HypermodelHead, index_dim=4), 888_736),
    (512, networks.LinearHead, 1_687_206),
    (512, functools.partial(networks.HypermodelHead, index_dim=32, bias=True),
     1_785_702)])
def test_number_of_parameters(hidden_size, head, published):
  """As published for HyperAgent, DQN and HyperDQN with 6 actions."""
  spec = _spec(4, 84, 84)
  inits = {} if head is networks.LinearHead else dict(
      mean_init=networks.initializers.normal(1.),
      factor_init=networks.initializers.factor_xavier)
  body = nn.Sequential((
      networks.NatureTorso((hidden_size,), spec), head(6, **inits)))
  # The prior is as large again, but is not trained.
  network = networks.AffineValue(body, prior=body)
  params = jax.eval_shape(network.init, jax.random.key(0), spec.zeros())
  assert networks.num_parameters(params) == published
