"""Checks that what is needed fits into memory, before it is allocated.

What a program needs besides its arguments is known from XLA once the program is
compiled; what a state needs is known from its shapes alone. Both are compared
with what the narrowest limit leaves: that of the device, of the machine's
memory, of a control group (the memory limit of a container or a scheduler's
job), or of the process (`ulimit`).
"""

from collections.abc import Callable, Iterator, Sequence
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import psutil

try:
  import resource
except ImportError:  # Not on Windows, which has no such limits.
  resource = None


class Limit(NamedTuple):
  """Memory that a limit leaves.

  Attributes:
    name: where the limit is set, for messages.
    num_bytes: memory left, in bytes; negative if the limit is exceeded.
  """

  name: str
  num_bytes: int


class Need(NamedTuple):
  """Memory that is needed for one purpose.

  Attributes:
    what: purpose, for messages.
    num_bytes: memory, in bytes.
    lower: what to lower if it is too much.
  """

  what: str
  num_bytes: int
  lower: str


def limits(device: jax.Device, root: str | Path = '/') -> list[Limit]:
  """Returns every known limit on the memory of a device.

  Args:
    device: device. CPU devices share the memory of the process.
    root: folder with the system's `proc` and `sys`.
  """
  stats = device.memory_stats()
  if stats and 'bytes_limit' in stats:
    return [Limit(f'the memory of {device}',
                  stats['bytes_limit'] - stats.get('bytes_in_use', 0))]
  return _host_limits(Path(root)) if device.platform == 'cpu' else []


def _host_limits(root: Path) -> list[Limit]:
  process = psutil.Process().memory_info()
  found = [Limit('the free memory of the machine',
                 psutil.virtual_memory().available)]
  for name, kind, used in (
      ('the limit of virtual memory (ulimit -v)', 'RLIMIT_AS', process.vms),
      ('the limit of data (ulimit -d)', 'RLIMIT_DATA',
       getattr(process, 'data', process.rss))):
    if resource is not None and hasattr(resource, kind):
      limit, _ = resource.getrlimit(getattr(resource, kind))
      if limit != resource.RLIM_INFINITY:
        found.append(Limit(name, limit - used))
  return found + list(_control_groups(root))


def _control_groups(root: Path) -> Iterator[Limit]:
  """Yields what the control groups of this process leave, of both versions."""
  try:
    lines = (root / 'proc/self/cgroup').read_text().splitlines()
  except OSError:  # Not on Linux.
    return
  mounts = root / 'sys/fs/cgroup'
  for line in lines:
    _, _, rest = line.partition(':')
    controllers, _, path = rest.partition(':')
    if not controllers:
      files = ('memory.max', 'memory.current')
      folders = [mounts, mounts / 'unified']
    elif 'memory' in controllers.split(','):
      files = ('memory.limit_in_bytes', 'memory.usage_in_bytes')
      folders = [mounts / 'memory']
    else:
      continue
    # A container may see its own group as the root, under the path that the
    # host has for it; so that folders on the way may be missing.
    parts = [x for x in path.split('/') if x not in ('', '..')]
    for folder in folders:
      for depth in range(len(parts), -1, -1):
        group = folder.joinpath(*parts[:depth])
        left = _left_in_group(group, *files)
        if left is not None:
          yield Limit(f'{files[0]} of the control group '
                      f'/{"/".join(parts[:depth])}', left)


def _left_in_group(group: Path, limit: str, usage: str) -> int | None:
  """Returns what a control group leaves, in bytes; None if it has no limit."""
  try:
    maximum = int((group / limit).read_text())
    used = int((group / usage).read_text())
  except (OSError, ValueError):  # No limit is the word `max`, or no file.
    return None
  if maximum >= 2**60:  # No limit, rounded to a page.
    return None
  cached = 0
  try:
    stats = dict(x.split() for x in
                 (group / 'memory.stat').read_text().splitlines())
    for kind in ('inactive_file', 'active_file'):
      # Version 1 has the whole subtree under another name.
      cached += int(stats.get(f'total_{kind}', stats.get(kind, 0)))
  except (OSError, ValueError):
    pass
  # Files in the cache give way.
  return maximum - max(0, used - cached)


def available_bytes(device: jax.Device) -> int | None:
  """Returns the free memory of a device, in bytes; None if unknown."""
  found = limits(device)
  return min(x.num_bytes for x in found) if found else None


def check_fits(
    needs: Sequence[Need], device: jax.Device, root: str | Path = '/'):
  """Checks that a device can hold what is needed besides what it holds.

  Args:
    needs: what is needed at the same time.
    device: device; nothing is checked if its memory is unknown.
    root: see `limits`.

  Raises:
    MemoryError: if the needs do not fit, with a table of them, the largest
      first, and the narrowest limit.
  """
  found = limits(device, root)
  total = sum(need.num_bytes for need in needs)
  if not found:
    return
  narrowest = min(found, key=lambda limit: limit.num_bytes)
  if total <= narrowest.num_bytes:
    return
  needs = sorted(needs, key=lambda need: -need.num_bytes)
  # Without those that would show as zero.
  rows = [(x.num_bytes, x.what) for x in needs if x.num_bytes >= 10**7]
  rows += [(total, 'needed together'),
           (narrowest.num_bytes, f'left by {narrowest.name}')]
  width = len(_gigabytes(total))
  table = '\n'.join(f'  {_gigabytes(num):>{width}}  {what}'
                    for num, what in rows)
  raise MemoryError(
      f'not enough memory:\n{table}\nlower {needs[0].lower}')


def _gigabytes(num_bytes: int) -> str:
  # In integers: a size may be beyond floating point.
  hundredths = max(0, num_bytes) // 10**7
  return f'{hundredths // 100}.{hundredths % 100:02} GB'


# What the parts of a state are, by the name of a field on the way to them.
_PARTS = {
    'replay': ('replay', 'replay_capacity, or the number of agents'),
    'learner': ('parameters and optimizer',
                'hidden_sizes, the size of an observation, or the number of '
                'agents')}
_REST = 'environments and the rest of the state'


def needs_of_state(
    state: Any, times: int = 1, num_memories: int = 1
) -> list[Need]:
  """Returns what the parts of a state need.

  Args:
    state: state, or its shapes. Fields named `replay` and `learner` are parts;
      all others together are one.
    times: number of such states.
    num_memories: number of memories that share them evenly.
  """
  sizes = {}
  for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
    names = [str(getattr(key, 'name', '')) for key in path]
    part, lower = next(
        (_PARTS[x] for x in names if x in _PARTS),
        (_REST, 'the number of agents, or of their environments'))
    need = sizes.get(part, Need(part, 0, lower))
    sizes[part] = need._replace(
        num_bytes=need.num_bytes + math.prod(leaf.shape) * leaf.dtype.itemsize)
  return [need._replace(num_bytes=need.num_bytes * times // num_memories)
          for need in sizes.values()]


def parameters(variables: Any, times: int = 1) -> Need:
  """Returns what a network's variables, or their shapes, need."""
  num_bytes = sum(math.prod(x.shape) * x.dtype.itemsize
                  for x in jax.tree.leaves(variables))
  return Need('parameters', times * num_bytes,
              'hidden_sizes, or the size of an observation')


def copy_on_host(state: Any, times: int = 1) -> Need:
  """Returns what a checkpoint of another device's state needs on the host."""
  total = sum(need.num_bytes for need in needs_of_state(state, times))
  return Need('a copy on the host, to save or restore the state', total,
              'replay_capacity, hidden_sizes, or the number of agents')


def need_of_program(
    compiled: jax.stages.Compiled, name: str, times: int = 1) -> Need:
  """Returns what a compiled program needs besides its arguments.

  Args:
    compiled: program.
    name: name for messages.
    times: number of devices that share a memory.
  """
  analysis = compiled.memory_analysis()
  num_bytes = 0 if analysis is None else (
      analysis.temp_size_in_bytes + analysis.output_size_in_bytes
      - analysis.alias_size_in_bytes)
  return Need(f'results, copies and activations of {name}', times * num_bytes,
              f'{"episodes" if name.endswith("evaluate") else "batch_size"}, '
              f'hidden_sizes, or the number of agents')


def traced(function: Callable[..., Any], *args: Any) -> Any:
  """Returns function(*args), a trace without values: shapes, or a program.

  Raises:
    MemoryError: if a size is beyond all integers with which it is counted.
  """
  try:
    return function(*args)
  except OverflowError as error:
    raise MemoryError(f'not enough memory: a size is too large, {error}'
                      ) from error
  except TypeError as error:
    # What JAX says of sizes from 2**63 on.
    if 'integer type' not in str(error):
      raise
    raise MemoryError(
        'not enough memory: a size is 2**63 or larger') from error
