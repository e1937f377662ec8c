"""Speed of the on-device loop: HyperAgent on DeepSea.

  python -m benchmarks.learner --output benchmarks/results

For each size N of the grid and each number of seeds, with the expectation over
the index exact and sampled (K = 20): updates per second of all seeds together,
acting, environment, replay and the host's calls included. Besides, what
fraction of the machine that is:

  share_of_peak       updates/s * flops_per_update / peak_flops
  share_of_bandwidth  updates/s * bytes_per_update / bandwidth

where the peak is that of a large float32 matrix product and the bandwidth that
of x + 1 over a large array, each on all devices at once, measured before and
after the points; the better of the two counts. The flops and bytes of one
update are XLA's own count, for `agent.update` compiled for a CPU, on every
machine: compiled for a GPU, the count leaves out products that a library does.
The count takes most arrays that an operation touches for read or written in
full, the copy to the target network for made at every update, the body of a
loop (the random bits) for run once, and integers for floats. What stays in the
caches it counts all the same, so that a share of the bandwidth can exceed 1.

The points are interleaved: every repeat measures all of them, so that drift of
the machine falls on all alike. Only the compiled programs are kept from repeat
to repeat; a point's state is made anew and brought past its random steps and a
first chunk before the clock runs. So `peak_memory_bytes` holds one point at a
time: on Linux the most memory that was resident in the process while the point
was measured, JAX and all compiled programs included (elsewhere, what was
resident at its end). Devices that keep statistics of their own, as GPUs do,
cannot forget: there it is the most since the process began, over all devices.
"""

from collections.abc import Callable, Sequence
import dataclasses
import io
import json
import math
import os
from pathlib import Path
import platform
import sys
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib
from matplotlib import figure
from matplotlib import lines
from matplotlib import ticker
import numpy as np
import psutil
import tyro

from experiments import console
from experiments import records
from hyperjax import agents
from hyperjax import replay as replay_lib
from hyperjax.environments import deep_sea
from hyperjax.loops import on_device

matplotlib.use('Agg')

CONFIGS = {
    'exact': agents.HyperAgentConfig(),
    'sampled': agents.HyperAgentConfig(num_index_samples=20),
}
REPLAY_CAPACITY = 20_000  # Transitions; enough that batches differ.
PROBE_STEPS = 4  # Of the chunk that finds out how long a chunk should be.
MAX_CHUNK_STEPS = 2**14
# n of the n x n product: the larger the machine the larger.
PRODUCT_SIZES = {'cpu': 2048, 'gpu': 8192, 'tpu': 8192}
COPY_BYTES = 2**31  # Several times the largest caches.
MACHINE_REPEATS = 5
FIELDS = (
    'loss', 'size', 'num_seeds', 'updates_per_second', 'min', 'max',
    'flops_per_update', 'bytes_per_update', 'peak_flops', 'share_of_peak',
    'bandwidth', 'share_of_bandwidth', 'state_bytes', 'replay_bytes',
    'peak_memory_bytes')


@dataclasses.dataclass(frozen=True)
class Settings:
  """Measures the on-device loop of HyperAgent on DeepSea.

  Attributes:
    output: folder for learner.csv, learner.json and learner.png; earlier ones
      are replaced.
    sizes: N of the N x N grids.
    num_seeds: independent runs that advance together.
    seconds: measuring time of each point in each repeat, at least one chunk.
    repeats: measurements of each point, of which the median is reported.
  """

  output: Path
  sizes: tuple[int, ...] = (10, 20, 50, 100)
  num_seeds: tuple[int, ...] = (1, 4, 16)
  seconds: float = 3.
  repeats: int = 3

  def __post_init__(self):
    """Raises ValueError for a setting that cannot be meant."""
    for name, minimum in (('sizes', 2), ('num_seeds', 1)):
      values = getattr(self, name)
      if not values:
        raise ValueError(f'{name} must name at least one number, got none')
      if min(values) < minimum:
        raise ValueError(
            f'{name} must be at least {minimum}, got {min(values)}')
      if len(set(values)) < len(values):
        raise ValueError(f'{name} must be different, got {list(values)}')
    if not 0. < self.seconds < math.inf:
      raise ValueError(
          f'seconds must be positive and finite, got {self.seconds}')
    if self.repeats < 1:
      raise ValueError(f'repeats must be at least 1, got {self.repeats}')


class Cost(NamedTuple):
  """What one update of one seed costs, as XLA counts it.

  Attributes:
    flops: arithmetic operations.
    bytes: read and written; NaN if XLA does not say.
  """

  flops: float
  bytes: float


class Measurement(NamedTuple):
  """One point in one repeat; bytes are of all seeds and devices together.

  Attributes:
    updates_per_second: of all seeds together.
    state_bytes: of the whole `RunState`.
    replay_bytes: of the replays in it.
    peak_memory_bytes: see the module.
  """

  updates_per_second: float
  state_bytes: int
  replay_bytes: int
  peak_memory_bytes: int


class Point:
  """One line of the table: a loss, a size and a number of seeds."""

  def __init__(self, loss: str, size: int, num_seeds: int):
    """Compiles nothing yet.

    Args:
      loss: one of `CONFIGS`.
      size: N of the grid.
      num_seeds: S.
    """
    self.loss, self.size, self.num_seeds = loss, size, num_seeds
    environment = deep_sea.DeepSea(size)
    self.agent = agents.HyperAgent(
        environment.observation_spec(), environment.action_spec(),
        CONFIGS[loss])
    self._loop = on_device.OnDeviceLoop(
        self.agent, environment, replay_capacity=REPLAY_CAPACITY)
    self._env_params = jax.tree.map(
        lambda *x: jnp.stack(x),
        *[environment.params_from_seed(s) for s in range(num_seeds)])
    self._chunk_steps = PROBE_STEPS

  def __str__(self):
    return f'N={self.size:<3} S={self.num_seeds:<2} {self.loss:7}'

  def cost(self) -> Cost:
    """Of one `agent.update` on one batch."""
    replay = self._loop.trainer.replay
    key = jax.random.key(0)
    learner = jax.eval_shape(self.agent.init, key)
    batch = jax.eval_shape(lambda k: replay.sample(replay.init(), k), key)
    with jax.default_device(jax.devices('cpu')[0]):
      # Donated, as within the loop: otherwise copies of what does not change
      # (the prior, the target network) would count.
      analysis = jax.jit(self.agent.update, donate_argnums=0).lower(
          learner, batch).compile().cost_analysis()
    if isinstance(analysis, (list, tuple)):  # In earlier versions of JAX.
      analysis = analysis[0]
    return Cost(analysis['flops'], analysis.get('bytes accessed', math.nan))

  def compile(self, seconds: float):
    """Compiles the loop, with a chunk of about `seconds` / 4 or less."""
    state = self._begin()
    took = []
    for _ in range(2):
      start = time.perf_counter()
      state, _ = self._loop.run(state, PROBE_STEPS)
      took.append(time.perf_counter() - start)
    # A power of two, so that the same command mostly takes the same chunk.
    doublings = math.floor(math.log2(max(1., seconds / 4. / min(took))))
    self._chunk_steps = min(PROBE_STEPS * 2**doublings, MAX_CHUNK_STEPS)
    self._loop.run(state, self._chunk_steps)

  def measure(self, seconds: float) -> Measurement:
    """Measures for about so long; see the module."""
    _reset_peak_memory()
    state = self._begin()
    num_updates, elapsed = 0, 0.
    start = time.perf_counter()
    while elapsed < seconds:
      state, log = self._loop.run(state, self._chunk_steps)
      jax.block_until_ready(state)
      elapsed = time.perf_counter() - start
      num_updates += int(log.num_updates.sum())
    return Measurement(
        updates_per_second=num_updates / elapsed,
        state_bytes=_num_bytes(state),
        replay_bytes=_num_bytes(state.train.replay),
        peak_memory_bytes=_peak_memory())

  def _begin(self) -> on_device.RunState:
    """A state past the random steps and a first chunk."""
    state = self._loop.init(range(self.num_seeds), self._env_params)
    state, _ = self._loop.run(state, self._loop.trainer.explore_steps)
    state, _ = self._loop.run(state, self._chunk_steps)
    return jax.block_until_ready(state)


def benchmark(settings: Settings):
  """Measures all points and writes the files.

  Raises:
    ValueError: if the output folder cannot be written.
    MemoryError: if the replays of a point do not fit into memory.
  """
  _check_writable(settings.output)
  began = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
  points = [Point(loss, size, num_seeds)
            for size in settings.sizes
            for num_seeds in settings.num_seeds
            for loss in CONFIGS]
  costs = {}  # By loss and size, whatever the number of seeds.
  for point in points:
    key = (point.loss, point.size)
    if key not in costs:
      costs[key] = point.cost()
    start = time.perf_counter()
    point.compile(settings.seconds)
    print(f'{point}  compiled in {time.perf_counter() - start:.1f} s',
          flush=True)

  product, copy = [measure_product()], [measure_copy()]
  _print_machine('before', product, copy)
  measurements = [[] for _ in points]
  for repeat in range(settings.repeats):
    for point, found in zip(points, measurements, strict=True):
      found.append(point.measure(settings.seconds))
      print(f'{point}  repeat {repeat + 1} of {settings.repeats}: '
            f'{found[-1].updates_per_second:,.0f} updates/s', flush=True)
  product.append(measure_product())
  copy.append(measure_copy())
  _print_machine('after', product, copy)

  rows = [
      _row(point, costs[point.loss, point.size], found, max(product), max(copy))
      for point, found in zip(points, measurements, strict=True)]
  records.write_csv(settings.output / 'learner.csv', FIELDS, rows)
  records.write_atomically(settings.output / 'learner.json', json.dumps({
      'settings': records.settings_as_json(settings),
      'configs': {name: records.settings_as_json(config)
                  for name, config in CONFIGS.items()},
      'replay_capacity': REPLAY_CAPACITY,
      'began': began,
      'cpu': _cpu_name(),
      'num_devices': len(jax.devices()),
      'product_size': _product_size(),
      'peak_flops': {'before': product[0], 'after': product[1]},
      'bandwidth': {'before': copy[0], 'after': copy[1]},
      **records.provenance()}, indent=2).encode() + b'\n')
  draw(settings.output, [
      dict(zip(FIELDS, row, strict=True)) for row in rows])
  for name in ('learner.csv', 'learner.json', 'learner.png'):
    print(settings.output / name)


def _row(
    point: Point, cost: Cost, found: Sequence[Measurement], peak_flops: float,
    bandwidth: float,
) -> tuple[Any, ...]:
  """A point's values in the order of `FIELDS`."""
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


# The machine.


def measure_product() -> float:
  """Operations per second of float32 matrix products on all devices.

  Each device has its own product. In full precision: what tensor cores could
  do with less is no peak for float32.
  """
  size = _product_size()
  # Every product of these is the same again, so that they can be chained.
  x = _on_all_devices((size, size), 1. / size)
  multiply = _mapped(
      lambda x: jnp.matmul(x[0], x[0], precision='highest')[None],
      donate=False)
  return x.shape[0] * 2. * size**3 / _best_time(multiply, x)


def measure_copy() -> float:
  """Bytes per second, read and written, of x + 1 in place on all devices."""
  devices = jax.devices()
  num_bytes = COPY_BYTES
  available = replay_lib.available_bytes(devices[0])
  if available is not None:
    num_bytes = min(num_bytes, available // 4)
  if devices[0].platform == 'cpu':  # They share the memory.
    num_bytes //= len(devices)
  x = _on_all_devices((num_bytes // 4,), 0.)
  num_bytes = 2 * x.nbytes
  return num_bytes / _best_time(_mapped(lambda x: x + 1., donate=True), x)


def _product_size() -> int:
  return PRODUCT_SIZES[jax.devices()[0].platform]


def _sharding() -> jax.sharding.NamedSharding:
  mesh = jax.sharding.Mesh(np.array(jax.devices()), ('devices',))
  return jax.sharding.NamedSharding(
      mesh, jax.sharding.PartitionSpec('devices'))


def _on_all_devices(shape: tuple[int, ...], value: float) -> jax.Array:
  """An array full of `value`, [D, *shape], a part for each of D devices."""
  return jax.jit(
      lambda: jnp.full((len(jax.devices()), *shape), value, jnp.float32),
      out_shardings=_sharding())()


def _mapped(function: Callable[[jax.Array], jax.Array], donate: bool):
  """The compiled function of every device's part, [1, ...] to the same."""
  sharding = _sharding()
  return jax.jit(
      jax.shard_map(function, mesh=sharding.mesh, in_specs=sharding.spec,
                    out_specs=sharding.spec),
      donate_argnums=(0,) if donate else ())


def _best_time(
    function: Callable[[jax.Array], jax.Array], x: jax.Array
) -> float:
  """The shortest of several calls, in seconds, after one that compiles."""
  x = jax.block_until_ready(function(x))
  best = math.inf
  for _ in range(MACHINE_REPEATS):
    start = time.perf_counter()
    x = jax.block_until_ready(function(x))
    best = min(best, time.perf_counter() - start)
  return best


def _print_machine(
    when: str, product: Sequence[float], copy: Sequence[float]):
  print(f'the machine {when}: {product[-1] / 1e9:,.1f} Gflop/s, '
        f'{copy[-1] / 1e9:,.1f} GB/s on {len(jax.devices())} devices',
        flush=True)


def _cpu_name() -> str:
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as f:
      for line in f:
        name, _, value = line.partition(':')
        if name.strip() == 'model name':
          return value.strip()
  except OSError:  # Not on Linux.
    pass
  return platform.processor() or platform.machine()


# Memory.


def _num_bytes(tree: Any) -> int:
  """Bytes of all arrays in a tree, PRNG keys included."""
  return sum(
      (jax.random.key_data(x)
       if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x).nbytes
      for x in jax.tree.leaves(tree))


def _reset_peak_memory():
  """Lets the kernel forget the process's peak, where it can."""
  try:
    with open('/proc/self/clear_refs', 'w', encoding='utf-8') as f:
      f.write('5')
  except OSError:  # Not on Linux, or not allowed.
    pass


def _peak_memory() -> int:
  """See the module, in bytes."""
  stats = [d.memory_stats() or {} for d in jax.local_devices()]
  if all('peak_bytes_in_use' in s for s in stats):
    return sum(s['peak_bytes_in_use'] for s in stats)
  try:
    with open('/proc/self/status', encoding='utf-8') as f:
      for line in f:
        if line.startswith('VmHWM:'):
          return 1024 * int(line.split()[1])
  except OSError:  # Not on Linux.
    pass
  return psutil.Process().memory_info().rss


# Files.


def _check_writable(folder: Path):
  """Makes the folder, so that an error comes before the measurements."""
  try:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
      raise PermissionError('permission denied')
  except OSError as error:
    raise ValueError(
        f'output folder {folder} cannot be written: {error}') from error


def draw(folder: Path, rows: Sequence[dict[str, Any]]):
  """Draws learner.png: speed and share of the peak over the size.

  Args:
    folder: where to.
    rows: of learner.csv, by the names in `FIELDS`.
  """
  fig = figure.Figure(figsize=(10, 4.4), layout='constrained')
  left, right = fig.subplots(1, 2)
  sizes = sorted({row['size'] for row in rows})
  num_seeds = sorted({row['num_seeds'] for row in rows})
  colors = matplotlib.colormaps['viridis'](
      np.linspace(0., 0.85, len(num_seeds)))
  styles = {'exact': '-', 'sampled': '--'}
  for seeds, color in zip(num_seeds, colors, strict=True):
    for loss, style in styles.items():
      line = sorted((row for row in rows if row['num_seeds'] == seeds
                     and row['loss'] == loss), key=lambda row: row['size'])
      x = [row['size'] for row in line]
      rate = np.array([row['updates_per_second'] for row in line])
      spread = [rate - [row['min'] for row in line],
                [row['max'] for row in line] - rate]
      look = dict(color=color, linestyle=style, marker='o', markersize=4,
                  markerfacecolor=color if loss == 'exact' else 'white')
      left.errorbar(x, rate, spread, capsize=2, elinewidth=0.8, **look)
      right.plot(x, [100. * row['share_of_peak'] for row in line], **look)
  left.set_ylabel('updates per second, all seeds together')
  right.set_ylabel('share of the peak of a matrix product, %')
  for ax in (left, right):
    ax.set_xscale('log')
    ax.set_yscale('log')
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    # A decade at least, or the ticks of a short range have no labels.
    low, high = ax.get_ylim()
    if high < 10. * low:
      middle = math.sqrt(low * high)
      ax.set_ylim(middle / math.sqrt(10.), middle * math.sqrt(10.))
    ax.yaxis.set_minor_locator(
        ticker.LogLocator(subs=(2., 5.), numticks=20))
    ax.yaxis.set_minor_formatter(
        ticker.FuncFormatter(lambda y, _: f'{y:g}'))
    ax.yaxis.set_major_formatter(
        ticker.FuncFormatter(lambda y, _: f'{y:g}'))
    ax.grid(axis='y', which='both', color='0.92')
    ax.set_xlabel('N, size of DeepSea')
    ax.spines[['top', 'right']].set_visible(False)
  handles = [
      *[lines.Line2D([], [], color=color,
                     label=f'{seeds} seed{"s" if seeds > 1 else ""}')
        for seeds, color in zip(num_seeds, colors, strict=True)],
      *[lines.Line2D([], [], color='0.3', linestyle=style, marker='o',
                     markersize=4, label=loss,
                     markerfacecolor='0.3' if loss == 'exact' else 'white')
        for loss, style in styles.items()]]
  fig.legend(handles=handles, loc='outside lower center', ncols=len(handles),
             frameon=False)
  devices = jax.devices()
  name = (_cpu_name() if devices[0].platform == 'cpu'
          else devices[0].device_kind)
  fig.suptitle(f'HyperAgent on DeepSea, {len(devices)} x {name}')
  data = io.BytesIO()
  fig.savefig(data, format='png', dpi=120)
  records.write_atomically(folder / 'learner.png', data.getvalue())


def main(argv: Sequence[str] | None = None):
  """The command; see the module."""
  console.use_all_cores()
  settings = tyro.cli(
      Settings, args=argv, prog='python -m benchmarks.learner')
  try:
    benchmark(settings)
  except (ValueError, MemoryError) as error:
    sys.exit(f'error: {error}')


if __name__ == '__main__':
  main()
