"""Pools of environments that step on the host, and several of them as one."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import jax
import numpy as np

from hyperjax.environments import envpool


@runtime_checkable
class Pool(Protocol):
  """Environments of one game that step together, as `envpool.Atari` does.

  Attributes:
    game: its name.
    num_envs: how many there are.
    num_actions: of the game.
  """

  game: str
  num_envs: int
  num_actions: int

  def reset(self) -> envpool.AtariTimeStep:
    ...

  def send(self, actions: np.ndarray) -> None:
    ...

  def recv(self) -> envpool.AtariTimeStep:
    ...

  def close(self) -> None:
    ...


class Batch:
  """Pools of environments as one: [G, N] in the order of the pools."""

  def __init__(self, pools: Sequence[Pool], num_envs: int):
    """Joins pools.

    Args:
      pools: each of one game, with N environments for each agent in it.
      num_envs: N.

    Raises:
      ValueError: if the environments of a pool are no multiple of N.
    """
    if not pools:
      raise ValueError('expected at least one pool of environments, got none')
    for pool in pools:
      if pool.num_envs % num_envs:
        raise ValueError(
            f'the environments of {pool.game} must be a multiple of {num_envs},'
            f' got {pool.num_envs}')
    self.pools = list(pools)
    self._shape = (-1, num_envs)
    self._ends = np.cumsum([pool.num_envs for pool in pools])[:-1]
    # One row an agent.
    self.num_actions = np.concatenate([
        np.full(pool.num_envs // num_envs, pool.num_actions)
        for pool in pools])

  def reset(self) -> envpool.AtariTimeStep:
    return self._join([pool.reset() for pool in self.pools])

  def send(self, actions: np.ndarray):
    """Begins a step; actions are [G, N]."""
    for pool, part in zip(
        self.pools, np.split(actions.reshape(-1), self._ends), strict=True):
      pool.send(part)

  def recv(self) -> envpool.AtariTimeStep:
    """Ends it; every field is [G, N, ...]."""
    return self._join([pool.recv() for pool in self.pools])

  def close(self):
    for pool in self.pools:
      pool.close()

  def _join(self, timesteps):
    return jax.tree.map(
        lambda *x: np.concatenate(x).reshape(*self._shape, *x[0].shape[1:]),
        *timesteps)
