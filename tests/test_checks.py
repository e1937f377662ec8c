"""Every constructor of the library, with values that it cannot mean."""

import dataclasses
import importlib
import math
import pkgutil
import types as python_types
import typing

from flax import linen as nn
import numpy as np
import pytest

import hyperjax
from hyperjax import acting
from hyperjax import agents
from hyperjax import augment
from hyperjax import bandits
from hyperjax import checks
from hyperjax import data_noise
from hyperjax import index
from hyperjax import losses
from hyperjax import networks
from hyperjax import regularizers
from hyperjax import replay
from hyperjax import resets
from hyperjax import schedules
from hyperjax import specs
from hyperjax import tabular
from hyperjax import targets
from hyperjax import types
from hyperjax.agents import priors
from hyperjax.environments import DeepSea
from hyperjax.environments import base as environments_base
from hyperjax.environments.bsuite import bandit
from hyperjax.environments.bsuite import cartpole
from hyperjax.environments.bsuite import cartpole_swingup
from hyperjax.environments.bsuite import catch
from hyperjax.environments.bsuite import discounting_chain
from hyperjax.environments.bsuite import memory_chain
from hyperjax.environments.bsuite import mnist
from hyperjax.environments.bsuite import mountain_car
from hyperjax.environments.bsuite import task
from hyperjax.environments.bsuite import umbrella_chain
from hyperjax.loops import ReplayTrainer
from hyperjax.loops import StreamTrainer
from hyperjax.loops import base
from hyperjax.tabular import ucbvi

_SPEC = specs.ObservationSpec((3,), 'float32')
_FRAMES = specs.ObservationSpec((4, 36, 36), 'uint8')
_INIT = networks.initializers.xavier
_TORSO = networks.MLPTorso((5,), _SPEC)
_VALUE = networks.AffineValue(_TORSO)
_INDEX = index.Gaussian(3)
_ATOMS = networks.NoisyDuelingValue(_TORSO, 5, 4, 2)
_SELF = networks.SelfPredictiveValue(_TORSO, 4, 2)
_SIZES, _NOISE = tabular.Sizes(3, 2, 4), tabular.gaussian.scaled(4)
_SMALL = dict(hidden_sizes=(4, 4), warmup_steps=8, batch_size=4,
              replay_capacity=50)
_DQN = agents.DQN(_SPEC, 2, agents.DQNConfig(**_SMALL))

_IMAGES = mnist.Images(
    np.zeros((3, 28, 28), np.int8), np.zeros(3, np.int32))
EXAMPLES = [
    acting.Thompson(), acting.EpsilonGreedy(), acting.SampledOptimism(),
    acting.UCB(),
    *(make(**_SMALL) for make in (
        agents.TDConfig, agents.HyperAgentConfig, agents.DQNConfig,
        agents.BootDQNConfig, agents.EnsemblePlusConfig, agents.HyperDQNConfig,
        agents.ENNDQNConfig, agents.AdamLMCDQNConfig, agents.NoisyDQNConfig,
        agents.RainbowConfig, agents.BBFConfig, agents.SANEConfig,
        agents.LangevinAdamConfig)),
    priors.Uniform(), priors.Hypermodel(),
    _DQN, _DQN.components,
    data_noise.Perturbation(), data_noise.RawPerturbation(),
    data_noise.BootstrapMask(),
    index.NoIndex(), index.Gaussian(2), index.Sphere(2), index.Cube(2),
    index.Coordinate(2), index.Sparse(2), index.OneHot(2),
    losses.SampledTD(_VALUE, _INDEX, True),
    losses.ExactTD(_VALUE, _INDEX, True),
    losses.CategoricalTD(_ATOMS, _INDEX),
    losses.SelfPrediction(losses.CategoricalTD(_SELF, _INDEX), _SELF),
    losses.Independent(), losses.Shared(), losses.Members(),
    regularizers.GradientPenalty(
        losses.ExactTD(_VALUE, _INDEX, True), _VALUE, _INDEX, 0.1),
    replay.TransitionReplay(_SPEC, 20, 4),
    replay.StreamReplay(_SPEC, 20, 4, 0.9),
    replay.Uniform(), replay.Mixed(), replay.Prioritized(),
    schedules.Linear(1., 0., 9), schedules.Cosine(1., 0., 9),
    schedules.Geometric(1., 2., 9), schedules.GeometricHorizon(0.1, 0.2, 9),
    schedules.Delayed(schedules.Linear(1., 0., 9), 5),
    augment.ShiftAndIntensity(), resets.Periodic(8), resets.Periodic(8, last=9),
    augment.Augmented(
        losses.ExactTD(_VALUE, _INDEX, True), augment.ShiftAndIntensity()),
    targets.Periodic(), targets.MovingAverage(),
    DeepSea(4), bandit.Bandit(), catch.Catch(), cartpole.Cartpole(),
    cartpole_swingup.CartpoleSwingup(), mountain_car.MountainCar(),
    discounting_chain.DiscountingChain(), memory_chain.MemoryChain(),
    umbrella_chain.UmbrellaChain(), task.Task(bandit.Bandit()),
    _IMAGES, mnist.MNIST(_IMAGES), ReplayTrainer(_DQN), StreamTrainer(_DQN),
    networks.AffineValue(_TORSO), networks.Conv(3, 2),
    networks.ConvTorso((5,), _FRAMES, layers=((3, 4, 2),)),
    networks.NatureTorso((5,), _FRAMES),
    networks.DataEfficientTorso((5,), _FRAMES),
    networks.HyperAgentTorso((5,), _FRAMES),
    networks.SmallHyperAgentTorso((5,), _FRAMES),
    networks.MinAtarTorso((5,), _FRAMES), _ATOMS, _SELF,
    networks.ImpalaTorso((5,), _FRAMES),
    networks.WideImpalaTorso((5,), _FRAMES),
    networks.MinAtarImpalaTorso((5,), _FRAMES), networks.TransitionModel(2),
    networks.EpinetValue(2, 3, _SPEC, (5,)),
    networks.LinearHead(2), networks.HypermodelHead(2, 3, _INIT, _INIT),
    networks.EnsembleHead(3, 2), networks.SeparateNetworks(_TORSO, 3),
    networks.NoisyValue(_TORSO, 5, 4, 2),
    networks.StateAwareNoisyValue(_TORSO, 5, 4, 2),
    networks.FixedPrior(_TORSO), networks.UniformPrior(_TORSO),
    networks.PriorFeatures(_SPEC), networks.FeaturePrior(_TORSO, _TORSO),
    networks.PriorCorrection(2, 3), networks.Dense(3, _INIT), _TORSO,
    networks.LayerNormTorso((5,), _SPEC),
    networks.InputLayer(3, _SPEC, _INIT),
    _SIZES, _NOISE, tabular.PSRL(_SIZES), tabular.RLSVI(_SIZES, _NOISE),
    tabular.BayesUCBVI(_SIZES), tabular.IncrementalBayesUCBVI(_SIZES),
    tabular.QLearning(_SIZES), tabular.LMCLSVI(_SIZES), tabular.UCBVI(_SIZES),
    ucbvi.Hoeffding(), ucbvi.Bernstein(), ucbvi.ChernoffHoeffding(1.),
    bandits.ThompsonSampling(3), bandits.EnsembleSampling(3),
    bandits.LinUCB(3), bandits.LangevinSampling(3),
]
# Abstract, or with fields that the library alone sets.
INTERNAL = {
    'Gymnax',  # In test_gymnax.py, since it needs an extra.
    'TDAgent', 'ImageTorso', 'HostRun', 'Evaluation', 'SeedRun', 'RunMap',
    'SplitRun', 'SplitMap', 'SplitTrainer', 'Table',
    *(f'{agent.__name__}' for agent in vars(agents).values()
      if isinstance(agent, type) and issubclass(agent, agents.TDAgent)
      and agent is not agents.DQN)}

# Fields that accept what others of their kind refuse.
ZERO = {  # The number 0.
    'resample_probability', 'epsilon', 'quantile', 'discount', 'prior_scale',
    'mean_std', 'weight_decay', 'gradient_penalty', 'head_l2', 'noise_scale',
    'adam_factor', 'initial_sigma', 'std', 'probability', 'coefficient',
    'exponent', 'correction', 'temperature', 'recent_fraction',
    'tournament_fraction', 'start', 'end', 'constant', 'inflation', 'alpha',
    'keep', 'intensity', 'weight', 'self_prediction_weight'}
SIGNED = {'start', 'end', 'input_scale'}
MAY_BE_ZERO = {('HypermodelHead', 'index_dim'),
               ('UmbrellaChain', 'num_distractors'),
               ('BBFConfig', 'num_jumps'), ('ShiftAndIntensity', 'pad')}
HUGE = {'capacity', 'replay_capacity'}  # Memory is their limit.
# What errors of `specs` call a field.
WORDS = {'observation_spec': 'observation spec', 'num_actions': 'action'}
DEFAULTS_TO_ANYTHING = {'name', 'parent'}  # Of flax.


def public_dataclasses():
  """All dataclasses of the package whose names have no underscore."""
  for module in pkgutil.walk_packages(hyperjax.__path__, 'hyperjax.'):
    for name, x in vars(importlib.import_module(module.name)).items():
      if (isinstance(x, type) and dataclasses.is_dataclass(x)
          and x.__module__ == module.name and not name.startswith('_')):
        yield x


def kinds_of(owner, field):
  """The types that a field's annotation names: int, float, bool, None, ..."""
  annotation = typing.get_type_hints(type(owner))[field.name]
  if typing.get_origin(annotation) in (typing.Union, python_types.UnionType):
    return set(typing.get_args(annotation))
  return {annotation}


def wrong_values(owner, field):
  """Values that a field cannot mean, by its annotation."""
  kinds, name = kinds_of(owner, field), field.name
  optional = type(None) in kinds
  anything = any(kind not in (int, float, bool, type(None)) for kind in kinds)
  if bool in kinds:
    yield from (0, 1, 0.5, 'False', None, math.nan)
  elif float in kinds:
    yield from (math.nan, math.inf, -math.inf, 1e300, '3', True, [1.])
    if name not in SIGNED:
      yield -1
    if name not in ZERO and 'scale' not in name:
      yield 0
    if name in ('discount', 'quantile', 'probability', 'correction', 'epsilon',
                'resample_probability', 'recent_fraction', 'step_size',
                'tournament_fraction'):
      yield 1.5
    if not optional:
      yield None
  elif int in kinds:
    yield from (math.nan, math.inf, -math.inf, -1, 2.5, 3., True, '3', [1],
                np.float32(2.))
    if (name != 'dim' or not isinstance(owner, index.NoIndex)) and (
        type(owner).__name__, name) not in MAY_BE_ZERO and (
            name != 'sequence_length'):
      yield 0
    if name not in HUGE:
      yield 2**40
    if not optional and not anything:
      yield None
  elif name in ('hidden_sizes', 'prior_sizes'):
    yield from (3, 3., None, '33', (0,), (4, 0), (4, 2.5), (4, True),
                (4, '3'), (4, None), (4, -1), (4, math.nan), (4, 2**40), {4})
  else:
    yield from (3, 'text', math.nan)
    if not optional:
      yield None


CASES = [
    (owner, field.name, value) for owner in EXAMPLES
    for field in dataclasses.fields(owner)
    if field.init and field.name not in DEFAULTS_TO_ANYTHING
    for value in wrong_values(owner, field)]


def remake(owner, **changes):
  if isinstance(owner, nn.Module):
    return owner.clone(**changes)
  return dataclasses.replace(owner, **changes)


def refusal(owner, name, value):
  """The error of a constructor for a wrong value, or None if it took it."""
  try:
    remake(owner, **{name: value})
  except Exception as error:  # pylint: disable=broad-except
    return error
  return None


def test_every_public_dataclass_is_tried():
  tried = {type(x).__name__ for x in EXAMPLES}
  assert {x.__name__ for x in public_dataclasses()} <= tried | INTERNAL


@pytest.mark.usefixtures('unchecked')
@pytest.mark.parametrize('owner', EXAMPLES, ids=lambda x: type(x).__name__)
def test_refuses_what_a_field_cannot_mean_and_names_it(owner):
  remake(owner)
  accepted = []
  for case_owner, name, value in CASES:
    if case_owner is owner:
      error = refusal(owner, name, value)
      word = WORDS.get(name, name)
      if not isinstance(error, ValueError) or word not in str(error):
        accepted.append((name, value, error))
  assert not accepted


class PassesOn:
  """A wrapper that passes on what it does not have, as many do."""

  def __init__(self, wrapped):
    self._wrapped = wrapped

  def __getattr__(self, name):
    return getattr(self._wrapped, name)


def test_a_wrapper_has_the_protocols_of_what_it_wraps():
  """From Python 3.12 on `isinstance` says that it has not."""
  trainer = ReplayTrainer(
      agents.DQN(specs.ObservationSpec((1,), 'float32'), 2))
  environment = task.Task(catch.Catch())
  for value, kind in ((trainer, base.Trainer),
                      (environment, environments_base.LoggedEnvironment),
                      (trainer.agent, types.Agent)):
    assert checks.is_a(value, kind)
    assert checks.is_a(PassesOn(value), kind)
    assert checks.instance(kind)('it', PassesOn(value))
    assert not checks.is_a(PassesOn(object()), kind)
    assert not checks.is_a(type(value), kind)
  # A class is no protocol.
  assert not checks.is_a(PassesOn(trainer), ReplayTrainer)
