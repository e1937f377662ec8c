"""A request to stop, for tests of commands within this process."""

from experiments.common import stopping


class After(stopping.Requests):
  """A request that comes after some chunks."""

  def __init__(self, chunks: int):
    super().__init__()
    self._chunks = chunks

  def check(self):
    """Raises Stopped once all chunks are done."""
    self._chunks -= 1
    if self._chunks < 0:
      raise stopping.Stopped('stopped')
