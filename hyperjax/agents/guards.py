"""Checks of what an agent's methods are given.

Shapes and dtypes are checked while a program is traced, and cost nothing when
it runs. What only values tell is noted as flags (`hyperjax.faults`).
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt

from hyperjax import arrays
from hyperjax import checks
from hyperjax import faults
from hyperjax import networks
from hyperjax import types
from hyperjax.agents import config as config_lib


def check_config(agent: Any):
  """Checks that a config is of the class of the agent's default config.

  Raises:
    ValueError: if it is another algorithm's.
  """
  name = f'config of {type(agent).__name__}'
  kind = _config_kind(type(agent))
  checks.component(kind)(name, agent.config)
  if type(agent.config) is kind:
    return
  # A config may extend another algorithm's, which knows nothing of its fields.
  *_, root = (c for c in type(agent).__mro__ if dataclasses.is_dataclass(c))
  others = [root]
  for cls in others:
    others += cls.__subclasses__()
    if type(agent.config) is _config_kind(cls):
      raise ValueError(
          f'{name} must be a {kind.__name__}, got that of {cls.__name__}, '
          f'{agent.config}')


def _config_kind(cls: type) -> type:
  """Returns the class of an agent's default config."""
  default, = (field.default for field in dataclasses.fields(cls)
              if field.name == 'config')
  return (config_lib.TDConfig if default is dataclasses.MISSING
          else type(default))


@functools.cache  # It traces the initialisation.
def _shapes(agent: Any) -> tuple[types.LearnerState, types.Params]:
  """Returns the shapes of an agent's first state, and of its acting weights."""

  def init():
    learner = agent.init(jax.random.key(0))
    return learner, agent.acting_params(learner)

  return jax.eval_shape(init)


def check_params(agent: Any, params: types.Params):
  """Checks that weights for acting have the shapes of an agent's.

  Raises:
    ValueError: if they are of another agent, or the mask of the legal actions
      is not bool [A].
  """
  _check(agent, params, _shapes(agent)[1])


def check_learner(agent: Any, learner: types.LearnerState):
  """Checks that a learner's state has the shapes of an agent's.

  Raises:
    ValueError: as `check_params`.
  """
  if not isinstance(learner, types.LearnerState):
    raise ValueError(
        f'expected a LearnerState, got {type(learner).__name__}')
  expected = _shapes(agent)[0]
  _check(agent, learner.params, expected.params)
  for name in ('target_params', 'opt_state', 'steps', 'faults'):
    arrays.check_same_shapes(
        name, getattr(learner, name), getattr(expected, name), _name(agent))


def _name(agent: Any) -> str:
  return (f'{type(agent).__name__} of {agent.num_actions} actions and '
          f'observations of shape {agent.observation_spec.shape}')


def _check(agent, params, expected):
  check_legal(agent, params)
  arrays.check_same_shapes(
      'params', {name: x for name, x in params.items() if name != 'legal'},
      expected, _name(agent))


def check_legal(agent: Any, params: types.Params):
  """Raises ValueError if a mask of the legal actions is not bool [A]."""
  legal = networks.legal_actions(params)
  if legal is not None:
    arrays.check_array(
        'the mask of the legal actions', legal, (agent.num_actions,), bool)


def check_acting(
    agent: Any, policy: Any, actor: types.ActorState, observation: Array,
    is_first: Any,
) -> Bool[Array, ' N']:
  """Returns `is_first`, bool [N], after a check of what an agent acts on.

  Raises:
    ValueError: if the actor's state is another agent's, or the observations or
      `is_first` do not fit it.
  """
  agent.observation_spec.check(observation)
  num_envs = actor.index.shape[:1]
  draws = () if policy.num_indices is None else (policy.num_indices,)
  arrays.check_array('the index of an actor', actor.index,
                     (*num_envs, *draws, agent.index.dim), jnp.float32)
  if jnp.shape(observation)[:1] != num_envs:
    raise ValueError(
        f'expected an observation of each of {num_envs[0]} environments, got '
        f'the shape {jnp.shape(observation)}')
  return arrays.check_array(
      'is_first', jnp.asarray(is_first), num_envs, bool)


def check_batch(
    agent: Any, batch: types.Batch | types.Transition) -> types.Batch:
  """Returns a batch whose fields have one leading axis [B] and their dtypes.

  Raises:
    ValueError: if a shape or the kind of a number does not fit.
  """
  if isinstance(batch, types.Transition):
    batch = types.Batch(batch)
  if not isinstance(batch, types.Batch) or not isinstance(
      batch.transitions, types.Transition):
    raise ValueError(
        f'expected a Batch or a Transition, got {type(batch).__name__}')
  transitions = batch.transitions
  agent.observation_spec.check(transitions.observation)
  agent.observation_spec.check(transitions.next_observation)
  shape = jnp.shape(transitions.observation)[:1]
  if shape == (0,):
    raise ValueError('expected a batch of at least one transition, got none')
  if jnp.shape(transitions.next_observation)[:1] != shape:
    raise ValueError(
        f'expected as many next observations as observations, got '
        f'{jnp.shape(transitions.next_observation)} and '
        f'{jnp.shape(transitions.observation)}')
  checked = {
      name: arrays.check_array(
          f'{name} of a batch', getattr(transitions, name), shape, dtype)
      for name, dtype in (('action', jnp.int32), ('reward', jnp.float32),
                          ('discount', jnp.float32), ('uid', jnp.int32))}
  optional = {
      name: None if x is None else arrays.check_array(
          f'{name} of a batch', x, shape, dtype)
      for name, x, dtype in (('weights', batch.weights, jnp.float32),
                             ('keys', batch.keys, jnp.int32))}
  if batch.sequences is not None:
    _check_sequences(agent, batch.sequences, shape)
  return batch._replace(
      transitions=transitions._replace(**checked), **optional)


def _check_sequences(agent, sequences: types.Sequences, shape):
  """Raises ValueError if sequences do not fit a batch of shape (B,)."""
  if not isinstance(sequences, types.Sequences):
    raise ValueError(
        f'expected Sequences in a batch, got {type(sequences).__name__}')
  steps = (*shape, *jnp.shape(sequences.actions)[1:2])
  for name, dtype in (('actions', jnp.int32), ('exists', bool)):
    arrays.check_array(f'{name} of the sequences of a batch',
                       getattr(sequences, name), steps, dtype)
  spec = agent.observation_spec
  arrays.check_array('observations of the sequences of a batch',
                     sequences.observations, (*steps, *spec.shape), spec.dtype)


def faults_of(
    batch: types.Batch, loss: Float[Array, ''], num_actions: int
) -> UInt[Array, '']:
  """Returns the faults of an update, uint32 [].

  Args:
    batch: batch of the update.
    loss: loss of the update.
    num_actions: A.
  """
  transitions = batch.transitions
  action, discount = transitions.action, transitions.discount
  # One mask per transition, so that there is one reduction.
  masks = faults.where(
      (action < 0) | (action >= num_actions), faults.Fault.ACTION)
  # The comparisons are false for a NaN.
  masks |= faults.where(
      ~((discount >= 0.) & (discount <= 1.)), faults.Fault.DISCOUNT)
  masks |= faults.where(~jnp.isfinite(transitions.reward), faults.Fault.REWARD)
  if batch.weights is not None:
    masks |= faults.where(~jnp.isfinite(batch.weights), faults.Fault.WEIGHT)
  for x in (transitions.observation, transitions.next_observation):
    if jax.dtypes.issubdtype(x.dtype, jnp.floating):
      finite = jnp.all(jnp.isfinite(x), axis=tuple(range(1, x.ndim)))
      masks |= faults.where(~finite, faults.Fault.OBSERVATION)
  found = faults.union(masks) | faults.where(
      ~jnp.isfinite(loss), faults.Fault.LOSS)
  return found if batch.faults is None else found | batch.faults


@functools.cache  # It traces an update.
def names_of_metrics(agent: types.Agent) -> list[str]:
  """Returns the metrics that an agent's update gives."""
  spec, num = agent.observation_spec, agent.config.batch_size

  def metrics(key):
    zeros = lambda dtype, *shape: jnp.zeros((num, *shape), dtype)
    batch = types.Batch(types.Transition(
        observation=zeros(spec.dtype, *spec.shape), action=zeros('int32'),
        reward=zeros('float32'), discount=zeros('float32'),
        next_observation=zeros(spec.dtype, *spec.shape), uid=zeros('int32')))
    length = getattr(agent.config, 'sequence_length', 0)
    if length:
      batch = batch._replace(sequences=types.Sequences(
          zeros('int32', length), zeros(spec.dtype, length, *spec.shape),
          zeros('bool', length)))
    return agent.update(agent.init(key), batch)[1]

  return sorted(jax.eval_shape(metrics, jax.random.key(0)))
