"""Environments of gymnasium: one as a dm_env, many as a vector environment.

The actions must be discrete. One environment, for an acme loop:

  environment = DmEnv(gymnasium.make('CartPole-v1'), seed=0)

Many for `hyperjax.loops.HostLoop`, for instance with four processes that step:

  environments = gymnasium.make_vec(
      'CartPole-v1', num_envs=4, vectorization_mode='async',
      vector_kwargs={'context': 'forkserver'})
  environments = Gymnasium(environments, seeds=[0, 1, 2, 3])

Without that context, before Python 3.14, the processes are forked and may hang,
because JAX has started threads.
"""

from collections.abc import Sequence
import contextlib
from typing import Any

import dm_env
from dm_env import specs
import numpy as np

from hyperjax import checks
from hyperjax import spaces
from hyperjax import step_checks
from hyperjax.environments import vector

# gymnasium is imported on demand, since Atari needs this module but not the
# package; so its types are Any here.


class Gymnasium(vector.VectorBase):
  """A `gymnasium.vector.VectorEnv` as a `vector.VectorEnvironment`.

  Observations that do not fit the space raise a ValueError in `reset` or
  `recv`.
  """

  def __init__(
      self,
      environments: Any,
      seeds: int | Sequence[int] | None = None,
      *,
      name: str | None = None,
      timeout_s: float = 60.,
  ):
    """Wraps the environments; call `reset` first.

    Args:
      environments: `gymnasium.vector.VectorEnv` that resets in the step after
        the last one of an episode (`AutoresetMode.NEXT_STEP`), the default of
        `gymnasium.make_vec`, or a wrapper of one. The environments step in a
        thread of their own between `send` and `recv`.
      seeds: seeds of the first reset, one per environment. A single number is
        passed on: SyncVectorEnv and AsyncVectorEnv count up from it, and
        environments of the mode 'vector_entry_point' accept only a single
        number. None for gymnasium's default.
      name: name of the task; by default the name in the environments' spec.
      timeout_s: seconds after which a step is abandoned.

    Raises:
      ValueError: for another mode of resets, actions that are not discrete,
        observations that are not one array, or invalid seeds.
      ImportError: without gymnasium 1.1 or later.
    """
    _check_resets(environments)
    action_space = environments.single_action_space
    if not isinstance(action_space, _gymnasium().spaces.Discrete):
      raise ValueError(
          f'expected a Discrete action space, got {action_space}')
    self._space = environments.single_observation_space
    self._spec = observation_spec(self._space)
    self._environments = environments
    self._failed = False
    self._answer = None
    super().__init__(
        name or _name(environments),
        _Halves(environments, _seeds(seeds, environments.num_envs)),
        environments.num_envs, int(action_space.n), timeout_s)

  def observation_spec(self) -> specs.Array:
    """Returns the spec of one environment's observation."""
    return self._spec

  def close(self):
    """Closes the environments after their step; abandons those that failed."""
    if self._emulators is not None and not self._failed:
      self._failed = not self._is_idle() or any(
          # Of a step that nobody has waited for, such as after Ctrl-C.
          answer is not None and answer.exception() is not None
          for answer in (self._step, self._answer))
    super().close()
    if not self._failed:
      self._environments.close()
    elif hasattr(self._environments.unwrapped, 'processes'):
      with contextlib.suppress(Exception):  # They have failed anyway.
        self._environments.close(terminate=True)

  def _wait(self, answer):
    self._answer = answer
    try:
      return super()._wait(answer)
    except vector.StalledError:
      self._failed = True
      raise

  def _timestep(self, observation, *rest):
    # First, since it notes which episodes have ended.
    timestep = super()._timestep(observation, *rest)
    observation = spaces.convert(
        self._spec, spaces.from_zero(self._space, observation),
        leading=(self.num_envs,))
    # A copy, since environments may reuse the array for the next step.
    return timestep._replace(observation=np.array(observation))


def observation_spec(space: Any) -> specs.Array:
  """Returns the spec of a `gymnasium.Space` of observations.

  Args:
    space: Box, Discrete or MultiBinary. The values of a Discrete space are
      shifted to begin at 0.

  Raises:
    ValueError: if the space is of another kind.
  """
  if isinstance(space, (_gymnasium().spaces.Dict, _gymnasium().spaces.Tuple)):
    raise ValueError(
        f'expected an observation space of Box, Discrete or MultiBinary, got '
        f'{space}')
  return spaces.observation_spec(space)


class DmEnv(dm_env.Environment):
  """A `gymnasium.Env`, one environment, with the interface of dm_env.

  The observations are those of `hyperjax.spaces`: several arrays are one
  vector, and categories begin at 0, as the actions do. A last step has discount
  0 where the environment terminated; where it was truncated, discount 1.
  """

  def __init__(self, environment: Any, seed: int | None = None):
    """Wraps an environment.

    Args:
      environment: `gymnasium.Env` with a Discrete space of actions. Its own
        wrappers limit the time: `gymnasium.make` adds one.
      seed: seed of the first reset, 0..2**63 - 1; later ones go on from there.
        None for gymnasium's default, which is random.

    Raises:
      ValueError: if it is no such environment, a space cannot be mapped, or the
        seed is invalid.
      ImportError: without gymnasium 1.1 or later.
    """
    if not isinstance(environment, _gymnasium().Env):
      raise ValueError(
          f'expected a gymnasium.Env, got {environment!r}; a VectorEnv is for '
          f'hyperjax.environments.gymnasium.Gymnasium')
    self._space = environment.observation_space
    self._nested_spec = spaces.nested_spec(self._space)
    self._spec = spaces.flat_spec(self._nested_spec)
    self._num_actions = spaces.num_actions(environment.action_space)
    self._environment = environment
    self._seed = None if seed is None else checks.integer(0, 2**63 - 1)(
        'seed', seed)
    self._is_over = True

  def reset(self) -> dm_env.TimeStep:
    """Begins an episode.

    Raises:
      ValueError: if the observation does not fit the space.
    """
    observation, _ = self._environment.reset(seed=self._seed)
    self._seed = None
    self._is_over = False
    return dm_env.restart(self._flat(observation))

  def step(self, action: Any) -> dm_env.TimeStep:
    """Takes one step; after the last one of an episode it begins the next.

    Args:
      action: integer, 0..num_actions-1.

    Raises:
      ValueError: if the action is another number, or none, the observation
        does not fit the space, or the reward is no finite number.
    """
    if self._is_over:
      return self.reset()
    action = step_checks.check_action(action, self._num_actions)
    space = self._environment.action_space
    value, reward, terminated, truncated, _ = self._environment.step(
        space.dtype.type(action + space.start))
    self._is_over = bool(terminated or truncated)
    reward, observation = step_checks.check_reward(reward), self._flat(value)
    if terminated:
      return dm_env.termination(reward, observation)
    if truncated:
      return dm_env.truncation(reward, observation, discount=1.)
    return dm_env.transition(reward, observation)

  def observation_spec(self) -> specs.Array:
    """Returns the spec of one observation."""
    return self._spec

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of one action."""
    return specs.DiscreteArray(self._num_actions, np.int32, 'action')

  def _flat(self, observation: Any) -> np.ndarray:
    # A copy, since the environment may reuse the array for the next step.
    return np.array(spaces.flatten(
        self._nested_spec, spaces.from_zero(self._space, observation)))

  def close(self):
    """Closes the environment inside."""
    self._environment.close()


class _Halves:
  """Splits `step` into `send` and `recv`, and seeds the first reset.

  Wrappers of vector environments have only `step`, even if the environment
  inside has both halves.
  """

  def __init__(self, environments: Any, seeds: int | list[int] | None):
    self._environments, self._seeds = environments, seeds
    self._actions = None

  def reset(self):
    answer = self._environments.reset(seed=self._seeds)
    self._seeds = None
    return answer

  def send(self, actions):
    space = self._environments.single_action_space
    self._actions = (actions + space.start).astype(space.dtype)

  def recv(self):
    return self._environments.step(self._actions)


def _gymnasium() -> Any:
  """Returns the package gymnasium.

  Raises:
    ImportError: without gymnasium 1.1 or later, which has modes of resets.
  """
  try:
    import gymnasium
    gymnasium.vector.AutoresetMode  # noqa: B018 Not before gymnasium 1.1.
  except (ImportError, AttributeError) as error:
    raise ImportError(
        'these environments need the package gymnasium: '
        "pip install 'gymnasium>=1.1'") from error
  return gymnasium


def _check_resets(environments: Any):
  """Raises ValueError unless episodes begin in the step after the last one."""
  modes = _gymnasium().vector.AutoresetMode
  mode = getattr(environments, 'metadata', {}).get('autoreset_mode')
  if mode not in (modes.NEXT_STEP, modes.NEXT_STEP.value):
    found = getattr(mode, 'value', mode)
    raise ValueError(
        f'expected a gymnasium.vector.VectorEnv whose autoreset_mode is '
        f'{modes.NEXT_STEP.value}, got {environments} with {found}')


def _seeds(
    seeds: Any, num_envs: int
) -> int | list[int] | None:
  """Returns the seeds as gymnasium's types."""
  if seeds is None:
    return None
  check = checks.integer(0, 2**63 - 1)
  if np.ndim(seeds) == 0:
    return check('a seed', seeds)
  if len(seeds) != num_envs:
    raise ValueError(
        f'expected a seed for each of {num_envs} environments, got '
        f'{len(seeds)}')
  return [check('a seed', seed) for seed in seeds]


def _name(environments: Any) -> str:
  """Returns the name of the task, from the environments' spec if possible."""
  spec = environments.spec
  inner = environments.unwrapped
  if spec is None and getattr(inner, 'envs', None):  # A SyncVectorEnv.
    spec, inner = inner.envs[0].spec, inner.envs[0].unwrapped
  return getattr(spec, 'id', None) or type(inner).__name__
