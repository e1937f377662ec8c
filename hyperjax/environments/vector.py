"""Environments that step on the host, many of one task together.

`hyperjax.loops.host` runs any `VectorEnvironment`. The semantics of steps is
the same for every library of environments:

  * A step after the last one of an episode ignores its action and returns the
    first time step of the next episode, with reward and discount 0.
  * The last time step of an episode has the true terminal observation.
  * The discount is 0 after a termination, and otherwise 1, also after a
    truncation.
"""

import concurrent.futures
import threading
from typing import Any, NamedTuple, Protocol, runtime_checkable

import dm_env
from dm_env import specs
from jaxtyping import Array, Bool
import numpy as np

from hyperjax import checks
from hyperjax.environments import worker


class VectorTimeStep(NamedTuple):
  """One time step of N environments; NumPy arrays, or JAX's on the device.

  Attributes:
    step_type: values of `dm_env.StepType`, int32 [N].
    reward: reward for learning, float32 [N]; 0 at a first step.
    discount: 0 at a first step and where the return ends, else 1; float32 [N].
    observation: observations in the environment's spec, [N, ...].
    score: environment's own reward, for the records, float32 [N].
  """

  step_type: np.ndarray
  reward: np.ndarray
  discount: np.ndarray
  observation: np.ndarray
  score: np.ndarray

  def first(self) -> Bool[Array | np.ndarray, '...']:
    """Returns whether the time steps begin an episode, bool [N]."""
    return self.step_type == int(dm_env.StepType.FIRST)

  def last(self) -> Bool[Array | np.ndarray, '...']:
    """Returns whether the time steps end an episode, bool [N]."""
    return self.step_type == int(dm_env.StepType.LAST)


@runtime_checkable
class VectorEnvironment(Protocol):
  """N environments of one task that step together.

  A step has two halves, so that other work can be done between them: every
  `send` is followed by one `recv`.
  """

  @property
  def name(self) -> str:
    """Name of the task."""
    ...

  @property
  def num_envs(self) -> int:
    """N, number of environments."""
    ...

  @property
  def num_actions(self) -> int:
    """A; the actions are 0..A-1."""
    ...

  def observation_spec(self) -> specs.Array:
    """Returns the spec of one environment's observation."""
    ...

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of one environment's action."""
    ...

  def reset(self) -> VectorTimeStep:
    """Begins the first episodes; every field is [N, ...]."""
    ...

  def send(self, actions: np.ndarray) -> None:
    """Begins a step; actions are int [N]."""
    ...

  def recv(self) -> VectorTimeStep:
    """Waits for the step that `send` began; every field is [N, ...]."""
    ...

  def close(self) -> None:
    """Releases the environments."""
    ...


class StalledError(RuntimeError):
  """An environment did not answer in time, or raised an error.

  Environments step in threads of this process or in their own processes; an
  abort in a thread ends this process.
  """


@runtime_checkable
class Emulators(Protocol):
  """A vector environment of gymnasium whose step has two halves.

  The step after the last one of an episode resets, as in `VectorEnvironment`.
  """

  def reset(self) -> tuple[Any, dict[str, Any]]:
    """Begins the first episodes; returns observations and `info`."""
    ...

  def send(self, actions: np.ndarray) -> None:
    """Begins a step; actions are int [N]."""
    ...

  def recv(self) -> tuple[Any, ...]:
    """Returns observations, rewards, terminated, truncated and `info`."""
    ...


class VectorBase:
  """Base class of a `VectorEnvironment`, without its observation spec.

  Emulators reset and answer in a thread of their own. So their steps go on
  between `send` and `recv`, and one that hangs can be abandoned.
  """

  def __init__(
      self,
      name: str,
      emulators: Emulators,
      num_envs: int,
      num_actions: int,
      timeout_s: float,
  ):
    """Wraps emulators; call `reset` first.

    Args:
      name: name of the task.
      emulators: emulators of the environments.
      num_envs: N, number of environments.
      num_actions: A.
      timeout_s: seconds after which a step is abandoned.

    Raises:
      ValueError: if a number is out of range.
    """
    self.name = name
    self.num_envs = checks.COUNT('num_envs', num_envs)
    self.num_actions = checks.COUNT('num_actions', num_actions)
    self._emulators: Any = emulators  # None once closed.
    self._timeout_s = check_timeout(timeout_s)
    self._was_last = np.ones(num_envs, bool)
    self._has_begun = False
    self._step: concurrent.futures.Future | None = None
    self._worker = worker.Worker()

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of one environment's action."""
    return specs.DiscreteArray(self.num_actions, name='action')

  def reset(self) -> VectorTimeStep:
    """Begins the first episodes; every field is [N, ...].

    Raises:
      RuntimeError: if the environments are closed.
      StalledError: if an environment died, or did not answer in time.
    """
    self._check_open()
    self._step = None
    observation, info = self._wait(self._worker.begin(self._emulators.reset))
    self._was_last = np.ones(self.num_envs, bool)
    self._has_begun = True
    zeros = np.zeros(self.num_envs, np.float32)
    return self._timestep(observation, zeros, zeros > 0, zeros > 0, info)

  def send(self, actions: np.ndarray):
    """Begins a step, which `recv` completes.

    Args:
      actions: int [N].

    Raises:
      ValueError: if an action is invalid.
      RuntimeError: if the last step has not been received, or the environments
        are closed or were never reset.
      StalledError: if an environment died.
    """
    self._check_open()
    if not self._has_begun:
      raise RuntimeError('expected a call of reset before that of send')
    if self._step is not None:
      raise RuntimeError('expected a call of recv after that of send')
    actions = np.asarray(actions)
    if actions.shape != (self.num_envs,) or actions.dtype.kind not in 'iu':
      raise ValueError(
          f'expected actions of shape ({self.num_envs},) and integers, got '
          f'{actions.shape} of {actions.dtype}')
    if actions.min() < 0 or actions.max() >= self.num_actions:
      raise ValueError(
          f'expected actions of 0..{self.num_actions - 1}, got {actions}')
    try:
      self._emulators.send(actions)
    except Exception as error:
      raise self._died(error) from error
    self._step = self._worker.begin(self._emulators.recv)

  def recv(self) -> VectorTimeStep:
    """Waits for the step that `send` began; every field is [N, ...].

    Raises:
      RuntimeError: if no step was begun, or the environments are closed.
      StalledError: if an environment died, or did not answer in time.
    """
    self._check_open()
    if self._step is None:
      raise RuntimeError('expected a call of send before that of recv')
    step, self._step = self._step, None
    return self._timestep(*self._wait(step))

  def step(self, actions: np.ndarray) -> VectorTimeStep:
    """Calls `send` and `recv`."""
    self.send(actions)
    return self.recv()

  def close(self):
    """Releases the emulators and ends their thread."""
    self._emulators = self._step = None
    self._worker.end()

  def _is_idle(self) -> bool:
    """Waits for the calls that were begun; returns whether they ended."""
    done, _ = concurrent.futures.wait(
        [self._worker.begin(lambda: None)], self._timeout_s)
    return bool(done)

  def _check_open(self):
    if self._emulators is None:
      raise RuntimeError(f'{self.name}: the environments are closed')

  def _wait(self, answer: concurrent.futures.Future) -> Any:
    """Returns the result of a call.

    Raises:
      StalledError: if the call failed, or did not return in time.
    """
    done, _ = concurrent.futures.wait([answer], self._timeout_s)
    if not done:
      raise StalledError(
          f'{self.name}: the environments did not answer for '
          f'{self._timeout_s:.0f} seconds')
    error = answer.exception()
    if error is not None:
      raise self._died(error) from error
    return answer.result()

  def _died(self, error: BaseException) -> StalledError:
    return StalledError(
        f'{self.name}: an environment died: {str(error) or repr(error)}')

  def _timestep(
      self, observation, reward, terminated, truncated, info
  ) -> VectorTimeStep:
    """Converts gymnasium's step to a time step, given the step before."""
    del info  # For subclasses.
    first = self._was_last
    last = (terminated | truncated) & ~first
    self._was_last = last
    score = np.where(first, 0., reward).astype(np.float32)
    step_type = np.where(
        first, int(dm_env.StepType.FIRST),
        np.where(last, int(dm_env.StepType.LAST), int(dm_env.StepType.MID)))
    return VectorTimeStep(
        step_type=step_type.astype(np.int32),
        reward=score,
        discount=np.where(first | terminated, 0., 1.).astype(np.float32),
        observation=observation,
        score=score)


def check_timeout(timeout_s: float) -> float:
  """Returns a number of seconds that a thread may wait.

  Raises:
    ValueError: if it is negative, or longer than a thread can wait.
  """
  return checks.real(0., threading.TIMEOUT_MAX)('timeout_s', timeout_s)
