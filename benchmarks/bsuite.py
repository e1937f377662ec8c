"""Speed of bsuite sweeps: compiled, and stepped one by one.

  python -m benchmarks.bsuite --reference --output benchmarks/results

For each agent and each compiled program of the ids (those of equal shapes are
one), with all its ids and seeds: environment steps per second of all runs
together, and the hours that the whole program would take at that speed if its
longest id had only episodes of the greatest length, which is more than it
takes. With --reference, in turns with it, one run of the first id on one
device, bsuite's own environment of it through the adapter in this process, and
their ratio. The one run's time is divided by leaving things out: without
learning it is acting and the rest, with random actions the rest alone, which is
the environment, the replay and the log. bsuite.csv has a row for each.

With --minutes, programs for which there is no time are left out, and said.
"""

from collections.abc import Sequence
import dataclasses
import itertools
import json
from pathlib import Path
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine
from experiments.bsuite import reference as reference_lib
from experiments.common import files
from experiments.common import folder as folder_lib
from experiments.common import machine as machine_lib
from experiments.common import provenance as provenance_lib
from experiments.common import registry
from experiments.common import study
from hyperjax import specs
from hyperjax.adapters import acme
from hyperjax.agents import presets
from hyperjax.environments.bsuite import suite
from hyperjax.loops import environment_loop
from hyperjax.loops import on_device

FIELDS = (
    'agent', 'preset', 'first_id', 'runs', 'steps_per_second', 'min', 'max',
    'microseconds_per_run_and_step', 'longest_steps', 'hours_at_most',
    'one_run', 'reference', 'ratio', 'update_us', 'act_us', 'rest_us')
MAX_STEPS = 4096
PROBE_STEPS = 64  # Of the chunk that determines the length of a chunk.
CHUNK_SECONDS = 1.
REPLAY_CAPACITY = 10_000  # Transitions; the time does not depend on it.


@dataclasses.dataclass(frozen=True)
class Settings:
  """Measures bsuite.

  Attributes:
    output: folder of bsuite.csv and bsuite.json; earlier ones are replaced.
    ids: ids, families, tags or sweeps.
    agents: agents, each with its preset after a colon, or its default.
    num_seeds: runs of each id.
    reference: whether bsuite's own environments are measured too.
    seconds: measuring time of each point in each repeat.
    repeats: number of measurements, of which the median is reported.
    minutes: time for all, in minutes; None for as long as it takes.
  """

  output: Path
  ids: tuple[str, ...] = (
      'bandit/0', 'catch/0', 'cartpole/0', 'deep_sea/0', 'umbrella_length/0')
  agents: tuple[str, ...] = ('hyperagent', 'dqn')
  num_seeds: int = 4
  reference: bool = False
  seconds: float = 4.
  repeats: int = 3
  minutes: float | None = None

  def __post_init__(self):
    for name in ('num_seeds', 'seconds', 'repeats', 'minutes'):
      value = getattr(self, name)
      if value is not None and not value > 0:
        raise ValueError(f'{name} must be positive, got {value}')
    for name in self.agents:
      presets.make(*registry.agent_and_preset(name))
    for name in self.ids:
      suite.ids(name)

  def programs(self) -> tuple[suite.Program, ...]:
    """Returns the compiled programs of the ids."""
    found = itertools.chain.from_iterable(suite.ids(x) for x in self.ids)
    return suite.programs(
        [x for x in dict.fromkeys(found) if not suite.needs_images(x)])


class Compiled:
  """Runs of one program."""

  def __init__(self, agent_and_preset: str, program: suite.Program,
               num_seeds: int, devices: Sequence[jax.Device] | None = None,
               **overrides: Any):
    """Compiles it, and runs past the warm-up.

    Args:
      agent_and_preset: see `Settings`.
      program: ids.
      num_seeds: runs of each id.
      devices: see `OnDeviceLoop`.
      **overrides: settings of the agent that are otherwise.
    """
    name, preset = registry.agent_and_preset(agent_and_preset)
    environment = program.environment
    agent = presets.AGENTS[name](
        environment.observation_spec(), environment.action_spec(),
        presets.make(name, preset, **overrides))
    self._loop = on_device.OnDeviceLoop(
        agent, environment, replay_capacity=REPLAY_CAPACITY, devices=devices)
    self.num_runs = num_seeds * len(program.bsuite_ids)
    params = jax.tree.map(
        lambda x: jnp.repeat(x, num_seeds, axis=0), program.params)
    self._state = self._loop.init(range(self.num_runs), params)
    self._period = self._loop.trainer.update_period
    probe = self._period * (PROBE_STEPS // self._period + 1)
    warmup = self._loop.trainer.warmup_steps
    self._run((warmup if warmup < MAX_STEPS else 0) + probe)
    start = time.perf_counter()
    self._run(probe)
    chunks = CHUNK_SECONDS / (time.perf_counter() - start)
    self._num_steps = min(
        max(1, int(chunks)) * probe, MAX_STEPS // self._period * self._period)

  def _run(self, num_steps: int):
    self._state, _ = jax.block_until_ready(
        self._loop.run(self._state, num_steps, max_steps=MAX_STEPS))

  def measure(self, seconds: float) -> float:
    """Returns environment steps per second, of all runs together."""
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
      self._run(self._num_steps)
      steps += self._num_steps * self.num_runs
    return steps / (time.perf_counter() - start)


class Reference:
  """bsuite's own environment and the acme actor."""

  def __init__(self, agent_and_preset: str, bsuite_id: str):
    """Compiles the actor, and runs past the warm-up.

    Args:
      agent_and_preset: see `Settings`.
      bsuite_id: an id.
    """
    name, preset = registry.agent_and_preset(agent_and_preset)
    config = presets.make(name, preset)
    environment = reference_lib.make_environment(bsuite_id, 0)
    self._loop = environment_loop.EnvironmentLoop(environment, acme.Actor(
        presets.AGENTS[name](*specs.of_environment(environment), config),
        0, REPLAY_CAPACITY))
    while self._loop.run_episode().env_steps < config.warmup_steps + 100:
      pass

  def measure(self, seconds: float) -> float:
    """Returns environment steps per second, over whole episodes."""
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
      steps += self._loop.run_episode().episode_length
    return steps / (time.perf_counter() - start)


def _row(settings: Settings, name: str, program: suite.Program) -> tuple:
  """Measures one program; returns the values of `FIELDS`."""
  points: list[Compiled | Reference] = [
      Compiled(name, program, settings.num_seeds)]
  first = program.bsuite_ids[0]
  if settings.reference:
    one, = suite.programs([first])
    make = lambda **overrides: Compiled(
        name, one, 1, jax.devices()[:1], **overrides)
    points += [make(), Reference(name, first),
               make(update_period=MAX_STEPS, updates_per_period=1),
               make(warmup_steps=10**9, replay_capacity=10**9)]
  found = np.array([
      [point.measure(settings.seconds) for point in points]
      for _ in range(settings.repeats)])
  rate = float(np.median(found[:, 0]))
  runs = settings.num_seeds * len(program.bsuite_ids)
  longest = max(program.num_episodes) * program.environment.max_episode_length
  row = [rate, found[:, 0].min(), found[:, 0].max(), 1e6 * runs / rate,
         longest, longest * runs / rate / 3600.]
  text = (f'{name}, {first} and others, {runs} runs: {rate:,.0f} steps/s, '
          f'whole in at most {row[-1]:.2f} h')
  if settings.reference:
    ratios = found[:, 1] / found[:, 2]
    one_run, by_adapter, no_updates, at_random = np.median(
        found[:, 1:], axis=0)
    times = [1e6 / x for x in (one_run, no_updates, at_random)]
    row += [one_run, by_adapter, np.median(ratios), times[0] - times[1],
            times[1] - times[2], times[2]]
    text += (f'; one run {one_run:,.0f}, reference {by_adapter:,.0f} steps/s, '
             f'ratio {ratios.min():.1f} to {ratios.max():.1f}; microseconds: '
             f'update {row[-3]:.0f}, act {row[-2]:.0f}, rest {row[-1]:.0f}')
  print(text, flush=True)
  values = [f'{x:.4g}' for x in row]
  return (*registry.agent_and_preset(name), first, runs, *values,
          *[''] * (len(FIELDS) - 4 - len(values)))


def benchmark(settings: Settings):
  """Measures all programs and writes the files.

  Raises:
    ValueError: if the output folder cannot be written.
  """
  machine_lib.use_all_cores()
  folder_lib.make(settings.output)  # Fails before anything is measured.
  clock = machine.Clock(settings.minutes)
  provenance = provenance_lib.provenance()
  files.write_atomically(
      settings.output / 'bsuite.json',
      json.dumps({'settings': provenance_lib.settings_as_json(
                      settings, without=('output',)),
                  'cpu': machine.cpu_name(), **provenance},
                 indent=2).encode() + b'\n')
  rows = []
  for program in settings.programs():
    for name in settings.agents:
      if clock.is_past(0.85):
        print(f'{name}, {program.bsuite_ids[0]}: left out, no time is left')
        continue
      rows.append(_row(settings, name, program))
      files.write_csv(settings.output / 'bsuite.csv', FIELDS, rows)


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(benchmark, __spec__.name, argv, Settings)


if __name__ == '__main__':
  main()
