"""The run of one seed over several devices, as a part for each of them.

`mapping` gives every run to one device; `SplitMap` gives it to a row of D
devices, the second axis of the mesh (Anakin with data parallelism). A device
has N/D of the seed's N environments, the replay of their transitions, B/D of
the B transitions of each batch, and a copy of all else.

It is the same agent as on one device with the same config:

- An update is the same function of the learner and of the B transitions. Every
  draw in it is the same, and results differ by rounding: gradients are means
  over the parts (`hyperjax.data_parallel`).
- The warm-up, the updates due, the target network, the uids of transitions, the
  scale of rewards and all counters are those of the whole agent. The replay
  holds as many steps of every environment.
- An evaluation draws the same. Every device plays all of its episodes.

These draws have the same distribution, but are others for every D, because they
are functions of the part as well:

- of acting (indices, random actions, ties) and of the environments;
- of the batch: B/D transitions from each part, with replacement, instead of B
  from all. Each transition is as likely to be drawn, but the number from each
  part does not vary. The tournaments of `replay.Mixed` are among transitions of
  one part, and its window holds the newest ones of each.

Refused are samplers whose draws from a part would depend on the
other parts (`replay.Prioritized`), lazy Adam, whose rows are those of the whole
batch, and agents that are not `agents.td.TDAgent`.

Devices exchange sums alone: in an update the gradient, the metrics and the bits
of faults; before the updates of a period the scale of rewards, if the agent
measures it; and the number of episodes after a chunk. A run depends on D, but
on no other number of seeds, devices, processes or chunks (over several
processes up to rounding).
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any, cast

import jax
from jaxtyping import Array, Int
import numpy as np

from hyperjax import checks
from hyperjax import data_parallel
from hyperjax import memory
from hyperjax import multihost
from hyperjax import types
from hyperjax.loops import base as loops_base
from hyperjax.loops import mapping
from hyperjax.loops import split_trainer
from hyperjax.loops import trainer as trainer_lib
from hyperjax.loops.chunk_log import ChunkLog
from hyperjax.loops.mapping import RUNS
from hyperjax.loops.seed_run import RunState
from hyperjax.loops.seed_run import SeedRun


def make_trainer(
    agent: types.Agent | loops_base.Trainer, num_envs: int,
    replay_capacity: int | None, num_parts: int,
) -> split_trainer.SplitTrainer:
  """Returns the trainer of one of D parts of an agent.

  Args:
    agent: agent.
    num_envs: N, of the whole agent.
    replay_capacity: of the whole agent; by default that of its config.
    num_parts: D.

  Raises:
    ValueError: if the agent cannot be split, or the parts do not divide it.
  """
  if checks.is_a(agent, loops_base.Trainer):
    raise ValueError(
        f'devices_per_seed {num_parts} needs an agent, got the trainer '
        f'{type(agent).__name__}')
  agent = cast(types.Agent, agent)
  # Its checks are of what the user gave.
  capacity = trainer_lib.ReplayTrainer(
      agent, num_envs, replay_capacity).capacity
  for name, value in (
      ('num_envs', num_envs), ('the capacity of the replay', capacity)):
    split_trainer.check_divides(name, value, num_parts)
  return split_trainer.SplitTrainer(
      agent, num_envs // num_parts, capacity // num_parts, num_parts)


@dataclasses.dataclass(frozen=True)
class SplitRun(SeedRun):
  """Pure functions over one part of the `RunState` of one seed."""

  def specs(self) -> Any:
    """Returns how the parts share a state: a prefix of its tree."""
    # In the place of arrays.
    whole: Any = jax.P(RUNS)
    split: Any = jax.P(RUNS, data_parallel.AXIS)
    trainer: Any = self.trainer
    return RunState(
        train=trainer.specs(RUNS), env_params=whole, env_state=split,
        timestep=split, episode_return=split, num_steps=whole,
        num_episodes=whole, num_updates=whole, env_key=whole, eval_key=whole)

  def specs_of_result(self, name: str) -> Any:
    """Returns how the parts share what a method of this class returns."""
    if name == 'init':
      return self.specs()
    if name in ('run', 'run_if'):
      return self.specs(), jax.P(RUNS, data_parallel.AXIS)
    return jax.P(RUNS)  # Of an evaluation, which every part makes alike.

  def run(
      self, max_steps: int, warmup: bool, state: RunState,
      num_steps: Int[Array, ''],
  ) -> tuple[RunState, ChunkLog]:
    """See `SeedRun`; the log is that of the environments of this part."""
    after, log = super().run(max_steps, warmup, state, num_steps)
    # Counted once in a chunk, so that steps need no communication.
    return after._replace(
        num_episodes=state.num_episodes
        + data_parallel.total(log.num_episodes)), log


@dataclasses.dataclass(frozen=True)
class SplitMap(mapping.RunMap):
  """Maps the functions of a `SplitRun` over runs, each over D devices.

  Attributes:
    devices: devices, in rows of D.
    vectorize: see `RunMap`.
    num_parts: D.

  Raises:
    ValueError: if D does not divide the number of devices.
  """

  num_parts: int = 1

  def __post_init__(self):
    super().__post_init__()
    split_trainer.check_divides(
        'the number of devices', len(self.devices or ()), self.num_parts)

  def mesh(self, num_runs: int) -> jax.sharding.Mesh:
    """See `RunMap`; the second axis has the D devices of a run."""
    devices = tuple(self.devices or ())
    rows = len(devices) // self.num_parts
    size = max(d for d in range(1, rows + 1) if num_runs % d == 0)
    if size < rows and multihost.is_many():
      raise ValueError(
          f'expected a number of runs that divides into the {len(devices)} '
          f'devices of the {jax.process_count()} processes, '
          f'{self.num_parts} of them for each run, got {num_runs}')
    return jax.sharding.Mesh(
        np.array(devices[:size * self.num_parts]).reshape(size, -1),
        (RUNS, data_parallel.AXIS))

  def check_state(
      self, state: Any, num_runs: int, times: int = 1, saved: bool = False,
  ) -> list[memory.Need]:
    """See `RunMap`; every device has a copy of what is not split.

    Args:
      state: shapes and shardings of the state of all runs, or the shapes of one
        part of one run.
      num_runs: S.
      times: number of such states; S for parts.
      saved: whether checkpoints are written.
    """
    copies = self.num_parts * times

    def of_device(x):
      if x.sharding is None:
        return x
      return jax.ShapeDtypeStruct(x.sharding.shard_shape(x.shape), x.dtype)

    if any(x.sharding is not None for x in jax.tree.leaves(state)):
      state = jax.tree.map(of_device, state)
      copies = self.mesh(num_runs).devices.size
    return super().check_state(state, num_runs, copies, saved)

  def abstract(
      self, function: Callable[..., Any], num_runs: int, *args: Any) -> Any:
    """See `RunMap`; the function is a method of a `SplitRun`."""
    mesh, run = self.mesh(num_runs), getattr(function, '__self__', None)
    assert isinstance(run, SplitRun)
    shapes = memory.traced(jax.eval_shape, self._sharded(
        function, (run,), num_runs, len(args)), *args)
    return jax.tree.map(
        lambda spec, part: jax.tree.map(
            lambda x: mapping.as_returned(x, mesh, spec), part),
        run.specs_of_result(function.__name__), shapes)

  @functools.cache  # As in `RunMap`.
  def _compiled(
      self, function, static, num_runs: int, mapped: int, donate: bool):
    return jax.jit(self._sharded(function, static, num_runs, mapped),
                   donate_argnums=(0,) if donate else ())

  def _sharded(self, function, static, num_runs: int, mapped: int):
    """Returns a function of many runs from one of a part of one run."""
    run, *options = static
    # The loop names the method of `SeedRun`, which `SplitRun` may override.
    method = getattr(run, function.__name__)
    of_runs = self._of_device(functools.partial(method, *options), mapped)

    def one_device(*args):
      result = of_runs(*args)
      if isinstance(result, tuple) and isinstance(result[-1], ChunkLog):
        # Side by side with the logs of the other parts, [S, D, ...].
        return *result[:-1], jax.tree.map(lambda x: x[:, None], result[-1])
      return result

    def call(*args):
      return jax.shard_map(
          one_device, mesh=self.mesh(num_runs),
          in_specs=tuple(
              run.specs() if isinstance(arg, RunState) else jax.P(RUNS)
              for arg in args[:mapped])
          + (jax.P(),) * (len(args) - mapped),
          out_specs=run.specs_of_result(function.__name__),
          check_vma=False)(*args)

    return call


def whole_log(log: ChunkLog) -> ChunkLog:
  """Returns the log of a run from those of its parts, in host memory.

  Args:
    log: logs of the parts, every field with leading axes [S, D].

  Returns:
    The log [S] of all episodes, in the order of their steps and then of their
    environments, as if these had been on one device.
  """
  log = multihost.fetch(log)
  columns = (log.episode_return, log.episode_step, log.info)
  episodes = np.arange(log.episode_step.shape[-1])
  exists = episodes < log.num_episodes[..., None]
  step = np.where(exists, log.episode_step, np.iinfo(np.int32).max)
  order = np.argsort(
      step.reshape(len(step), -1), axis=1, kind='stable')
  episode_return, episode_step, info = jax.tree.map(
      lambda x: np.take_along_axis(x.reshape(order.shape), order, axis=1),
      columns)
  # The parts have the same updates.
  first = jax.tree.map(lambda x: x[:, 0], log)
  return first._replace(
      episode_return=episode_return, episode_step=episode_step, info=info,
      num_episodes=log.num_episodes.sum(axis=1, dtype=np.int32))
