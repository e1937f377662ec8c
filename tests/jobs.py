"""Jobs of two processes on this machine."""

from collections.abc import Callable, Sequence
from pathlib import Path
import signal
import socket
import subprocess
import sys
import time

from tests.faults import commands


def free_port() -> int:
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


def begin(
    arguments: Sequence[str], cache: Path,
    of_process: Callable[[str, int], Sequence[str]], **more: str,
) -> list[subprocess.Popen]:
  """Begins two processes of a job; returns them.

  Args:
    arguments: of Python, for both.
    cache: folder of compiled programs.
    of_process: returns further arguments from the address of the first process
      and the number of this one.
    **more: variables of the environment.
  """
  address = f'127.0.0.1:{free_port()}'
  environment = commands.variables(cache, **more)
  return [subprocess.Popen(
      [sys.executable, *arguments, *of_process(address, i)],
      cwd=commands.ROOT, env=environment, stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
          for i in range(2)]


def begin_command(
    arguments: Sequence[str], cache: Path) -> list[subprocess.Popen]:
  """Begins a command of this project as a job; arguments are Python's."""
  return begin(
      [*arguments, '--distributed'], cache,
      lambda address, i: ['--coordinator', address, '--num-processes', '2',
                          '--process-id', str(i)])


def finish(
    processes: Sequence[subprocess.Popen], timeout: float = 240.
) -> tuple[list[int], list[str]]:
  """Returns the statuses of processes and what they wrote to stderr."""
  try:
    err = [x.communicate(timeout=timeout)[1] for x in processes]
  finally:
    for x in processes:
      x.kill()
  return [x.returncode for x in processes], err


def kill_one(
    processes: Sequence[subprocess.Popen], number: int, folder: Path,
) -> list[str]:
  """Kills one of two processes of a run that has just saved itself.

  Asserts that the other ends too, not well, within half a minute.

  Args:
    processes: of the job.
    number: of the one that is killed.
    folder: of the run.

  Returns:
    What they wrote to stderr.
  """
  wait_for_checkpoint(folder)
  processes[number].kill()
  start = time.monotonic()
  statuses, err = finish(processes)
  assert time.monotonic() - start < 30.
  assert statuses[number] == -signal.SIGKILL and statuses[1 - number] not in (
      0, -signal.SIGKILL), err
  return err


def wait_for_checkpoint(folder: Path):
  """Returns at the first one, when almost all of the run is still to come."""
  deadline = time.monotonic() + 200.
  while not any(x.name.isdecimal() for x in folder.glob('checkpoints/*')):
    assert time.monotonic() < deadline, f'{folder} has no checkpoint'
    time.sleep(0.01)
