"""Settings of the machine that commands make."""

import ctypes
import os
import pathlib
from typing import NamedTuple

import jax

# Of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def use_all_cores():
  """Lets JAX see each CPU core as a device, to spread the seeds over.

  Call it before anything else of JAX, which refuses it afterwards.

  Raises:
    ValueError: if JAX finds no device, or the environment asks for another
      number of them.
  """
  try:
    cores = len(os.sched_getaffinity(0))
  except AttributeError:  # Not on Linux.
    cores = os.cpu_count() or 1
  flags = os.environ.get('XLA_FLAGS', '')
  if '--xla_force_host_platform_device_count' in flags:
    raise ValueError(
        f'XLA_FLAGS is {flags!r}, but the command makes a device of each CPU '
        f'core itself; expected it without the number of devices')
  try:
    jax.config.update('jax_num_cpu_devices', cores)
    jax.devices()
  except (RuntimeError, AssertionError) as error:  # Some have no words.
    reason = ' '.join(str(error).split()) or 'no platform of these is there'
    raise ValueError(
        f'JAX finds no device, with JAX_PLATFORMS '
        f'{os.environ.get("JAX_PLATFORMS", "")!r}: {reason}') from error


def keep_freed_memory():
  """Keeps what an update has freed for the next one, where there is glibc.

  An update of a Nature torso needs some 50 MB for a moment. glibc gives such
  blocks back to the system, and getting them anew, page by page, is a good part
  of the update's time on a CPU. Blocks above 256 MB are given back still.
  """
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except (AttributeError, OSError, TypeError):  # Another C library.
    return
  mallopt(_M_MMAP_THRESHOLD, 2**28)
  mallopt(_M_TRIM_THRESHOLD, 2**30)


class Place(NamedTuple):
  """A part of a machine, for one process.

  Attributes:
    cores: numbers of its CPU cores; none for all that the process has.
    gpu: of the GPUs the only one that JAX is to see, as CUDA numbers them; None
      for all.
  """

  cores: tuple[int, ...] = ()
  gpu: str | None = None

  def environment(self) -> dict[str, str]:
    """Returns the variables that a process must begin with."""
    return {} if self.gpu is None else {'CUDA_VISIBLE_DEVICES': self.gpu}


def places(workers: int) -> list[Place]:
  """Divides this machine.

  Args:
    workers: number of parts. Cores are shared by turns if there are fewer.

  Raises:
    ValueError: if there are GPUs, but fewer than parts.
  """
  cores = sorted(os.sched_getaffinity(0))
  gpus = _gpus()
  if gpus and workers > len(gpus):
    raise ValueError(
        f'workers must be at most {len(gpus)}, the GPUs of this machine, got '
        f'{workers}')
  return [Place(tuple(cores[i::workers] or [cores[i % len(cores)]]),
                gpus[i] if gpus else None) for i in range(workers)]


def num_places() -> int:
  """Returns into how many places this machine is divided at most."""
  return len(_gpus()) or len(os.sched_getaffinity(0))


def _gpus() -> list[str]:
  """Returns the names of the NVIDIA GPUs that a process sees, without JAX.

  JAX would take their memory.
  """
  if os.environ.get('JAX_PLATFORMS', '') == 'cpu':
    return []
  visible = os.environ.get('CUDA_VISIBLE_DEVICES')
  if visible is not None:
    return [x for x in visible.split(',') if x.strip()]
  folder = pathlib.Path('/proc/driver/nvidia/gpus')
  return [str(i) for i, _ in enumerate(folder.glob('*'))]
