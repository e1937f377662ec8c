"""Checks that replays fit into memory, before they are allocated."""

from typing import Any

import jax
import psutil


def available_bytes(device: jax.Device) -> int | None:
  """Returns the free memory of a device, in bytes; None if unknown."""
  stats = device.memory_stats()
  if stats and 'bytes_limit' in stats:
    return stats['bytes_limit'] - stats.get('bytes_in_use', 0)
  if device.platform == 'cpu':
    return psutil.virtual_memory().available
  return None


def check_fits(replay: Any, num_replays: int, device: jax.Device):
  """Checks that a device can hold replays, before they are allocated.

  Args:
    replay: replay of one agent, or its trainer: any object with `num_bytes`.
    num_replays: number of replays on the device.
    device: device, whose free memory is compared.

  Raises:
    MemoryError: if the replays do not fit; the message has both sizes in GB.
  """
  needed = num_replays * replay.num_bytes()
  available = available_bytes(device)
  if available is not None and needed > available:
    raise MemoryError(
        f'the replays of {num_replays} agents need {needed / 1e9:.1f} GB, but '
        f'{device} has {available / 1e9:.1f} GB left; lower replay_capacity, '
        f'the number of seeds, or the size of an observation')
