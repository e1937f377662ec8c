"""The time of a compiled loop, kernel by kernel.

  python -m benchmarks.trace --output benchmarks/results

Records HyperAgent's default on DeepSea, many seeds at once, and `paper_atari`
on Atari with JAX's profiler, each for some steps after everything is compiled.
trace.csv has the kernels that take the most time: their number in a step, the
time of one, and their share of the loop's wall time. The row `all` has their
sum; where its share is far below 1, the device waits for the host or for
launches.
"""

from collections.abc import Callable, Sequence
import dataclasses
import gzip
import json
from pathlib import Path
import tempfile
import time
from typing import Any

import jax

from benchmarks import atari
from benchmarks import deep_sea
from experiments.common import files
from experiments.common import folder as folder_lib
from experiments.common import machine as machine_lib
from experiments.common import study

FIELDS = ('what', 'kernel', 'calls_per_step', 'microseconds_per_call',
          'share_of_wall_time')
_OUTER = ('while', 'conditional', 'call')  # Their parts are counted.
KERNELS = 25  # Of each loop; the others are in the row `all`.


@dataclasses.dataclass(frozen=True)
class Settings:
  """Records where the time goes.

  Attributes:
    output: folder of trace.csv.
    what: learner and atari, or one of them.
    size: N of DeepSea.
    num_seeds: of DeepSea.
    num_agents: of Atari.
    num_steps: steps of each environment that are recorded.
  """

  output: Path
  what: tuple[str, ...] = ('learner', 'atari')
  size: int = 50
  num_seeds: int = 256
  num_agents: int = 8
  num_steps: int = 40

  def __post_init__(self):
    for name in self.what:
      if name not in ('learner', 'atari'):
        raise ValueError(f'what must be learner or atari, got {name!r}')
    for name in ('size', 'num_seeds', 'num_agents', 'num_steps'):
      if getattr(self, name) < 1:
        raise ValueError(f'{name} must be at least 1, got '
                         f'{getattr(self, name)}')


def kernels(events: Sequence[dict[str, Any]]) -> dict[str, tuple[int, float]]:
  """Returns calls and total microseconds by kernel, from a trace's events.

  Of accelerators the events of their streams, of CPUs the operations.

  Args:
    events: `traceEvents` of the trace that JAX's profiler writes.
  """
  names = {}
  for event in events:
    if event.get('ph') == 'M' and event['name'] in (
        'process_name', 'thread_name'):
      names[event['name'], event['pid'], event.get('tid', 0)] = (
          event['args']['name'])

  def is_stream(event):
    thread = names.get(('thread_name', event['pid'], event['tid']), '')
    return thread.startswith('Stream')

  complete = [event for event in events if event.get('ph') == 'X']
  chosen = [event for event in complete if is_stream(event)] or [
      event for event in complete if 'hlo_op' in event.get('args', {})
      and not event['name'].startswith(_OUTER)]
  found: dict[str, tuple[int, float]] = {}
  for event in chosen:
    calls, total = found.get(event['name'], (0, 0.))
    found[event['name']] = calls + 1, total + float(event.get('dur', 0.))
  return found


def record(function: Callable[[], Any]) -> tuple[float, dict]:
  """Returns the seconds that a call takes, and its kernels when recorded."""
  start = time.perf_counter()
  jax.block_until_ready(function())
  seconds = time.perf_counter() - start
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      jax.block_until_ready(function())
    path, = Path(folder).rglob('*.trace.json.gz')
    with gzip.open(path, 'rt', encoding='utf-8') as f:
      return seconds, kernels(json.load(f)['traceEvents'])


def _rows(what: str, num_steps: int, seconds: float, found: dict) -> list:
  calls = sum(x for x, _ in found.values())
  total = sum(x for _, x in found.values())
  largest = sorted(found.items(), key=lambda x: -x[1][1])[:KERNELS]
  return [
      (what, name, f'{number / num_steps:.4g}',
       f'{microseconds / max(number, 1):.4g}',
       f'{microseconds / 1e6 / seconds:.4f}')
      for name, (number, microseconds) in [('all', (calls, total)), *largest]]


def benchmark(settings: Settings):
  """Records the loops and writes the table."""
  machine_lib.use_all_cores()
  machine_lib.keep_freed_memory()
  folder_lib.make(settings.output)
  rows = []
  for what in settings.what:
    if what == 'learner':
      point = deep_sea.Point('default', settings.size, settings.num_seeds)
      run = point.steps(settings.num_steps)
      name = f'learner, N={settings.size}, {settings.num_seeds} seeds'
    else:
      loop = atari.Loop(
          atari.Settings(settings.output), 'paper_atari', settings.num_agents)
      run = lambda loop=loop: loop.run(settings.num_steps)
      name = f'paper_atari, {settings.num_agents} agents'
    run()
    seconds, found = record(run)
    rows += _rows(name, settings.num_steps, seconds, found)
    files.write_csv(settings.output / 'trace.csv', FIELDS, rows)
    print(f'{name}: {1e6 * seconds / settings.num_steps:,.0f} microseconds a '
          f'step')
    for row in rows[-KERNELS - 1:][:8]:
      print('  ', ', '.join(map(str, row[1:])), flush=True)


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(benchmark, __spec__.name, argv, Settings)


if __name__ == '__main__':
  main()
