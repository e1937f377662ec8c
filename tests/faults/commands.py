"""Commands as subprocesses, small enough to be started hundreds of times."""

from collections.abc import Callable, Sequence
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parents[2]

_SMALL_DEEP_SEA = (
    '--size', '4', '--num-seeds', '2', '--num-episodes', '240',
    '--evaluate-every', '20', '--hidden-sizes', '8', '--batch-size', '8',
    '--warmup-steps', '40', '--eval-episodes', '5')
# Of what a command does an agent changes little, and DQN compiles soonest.
DEEP_SEA = ('experiments.deep_sea.run', '--agent', 'dqn', *_SMALL_DEEP_SEA)
# What has most to save: priorities, an index for each step, sparse moments.
OPTIMIST = (
    'experiments.deep_sea.run', '--preset', 'optimistic', *_SMALL_DEEP_SEA)
ATARI = (
    'experiments.atari.run', '--preset', 'small_atari', '--torso', 'mlp',
    '--hidden-sizes', '4', '--games', 'Pong,Breakout', '--num-steps', '600',
    '--update-period', '4', '--warmup-steps', '100', '--batch-size', '4',
    '--replay-capacity', '300', '--evaluate-every', '200', '--max-frames',
    '320', '--eval-episodes', '2', '--final-episodes', '2')
BSUITE = (
    'experiments.bsuite.run', '--agent', 'dqn', '--hidden-sizes', '4',
    '--batch-size', '4', '--warmup-steps', '8', '--bsuite-id', 'catch/0',
    '--num-seeds', '2', '--num-episodes', '300')
ALL_CHECKPOINTS = ('--checkpoint-seconds', '0')


class Result(NamedTuple):
  """What a command came to.

  Attributes:
    status: exit status; negative for a signal that killed it.
    out: what it wrote to stdout.
    err: lines that it wrote to stderr, without its progress.
    seconds: from the moment that `hurt` returned, or from its start.
  """

  status: int
  out: str
  err: list[str]
  seconds: float


def variables(cache: Path, **more: str) -> dict[str, str]:
  return {
      **os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONWARNINGS': 'ignore',
      'JAX_COMPILATION_CACHE_DIR': str(cache),
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
      'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '0', **more}


def run(
    command: Sequence[str], cache: Path, *,
    hurt: Callable[[subprocess.Popen], None] | None = None,
    shell: str = '', environment: dict[str, str] | None = None,
    timeout: float = 180.,
) -> Result:
  """Runs a command of this project to its end.

  Args:
    command: a module and its arguments.
    cache: folder of compiled programs, so that only the first one compiles.
    hurt: is called when the command has begun.
    shell: what bash does before it becomes the command, such as `ulimit`, and
      after `COMMAND`, redirections: 'ulimit -v 1000; COMMAND 2>&-'.
    environment: variables besides those of this process.
    timeout: seconds after which the case has failed.
  """
  arguments = [sys.executable, '-m', *command]
  if shell:
    quoted = ' '.join(f"'{word}'" for word in arguments)
    arguments = ['bash', '-c', shell.replace('COMMAND', quoted)]
  process = subprocess.Popen(
      arguments, cwd=ROOT, env=variables(cache, **(environment or {})),
      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
      text=True)
  try:
    if hurt is not None:
      hurt(process)
    start = time.monotonic()
    out, err = process.communicate(timeout=timeout)
  finally:
    process.kill()
  seconds = time.monotonic() - start
  return Result(process.returncode, out, messages(err), seconds)


def messages(err: str) -> list[str]:
  """Returns the lines of stderr without those of progress."""
  return [line for line in err.splitlines()
          if line.strip() and '%|' not in line and '?, ?' not in line]


def signals(
    *numbers: signal.Signals, after: float,
    once: Callable[[], bool] = lambda: True,
) -> Callable[[subprocess.Popen], None]:
  """Returns a `hurt` that sends signals, each so many seconds after the last.

  Args:
    *numbers: the signals.
    after: seconds to wait before each.
    once: is waited for before the first.
  """

  def hurt(process):
    deadline = time.monotonic() + 120.
    while not once() and process.poll() is None:
      assert time.monotonic() < deadline, 'it did not begin'
      time.sleep(0.01)
    for number in numbers:
      time.sleep(after)
      process.send_signal(number)

  return hurt


def grows(path: Path, more: int = 1) -> Callable[[], bool]:
  """Returns whether a file has grown by some bytes since this call."""
  size = lambda: path.stat().st_size if path.exists() else 0
  before = size()
  return lambda: size() >= before + more


def results(folder: Path) -> dict[str, bytes]:
  """Returns all that a DeepSea run came to, but the time that it took."""
  found = {name: (folder / name).read_bytes()
           for name in ('episodes.csv', 'evaluations.csv')}
  found['summary.csv'] = b'\n'.join(
      line.rpartition(b',')[0]
      for line in (folder / 'summary.csv').read_bytes().splitlines())
  for moment in ('before', 'solved', 'after'):
    path = folder / f'posterior_{moment}.npz'
    if path.exists():
      with np.load(path) as data:
        found[moment] = b''.join(
            data[name].tobytes() for name in sorted(data.files))
  return found


def is_one_line(result: Result) -> bool:
  """Returns whether a failed command said why in one line."""
  return len(result.err) == 1 and 'Traceback' not in result.err[0]
