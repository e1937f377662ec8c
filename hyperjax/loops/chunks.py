"""Chunks of a run on the device: how they are cut, and what they must hold."""

from typing import Any

import numpy as np

from hyperjax.environments import base
from hyperjax.loops import base as loops_base


def parts(
    trainer: loops_base.Trainer, done: np.ndarray, num_steps: int, active: Any,
) -> list[tuple[int, bool]]:
  """Returns the parts of a chunk: (steps, whether they are warm-up).

  Args:
    trainer: trainer of the runs.
    done: number of steps of each seed before the chunk, int [S].
    num_steps: number of steps of the chunk.
    active: mask of the seeds that advance, bool [S]; None for all.

  Raises:
    ValueError: see `OnDeviceLoop.run`.
  """
  if active is not None:
    mask = np.asarray(active)
    if mask.shape != done.shape or mask.dtype != bool or not mask.any():
      raise ValueError(
          f'expected active to say of each of {len(done)} seeds whether it '
          f'advances, bool, and at least one to advance, got {active}')
    done = done[mask]
  done = np.unique(done)
  warmup_steps = trainer.warmup_steps
  if done[0] < warmup_steps and len(done) > 1:
    raise ValueError(
        f'expected seeds in their {warmup_steps} warm-up steps to have come '
        f'equally far, got some after {done[0]} and some after {done[-1]}')
  warmup = min(num_steps, max(0, warmup_steps - int(done[0])))
  period = trainer.update_period
  if (num_steps - warmup) % period:
    raise ValueError(
        f'num_steps must be a multiple of the {period} steps between '
        f'updates, got {num_steps - warmup} after the warm-up')
  return [(count, is_warmup) for count, is_warmup in (
      (warmup, True), (num_steps - warmup, False)) if count]


def check_episodes(
    environment: base.Environment, num_envs: int, steps: np.ndarray,
    episodes: np.ndarray,
):
  """Checks that `max_episode_length` steps hold an end of each episode.

  Args:
    environment: environment.
    num_envs: N, number of environments per seed.
    steps: number of steps of each environment, int [S].
    episodes: number of completed episodes of each seed, int [S].

  Raises:
    ValueError: if some have not ended.
  """
  length = environment.max_episode_length
  if np.any(episodes < steps // length * num_envs):
    raise ValueError(
        f'expected every episode to end by max_episode_length of '
        f'{environment}, {length}, got {episodes.min()} episodes in '
        f'{steps.max()} steps of {num_envs} environments')
