"""The process of a command, prepared before anything else is loaded.

Only the standard library is imported here, since the rest takes seconds.
"""

import os
import signal
import sys

# Requests to stop, and the exit status of a command that follows one: that of
# an interrupt as shells have it, and EX_TEMPFAIL, at which a scheduler starts
# the command again.
STATUSES = {signal.SIGINT: 130, signal.SIGTERM: 75, signal.SIGHUP: 75}


def handled() -> list[signal.Signals]:
  """Returns the requests that this process is not told to ignore.

  `nohup` ignores SIGHUP, and a shell SIGINT for what it starts in the
  background.
  """
  return [number for number in STATUSES
          if signal.getsignal(number) is not signal.SIG_IGN]


def prepare():
  """Prepares the process of a command that is being loaded.

  A request to stop ends it at once, since nothing is begun; a stream that is
  closed becomes the null device, since files that are opened later would take
  its number, and messages would be written into them.
  """
  for number in handled():
    signal.signal(number, lambda number, _: os._exit(STATUSES[number]))
  for descriptor in range(3):
    try:
      os.fstat(descriptor)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # Takes the lowest number that is free.
  for name, descriptor in (('stdout', 1), ('stderr', 2)):
    if getattr(sys, name) is None:
      setattr(sys, name, open(descriptor, 'w', closefd=False))
