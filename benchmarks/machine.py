"""Peak speed and memory use of the machine."""

from collections.abc import Callable, Sequence
import math
import platform
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import psutil

from hyperjax import memory

# n of the n x n product, larger for larger machines.
PRODUCT_SIZES = {'cpu': 2048, 'gpu': 8192, 'tpu': 8192}
COPY_BYTES = 2**31  # Several times the largest caches.
MACHINE_REPEATS = 5


class Clock:
  """The time that a benchmark has."""

  def __init__(self, minutes: float | None):
    """Starts now.

    Args:
      minutes: time for all; None for no end.
    """
    self._began = time.perf_counter()
    self._seconds = math.inf if minutes is None else 60. * minutes

  def is_past(self, share: float) -> bool:
    """Returns whether this share of the time is over."""
    return time.perf_counter() - self._began > share * self._seconds


def rate(function: Callable[[], Any], seconds: float, each: int = 1) -> float:
  """Returns calls per second, times `each`; a call returns arrays."""
  count, start = 0, time.perf_counter()
  while True:
    jax.block_until_ready(function())
    count += 1
    elapsed = time.perf_counter() - start
    if elapsed > seconds:
      return count * each / elapsed


def measure_product() -> float:
  """Returns operations per second of float32 matrix products on all devices.

  Each device has its own product, in full precision: the speed of tensor cores
  at lower precision is no peak for float32.
  """
  size = product_size()
  # The product of these matrices equals them, so that calls can be chained.
  x = _on_all_devices((size, size), 1. / size)
  multiply = _mapped(
      lambda x: jnp.matmul(x[0], x[0], precision='highest')[None],
      donate=False)
  return x.shape[0] * 2. * size**3 / _best_time(multiply, x)


def measure_copy() -> float:
  """Returns bytes per second, read and written, of x + 1 on all devices."""
  devices = jax.devices()
  num_bytes = COPY_BYTES
  available = memory.available_bytes(devices[0])
  if available is not None:
    num_bytes = min(num_bytes, available // 4)
  if devices[0].platform == 'cpu':  # CPU devices share memory.
    num_bytes //= len(devices)
  x = _on_all_devices((num_bytes // 4,), 0.)
  num_bytes = 2 * x.nbytes
  return num_bytes / _best_time(_mapped(lambda x: x + 1., donate=True), x)


def product_size() -> int:
  """Returns n of the n x n product on this kind of device."""
  return PRODUCT_SIZES[jax.devices()[0].platform]


def _sharding() -> jax.sharding.NamedSharding:
  mesh = jax.sharding.Mesh(np.array(jax.devices()), ('devices',))
  return jax.sharding.NamedSharding(
      mesh, jax.sharding.PartitionSpec('devices'))


def _on_all_devices(shape: tuple[int, ...], value: float) -> jax.Array:
  """Returns an array full of `value`, [D, *shape], sharded over D devices."""
  return jax.jit(
      lambda: jnp.full((len(jax.devices()), *shape), value, jnp.float32),
      out_shardings=_sharding())()


def _mapped(function: Callable[[jax.Array], jax.Array], donate: bool):
  """Returns the compiled function of every device's part, [1, ...]."""
  sharding = _sharding()
  return jax.jit(
      jax.shard_map(function, mesh=sharding.mesh, in_specs=sharding.spec,
                    out_specs=sharding.spec),
      donate_argnums=(0,) if donate else ())


def _best_time(
    function: Callable[[jax.Array], jax.Array], x: jax.Array
) -> float:
  """Returns the time of the fastest call, in seconds, after a first one."""
  x = jax.block_until_ready(function(x))
  best = math.inf
  for _ in range(MACHINE_REPEATS):
    start = time.perf_counter()
    x = jax.block_until_ready(function(x))
    best = min(best, time.perf_counter() - start)
  return best


def print_speeds(
    when: str, product: Sequence[float], copy: Sequence[float]):
  """Prints the newest product and copy speeds."""
  print(f'the machine {when}: {product[-1] / 1e9:,.1f} Gflop/s, '
        f'{copy[-1] / 1e9:,.1f} GB/s on {len(jax.devices())} devices',
        flush=True)


def cpu_name() -> str:
  """Returns the name of the CPU."""
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as f:
      for line in f:
        name, _, value = line.partition(':')
        if name.strip() == 'model name':
          return value.strip()
  except OSError:  # Not on Linux.
    pass
  return platform.processor() or platform.machine()


def costs(function: Callable[..., Any], *arguments: Any) -> dict[str, float]:
  """Returns XLA's count for one call on a CPU: 'flops' and 'bytes accessed'.

  A count for other devices omits what libraries do. The first argument is
  donated, as in a loop: otherwise copies of unchanged arrays would count.

  Args:
    function: function to be compiled.
    *arguments: arrays, or their shapes.
  """
  shapes = jax.eval_shape(lambda *x: x, *arguments)
  with jax.default_device(jax.devices('cpu')[0]):
    analysis = jax.jit(function, donate_argnums=0).lower(
        *shapes).compile().cost_analysis()
  if isinstance(analysis, (list, tuple)):  # In earlier versions of JAX.
    analysis = analysis[0]
  return analysis


# Memory.


def num_bytes(tree: Any) -> int:
  """Returns the bytes of all arrays in a tree, PRNG keys included."""
  return sum(
      (jax.random.key_data(x)
       if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x).nbytes
      for x in jax.tree.leaves(tree))


def reset_peak_memory():
  """Resets the kernel's record of the process's peak memory, if possible."""
  try:
    with open('/proc/self/clear_refs', 'w', encoding='utf-8') as f:
      f.write('5')
  except OSError:  # Not on Linux, or not allowed.
    pass


def peak_memory() -> int:
  """Returns the peak memory of the process or its devices, in bytes."""
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
