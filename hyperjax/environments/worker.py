"""A thread that makes calls for another, which can abandon them."""

from collections.abc import Callable
import concurrent.futures
import queue
import threading
from typing import Any
import weakref


class Worker:
  """A thread that makes calls sequentially, in the order of `begin`."""

  def __init__(self):
    """Starts the thread."""
    self._calls: queue.SimpleQueue = queue.SimpleQueue()
    # A daemon, so that a call that hangs does not keep the process alive.
    threading.Thread(target=_answer, args=(self._calls,), daemon=True).start()
    self._end = weakref.finalize(self, self._calls.put, None)

  def begin(self, function: Callable[[], Any]) -> concurrent.futures.Future:
    """Queues a call for the thread and returns its future."""
    answer: concurrent.futures.Future = concurrent.futures.Future()
    self._calls.put((function, answer))
    return answer

  def end(self):
    """Ends the thread after the calls that were begun."""
    self._end()


def _answer(calls: queue.SimpleQueue):
  """Makes calls from a queue sequentially until None arrives."""
  while (call := calls.get()) is not None:
    function, answer = call
    try:
      answer.set_result(function())
    except BaseException as error:  # Such as SystemExit, of an environment.
      answer.set_exception(error)
    del call, function, answer  # Else they would be kept until the next call.
