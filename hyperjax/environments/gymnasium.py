"""Vector environments of gymnasium, with discrete actions, as this library's.

For instance, with four processes that step:

  environments = gymnasium.make_vec(
      'CartPole-v1', num_envs=4, vectorization_mode='async',
      vector_kwargs={'context': 'forkserver'})
  environments = Gymnasium(environments, seeds=[0, 1, 2, 3])

A process that is forked, as they are without that context before Python 3.14,
may hang once JAX has begun its threads.
"""

from collections.abc import Sequence
import contextlib
from typing import Any

from dm_env import specs
import numpy as np

from hyperjax.environments import vector

# gymnasium's types are Any here: the package is imported where it is needed, as
# this module is, too, where only Atari is played.


class Gymnasium(vector.VectorBase):
  """A `gymnasium.vector.VectorEnv` as a `vector.VectorEnvironment`."""

  def __init__(
      self,
      environments: Any,
      seeds: int | Sequence[int] | None = None,
      *,
      name: str | None = None,
      timeout_s: float = 60.,
  ):
    """Takes the environments; `reset` must come first.

    Args:
      environments: a `gymnasium.vector.VectorEnv` that resets in the step after
        the last one of an episode (`AutoresetMode.NEXT_STEP`): what
        `gymnasium.make_vec` makes by default, and wrappers of it. They step in
        a thread of their own between `send` and `recv`.
      seeds: for the first reset, one for each environment. A single number is
        handed on as it is: SyncVectorEnv and AsyncVectorEnv count on from it;
        what `make_vec` makes by 'vector_entry_point' takes nothing else. None
        to leave all of it to gymnasium.
      name: of the task; by default what the environments tell of it.
      timeout_s: seconds after which a step is given up.

    Raises:
      ValueError: for another mode of resets, for actions that are not discrete,
        for observations that are not one array, and for seeds that cannot be.
      ImportError: without gymnasium 1.1 or a later one.
    """
    _check_resets(environments)
    action_space = environments.single_action_space
    if not isinstance(action_space, _gymnasium().spaces.Discrete):
      raise ValueError(
          f'expected a Discrete action space, got {action_space}')
    space = environments.single_observation_space
    self._spec = observation_spec(space)
    self._start = int(getattr(space, 'start', 0))
    self._environments = environments
    self._failed = False
    super().__init__(
        name or _name(environments),
        _Halves(environments, _seeds(seeds, environments.num_envs)),
        environments.num_envs, int(action_space.n), timeout_s)

  def observation_spec(self) -> specs.Array:
    """Of one environment's observation."""
    return self._spec

  def close(self):
    """Closes the environments; what failed is let go of, for it may hang."""
    super().close()
    if not self._failed:
      self._environments.close()
    elif hasattr(self._environments.unwrapped, 'processes'):
      with contextlib.suppress(Exception):  # There is nothing left to save.
        self._environments.close(terminate=True)

  def _wait(self, answer):
    try:
      return super()._wait(answer)
    except vector.StalledError:
      self._failed = True
      raise

  def _timestep(self, observation, *rest):
    if self._start:
      observation = observation - self._start
    # A copy: environments may write the next ones to the same place.
    return super()._timestep(np.array(observation, self._spec.dtype), *rest)


def observation_spec(space: Any) -> specs.Array:
  """The spec of a `gymnasium.Space` for observations.

  Args:
    space: a Box, Discrete or MultiBinary. The spec of a Discrete one has its
      values from 0 on, wherever the space begins.

  Raises:
    ValueError: if it is another one.
  """
  spaces = _gymnasium().spaces
  if isinstance(space, spaces.Discrete):
    return specs.DiscreteArray(int(space.n), np.int32, 'observation')
  if isinstance(space, spaces.MultiBinary):
    return specs.BoundedArray(space.shape, space.dtype, 0, 1, 'observation')
  if not isinstance(space, spaces.Box):
    raise ValueError(
        f'expected an observation space of Box, Discrete or MultiBinary, got '
        f'{space}')
  if space.is_bounded():
    return specs.BoundedArray(
        space.shape, space.dtype, space.low, space.high, 'observation')
  return specs.Array(space.shape, space.dtype, 'observation')


class _Halves:
  """Steps in `recv`; seeds are given at the first reset, as gymnasium has it.

  A wrapper of environments has nothing but `step`, even where what is below
  steps in two halves.
  """

  def __init__(self, environments: Any, seeds: int | list[int] | None):
    self._environments, self._seeds = environments, seeds
    self._actions = None

  def reset(self):
    seeds, self._seeds = self._seeds, None
    return self._environments.reset(seed=seeds)

  def send(self, actions):
    space = self._environments.single_action_space
    self._actions = (actions + space.start).astype(space.dtype)

  def recv(self):
    return self._environments.step(self._actions)


def _gymnasium() -> Any:
  """The package, if there is one with modes of resets."""
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
    seeds: int | Sequence[int] | None, num_envs: int
) -> int | list[int] | None:
  """In the types that gymnasium insists on."""
  if seeds is None:
    return None
  array = np.asarray(seeds)
  if array.ndim and len(array) != num_envs:
    raise ValueError(
        f'expected a seed for each of {num_envs} environments, got '
        f'{len(array)}')
  if np.min(array) < 0:
    raise ValueError(f'a seed must not be negative, got {seeds}')
  return [int(seed) for seed in array] if array.ndim else int(array)


def _name(environments: Any) -> str:
  """What the task is called, as far as the environments tell."""
  spec = environments.spec
  inner = environments.unwrapped
  if spec is None and getattr(inner, 'envs', None):  # A SyncVectorEnv.
    spec, inner = inner.envs[0].spec, inner.envs[0].unwrapped
  return getattr(spec, 'id', None) or type(inner).__name__
