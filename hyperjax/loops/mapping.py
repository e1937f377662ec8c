"""Compiled functions of many runs, from functions of one, over devices."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
from typing import Any

import jax
import numpy as np

RUNS = 'runs'  # Name of the mesh axis.


@dataclasses.dataclass(frozen=True)
class RunMap:
  """Maps functions over independent runs, a leading axis [S] of every leaf.

  The runs are sharded over devices and do not communicate.

  Attributes:
    devices: devices that the runs are spread over, all by default. The number
      of devices used is the largest that divides the number of runs.
    vectorize: whether the runs of one device advance together (`vmap`) or
      sequentially. By default they are sequential on CPUs.
  """

  devices: Sequence[jax.Device] | None = None
  vectorize: bool | None = None

  def __post_init__(self):
    # A list of devices would not be hashable.
    devices = tuple(self.devices or jax.devices())
    object.__setattr__(self, 'devices', devices)
    if self.vectorize is None:
      object.__setattr__(self, 'vectorize', devices[0].platform != 'cpu')

  def mesh(self, num_runs: int) -> jax.sharding.Mesh:
    """Returns the devices that `num_runs` runs are spread over evenly."""
    devices = tuple(self.devices or ())
    size = max(d for d in range(1, len(devices) + 1) if num_runs % d == 0)
    return jax.sharding.Mesh(np.array(devices[:size]), (RUNS,))

  def sharding(self, num_runs: int) -> jax.sharding.NamedSharding:
    """Returns the sharding of arrays with a leading axis of runs."""
    return jax.sharding.NamedSharding(
        self.mesh(num_runs), jax.sharding.PartitionSpec(RUNS))

  def runs_on_a_device(self, num_runs: int) -> int:
    """Returns the number of runs per memory; CPU devices share one memory."""
    devices = self.mesh(num_runs).devices
    return num_runs if devices[0].platform == 'cpu' else (
        num_runs // devices.size)

  def abstract(
      self, function: Callable[..., Any], num_runs: int, *args: Any) -> Any:
    """Returns the shapes and shardings of the mapped function's output.

    Args:
      function: function of one run.
      num_runs: S.
      *args: arguments of the function for all runs.
    """
    sharding = self.sharding(num_runs)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        jax.eval_shape(jax.vmap(function), *args))

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
      that all runs share.
    """

    def call(*args):
      num_runs = jax.tree.leaves(args)[0].shape[0]
      mapped = sum(bool(np.ndim(jax.tree.leaves(arg)[0])) for arg in args)
      return self._compiled(
          function, static, num_runs, mapped, donate)(*args)

    return call

  @functools.cache  # Equal maps share their programs.
  def _compiled(
      self, function, static, num_runs: int, mapped: int, donate: bool):
    one_run = functools.partial(function, *static)

    def one_device(*args):
      args, shared = args[:mapped], args[mapped:]
      if self.vectorize:
        return jax.vmap(lambda *args: one_run(*args, *shared))(*args)
      return jax.lax.map(lambda args: one_run(*args, *shared), args)

    of_runs, whole = jax.P(RUNS), jax.P()

    def call(*args):
      return jax.shard_map(
          one_device, mesh=self.mesh(num_runs),
          in_specs=(of_runs,) * mapped + (whole,) * (len(args) - mapped),
          out_specs=of_runs, check_vma=False)(*args)

    return jax.jit(call, donate_argnums=(0,) if donate else ())
