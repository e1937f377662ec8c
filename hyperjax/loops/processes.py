"""The agents of one process, in a job that spreads agents over several.

Agents do not communicate. So a process of a job (`hyperjax.multihost`) steps
the environments of its own agents, those of its own devices, and its programs
run on these devices alone. Nothing moves between processes in a step. Between
chunks the state is one: its arrays have shards on the devices of all processes,
and the part of a process is made of its own shards, without a copy.

In a job of one process all agents are its own, and nothing is done.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from hyperjax import multihost
from hyperjax.loops import mapping

T = TypeVar('T')


def own_agents(
    num_agents: int, devices: Sequence[jax.Device] | None = None) -> list[int]:
  """Returns the numbers of the agents whose environments this process steps.

  All of them, 0..G-1, in a job of one process.

  Args:
    num_agents: G, number of the agents of all processes.
    devices: as for the loop, see `mapping.RunMap`.

  Raises:
    ValueError: if the devices of all processes do not divide G.
  """
  return _agents_of(
      mapping.RunMap(devices).mesh(num_agents), num_agents,
      jax.process_index()).tolist()


def _agents_of(
    mesh: jax.sharding.Mesh, num_agents: int, process: int) -> np.ndarray:
  owners = [device.process_index for device in mesh.devices.flat]
  return np.flatnonzero(
      np.repeat(owners, num_agents // len(owners)) == process)


class Share:
  """The share of this process in G agents that are spread over all.

  Attributes:
    num_agents: G.
    agents: numbers of the agents of this process, ascending, int [own].
    runs: map over the agents of this process.
  """

  def __init__(self, runs: mapping.RunMap, num_own: int):
    """Learns from all processes how many agents there are.

    Args:
      runs: map over all agents.
      num_own: number of agents that this process has environments for.

    Raises:
      ValueError: on all processes, if the devices do not divide the agents, or
        a process has environments for other agents than those of its devices.
    """
    counts = multihost.gather(num_own)
    self.num_agents = sum(counts)
    self._mesh = runs.mesh(self.num_agents)
    self._of_process = [
        _agents_of(self._mesh, self.num_agents, i) for i in range(len(counts))]
    expected = [len(agents) for agents in self._of_process]
    if counts != expected:
      raise ValueError(
          f'expected environments for {expected} agents in the processes of '
          f'the job, see `own_agents`, got {counts}')
    self.agents, self.runs = self._of_process[0], runs
    if multihost.is_many():
      self.agents = self._of_process[jax.process_index()]
      self.runs = mapping.RunMap(tuple(
          x for x in self._mesh.devices.flat
          if x.process_index == jax.process_index()), runs.vectorize)

  def own(self, tree: Any) -> Any:
    """Returns this process' part of arrays with the axis [G], without a copy.

    Both share their memory: what donates one takes the other along.
    """
    return self._moved(tree, len(self.agents), self.runs.mesh)

  def whole(self, tree: Any) -> Any:
    """Returns the arrays [G] that the parts of all processes make together.

    The reverse of `own`. It waits for no other process.
    """
    return self._moved(tree, self.num_agents, lambda unused: self._mesh)

  def abstract(self, function: Callable[..., Any], *args: Any) -> Any:
    """Returns the shapes and shardings of `own`, of a mapped function's output.

    Args:
      function: function of one agent.
      *args: arguments of the function for the agents of this process.
    """
    shapes = self.runs.abstract(function, len(self.agents), *args)
    if not multihost.is_many():
      return shapes
    # Arrays made of shards have no weak type, and a program for another type
    # would be another program.
    return jax.tree.map(lambda x: x.update(weak_type=False), shapes)

  def _moved(
      self, tree: Any, num_agents: int,
      mesh: Callable[[int], jax.sharding.Mesh]) -> Any:
    if not multihost.is_many():
      return tree
    over, axis = mesh(num_agents), jax.P(mapping.RUNS)

    def moved(x):
      shape = num_agents, *x.shape[1:]
      if not x.size:  # Whole on every device, see `mapping.as_returned`.
        return jax.make_array_from_callback(
            shape, jax.sharding.NamedSharding(over, jax.P()),
            lambda unused: np.zeros(shape, x.dtype))
      return jax.make_array_from_single_device_arrays(
          shape, jax.sharding.NamedSharding(over, axis),
          [shard.data for shard in x.addressable_shards])

    return jax.tree.map(moved, tree)

  def gather(
      self, value: T, failure: str | None,
      error: type[Exception] = multihost.ProcessError) -> list[T]:
    """Returns what each process has called it with, in their order.

    Args:
      value: whatever can be pickled.
      failure: why this process cannot go on, or None.
      error: class of the error.

    Raises:
      Exception: of this class on all processes of several, if one of them
        cannot go on; with its number and the reason.
    """
    found = multihost.gather((value, failure))
    if multihost.is_many():
      for number, (_, reason) in enumerate(found):
        if reason is not None:
          raise error(f'process {number}: {reason}')
    return [x for x, _ in found]

  def rows(self, parts: Sequence[Any]) -> Any:
    """Returns NumPy arrays [G] from those of each process, [own].

    Args:
      parts: trees of arrays, in the order of the processes.
    """

    def joined(*arrays):
      whole = np.empty((self.num_agents, *arrays[0].shape[1:]), arrays[0].dtype)
      for agents, rows in zip(self._of_process, arrays, strict=True):
        whole[agents] = rows
      return whole

    return jax.tree.map(joined, *parts)
