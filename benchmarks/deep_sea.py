"""HyperAgent on DeepSea, many seeds at once, as something to be measured."""

from collections.abc import Callable
import math
import time
from typing import NamedTuple

import jax

from benchmarks import machine
from hyperjax import agents
from hyperjax.agents import presets
from hyperjax.environments import deep_sea
from hyperjax.loops import on_device

CONFIGS = {
    'default': agents.HyperAgentConfig(),
    'optimistic': presets.hyperagent_optimistic(),
    'exact': presets.hyperagent_thompson_deep_sea(),
    'sampled': presets.hyperagent_thompson_deep_sea(num_index_samples=20),
}
REPLAY_CAPACITY = 20_000  # Transitions; enough for different batches.
PROBE_STEPS = 4  # Steps of the chunk that determines the length of a chunk.
MAX_CHUNK_STEPS = 2**12  # One program serves all chunks up to it.


class Cost(NamedTuple):
  """Cost of one update of one seed, by XLA's count.

  Attributes:
    flops: number of arithmetic operations.
    bytes: bytes read and written; NaN if XLA does not count them.
  """

  flops: float
  bytes: float


class Measurement(NamedTuple):
  """One point in one repeat; bytes are those of all seeds and devices together.

  Attributes:
    updates_per_second: updates per second of all seeds together.
    state_bytes: memory of the whole `RunState`, in bytes.
    replay_bytes: memory of the replays in it, in bytes.
    peak_memory_bytes: peak memory, see the module.
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
    self._env_params = environment.params_from_seeds(range(num_seeds))

  def __str__(self):
    return f'N={self.size:<3} S={self.num_seeds:<2} {self.loss:7}'

  def cost(self) -> Cost:
    """Returns the cost of one `agent.update` on one batch."""
    replay = self._loop.trainer.replay
    key = jax.random.key(0)
    learner = jax.eval_shape(self.agent.init, key)
    batch = jax.eval_shape(lambda k: replay.sample(replay.init(), k), key)
    costs = machine.costs(self.agent.update, learner, batch)
    return Cost(costs['flops'], costs.get('bytes accessed', math.nan))

  def compile(self):
    """Compiles the loop."""
    self._begin()

  def measure(self, seconds: float) -> Measurement:
    """Measures for about `seconds` seconds; see the module."""
    machine.reset_peak_memory()
    state, chunk_steps = self._chunk_steps(self._begin(), seconds / 4.)
    num_updates, elapsed = 0, 0.
    start = time.perf_counter()
    while elapsed < seconds:
      state, log = self._run(state, chunk_steps)
      elapsed = time.perf_counter() - start
      num_updates += int(log.num_updates.sum())
    return Measurement(
        updates_per_second=num_updates / elapsed,
        state_bytes=machine.num_bytes(state),
        replay_bytes=machine.num_bytes(state.train.replay),
        peak_memory_bytes=machine.peak_memory())

  def steps(self, num_steps: int) -> Callable[[], jax.Array]:
    """Returns a function that advances one state, by so many steps a call."""
    state = self._begin()

    def advance():
      nonlocal state
      state, _ = self._run(state, num_steps)
      return state.num_steps

    return advance

  def _begin(self) -> on_device.RunState:
    """Returns a state past the warm-up and a first chunk."""
    state = self._loop.init(range(self.num_seeds), self._env_params)
    state, _ = self._run(
        state, self._loop.trainer.warmup_steps + PROBE_STEPS)
    return state

  def _run(self, state, num_steps):
    """Runs a chunk to its end."""
    return jax.block_until_ready(
        self._loop.run(state, num_steps, max_steps=MAX_CHUNK_STEPS))

  def _chunk_steps(self, state, seconds: float):
    """Returns a later state, and the steps of a chunk of about `seconds`."""
    took = []
    for _ in range(2):
      start = time.perf_counter()
      state, _ = self._run(state, PROBE_STEPS)
      took.append(time.perf_counter() - start)
    # Short chunks take longer for each step, so that it is rather too short.
    return state, min(MAX_CHUNK_STEPS, PROBE_STEPS * max(
        1, int(seconds / min(took))))
