"""From dm_env specs to the hashable ones."""

import re

import dm_env
from dm_env import specs as dm_specs
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import specs


@pytest.mark.parametrize('spec, expected', [
    (dm_specs.Array((3, 4), np.float32), ((3, 4), 'float32', None)),
    (dm_specs.Array((), np.float32), ((), 'float32', None)),
    (dm_specs.Array((2,), np.float64), ((2,), 'float32', None)),
    (dm_specs.Array((2,), bool), ((2,), 'bool', None)),
    (dm_specs.BoundedArray((4, 8, 1), np.uint8, 0, 255),
     ((4, 8, 1), 'uint8', None, 0., 255.)),
    (dm_specs.BoundedArray((2,), np.float64, [0., -1.], np.inf),
     ((2,), 'float32', None, (0., -1.), np.inf)),
    (dm_specs.BoundedArray((2, 2), np.float32, -1., [[1., 2.], [1., 1.]]),
     ((2, 2), 'float32', None, -1., (1., 2., 1., 1.))),
    (dm_specs.DiscreteArray(7), ((), 'int32', 7)),
], ids=repr)
def test_observation_spec(spec, expected):
  got = specs.observation_spec(spec)
  assert got == specs.ObservationSpec(*expected)
  assert hash(got) == hash(specs.ObservationSpec(*expected))
  assert specs.observation_spec(got) is got


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('dtype', [
    'bool', 'uint8', 'int32', 'int64', 'uint64', 'float16', 'float32',
    'float64'])
def test_zeros_are_of_the_spec(dtype):
  """The dtype said is the one that JAX holds, so replay stores what is said."""
  spec = specs.observation_spec(dm_specs.Array((2, 3), dtype))
  zeros = spec.zeros()
  assert zeros.shape == (2, 3)
  assert zeros.dtype == np.dtype(spec.dtype)
  assert not np.asarray(zeros).any()


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('dtype', ['int32', 'int64'])
def test_zeros_of_a_category_are_of_the_spec(dtype):
  spec = specs.observation_spec(dm_specs.DiscreteArray(7, dtype))
  assert spec.num_values == 7
  assert spec.zeros().dtype == np.dtype(spec.dtype)


@pytest.mark.parametrize('spec', [
    {'position': dm_specs.Array((2,), np.float32)},
    (dm_specs.Array((2,), np.float32),),
    dm_specs.StringArray(()),
    3,
    None,
], ids=repr)
def test_observation_spec_names_the_wrong_kind(spec):
  with pytest.raises(ValueError, match=re.escape(repr(spec))):
    specs.observation_spec(spec)


@pytest.mark.parametrize('spec', [
    dm_specs.Array((0,), np.float32),
    dm_specs.BoundedArray((3, 0), np.float32, 0., 1.),
    specs.ObservationSpec((0,), 'float32'),
], ids=repr)
def test_observation_spec_refuses_no_numbers(spec):
  with pytest.raises(ValueError, match=re.escape(f'{spec.shape}')):
    specs.observation_spec(spec)


@pytest.mark.parametrize('spec, num_inputs', [
    (dm_specs.Array((3, 4), np.float32), 12),
    (dm_specs.Array((), np.float32), 1),
    (dm_specs.DiscreteArray(7), 7),
], ids=repr)
def test_num_inputs(spec, num_inputs):
  assert specs.observation_spec(spec).num_inputs == num_inputs


@pytest.mark.parametrize('spec, expected', [
    (dm_specs.DiscreteArray(5), 5),
    (dm_specs.BoundedArray((), np.int32, 0, 3), 4),
    (5, 5),
    (np.int64(5), 5),
    (1, 1),
])
def test_num_actions(spec, expected):
  got = specs.num_actions(spec)
  assert got == expected
  assert type(got) is int


@pytest.mark.parametrize('spec', [
    dm_specs.BoundedArray((2,), np.float32, -1., 1.),
    dm_specs.BoundedArray((), np.int32, 1, 3),
    dm_specs.BoundedArray((1,), np.int32, 0, 3),
    dm_specs.BoundedArray((), np.float32, 0., 3.),
    dm_specs.Array((), np.int32),
    {'move': dm_specs.DiscreteArray(5)},
    True,
    2.,
    0,
    -1,
], ids=repr)
def test_num_actions_names_the_wrong_kind(spec):
  with pytest.raises(ValueError, match=re.escape(f'got {spec!r}')):
    specs.num_actions(spec)


class _Environment(dm_env.Environment):
  """Has specs and nothing else."""

  def observation_spec(self):
    return dm_specs.Array((3,), np.float64)

  def action_spec(self):
    return dm_specs.DiscreteArray(2)

  def reset(self):
    raise NotImplementedError

  def step(self, action):
    raise NotImplementedError


def test_of_environment():
  assert specs.of_environment(_Environment()) == (
      specs.ObservationSpec((3,), 'float32', None), 2)


@pytest.mark.parametrize('shape, num_leading', [
    ((7, 3, 4), 1), ((1, 3, 4), 1), ((2, 5, 3, 4), 2), ((3, 4), 0)])
def test_check_accepts(shape, num_leading):
  spec = specs.ObservationSpec((3, 4), 'float32', None)
  spec.check(jnp.zeros(shape), num_leading)


@pytest.mark.parametrize('shape, num_leading', [
    ((7, 3, 5), 1), ((7, 12), 1), ((3, 4), 1), ((7, 3, 4), 2), ((), 1),
    ((2, 7, 3, 4), 1)])
def test_check_names_both_shapes(shape, num_leading):
  spec = specs.ObservationSpec((3, 4), 'float32', None)
  with pytest.raises(ValueError) as error:
    spec.check(jnp.zeros(shape), num_leading)
  assert '(3, 4)' in str(error.value)
  assert f'shape {shape}' in str(error.value)


def test_check_wants_categories_as_integers():
  spec = specs.observation_spec(dm_specs.DiscreteArray(9))
  spec.check(jnp.arange(3))
  with pytest.raises(ValueError, match='float32'):
    spec.check(jnp.arange(3.))
  with pytest.raises(ValueError, match=re.escape('(3, 9)')):
    spec.check(jnp.zeros((3, 9), jnp.int32))  # A one-hot vector.


def _spec(shape, dtype) -> specs.ObservationSpec:
  return specs.observation_spec(dm_specs.Array(shape, dtype))


@pytest.mark.parametrize('spec, observation', [
    (_spec((2,), np.float32), [0.5, -1.]),
    (_spec((2,), np.float32), np.array([0.1, 1e-30])),  # Of 64 bits: rounded.
    (_spec((2, 1), np.float32), [[0.5], [1.]]),
    (_spec((), np.float32), 0.25),
    (_spec((2,), np.uint8), [0, 255]),
    (_spec((2,), np.uint8), np.array([0, 255], np.int64)),
    (_spec((2,), np.int64), [2**31 - 1, -2**31]),
    (_spec((2,), np.uint64), [2**32 - 1, 0]),
    (_spec((3,), bool), [True, False, True]),
    (specs.observation_spec(dm_specs.DiscreteArray(5)), 4),
    (specs.observation_spec(dm_specs.DiscreteArray(5)), np.int64(4)),
    (specs.observation_spec(dm_specs.DiscreteArray(5)), 5),  # No category.
    (specs.observation_spec(dm_specs.DiscreteArray(256, np.uint8)), 255),
], ids=repr)
def test_convert(spec, observation):
  converted = spec.convert(observation)
  assert isinstance(converted, np.ndarray)
  assert converted.dtype == np.dtype(spec.dtype)
  assert converted.shape == spec.shape
  np.testing.assert_allclose(converted, observation, rtol=1e-7)


@pytest.mark.parametrize('spec, observation, words', [
    (_spec((), np.uint8), 0.9, 'uint8, got float'),
    (_spec((2,), np.uint8), [7, 300], 'uint8, got int64 with the value 300'),
    (_spec((2,), np.uint8), [-1, 0], 'the value -1'),
    (_spec((), bool), 0.1, 'bool, got float'),
    (_spec((), bool), 1, 'bool, got int'),
    (_spec((), np.int64), 2**40 + 7, f'int32.* the value {2**40 + 7}'),
    (_spec((), np.uint64), 2**40 + 7, f'uint32.* the value {2**40 + 7}'),
    (_spec((), np.int32), 1., 'int32, got float'),
    (_spec((2,), np.float32), [0., np.nan], 'finite observation, got .*nan'),
    (_spec((2,), np.float32), [0., -np.inf], 'finite observation, got .*-inf'),
    (_spec((2,), np.float32), [0., 1e39], r'float32.* the value 1e\+39'),
    (_spec((2,), np.float32), np.array([0., np.nan], np.float32),
     'finite observation, got .*nan'),
    (_spec((2,), np.float32), [0., 1., 2.], r'shape \(2,\).* shape \(3,\)'),
    (_spec((2,), np.float32), [[0., 1.]], r'shape \(2,\).* shape \(1, 2\)'),
    (_spec((2,), np.float32), [], r'shape \(2,\).* shape \(0,\)'),
    (_spec((2,), np.float32), 0.5, r'shape \(2,\).* shape \(\)'),
    (_spec((2,), np.float32), [1, 2], 'float32, got int'),
    (_spec((1,), np.float32), ['a'], 'float32, got'),
    (_spec((), np.int64), 2**80, 'int32, got'),
    (specs.observation_spec(dm_specs.DiscreteArray(5)), 1.,
     r'int32, a category of 0\.\.4, got float'),
    (specs.observation_spec(dm_specs.DiscreteArray(5)), [0, 1, 0, 0, 0],
     r'shape \(\).* shape \(5,\)'),
    (specs.observation_spec(dm_specs.DiscreteArray(5)), 2**40,
     f'the value {2**40}'),
], ids=repr)
def test_convert_refuses_and_says_what(spec, observation, words):
  with pytest.raises(ValueError, match=words):
    spec.convert(observation)


def test_convert_does_not_copy_what_fits():
  observation = np.zeros((3, 4), np.uint8)
  assert _spec((3, 4), np.uint8).convert(observation) is observation
