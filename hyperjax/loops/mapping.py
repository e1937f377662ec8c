"""Compiled functions of many runs, from functions of one, over devices."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hyperjax import memory
from hyperjax import multihost

RUNS = 'runs'  # Name of the mesh axis.


@dataclasses.dataclass(frozen=True)
class RunMap:
  """Maps functions over independent runs, a leading axis [S] of every leaf.

  The runs are sharded over devices and do not communicate.

  Attributes:
    devices: devices that the runs are spread over, all by default, those of the
      other processes of a job included (see `hyperjax.multihost`). The number
      of devices used is the largest that divides the number of runs; in a job
      of several processes that must be all.
    vectorize: whether the runs of one device advance together (`vmap`) or
      sequentially. By default they are sequential on CPUs.
  """

  devices: Sequence[jax.Device] | None = None
  vectorize: bool | None = None

  def __post_init__(self):
    # A list of devices would not be hashable.
    devices = tuple(jax.devices() if self.devices is None else self.devices)
    if not devices:
      raise ValueError('expected at least one device, got none')
    object.__setattr__(self, 'devices', devices)
    if self.vectorize is None:
      object.__setattr__(self, 'vectorize', devices[0].platform != 'cpu')

  def mesh(self, num_runs: int) -> jax.sharding.Mesh:
    """Returns the devices that `num_runs` runs are spread over evenly.

    Raises:
      ValueError: if some processes of a job would have no run.
    """
    devices = tuple(self.devices or ())
    size = max(d for d in range(1, len(devices) + 1) if num_runs % d == 0)
    if size < len(devices) and multihost.is_many():
      raise ValueError(
          f'expected a number of runs that the {len(devices)} devices of the '
          f'{jax.process_count()} processes divide, got {num_runs}')
    return jax.sharding.Mesh(np.array(devices[:size]), (RUNS,))

  def sharding(self, num_runs: int) -> jax.sharding.NamedSharding:
    """Returns the sharding of arrays with a leading axis of runs."""
    return jax.sharding.NamedSharding(
        self.mesh(num_runs), jax.sharding.PartitionSpec(RUNS))

  def put(self, tree: Any, num_runs: int) -> Any:
    """Returns arrays of all runs, equal on all processes, on the devices.

    In a job of one process the program puts them there when it is called.
    """
    if not multihost.is_many():
      return jax.tree.map(jnp.asarray, tree)
    return jax.device_put(
        jax.tree.map(np.asarray, tree), self.sharding(num_runs))

  def device(self, num_runs: int) -> jax.Device:
    """Returns one of the devices that belong to this process."""
    return next(x for x in self.mesh(num_runs).devices.flat
                if x.process_index == jax.process_index())

  def num_memories(self, num_runs: int) -> int:
    """Returns the number of memories; CPU devices of a process share one."""
    devices = self.mesh(num_runs).devices
    if devices.flat[0].platform == 'cpu':
      return len({x.process_index for x in devices.flat})
    return devices.size

  def abstract(
      self, function: Callable[..., Any], num_runs: int, *args: Any) -> Any:
    """Returns the shapes and shardings of the mapped function's output.

    Args:
      function: function of one run.
      num_runs: S.
      *args: arguments of the function for all runs.
    """
    mesh = self.mesh(num_runs)
    return jax.tree.map(
        lambda x: as_returned(x, mesh, jax.P(RUNS)),
        memory.traced(jax.eval_shape, jax.vmap(function), *args))

  def __call__(
      self, function: Callable[..., Any], *static: Any, donate: bool = True
  ) -> Callable[..., Any]:
    """Returns the compiled function of many runs.

    Args:
      function: function of `static` and then of the arrays of one run.
      *static: hashable arguments.
      donate: whether the memory of the first array argument is reused.

    Returns:
      A function of arrays with the axis [S] and, after those, of numbers []
      that all runs share. Its first call raises a MemoryError, and changes
      nothing, if its results and temporaries do not fit.
    """
    return lambda *args: self._program(
        function, static, *_sizes(args), donate)(*args)

  def check_state(
      self, state: Any, num_runs: int, times: int = 1, saved: bool = False,
  ) -> list[memory.Need]:
    """Checks that a state fits into memory.

    Args:
      state: shapes of the state of all runs, or of one.
      num_runs: S.
      times: number of such states: S if the shapes are those of one run.
      saved: whether checkpoints are written.

    Returns:
      What the state needs of each memory.

    Raises:
      MemoryError: if the state does not fit, or the copy of it that the host
        makes to save or restore the state of other devices than CPUs.
    """
    device = self.device(num_runs)
    needs = memory.needs_of_state(state, times, self.num_memories(num_runs))
    memory.check_fits(needs, device)
    if saved and device.platform != 'cpu':
      memory.check_fits([memory.copy_on_host(state, times)],
                        jax.local_devices(backend='cpu')[0])
    return needs

  def check_program(
      self, needs: Sequence[memory.Need], function: Callable[..., Any],
      *static: Any, args: Sequence[Any], donate: bool = True):
    """Compiles a function, for the calls to come, and checks its memory.

    Args:
      needs: what must fit beside the function's results and temporaries.
      function: see `__call__`.
      *static: see `__call__`.
      args: arguments, or their shapes as `abstract` returns them.
      donate: see `__call__`.

    Raises:
      MemoryError: if all of this does not fit.
    """
    self._program(function, static, *_sizes(args), donate).check(
        *args, needs=needs)

  @functools.cache  # It is checked once.
  def _program(
      self, function, static, num_runs: int, mapped: int, donate: bool):
    devices = self.mesh(num_runs).devices
    return _Program(
        self._compiled(function, static, num_runs, mapped, donate),
        getattr(function, '__qualname__', str(function)),
        self.device(num_runs),
        devices.size // self.num_memories(num_runs))

  @functools.cache  # Equal maps share their programs.
  def _compiled(
      self, function, static, num_runs: int, mapped: int, donate: bool):
    one_device = self._of_device(functools.partial(function, *static), mapped)
    of_runs, whole = jax.P(RUNS), jax.P()

    def call(*args):
      return jax.shard_map(
          one_device, mesh=self.mesh(num_runs),
          in_specs=(of_runs,) * mapped + (whole,) * (len(args) - mapped),
          out_specs=of_runs, check_vma=False)(*args)

    return jax.jit(call, donate_argnums=(0,) if donate else ())

  def _of_device(
      self, one_run: Callable[..., Any], mapped: int) -> Callable[..., Any]:
    """Returns the function of the runs of one device."""

    def one_device(*args):
      args, shared = args[:mapped], args[mapped:]
      if self.vectorize:
        return jax.vmap(lambda *args: one_run(*args, *shared))(*args)
      return jax.lax.map(lambda args: one_run(*args, *shared), args)

    return one_device


def as_returned(
    x: jax.ShapeDtypeStruct, mesh: jax.sharding.Mesh, spec: jax.P
) -> jax.ShapeDtypeStruct:
  """Returns a shape with the sharding that XLA gives such an output.

  Empty arrays are whole on every device. Programs for other shardings, or other
  weak types, would be other programs.
  """
  return jax.ShapeDtypeStruct(
      x.shape, x.dtype, weak_type=x.weak_type,
      sharding=jax.sharding.NamedSharding(mesh, spec if x.size else jax.P()))


def _sizes(args) -> tuple[int, int]:
  """Returns the number of runs, and the number of arguments with that axis."""
  leaves = [jax.tree.leaves(arg) for arg in args]
  # An argument without arrays, as the parameters of an environment that has
  # none, is like one with the axis.
  return leaves[0][0].shape[0], sum(
      not arrays or bool(np.ndim(arrays[0])) for arrays in leaves)


class _Program:
  """A compiled function whose memory is checked before its first call."""

  def __init__(
      self, jitted: Any, name: str, device: jax.Device,
      devices_per_memory: int):
    self._jitted = jitted
    self._name = name
    self._device = device
    self._devices_per_memory = devices_per_memory
    self._is_checked = False

  def __call__(self, *args):
    if not self._is_checked:
      self.check(*args)
    return self._jitted(*args)

  def check(self, *args, needs: Sequence[memory.Need] = ()):
    """See `RunMap.check_program`."""
    # What is compiled here is in the cache of jit: nothing is compiled twice.
    compiled = memory.traced(self._jitted.lower, *args).compile()
    memory.check_fits(
        [*needs, memory.need_of_program(
            compiled, self._name, self._devices_per_memory)], self._device)
    self._is_checked = True
