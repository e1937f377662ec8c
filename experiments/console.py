"""What the experiments share on the console and the machine."""

import os
import sys
import time

import jax
import tqdm

from hyperjax.loops import host


def use_all_cores():
  """Lets JAX see each CPU core as a device, to spread the seeds over.

  Call it before anything else of JAX, which refuses it afterwards.
  """
  try:
    cores = len(os.sched_getaffinity(0))
  except AttributeError:  # Not on Linux.
    cores = os.cpu_count() or 1
  jax.config.update('jax_num_cpu_devices', cores)


class Progress:
  """A progress bar, or a line now and then where there is no terminal."""

  def __init__(self, title: str, episode: int, num_episodes: int):
    """Begins at an episode; the speed is of what is done from now on."""
    self._updates, self._start = 0, time.monotonic()
    self._bar = tqdm.tqdm(
        total=num_episodes, initial=episode, unit='episode', desc=title,
        file=sys.stderr if sys.stderr.isatty() else _Lines(),
        mininterval=0.5 if sys.stderr.isatty() else 10.)

  def update(self, episodes: int, updates: int, learned: list[bool]):
    """Counts what a chunk did; `updates` is the sum over seeds."""
    self._updates += updates
    rate = self._updates / (time.monotonic() - self._start)
    self._bar.set_postfix_str(
        f'{sum(learned)}/{len(learned)} learned, {rate:.0f} updates/s',
        refresh=False)
    self._bar.update(episodes)

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self._bar.close()


class StepProgress:
  """The same for runs that count environment steps."""

  def __init__(self, title: str, step: int, num_steps: int):
    """Begins at a step of each agent; speeds are of all agents together."""
    self._updates, self._steps, self._start = 0, 0, time.monotonic()
    self._bar = tqdm.tqdm(
        total=num_steps, initial=step, unit='step', desc=title,
        file=sys.stderr if sys.stderr.isatty() else _Lines(),
        mininterval=0.5 if sys.stderr.isatty() else 20.)

  def update(self, steps: int, log: host.HostLog, num_agents: int):
    """Counts what a chunk did."""
    self._updates += log.num_updates * num_agents
    self._steps += steps * num_agents
    seconds = time.monotonic() - self._start
    returns = [episode.episode_return for episode in log.episodes]
    shown = f'return {sum(returns) / len(returns):.1f}, ' if returns else ''
    self._bar.set_postfix_str(
        f'{shown}{self._steps / seconds:.0f} steps/s, '
        f'{self._updates / seconds:.0f} updates/s, waited '
        f'{log.waited_for_environments / log.seconds:.0%} for environments '
        f'{log.waited_for_device / log.seconds:.0%} for the device',
        refresh=False)
    self._bar.update(steps)

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self._bar.close()


class _Lines:
  """Standard error, with each state of a progress bar on its own line."""

  def write(self, text: str):
    text = text.strip('\r\n ')
    if text:
      print(text, file=sys.stderr)

  def flush(self):
    sys.stderr.flush()
