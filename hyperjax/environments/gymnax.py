"""Environments of gymnax in the compiled loop: MinAtar, classic control, more.

  environment = Gymnax('Breakout-MinAtar')
  loop = OnDeviceLoop(agent, environment)
  state = loop.init(seeds, environment.params())

Equal to gymnax's `step_env`, without its automatic reset: the last observation
of an episode is the true one, and the loop resets. A time limit is a truncation
(discount 1), as gymnax's `is_truncated` tells it; what `step_env` calls
terminated has discount 0, also where the limit is reached in the same step.

MinAtar's observations are zeros and ones. Here they are bool, where gymnax has
float32: a replay then takes a quarter of the memory, and networks see the same.
"""

import dataclasses
import difflib
import importlib
import math
from typing import Any

import chex
from dm_env import specs
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int
import numpy as np

from hyperjax import checks
from hyperjax import types
from hyperjax.environments import timesteps

# gymnax is imported on demand, since it is an extra; so its types are Any here.


@dataclasses.dataclass(frozen=True)
class Gymnax:
  """An environment of gymnax with its default parameters; see the module.

  Attributes:
    name: name in `gymnax.registered_envs`, for example 'Breakout-MinAtar'; it
      may have been given to `gymnax.register`.
    max_steps: number of steps after which an episode is truncated; None for
      gymnax's number.

  Raises:
    ValueError: if the name is unknown, the actions are not Discrete, or the
      observations neither Box nor Discrete.
    ImportError: without gymnax 1.0 or later.
  """

  name: str
  max_steps: int | None = None

  def __post_init__(self):
    checks.fields(
        self, name=_check_name, max_steps=checks.optional(checks.COUNT))
    set_field = lambda name, value: object.__setattr__(self, name, value)
    environment, settings = _gymnax().make(self.name)
    if self.max_steps is not None:
      settings = settings.replace(max_steps_in_episode=self.max_steps)
    set_field('_environment', environment)
    set_field('_settings', settings)
    observation, state = jax.eval_shape(self._reset, jax.random.key(0))
    set_field('_observation_spec', _observation_spec(
        self.name, environment.observation_space(settings), observation))
    space = environment.action_space(settings)
    if not _is(space, 'Discrete'):
      raise ValueError(
          f'expected actions of Discrete, got {space} of {self.name}')
    set_field('_num_actions', int(space.n))
    # Of the state after a step, since the first one has Python's numbers.
    step = lambda *args: environment.step_env(*args, settings)[1]
    set_field('_state_types', jax.tree.map(
        lambda x: x.dtype,
        jax.eval_shape(step, jax.random.key(0), state, jnp.int32(0))))

  # Set in __post_init__, and determined by the fields above.
  _environment: Any = dataclasses.field(
      init=False, repr=False, compare=False, hash=False)
  _settings: Any = dataclasses.field(
      init=False, repr=False, compare=False, hash=False)
  _observation_spec: Any = dataclasses.field(
      init=False, repr=False, compare=False, hash=False)
  _num_actions: Any = dataclasses.field(
      init=False, repr=False, compare=False, hash=False)
  _state_types: Any = dataclasses.field(
      init=False, repr=False, compare=False, hash=False)

  @property
  def max_episode_length(self) -> int:
    """Number of steps after which an episode is truncated."""
    return math.ceil(self._settings.max_steps_in_episode)

  def observation_spec(self) -> specs.Array:
    """Returns the spec of one observation."""
    return self._observation_spec

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of one action."""
    return specs.DiscreteArray(self._num_actions, np.int32, 'action')

  def params(self) -> tuple[()]:
    """Returns the parameters: none, since all copies are equal."""
    return ()

  def reset(
      self, params: tuple[()], key: chex.PRNGKey
  ) -> tuple[Any, types.TimeStep]:
    """Begins an episode, by gymnax's `reset_env`."""
    del params
    observation, state = self._reset(key)
    return self._converted(state), timesteps.first(self._observed(observation))

  def step(
      self, params: tuple[()], state: Any, action: Int[Array, ''],
      key: chex.PRNGKey,
  ) -> tuple[Any, types.TimeStep]:
    """Takes one step, by gymnax's `step_env`."""
    del params
    observation, state, reward, terminated, _ = self._environment.step_env(
        key, state, action, self._settings)
    truncated = self._environment.is_truncated(state, self._settings)
    return self._converted(state), timesteps.after_step(
        jnp.reshape(reward, ()), terminated, self._observed(observation),
        truncated)

  def _reset(self, key):
    return self._environment.reset_env(key, self._settings)

  def _observed(self, observation):
    return jnp.asarray(observation, self._observation_spec.dtype)

  def _converted(self, state):
    """Returns a state of the types that every state has."""
    return jax.tree.map(
        lambda x, dtype: jax.lax.convert_element_type(x, dtype), state,
        self._state_types)


def _observation_spec(name: str, space: Any, shape: Any) -> specs.Array:
  """Returns the spec of observations, of the shape that a reset has."""
  if not isinstance(shape, jax.ShapeDtypeStruct) or not _is(
      space, 'Box', 'Discrete'):
    raise ValueError(
        f'expected observations of Box or Discrete, got {space} of {name}')
  if _is(space, 'Discrete') and not shape.shape:
    return specs.DiscreteArray(int(space.n), np.int32, 'observation')
  if name.endswith('-MinAtar'):
    return specs.Array(shape.shape, np.bool_, 'observation')
  low, high = (np.asarray(getattr(space, bound, np.nan), float)
               for bound in ('low', 'high'))
  if np.all(np.isfinite(low)) and np.all(np.isfinite(high)):
    return specs.BoundedArray(
        shape.shape, np.dtype(shape.dtype), low, high, 'observation')
  return specs.Array(shape.shape, np.dtype(shape.dtype), 'observation')


def _is(space: Any, *kinds: str) -> bool:
  """Returns whether a space is of one of some kinds of gymnax's spaces."""
  spaces = _gymnax().environments.spaces
  return isinstance(space, tuple(getattr(spaces, kind) for kind in kinds))


def _check_name(what: str, name: Any) -> str:
  """Returns the name of an environment of gymnax."""
  names = list(_gymnax().registered_envs)
  if name not in names:
    near = difflib.get_close_matches(str(name), names, cutoff=0.4)
    raise ValueError(
        f'{what} must be one of gymnax.registered_envs, near it '
        f'{", ".join(near) or "none"}, got {name!r}')
  return name


def _gymnax() -> Any:
  """Returns the package gymnax.

  Raises:
    ImportError: without gymnax 1.0 or later, which tells truncation from
      termination.
  """
  try:
    # By name, since this module has the same.
    gymnax = importlib.import_module('gymnax')
    gymnax.environments.environment.Environment.is_truncated  # noqa: B018
  except (ImportError, AttributeError) as error:
    raise ImportError(
        "these environments need the package gymnax: pip install "
        "'gymnax>=1.0' six") from error
  return gymnax
