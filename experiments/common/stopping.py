"""Requests to stop a command: SIGINT, SIGTERM and SIGHUP.

The first one ends the command in order: what is in flight ends, the run is
saved, and a line says how to go on. What would take longer than `GRACE` is
given up; the last checkpoint is then what is left. The second one ends the
command at once. What a shell or `nohup` has told the process to ignore stays
ignored.
"""

from collections.abc import Callable, Iterator
import contextlib
import os
import select
import signal
import sys
import threading
import time
from typing import NoReturn

from hyperjax import multihost

from .. import process

# Seconds until what is in flight is given up, so that all is over after ten.
GRACE = 8.
# Requests within so many seconds are one: a terminal that closes and its shell
# both send SIGHUP.
_ONE_REQUEST = 0.5


class Stopped(BaseException):
  """The command ends, as a signal asked for.

  No `Exception`, so that nothing that handles errors takes it for one.
  """


class Requests:
  """Handles the requests to stop of this process, within its context.

  Outside of it nothing is handled: a user's own program keeps its handlers.

  Attributes:
    signal: the signal that asked to stop, or None.
    what_is_kept: returns what the last line says of the run.
  """

  def __init__(self):
    self.signal: signal.Signals | None = None
    self.what_is_kept: Callable[[], str] = lambda: 'nothing was begun'
    self._is_interruptible = self._is_patient = False

  def __enter__(self) -> 'Requests':
    self._earlier = {
        number: signal.signal(number, self._handle)
        for number in process.handled()}
    # Python's handlers wait for the main thread, which may be in a compiled
    # program for minutes; this pipe tells the other thread at once.
    self._read, self._write = os.pipe()
    os.set_blocking(self._write, False)
    self._earlier_descriptor = signal.set_wakeup_fd(
        self._write, warn_on_full_buffer=False)
    self._watcher = threading.Thread(target=self._watch, daemon=True)
    self._watcher.start()
    return self

  def __exit__(self, *unused):
    for number, handler in self._earlier.items():
      signal.signal(number, handler)
    signal.set_wakeup_fd(self._earlier_descriptor)
    os.close(self._write)  # Ends the watcher.
    self._watcher.join()
    os.close(self._read)

  @property
  def status(self) -> int:
    """Exit status of a command that was asked to stop."""
    return process.STATUSES[self.signal or signal.SIGTERM]

  def line(self) -> str:
    """Returns what a command that was asked to stop says at its end."""
    name = (self.signal or signal.SIGTERM).name
    return f'stopped by {name}: {self.what_is_kept()}'

  def check(self):
    """Raises Stopped if a request has come, to any process of a job."""
    if multihost.is_many():
      self.signal = next(
          (x for x in multihost.gather(self.signal) if x is not None), None)
    if self.signal is not None:
      raise Stopped(self.line())

  @contextlib.contextmanager
  def interruptible(self) -> Iterator[None]:
    """Within, a request raises Stopped at once; nothing may be half done.

    In a job of several processes it waits for the next `check`, since all have
    to stop at the same point.
    """
    self._is_interruptible = not multihost.is_many()
    try:
      self.check()
      yield
    finally:
      self._is_interruptible = False

  @contextlib.contextmanager
  def patient(self) -> Iterator[None]:
    """Within, nothing is given up: a checkpoint takes what it takes."""
    self._is_patient = True
    try:
      yield
    finally:
      self._is_patient = False

  def _handle(self, number: int, unused_frame):
    self.signal = self.signal or signal.Signals(number)
    if self._is_interruptible:
      self._is_interruptible = False
      raise Stopped(self.line())

  def _watch(self):
    first = None
    while True:
      wait = None if first is None else max(
          first + GRACE - time.monotonic(), 0.1)
      if not select.select([self._read], [], [], wait)[0]:
        if not (self._is_patient or multihost.is_many()):
          self._end()
        continue
      numbers = os.read(self._read, 64)
      if not numbers:
        return
      now = time.monotonic()
      for number in numbers:
        if number not in self._earlier:
          continue
        if first is None:
          first = now
          self.signal = self.signal or signal.Signals(number)
        elif now - first > _ONE_REQUEST:
          self._end()

  def _end(self) -> NoReturn:
    """Ends the process from the other thread."""
    text = f'{self.line()}\n'
    if sys.stderr.isatty():
      text = f'\n{text}'  # A progress bar stands there.
    with contextlib.suppress(OSError):
      os.write(2, text.encode())
    os._exit(self.status)
