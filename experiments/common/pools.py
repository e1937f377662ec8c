"""Pools for the jobs of a sweep: this machine, or a Dask cluster.

Dask's own commands start the workers of a cluster, for one job at a time each:

  dask scheduler
  dask worker tcp://SCHEDULER:8786 --nthreads 1

or dask-jobqueue does, on SLURM, PBS or LSF. They import what this process
imports and see the same files. A worker that is killed loses its job to another
one.
"""

from collections.abc import Iterator, Sequence
import concurrent.futures
import contextlib
import functools
import logging
import queue
import threading
import uuid

import jax

from . import jobs
from . import machine

# Seconds within which a scheduler must answer, and have a first worker.
TIMEOUT = 30.


def check(workers: int | None, address: str | None):
  """Checks the options of a command; see `opened`.

  Raises:
    ValueError: if both are given or one cannot be.
  """
  if workers is not None and address is not None:
    raise ValueError(
        f'expected either workers or cluster, got {workers} and {address!r}')
  if workers is not None:
    if workers < 1:
      raise ValueError(f'workers must be at least 1, got {workers}')
    machine.places(workers)
  if address is not None:
    _check_address(address)


@contextlib.contextmanager
def opened(
    workers: int | None, address: str | None) -> Iterator[jobs.Pool | None]:
  """Opens the pool that a command asks for, or None for no processes.

  Call it before JAX has looked for devices: with a pool this process takes no
  accelerator, for its workers do.

  Args:
    workers: jobs at a time on this machine; None for another pool.
    address: of a cluster, see `cluster`.

  Raises:
    ValueError: see `local` and `cluster`.
  """
  if workers is None and address is None:
    yield None
    return
  jax.config.update('jax_platforms', 'cpu')
  with (cluster(address) if address is not None else
        local(workers or 1)) as pool:
    yield pool


@contextlib.contextmanager
def local(workers: int) -> Iterator[jobs.Pool]:
  """Opens a pool on this machine.

  Args:
    workers: jobs at a time; each has its part of the CPU cores or, where there
      are any, a GPU of its own.

  Raises:
    ValueError: if there are fewer GPUs than workers.
  """
  places: queue.SimpleQueue[machine.Place] = queue.SimpleQueue()
  for place in machine.places(workers):
    places.put(place)
  stop = threading.Event()

  def run_somewhere(job: jobs.Job):
    place = places.get()
    try:
      jobs.run_job(job, place, stop)
    finally:
      places.put(place)

  executor = concurrent.futures.ThreadPoolExecutor(workers)
  try:
    yield jobs.Pool(executor, run_somewhere, stop)
  finally:
    stop.set()
    executor.shutdown(cancel_futures=True)


def _check_address(address: str):
  kind, _, rest = address.partition(':')
  if kind == 'local':
    if not (rest.isdecimal() and int(rest) >= 1):
      raise ValueError(
          f'cluster must be local:N with a number of workers, or the address '
          f'of a scheduler, such as tcp://10.0.0.1:8786, got {address!r}')
  elif not address.startswith(('tcp://', 'tls://', 'ucx://', 'ws://')):
    raise ValueError(
        f'cluster must be the address of a Dask scheduler, such as '
        f'tcp://10.0.0.1:8786, or local:4, got {address!r}')
  try:
    import distributed  # noqa: F401
  except ImportError:
    raise ValueError(
        f'cluster {address} needs the package distributed; install '
        f'hyperjax[cluster]') from None


@contextlib.contextmanager
def cluster(address: str) -> Iterator[jobs.Pool]:
  """Opens a pool on a cluster.

  Args:
    address: of a scheduler; or local:N, for N workers on this machine that are
      begun here and end with the pool.

  Raises:
    ValueError: for no address, or if no worker answers in time.
  """
  _check_address(address)
  import distributed
  places: Sequence[machine.Place] = ()
  with contextlib.ExitStack() as stack:
    target = address
    if address.startswith('local:'):
      places = machine.places(int(address.partition(':')[2]))
      target = stack.enter_context(distributed.LocalCluster(
          n_workers=len(places), threads_per_worker=1, processes=True,
          dashboard_address=None, silence_logs=logging.CRITICAL))
    try:
      client = stack.enter_context(
          distributed.Client(target, timeout=TIMEOUT))
      client.wait_for_workers(1, timeout=TIMEOUT)
    except (OSError, TimeoutError) as error:
      raise ValueError(
          f'cluster {address} does not answer, or has no worker, within '
          f'{TIMEOUT:.0f} seconds') from error
    stop = distributed.Event(f'hyperjax-stop-{uuid.uuid4()}', client=client)
    # Equal jobs are not one: each is run for what it writes.
    with client.get_executor(pure=False) as executor:
      try:
        yield jobs.Pool(
            executor, functools.partial(
                _run_on_worker, places=places, stop=stop), stop)
      except BaseException:
        stop.set()
        raise


def _run_on_worker(job: jobs.Job, places: Sequence[machine.Place], stop):
  """Runs a job on the worker that this is called on."""
  import distributed
  place = None
  if places:
    place = places[int(distributed.get_worker().name) % len(places)]
  jobs.run_job(job, place, stop)
