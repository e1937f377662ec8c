"""The process of one job; see `jobs`.

It reads the job from its standard input, which stays open: at its end the
worker that waits for the job is gone, and the job stops as at SIGTERM, so that
it can go on elsewhere.
"""

import os
import pickle
import signal
import sys
import threading
import time

from . import command
from . import folder

# Seconds that a job waits for a folder that its predecessor is about to leave.
_PATIENCE = 30.


def _follow():
  """Waits until the standard input ends, then asks this process to stop."""
  while os.read(0, 1):
    pass
  os.kill(os.getpid(), signal.SIGTERM)


def main():
  """Runs the job."""
  with command.running() as requests:
    cores, function, arguments = pickle.load(sys.stdin.buffer)
    if cores:
      os.sched_setaffinity(0, cores)
    threading.Thread(target=_follow, daemon=True).start()
    last = time.monotonic() + _PATIENCE
    while True:
      try:
        function(*arguments, requests=requests)
        return
      except folder.InUseError:
        if time.monotonic() > last:
          raise
      with requests.interruptible():
        time.sleep(1.)


if __name__ == '__main__':
  main()
