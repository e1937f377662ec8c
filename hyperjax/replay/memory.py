"""Memory: whether replays fit, asked before they are allocated."""

from typing import Any

import jax
import psutil


def available_bytes(device: jax.Device) -> int | None:
  """Returns the free memory of a device, in bytes; None if it does not say."""
  stats = device.memory_stats()
  if stats and 'bytes_limit' in stats:
    return stats['bytes_limit'] - stats.get('bytes_in_use', 0)
  if device.platform == 'cpu':
    return psutil.virtual_memory().available
  return None


def check_fits(replay: Any, num_replays: int, device: jax.Device):
  """Refuses replays that a device cannot hold, before they are allocated.

  Args:
    replay: of one agent, or its trainer: what has `num_bytes`.
    num_replays: how many the device will hold.
    device: where.

  Raises:
    MemoryError: with the size that was asked for and what is there, in GB.
  """
  needed = num_replays * replay.num_bytes()
  available = available_bytes(device)
  if available is not None and needed > available:
    raise MemoryError(
        f'the replays of {num_replays} agents need {needed / 1e9:.1f} GB, but '
        f'{device} has {available / 1e9:.1f} GB left; lower replay_capacity, '
        f'the number of seeds, or the size of an observation')
