"""Episodes of environments that step on the host."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hyperjax.environments import vector


class Episode(NamedTuple):
  """An episode that ended.

  Attributes:
    agent: number of its agent, 0..G-1.
    env_steps: number of steps of all environments of that agent until then.
    episode_return: sum of the environment's own rewards.
    length: number of steps.
  """

  agent: int
  env_steps: int
  episode_return: float
  length: int


class EpisodeCounter:
  """Returns and lengths of the current episodes of G agents."""

  def __init__(self, agents: Sequence[int] | np.ndarray, num_envs: int):
    """Begins with no steps.

    Args:
      agents: number of each of the G agents.
      num_envs: N, number of environments per agent.
    """
    self._agents = agents
    self._return = np.zeros((len(agents), num_envs))
    self._length = np.zeros((len(agents), num_envs), int)

  def begin(self, timestep: vector.VectorTimeStep):
    """Begins the episodes of which a time step, [G, N], is the first."""
    going_on = ~timestep.first()
    self._return, self._length = (
        self._return * going_on, self._length * going_on)

  def count(
      self, timestep: vector.VectorTimeStep, env_steps: np.ndarray
  ) -> list[Episode]:
    """Adds a time step, and returns the episodes that it ended.

    Args:
      timestep: time step of every environment, each field [G, N, ...].
      env_steps: number of steps per agent, int [G], updated in place.
    """
    taken = ~timestep.first()
    env_steps += taken.sum(axis=1)
    self._return = np.where(taken, self._return + timestep.score, 0.)
    self._length = np.where(taken, self._length + 1, 0)
    return [
        Episode(int(self._agents[agent]), int(env_steps[agent]),
                float(self._return[agent, env]),
                int(self._length[agent, env]))
        for agent, env in np.argwhere(timestep.last())]


def check_env_steps(env_steps: Any, num_agents: int):
  """Checks numbers of steps that a loop will add to in place.

  Args:
    env_steps: see `HostLoop.run`.
    num_agents: G.

  Raises:
    ValueError: if they are no array of G signed integers of at least 32 bits,
      or the array cannot be written to.
  """
  if not isinstance(env_steps, np.ndarray) or (
      env_steps.shape != (num_agents,)):
    raise ValueError(
        f'env_steps must be an array [{num_agents}], got {env_steps!r}')
  if env_steps.dtype.kind != 'i' or env_steps.dtype.itemsize < 4:
    raise ValueError(
        f'env_steps must be of int32 or int64, got {env_steps.dtype}')
  if not env_steps.flags.writeable:
    raise ValueError('env_steps must be writeable, got a read-only array')


def in_order(
    parts: Sequence[Sequence[Sequence[Episode]]]) -> list[Episode]:
  """Returns the episodes of a chunk in the order of their ends, then agents.

  Args:
    parts: episodes that ended in each step, for each process; in the order of
      agents, each of which belongs to one process.
  """
  return [
      episode for step in zip(*parts, strict=True)
      for episode in sorted(
          (x for part in step for x in part), key=lambda x: x.agent)]
