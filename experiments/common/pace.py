"""Chunks of a few seconds, so that a request to stop is soon followed."""

from collections.abc import Iterator
import contextlib
import time

from hyperjax import multihost

CHUNK_SECONDS = 3.


class Pace:
  """Says how much a chunk may hold, from how long the last one took."""

  def __init__(self):
    self._rate: float | None = None
    self._is_warmup: bool | None = None

  def amount(self, most: int, unit: int, warmup: int) -> int:
    """Returns what a chunk should hold: whole units, at least one, or `most`.

    Args:
      most: what it may hold; whole units too, where only these can be run.
      unit: what is measured; the first chunk, in which programs are compiled,
        holds one, and so does the first one after the warm-up.
      warmup: what is left of the warm-up, 0 or less after it. It is faster by
        far, so that a chunk does not go on beyond it, and its speed says
        nothing of what follows.
    """
    if (warmup > 0) != self._is_warmup:
      self._rate, self._is_warmup = None, warmup > 0
    if warmup > 0:
      most = min(most, -(-warmup // unit) * unit)
    # The clocks of the processes of a job differ, and so would their chunks.
    rate = multihost.agree(lambda: self._rate)
    wanted = 0 if rate is None else int(CHUNK_SECONDS * rate)
    return min(most, max(unit, wanted // unit * unit))

  @contextlib.contextmanager
  def timed(self, amount: int) -> Iterator[None]:
    """Notes how long the chunk of this amount takes within."""
    start = time.monotonic()
    yield
    self._rate = amount / max(time.monotonic() - start, 1e-6)
