"""The points of a sweep as jobs of an executor, each in a process of its own.

  sweep -> executor -> `run_job` on a worker -> `worker`, a process

The executor is one of `concurrent.futures`: threads of this process by default
(each waits for its job's process), or the workers of a Dask cluster. A job
writes a folder, which all machines must see, and returns nothing else. One that
is begun again, since its worker was killed, finds its folder and goes on from
its checkpoint; one that fails leaves the others.
"""

from collections.abc import Callable, Sequence
import concurrent.futures
import contextlib
import os
from pathlib import Path
import pickle
import subprocess
import sys
import time
from typing import Any, NamedTuple, Protocol

import tqdm

from . import machine
from . import stopping

# Seconds between two looks at a job's process, and until all have followed a
# request to stop: each has `stopping.GRACE` to save its run.
_LOOK, _ALL_STOPPED = 0.2, 30.


class Job(NamedTuple):
  """A call that is made in a process of its own.

  Attributes:
    name: of the job, in messages.
    output: its folder; what it prints is in a file beside it, which is removed
      when the job is done.
    function: a function of a module, called with the arguments and `requests`,
      the requests to stop.
    arguments: whatever can be pickled.
  """

  name: str
  output: Path
  function: Callable[..., Any]
  arguments: tuple[Any, ...]

  @property
  def printed(self) -> Path:
    """The file with what the job prints."""
    return self.output.with_name(f'{self.output.name}.out.txt')


class JobError(Exception):
  """A job has failed; the message is its last line, and where more is."""


class Flag(Protocol):
  """A flag that tells jobs to stop, such as `threading.Event`."""

  def is_set(self) -> bool:
    """Returns whether it is set."""
    ...

  def set(self) -> Any:
    """Sets it."""
    ...


class Pool(NamedTuple):
  """An executor, with what it calls for each job; see `pools`.

  Attributes:
    executor: of any kind that calls functions in other threads, processes or
      machines.
    run: function of a job that the executor calls.
    stop: is set to stop the jobs; None if they cannot be told.
  """

  executor: concurrent.futures.Executor
  run: Callable[[Job], None]
  stop: Flag | None = None


def run_job(
    job: Job, place: machine.Place | None = None, stop: Flag | None = None):
  """Runs a job in a process of its own, to its end.

  Args:
    job: to run.
    place: where on this machine; None for all that this process has.
    stop: the process is told to stop when it is set.

  Raises:
    JobError: if the process ends with another status than 0.
  """
  place = place or machine.Place()
  job.printed.parent.mkdir(parents=True, exist_ok=True)
  with open(job.printed, 'wb') as printed:
    process = subprocess.Popen(
        [sys.executable, '-m', f'{__package__}.worker'],
        stdin=subprocess.PIPE, stdout=printed, stderr=subprocess.STDOUT,
        start_new_session=True, env={
            **os.environ, 'PYTHONPATH': os.pathsep.join(sys.path),
            **place.environment()})
  assert process.stdin is not None
  try:
    with contextlib.suppress(BrokenPipeError):  # It has ended already.
      # Left open: its end tells the process that this one is gone.
      pickle.dump((place.cores, job.function, job.arguments), process.stdin)
      process.stdin.flush()
    while process.poll() is None:
      if stop is not None and stop.is_set():
        process.terminate()
        process.wait(_ALL_STOPPED)
      time.sleep(_LOOK)
  finally:
    process.kill()
    process.wait()
    with contextlib.suppress(BrokenPipeError):
      process.stdin.close()
  if process.returncode:
    *_, last = ['no output', *_lines(job.printed)]
    raise JobError(
        f'{last}, exit status {process.returncode} ({job.printed})')
  job.printed.unlink()


def _lines(path: Path) -> list[str]:
  return path.read_text(errors='replace').strip().splitlines()


def run(
    jobs: Sequence[Job], pool: Pool, title: str,
    requests: stopping.Requests | None = None):
  """Runs jobs in a pool; one that fails leaves the others.

  Args:
    jobs: to run.
    pool: where.
    title: of the progress bar.
    requests: to stop; None if nobody asks.

  Raises:
    ValueError: if jobs have failed; the first are named, with their errors.
    stopping.Stopped: if a request to stop came; the jobs are saved then, as far
      as they can be told.
  """
  requests = requests or stopping.Requests()
  if jobs:
    print(f'what a job prints is in a file beside its folder, such as '
          f'{jobs[0].printed}', flush=True)
  futures: dict[concurrent.futures.Future[None], Job] = {}
  failed: list[str] = []
  try:
    with requests.interruptible():
      futures.update((pool.executor.submit(pool.run, job), job) for job in jobs)
      for future in tqdm.tqdm(
          concurrent.futures.as_completed(futures), total=len(futures),
          unit='job', desc=title):
        # Also what a cluster says of a worker that was killed again and again.
        error = future.exception()
        if error is not None:
          failed.append(f'{futures[future].name}: {error}')
  except stopping.Stopped:
    with requests.patient():
      if pool.stop is not None:
        pool.stop.set()
      for future in futures:
        future.cancel()
      concurrent.futures.wait(
          [x for x in futures if not x.cancelled()], _ALL_STOPPED)
    raise
  if failed:
    raise ValueError(
        f'{len(failed)} of {len(jobs)} jobs have failed, the others are '
        f'finished: {"; ".join(failed[:3])}')
