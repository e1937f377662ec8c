"""Speed of the on-device loop: HyperAgent on DeepSea.

  python -m benchmarks.learner --output benchmarks/results

For each size N of the grid and each number of seeds, for HyperAgent's default
and optimist, and for `thompson_deep_sea` with the expectation exact and sampled
(K = 20): updates per second of all seeds together, including acting,
environment, replay and the host's calls. In addition, the fraction of the
machine that is used:

  share_of_peak       updates/s * flops_per_update / peak_flops
  share_of_bandwidth  updates/s * bytes_per_update / bandwidth

The peak is that of a large float32 matrix product, the bandwidth that of x + 1
over a large array, each on all devices at once, measured before and after the
points; the better of the two values counts. The flops and bytes of one update
are XLA's own count of `agent.update` compiled for a CPU, on every machine: a
count for a GPU omits the products of libraries. The count treats most arrays of
an operation as read or written in full, the copy to the target network as made
at every update, the body of a loop (the random bits) as run once, and integers
as floats. It includes what stays in the caches, so that a share of the
bandwidth can exceed 1.

The points are interleaved: every repeat measures all of them, so that drift of
the machine affects all equally. Only the compiled programs are kept between
repeats; the state of a point is made anew and run past its warm-up and a first
chunk before the time is measured. So `peak_memory_bytes` is that of one point:
on Linux the largest resident memory of the process during the measurement, with
JAX and all programs (elsewhere, the resident memory at its end). Devices with
statistics of their own, such as GPUs, cannot reset them: there it is the peak
since the process began, over all devices.

With `--minutes` the points that are not compiled in half of that time are left
out, and the last repeats too; what is left out is printed.
"""

from collections.abc import Sequence
from concurrent import futures
import dataclasses
import itertools
import json
import math
from pathlib import Path
import time
from typing import Any

import jax
import numpy as np

from benchmarks import deep_sea
from benchmarks import machine
from benchmarks import plot
from experiments.common import files
from experiments.common import folder as folder_lib
from experiments.common import machine as machine_lib
from experiments.common import provenance as provenance_lib
from experiments.common import study

COMPILED_TOGETHER = 8  # Points, on a machine whose cores have nothing to run.
FIELDS = (
    'loss', 'size', 'num_seeds', 'updates_per_second', 'min', 'max',
    'flops_per_update', 'bytes_per_update', 'peak_flops', 'share_of_peak',
    'bandwidth', 'share_of_bandwidth', 'state_bytes', 'replay_bytes',
    'peak_memory_bytes')


@dataclasses.dataclass(frozen=True)
class Settings:
  """Measures the on-device loop of HyperAgent on DeepSea.

  Attributes:
    output: folder of learner.csv, learner.json and learner.png; earlier ones
      are replaced.
    sizes: sizes N of the N x N grids.
    num_seeds: numbers of independent runs that advance together.
    losses: names of the agents, see `deep_sea.CONFIGS`.
    seconds: measuring time of each point in each repeat, in seconds, at least
      one chunk.
    repeats: number of measurements of each point, of which the median is
      reported.
    minutes: time for all, in minutes; None for as long as it takes.
  """

  output: Path
  # All points stay compiled, to be interleaved; each takes some 2,000 memory
  # maps on a CPU, and Linux grants a process 65,530.
  sizes: tuple[int, ...] = (20, 50, 100)
  num_seeds: tuple[int, ...] = (1, 4, 16)
  losses: tuple[str, ...] = tuple(deep_sea.CONFIGS)
  seconds: float = 2.
  repeats: int = 3
  minutes: float | None = None

  def __post_init__(self):
    """Raises ValueError for an invalid setting."""
    for name, minimum in (('sizes', 2), ('num_seeds', 1)):
      values = getattr(self, name)
      if not values:
        raise ValueError(f'{name} must name at least one number, got none')
      if min(values) < minimum:
        raise ValueError(
            f'{name} must be at least {minimum}, got {min(values)}')
      if len(set(values)) < len(values):
        raise ValueError(f'{name} must be different, got {list(values)}')
    unknown = sorted(set(self.losses) - set(deep_sea.CONFIGS))
    if unknown or not self.losses:
      raise ValueError(
          f'losses must be among {", ".join(deep_sea.CONFIGS)}, got '
          f'{", ".join(unknown) or "none"}')
    for name in ('seconds', 'minutes'):
      value = getattr(self, name)
      if value is not None and not 0. < value < math.inf:
        raise ValueError(
            f'{name} must be positive and finite, got {value}')
    if self.repeats < 1:
      raise ValueError(f'repeats must be at least 1, got {self.repeats}')


def benchmark(settings: Settings):
  """Measures all points and writes the files.

  Raises:
    ValueError: if the output folder cannot be written.
    MemoryError: if the replays of a point do not fit into memory.
  """
  machine_lib.use_all_cores()
  folder_lib.make(settings.output)  # Fails before anything is measured.
  began = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
  clock = machine.Clock(settings.minutes)
  provenance = provenance_lib.provenance()  # Before the results change files.
  points, costs = _compile([
      deep_sea.Point(loss, size, num_seeds) for size in settings.sizes
      for num_seeds in settings.num_seeds for loss in settings.losses], clock)
  product, copy = [machine.measure_product()], [machine.measure_copy()]
  machine.print_speeds('before', product, copy)
  measurements = [[] for _ in points]
  for repeat in range(settings.repeats):
    for point, found in zip(points, measurements, strict=True):
      if repeat and clock.is_past(1.):
        print(f'{point}  repeat {repeat + 1} is left out: no time is left')
        continue
      found.append(point.measure(settings.seconds))
      print(f'{point}  repeat {repeat + 1} of {settings.repeats}: '
            f'{found[-1].updates_per_second:,.0f} updates/s', flush=True)
  product.append(machine.measure_product())
  copy.append(machine.measure_copy())
  machine.print_speeds('after', product, copy)

  rows = [
      _row(point, costs[point.loss, point.size], found, max(product), max(copy))
      for point, found in zip(points, measurements, strict=True)]
  files.write_csv(settings.output / 'learner.csv', FIELDS, rows)
  files.write_atomically(settings.output / 'learner.json', json.dumps({
      'settings': provenance_lib.settings_as_json(
          settings, without=('output',)),
      'configs': {name: provenance_lib.settings_as_json(config)
                  for name, config in deep_sea.CONFIGS.items()},
      'replay_capacity': deep_sea.REPLAY_CAPACITY,
      'began': began,
      'cpu': machine.cpu_name(),
      'num_devices': len(jax.devices()),
      'product_size': machine.product_size(),
      'peak_flops': {'before': product[0], 'after': product[1]},
      'bandwidth': {'before': copy[0], 'after': copy[1]},
      **provenance}, indent=2).encode() + b'\n')
  plot.draw(settings.output, [
      dict(zip(FIELDS, row, strict=True)) for row in rows])
  for name in ('learner.csv', 'learner.json', 'learner.png'):
    print(settings.output / name)


def _compile(
    points: Sequence[deep_sea.Point], clock: machine.Clock,
) -> tuple[list[deep_sea.Point], dict[tuple[str, int], deep_sea.Cost]]:
  """Compiles points.

  Returns:
    Those for which there was time, and their costs by loss and size, since
    these do not depend on the seeds.
  """
  def compile_point(point):
    if clock.is_past(0.5):
      print(f'{point}  is left out: half of the time is over', flush=True)
      return False
    start = time.perf_counter()
    point.compile()
    print(f'{point}  compiled in {time.perf_counter() - start:.1f} s',
          flush=True)
    return True

  on_cpu = jax.devices()[0].platform == 'cpu'
  with futures.ThreadPoolExecutor(1 if on_cpu else COMPILED_TOGETHER) as pool:
    compiled = list(itertools.compress(
        points, pool.map(compile_point, points)))
    one_of_each = {(point.loss, point.size): point for point in compiled}
    costs = pool.map(deep_sea.Point.cost, one_of_each.values())
    return compiled, dict(zip(one_of_each, costs, strict=True))


def _row(
    point: deep_sea.Point, cost: deep_sea.Cost,
    found: Sequence[deep_sea.Measurement], peak_flops: float, bandwidth: float,
) -> tuple[Any, ...]:
  """Returns the values of a point in the order of `FIELDS`."""
  rates = [m.updates_per_second for m in found]
  rate = float(np.median(rates))
  numbers = (
      rate, min(rates), max(rates), cost.flops, cost.bytes, peak_flops,
      rate * cost.flops / peak_flops, bandwidth, rate * cost.bytes / bandwidth)
  return (
      point.loss, point.size, point.num_seeds,
      *[float(f'{x:.6g}') for x in numbers],
      found[-1].state_bytes, found[-1].replay_bytes,
      max(m.peak_memory_bytes for m in found))


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(benchmark, __spec__.name, argv, Settings)


if __name__ == '__main__':
  main()
