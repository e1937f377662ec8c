"""How much a chunk of training holds, so that a request to stop is soon met."""

from collections.abc import Iterator
import contextlib
import time
from typing import Any

CHUNK_SECONDS = 3.


class Pace:
  """Says how much a chunk may hold, from how long the last one took."""

  def __init__(self):
    self._rate: float | None = None
    self._phase: Any = None

  def amount(self, most: int, unit: int = 1, phase: Any = None) -> int:
    """Returns what a chunk should hold: whole units, at least one.

    Args:
      most: what it may hold.
      unit: what is measured; the first chunk of a phase, in which programs are
        compiled, holds one.
      phase: chunks of another phase say nothing of this one's speed.
    """
    if phase != self._phase:
      self._rate, self._phase = None, phase
    wanted = 0 if self._rate is None else int(CHUNK_SECONDS * self._rate)
    return min(most, max(unit, wanted // unit * unit))

  @contextlib.contextmanager
  def timed(self, amount: int) -> Iterator[None]:
    """Notes how long the chunk of this amount takes within."""
    start = time.monotonic()
    yield
    self._rate = amount / max(time.monotonic() - start, 1e-6)
