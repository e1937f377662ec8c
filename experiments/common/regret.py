"""Tables of regret: rows of agents, seeds and times, and what they say.

A time is a number of episodes, or of steps of a bandit.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
import time
from typing import Any, NamedTuple

import numpy as np

from . import cli
from . import command
from . import files
from . import intervals
from . import stopping

NAME = 'regret.csv'
FIELDS = ('agent', 'seed', 'time', 'regret')


class Curves(NamedTuple):
  """Cumulative regret of one agent.

  Attributes:
    seeds: seed of each run, [S].
    times: times at which it is known, [P].
    regret: sum until then, [S, P].
  """

  seeds: np.ndarray
  times: np.ndarray
  regret: np.ndarray


class Mean(NamedTuple):
  """A mean over seeds, with its 95% interval by Student's t.

  Attributes:
    mean: the mean, of any shape.
    half: half of the interval's width; 0 for a single seed.
  """

  mean: np.ndarray
  half: np.ndarray


def points(last: int, num_points: int = 40) -> np.ndarray:
  """Returns times evenly on a log scale, at which regret is written, [P]."""
  return np.unique(np.round(np.geomspace(
      min(10, last), last, num_points)).astype(int))


def mean(values: np.ndarray) -> Mean:
  """Returns the mean over seeds of values [S, ...]."""
  half = (intervals.half_width(values) if len(values) > 1 else
          np.zeros(values.shape[1:]))
  return Mean(values.mean(axis=0), half)


def relative(values: np.ndarray, to: np.ndarray) -> Mean:
  """Returns how much values [S] are above others [S], as a share of their mean.

  The interval is that of the differences seed by seed, since seeds may have
  their own MDP.
  """
  found = mean(values - to)
  return Mean(found.mean / to.mean(), found.half / to.mean())


def of_run(
    seeds: np.ndarray, regrets: np.ndarray, num_points: int = 40) -> Curves:
  """Returns the curves of regrets [S, T] at every time, of seeds [S]."""
  times = points(regrets.shape[1], num_points)
  total = np.cumsum(np.asarray(regrets, np.float64), axis=1)
  return Curves(np.asarray(seeds), times, total[:, times - 1])


def read(folder: Path) -> dict[str, Curves]:
  """Returns the curves of each agent in a folder's table; {} without one.

  Raises:
    ValueError: if the table cannot be read.
  """
  path = folder / NAME
  if not path.exists() and not path.with_name(f'{NAME}.gz').exists():
    return {}
  columns = files.read_columns(path, FIELDS)
  curves = {}
  for agent in dict.fromkeys(columns['agent']):
    rows = columns['agent'] == agent
    seeds, times, regret = (
        columns[name][rows].astype(float) for name in FIELDS[1:])
    different, at = np.unique(seeds), np.unique(times)
    if not np.array_equal(seeds, np.repeat(different, len(at))) or (
        not np.array_equal(times, np.tile(at, len(different)))):
      raise ValueError(
          f'{path}: expected the regret of agent {agent} after the same times '
          f'for each of {len(different)} seeds, in order; a row is missing, or '
          f'too many')
    curves[str(agent)] = Curves(
        different.astype(int), at.astype(int),
        regret.reshape(len(different), len(at)))
  return curves


def write(folder: Path, curves: dict[str, Curves]):
  """Writes the table of all agents at once."""
  files.write_csv(folder / NAME, FIELDS, [
      (agent, seed, t, f'{value:.6g}')
      for agent, found in curves.items()
      for seed, row in zip(found.seeds, found.regret, strict=True)
      for t, value in zip(found.times, row, strict=True)])


def late(curves: Curves) -> np.ndarray:
  """Returns the regret per unit of time in the last third of it, [S]."""
  times = np.insert(curves.times, 0, 0)  # When there is no regret yet.
  regret = np.insert(curves.regret, 0, 0., axis=1)
  i = int(np.searchsorted(times, 2 * times[-1] / 3))
  i = min(i, len(times) - 2)
  return (regret[:, -1] - regret[:, i]) / (times[-1] - times[i])


def measure(
    folder: Path, agents: dict[str, Any],
    run: Callable[[Any], Curves],
    summarize: Callable[[dict[str, Curves]], list[tuple]],
    fields: tuple[str, ...], requests: stopping.Requests | None,
) -> dict[str, Curves]:
  """Runs the agents that are not in a folder's table yet.

  After each agent the table and summary.csv are written; the latter has what
  `summarize` says of each agent, and what it took in seconds.

  Args:
    folder: to write to.
    agents: agents by name.
    run: from an agent to its curves.
    summarize: from all curves to rows, one for each agent, whose name is first.
    fields: columns of these rows.
    requests: to stop; None if nobody asks.

  Returns:
    The curves of all agents of the table.

  Raises:
    stopping.Stopped: if a request to stop came.
  """
  curves, path = read(folder), folder / 'summary.csv'
  fields = (*fields, 'seconds')
  seconds = {}
  if path.exists():
    columns = files.read_columns(path, ('agent', 'seconds'))
    seconds = {str(agent): str(x) for agent, x in zip(
        columns['agent'], columns['seconds'], strict=True)}

  def write_summary():
    rows = [(*row, seconds.get(row[0], '')) for row in summarize(curves)]
    files.write_csv(path, fields, rows)
    print(' '.join(map(str, rows[-1])), flush=True)

  if set(curves) != set(seconds):  # After a kill between the two writes.
    write_summary()
  for name, agent in agents.items():
    if name in curves:
      continue
    start = time.monotonic()
    if requests is None:
      curves[name] = run(agent)
    else:
      with requests.interruptible():
        curves[name] = run(agent)
    seconds[name] = f'{time.monotonic() - start:.1f}'
    write(folder, curves)
    write_summary()
  return curves


def main(
    run: Callable[[Any, stopping.Requests], None], settings_class: Any,
    module: str, argv: Sequence[str] | None = None):
  """Runs a command that keeps each agent that is finished.

  Args:
    run: is called with the settings and the requests to stop.
    settings_class: see `cli.parse_plain`.
    module: name of the command's module.
    argv: arguments, those of the process by default.
  """
  with command.running() as requests:
    settings = cli.parse_plain(settings_class, argv, command.name_of(module))
    requests.what_is_kept = lambda: 'agents that are finished are kept'
    run(settings, requests)
