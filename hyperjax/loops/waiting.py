"""Measures how long a loop waits."""

from collections.abc import Iterator
import contextlib
import time


@contextlib.contextmanager
def timed(waited: dict[str, float], side: str) -> Iterator[None]:
  """Adds the seconds that a block takes to those of one side.

  Args:
    waited: seconds by side, changed in place.
    side: key of `waited`.
  """
  start = time.monotonic()
  yield
  waited[side] += time.monotonic() - start
