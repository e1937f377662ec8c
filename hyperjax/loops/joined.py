"""Several vector environments as one, for agents that advance together."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from hyperjax import checks
from hyperjax import specs
from hyperjax.environments import vector


class JoinedEnvironments:
  """Vector environments as one, [G, N], in the order of the environments.

  Attributes:
    environments: list of the joined environments.
    num_actions: number of actions in each agent's environments, int [G].
    observation_spec: common spec of one observation.
  """

  def __init__(
      self, environments: Sequence[vector.VectorEnvironment], num_envs: int):
    """Joins environments.

    Args:
      environments: vector environments of one task each, with N copies per
        agent of the task.
      num_envs: N.

    Raises:
      ValueError: if they are no list, or there is no environment, a number of
        copies is not a multiple of N, or the observations differ.
    """
    environments = check_list(environments)
    if not environments:
      raise ValueError('expected at least one environment, got none')
    checks.COUNT('num_envs', num_envs)
    for environment in environments:
      if environment.num_envs % num_envs:
        raise ValueError(
            f'the environments of {environment.name} must be a multiple of '
            f'{num_envs}, got {environment.num_envs}')
    found = [specs.observation_spec(x.observation_spec())
             for x in environments]
    for environment, spec in zip(environments, found, strict=True):
      if spec[:3] != found[0][:3]:
        raise ValueError(
            f'expected environments of equal observations, got '
            f'{found[0].shape} of {found[0].dtype} in {environments[0].name} '
            f'and {spec.shape} of {spec.dtype} in {environment.name}')
    self.environments = environments
    self.observation_spec = found[0]
    self._shape = (-1, num_envs)
    self._kept: tuple[int, np.ndarray, vector.VectorTimeStep] | None = None
    self._ends = np.cumsum([x.num_envs for x in environments])[:-1]
    self.num_actions = np.concatenate([
        np.full(x.num_envs // num_envs, x.num_actions) for x in environments])

  def arrival(self, step: int) -> tuple[np.ndarray, vector.VectorTimeStep]:
    """Returns actions [G, N] and the time steps that follow on them.

    They are those that were kept after this step; else the environments are
    reset, and the actions are 0.

    Args:
      step: number of steps before.
    """
    kept, self._kept = self._kept, None
    if kept is not None and kept[0] == step:
      return kept[1:]
    timestep = self.reset()
    return np.zeros(timestep.step_type.shape, np.int32), timestep

  def keep(
      self, step: int, actions: np.ndarray, timestep: vector.VectorTimeStep):
    """Keeps what came last, for `arrival` after this step."""
    self._kept = step, actions, timestep

  def forget(self):
    """Lets the next arrival be that of a reset."""
    self._kept = None

  def check_seeds(self, seeds: np.ndarray):
    """Checks that the agents of each environment have different seeds.

    Args:
      seeds: seed of each agent, int [G].

    Raises:
      ValueError: if two agents of one environment have the same seed.
    """
    ends = self._ends // self._shape[1]
    for environment, part in zip(
        self.environments, np.split(seeds, ends), strict=True):
      if len(np.unique(part)) < len(part):
        raise ValueError(
            f'expected different seeds for the agents of {environment.name}, '
            f'got {part.tolist()}')

  def check_copies(self, others: Sequence[vector.VectorEnvironment]):
    """Checks that others are E for each agent of these, task by task.

    Raises:
      ValueError: if they are not.
    """
    found = [x.num_envs for x in others]
    agents = [x.num_envs // self._shape[1] for x in self.environments]
    num, rest = divmod(sum(found), sum(agents))
    if not num or rest or found != [num * x for x in agents]:
      raise ValueError(
          f'expected the same number of environments for each of {agents} '
          f'agents, task by task, got {found}')

  def reset(self) -> vector.VectorTimeStep:
    """Begins the first episodes; every field is [G, N, ...]."""
    return self._join([x.reset() for x in self.environments])

  def send(self, actions: np.ndarray):
    """Begins a step; actions are [G, N]."""
    for environment, part in zip(
        self.environments, np.split(actions.reshape(-1), self._ends),
        strict=True):
      environment.send(part)

  def recv(self) -> vector.VectorTimeStep:
    """Waits for the step; every field is [G, N, ...]."""
    return self._join([x.recv() for x in self.environments])

  def close(self):
    """Closes the environments."""
    for environment in self.environments:
      environment.close()

  def _join(self, timesteps):
    return jax.tree.map(
        lambda *x: np.concatenate(x).reshape(*self._shape, *x[0].shape[1:]),
        *timesteps)


def check_list(environments: Any) -> list[vector.VectorEnvironment]:
  """Returns vector environments as a list.

  Raises:
    ValueError: if they are no sequence of vector environments.
  """
  if not np.iterable(environments):
    raise ValueError(
        f'expected a list of vector environments, got {environments!r}')
  check = checks.instance(vector.VectorEnvironment)
  return [check('environments', x) for x in environments]
