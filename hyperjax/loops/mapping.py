"""From a function of one run to a compiled function of many, over devices."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
from typing import Any

import jax
import numpy as np

RUNS = 'runs'  # Name of the mesh axis.


@dataclasses.dataclass(frozen=True)
class RunMap:
  """Maps functions over independent runs: [S] in front of every leaf.

  The runs are sharded over devices, with nothing to communicate.

  Attributes:
    devices: to spread the runs over, all that JAX sees if None. As many are
      used as divide the number of runs.
    vectorize: whether the runs of one device advance together (`vmap`) or one
      after another. If None, one after another on CPUs.
  """

  devices: Sequence[jax.Device] | None = None
  vectorize: bool | None = None

  def __post_init__(self):
    # A list of devices would have no hash.
    devices = tuple(self.devices or jax.devices())
    object.__setattr__(self, 'devices', devices)
    if self.vectorize is None:
      object.__setattr__(self, 'vectorize', devices[0].platform != 'cpu')

  def mesh(self, num_runs: int) -> jax.sharding.Mesh:
    """The devices that `num_runs` runs are spread over, evenly."""
    devices = tuple(self.devices or ())
    size = max(d for d in range(1, len(devices) + 1) if num_runs % d == 0)
    return jax.sharding.Mesh(np.array(devices[:size]), (RUNS,))

  def sharding(self, num_runs: int) -> jax.sharding.NamedSharding:
    """Of arrays with a leading axis of runs."""
    return jax.sharding.NamedSharding(
        self.mesh(num_runs), jax.sharding.PartitionSpec(RUNS))

  def runs_on_a_device(self, num_runs: int) -> int:
    """How many runs share a memory; the devices of a CPU have one together."""
    devices = self.mesh(num_runs).devices
    return num_runs if devices[0].platform == 'cpu' else (
        num_runs // devices.size)

  def abstract(
      self, function: Callable[..., Any], num_runs: int, *args: Any) -> Any:
    """What `function` of each run returns, as shapes and shardings.

    Args:
      function: of one run.
      num_runs: S.
      *args: its arguments for all runs.
    """
    sharding = self.sharding(num_runs)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        jax.eval_shape(jax.vmap(function), *args))

  def __call__(
      self, function: Callable[..., Any], *static: Any, donate: bool = True
  ) -> Callable[..., Any]:
    """The compiled function of many runs.

    Args:
      function: of `static` and then of the arrays of one run.
      *static: hashable.
      donate: whether the memory of its first array argument is used again.
    """

    def call(*args):
      num_runs = jax.tree.leaves(args)[0].shape[0]
      return self._compiled(function, static, num_runs, donate)(*args)

    return call

  @functools.cache  # Equal maps share what they compile.
  def _compiled(self, function, static, num_runs: int, donate: bool):
    one_run = functools.partial(function, *static)

    def one_device(*args):
      if self.vectorize:
        return jax.vmap(one_run)(*args)
      return jax.lax.map(lambda args: one_run(*args), args)

    spec = jax.sharding.PartitionSpec(RUNS)
    return jax.jit(
        jax.shard_map(one_device, mesh=self.mesh(num_runs), in_specs=spec,
                      out_specs=spec, check_vma=False),
        donate_argnums=(0,) if donate else ())
