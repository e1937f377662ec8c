"""Signals, errors and output of every command, and its exit status.

Exit statuses:

  0    done
  1    an error, of which one line says what to do
  2    wrong usage: an argument, or settings that cannot be
  75   stopped by SIGTERM or SIGHUP; the same command goes on
  130  stopped by Ctrl-C; the same command goes on
"""

from collections.abc import Iterator
import contextlib
import gc
import logging
import os
import sys
import threading
from typing import NoReturn
import warnings

import jax

from hyperjax import multihost
from hyperjax.environments import vector

from . import settings as settings_lib
from . import stopping

# What a user can mend. Others are faults of this program.
_ERRORS = (ValueError, MemoryError, FloatingPointError, OSError,
           ImportError,  # Of a package that only some commands need.
           vector.StalledError, multihost.ProcessError,
           jax.errors.JaxRuntimeError)


class _Lossy:
  """A stream whose output is lost where it cannot be written."""

  def __init__(self, stream):
    self._stream = stream

  def __getattr__(self, name):
    return getattr(self._stream, name)

  def write(self, text: str) -> int:
    self._try(lambda: self._stream.write(text))
    return len(text)

  def flush(self):
    self._try(self._stream.flush)

  def _try(self, function):
    try:
      function()
    except (OSError, ValueError):
      with contextlib.suppress(OSError, ValueError):
        # Python writes what is left when it ends, and complains if it cannot.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)


def _say(message, *unused, **unused_too):
  """Shows a warning in one line, without the code that gave it."""
  print(f'warning: {" ".join(str(message).split())}', file=sys.stderr)


def fail(error: BaseException | str, status: int = 1) -> NoReturn:
  """Ends the command with an error in one line."""
  text = str(error)
  if isinstance(error, OSError | RuntimeError):  # Of the system, and of XLA.
    text = ' '.join(text.split())[:1000]
  if not text:  # Python has no words for it.
    text = ('the process may use no more memory' if isinstance(
        error, MemoryError) else type(error).__name__)
  print(f'error: {text}', file=sys.stderr)
  sys.exit(status)


@contextlib.contextmanager
def usage() -> Iterator[None]:
  """Ends the command with status 2 at settings that cannot be."""
  try:
    yield
  except (ValueError, TypeError, ImportError) as error:
    fail(error, 2)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Within, other threads write no tracebacks and nothing is logged.

  What a thread of orbax meets, such as a full disk, is raised again where its
  result is waited for, and is one line there.
  """
  disabled = logging.root.manager.disable
  hooks = threading.excepthook, sys.unraisablehook
  logging.disable(logging.CRITICAL)
  threading.excepthook = lambda unused: None
  sys.unraisablehook = lambda unused: None
  try:
    yield
  finally:
    gc.collect()  # Tasks that failed say so when they go.
    threading.excepthook, sys.unraisablehook = hooks
    logging.disable(disabled)


def _fail_together(error: BaseException):
  """Ends a process of a job so that the others, who wait for it, end too."""
  text = str(error)
  if isinstance(error, multihost.ProcessError):
    error = multihost.ProcessError(
        f'{text}; the same command goes on from the newest checkpoint')
  elif any(name in text for name in ('Gloo', 'NCCL', 'coordination')):
    error = RuntimeError(
        'another process of the job has ended; the same command goes on from '
        'the newest checkpoint')
  try:
    fail(error)
  finally:
    sys.stderr.flush()
    os._exit(1)


def join(settings: settings_lib.DistributedSettings):
  """Joins the processes of a job, if the settings say that there are several.

  Args:
    settings: see `settings.DistributedSettings`.
  """
  if not settings.distributed:
    return
  with usage():
    multihost.initialize(
        settings.coordinator, settings.num_processes, settings.process_id)


def let_first_speak():
  """Silences the other processes of a job, but for their errors."""
  if not multihost.is_first():
    sys.stdout = open(os.devnull, 'w')


@contextlib.contextmanager
def running() -> Iterator[stopping.Requests]:
  """Runs a command within: yields its requests to stop.

  Errors that a user can mend end the process with one line, see the module.
  """
  stdout, stderr = sys.stdout, sys.stderr
  sys.stdout, sys.stderr = _Lossy(stdout), _Lossy(stderr)
  try:
    with _quiet(), warnings.catch_warnings(), stopping.Requests() as requests:
      warnings.showwarning = _say
      try:
        yield requests
      except stopping.Stopped as stopped:
        if multihost.is_first():
          print(stopped, file=sys.stderr)
        sys.exit(requests.status)
      except _ERRORS as error:
        if multihost.is_many():
          _fail_together(error)
        fail(error)
  finally:
    sys.stdout.flush()
    sys.stdout, sys.stderr = stdout, stderr


def name_of(module: str) -> str:
  """Returns what a user types to run a command.

  Args:
    module: name of the command's module. Where hyperjax is installed, its
      commands are the package `hyperjax_experiments`, with a program.
  """
  installed = module.removeprefix('hyperjax_experiments.')
  if installed == module:
    return f'python -m {module}'
  return 'hyperjax ' + installed.replace('.', ' ').replace('_', '-')
