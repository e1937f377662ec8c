"""One job of several processes, on one machine or many.

`initialize` joins the processes; JAX then shows each of them the devices of
all. Every process runs the same program: it makes the same calls, in the same
order, with the same settings. An array that is spread over the devices of all
is whole nowhere: `fetch` brings it to every host. What only one process may do,
such as writing a file, or what may differ between them, such as the clock, is
done by the first, and `agree` tells the others what came of it.

In a job of one process all of this does nothing and costs nothing.

Both loops, `OnDeviceLoop` and `HostLoop`, and `Checkpointer` are such programs.
"""

from collections.abc import Callable
import pickle
from typing import Any, TypeVar

import jax
from jax.experimental import multihost_utils
import numpy as np

T = TypeVar('T')

# Seconds after which processes that are not heard of are taken for dead, and
# the others end.
HEARTBEAT = 20


class ProcessError(RuntimeError):
  """A process of a job cannot go on, so that none can; raised on all of them.

  What they had computed since they last agreed is lost: they may stand at
  different steps, and only an earlier checkpoint is whole.
  """


def initialize(
    coordinator: str | None = None, num_processes: int | None = None,
    process_id: int | None = None):
  """Joins the processes of a job; call it before JAX has looked for devices.

  Args:
    coordinator: address of the first process, host:port. None, as the other
      two, where JAX knows the cluster: SLURM, Open MPI, Kubernetes, Cloud TPU.
    num_processes: of the job.
    process_id: number of this process, 0 for the first.

  Raises:
    ValueError: if only some of these are given or one cannot be, or they are
      missing outside of a cluster that JAX knows.
    RuntimeError: if the others do not answer in five minutes.
  """
  given = (coordinator, num_processes, process_id)
  if any(x is None for x in given) and any(x is not None for x in given):
    raise ValueError(
        f'expected coordinator, num_processes and process_id or none of them, '
        f'got {coordinator!r}, {num_processes} and {process_id}')
  if num_processes is not None and process_id is not None:
    if num_processes < 1 or not 0 <= process_id < num_processes:
      raise ValueError(
          f'process_id must be between 0 and num_processes - 1, got '
          f'{process_id} of {num_processes}')
    host, _, port = str(coordinator).rpartition(':')
    if not host or not port.isdecimal():
      raise ValueError(
          f'coordinator must be host:port, got {coordinator!r}')
  # What asks to stop is agreed on by the program itself.
  jax.config.update('jax_enable_preemption_service', False)
  try:
    jax.distributed.initialize(
        coordinator, num_processes, process_id,
        heartbeat_timeout_seconds=HEARTBEAT)
  except ValueError as error:
    if coordinator is not None:
      raise
    raise ValueError(
        'coordinator, num_processes and process_id are missing, and JAX knows '
        'no cluster here that would name them (SLURM, Open MPI, Kubernetes, '
        f'Cloud TPU): {error}') from error


def is_first() -> bool:
  """Returns whether this process is the first of the job, or the only one."""
  return not is_many() or jax.process_index() == 0


def is_many() -> bool:
  """Returns whether the job has several processes; asks no device."""
  return jax.distributed.is_initialized() and jax.process_count() > 1


def fetch(tree: Any) -> Any:
  """Returns arrays in the memory of every host, whole, as NumPy arrays.

  Args:
    tree: of JAX arrays without PRNG keys; each process calls with the same one.
  """
  if not is_many():
    return jax.device_get(tree)

  def whole(x):
    if not isinstance(x, jax.Array) or x.is_fully_replicated:
      return np.asarray(x)
    if x.is_fully_addressable:
      return jax.device_get(x)
    return multihost_utils.process_allgather(x, tiled=True)

  return jax.tree.map(whole, tree)


def gather(value: Any) -> list[Any]:
  """Returns what each process has called it with, in their order.

  Args:
    value: small, and whatever can be pickled.
  """
  if not is_many():
    return [value]
  data = np.frombuffer(pickle.dumps(value), np.uint8)
  sizes = np.ravel(multihost_utils.process_allgather(np.int32(len(data))))
  # To a power of two: each size is a program of its own.
  padded = np.zeros(1 << int(sizes.max() - 1).bit_length(), np.uint8)
  padded[:len(data)] = data
  rows = multihost_utils.process_allgather(padded)
  return [pickle.loads(row[:size].tobytes())
          for row, size in zip(rows, sizes, strict=True)]


def agree(function: Callable[[], T]) -> T:
  """Calls a function on the first process alone; returns its result on all.

  Args:
    function: its result must be small, and such that it can be pickled.

  Raises:
    Exception: what the function raises, on all processes.
  """
  if not is_many():
    return function()
  result, error = None, None
  if is_first():
    try:
      result = function()
    except Exception as caught:  # Raised below, by all.
      error = caught
  result, error = gather((result, error))[0]
  if error is not None:
    raise error
  return result  # pyright: ignore[reportReturnType]
