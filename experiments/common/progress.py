"""Progress of a run on the console."""

import sys
import time

import tqdm

from hyperjax import multihost
from hyperjax.loops import host


class Bar:
  """A progress bar, or a line now and then where there is no terminal.

  Speeds are of what comes after the first chunk, in which the program is
  compiled.
  """

  def __init__(
      self, title: str, unit: str, done: int, total: int, seconds: float):
    """Begins; `seconds` are between two lines."""
    self._updates = 0
    is_terminal = sys.stderr.isatty()
    self._bar = tqdm.tqdm(
        total=total, initial=done, unit=unit, desc=title,
        file=sys.stderr if is_terminal else _Lines(),
        mininterval=0.5 if is_terminal else seconds, postfix='compiling',
        disable=not multihost.is_first())
    self._start: float | None = None  # When the first chunk was done.

  def _updates_per_second(self, updates: int) -> str:
    """Counts updates; returns their speed in words."""
    if self._start is None:
      return 'compiled'
    self._updates += updates
    return f'{self._updates / (time.monotonic() - self._start):.0f} updates/s'

  def _advance(self, count: int, text: str):
    self._bar.set_postfix_str(text, refresh=False)
    self._bar.update(count)
    if self._start is None:
      self._start = time.monotonic()
      # What tqdm takes its speed from.
      self._bar.initial, self._bar.start_t = self._bar.n, time.time()

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self._bar.close()


class Episodes(Bar):
  """Progress of a run that counts episodes."""

  def __init__(self, title: str, episode: int, num_episodes: int):
    """Begins at an episode."""
    super().__init__(title, 'episode', episode, num_episodes, 10.)

  def update(self, episodes: int, updates: int, solved: list[bool]):
    """Counts what a chunk did; `updates` is the sum over seeds."""
    self._advance(
        episodes, f'{sum(solved)}/{len(solved)} solved, '
        f'{self._updates_per_second(updates)}')


class Steps(Bar):
  """Progress of a run that counts environment steps."""

  def __init__(self, title: str, step: int, num_steps: int):
    """Begins at a step of each agent.

    Speeds are of all agents together, while they train: the bar's own counts
    evaluations too.
    """
    super().__init__(title, 'step', step, num_steps, 20.)
    self._steps, self._seconds = 0, 0.

  def update(self, steps: int, log: host.HostLog, num_agents: int):
    """Counts what a chunk did."""
    self._updates += log.num_updates * num_agents
    self._steps += steps * num_agents
    self._seconds += log.seconds
    returns = [episode.episode_return for episode in log.episodes]
    shown = f'return {sum(returns) / len(returns):.1f}, ' if returns else ''
    self._advance(
        steps, f'{shown}{self._steps / self._seconds:.0f} steps/s, '
        f'{self._updates / self._seconds:.0f} updates/s, waited '
        f'{log.waited_for_environments / log.seconds:.0%} for environments '
        f'{log.waited_for_device / log.seconds:.0%} for the device')


class Runs(Bar):
  """Progress of several runs that count their episodes or steps together."""

  def __init__(
      self, title: str, done: int, total: int, runs: int,
      unit: str = 'episode'):
    """Begins after what is done; the counts are sums over runs."""
    super().__init__(title, unit, done, total, 20.)
    self._runs = runs

  def update(self, count: int, updates: int, finished: int):
    """Counts what a chunk did; `updates` is the sum over runs."""
    self._advance(count, f'{finished}/{self._runs} runs finished, '
                  f'{self._updates_per_second(updates)}')


class _Lines:
  """Standard error, with each state of a progress bar on its own line."""

  def write(self, text: str):
    text = text.strip('\r\n ')
    if text:
      print(text, file=sys.stderr)

  def flush(self):
    sys.stderr.flush()
