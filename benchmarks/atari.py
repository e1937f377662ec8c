"""Speed on Atari: the loop relative to its two sides, and the update.

  python -m benchmarks.atari --output benchmarks/results

For each preset and number of agents, in one process and interleaved, so that
drift of the machine affects all equally:

  environments  steps/s of the environments alone, with random actions
  updates       steps/s that the due updates alone would allow
  loop          steps/s of both, with acting: `hyperjax.loops.host`

and the ratio of the loop to its slower side. If both sides use the same cores,
as on a machine without an accelerator, this ratio is below 1. Beside them stand
updates/s of the updates alone, with their batches drawn; their share of the
machine's peak (flops as XLA counts them for a CPU, relative to a large float32
product); and how many weights one agent trains. Presets of other agents than
HyperAgent are named with them:

  python -m benchmarks.atari --presets dqn:paper_atari rainbow:der_atari \\
      bbf:paper_atari_ratio_2 --chunk-steps 2 --no-updates --output DIR

In addition, for one HyperAgent and each torso and regulariser: updates/s; their
share of the peak; and both with `flax.linen.Conv` instead of
`hyperjax.networks.Conv`, called from the host and within a scan, as in a loop
on the device. `--no-updates` leaves that part out. With `--minutes` the points
for which there is no time are left out, and said.
"""

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import atari_updates
from benchmarks import machine
from experiments.common import files
from experiments.common import folder as folder_lib
from experiments.common import machine as machine_lib
from experiments.common import provenance as provenance_lib
from experiments.common import registry
from experiments.common import study
from hyperjax import checks
from hyperjax import networks
from hyperjax.agents import presets
from hyperjax.environments import envpool
from hyperjax.loops import host
from hyperjax.loops import host_run

GAME = 'Pong'
WARMUP_STEPS = 200
LOOP = ('preset', 'num_agents', 'environments', 'updates', 'loop', 'min',
        'max', 'share_of_slower_side', 'min_share', 'max_share',
        'updates_per_second', 'flops_per_update', 'share_of_peak',
        'num_weights')


def _agent_and_preset(name: str) -> tuple[str, str]:
  return registry.agent_and_preset(
      name if ':' in name else f'hyperagent:{name}')


@dataclasses.dataclass(frozen=True)
class Settings:
  """Measures agents on Atari.

  Attributes:
    output: folder of atari_loop.csv, atari_update.csv and atari.json; earlier
      ones are replaced.
    presets: PRESET of HyperAgent, or AGENT:PRESET, for each loop.
    num_agents: numbers of agents that advance together, in one environment
      each.
    seconds: measuring time of each point in each repeat, in seconds.
    chunk_steps: steps of the loop between two looks at the clock; few for an
      agent whose updates take seconds.
    repeats: number of measurements of each point, of which the median is
      reported.
    replay_capacity: number of frames kept per agent.
    updates: whether the updates of one agent are measured too.
    minutes: time for all, in minutes; None for as long as it takes.
  """

  output: Path
  presets: tuple[str, ...] = ('small_atari', 'paper_atari')
  num_agents: tuple[int, ...] = (1, 2)
  seconds: float = 4.
  chunk_steps: int = 40
  repeats: int = 3
  replay_capacity: int = 10_000
  updates: bool = True
  minutes: float | None = None

  def __post_init__(self):
    for name in self.presets:
      presets.make(*_agent_and_preset(name))
    checks.COUNT('chunk_steps', self.chunk_steps)
    if not self.num_agents or min(self.num_agents) < 1:
      raise ValueError(
          f'num_agents must be at least 1, got {self.num_agents}')
    for name in ('seconds', 'repeats', 'minutes'):
      value = getattr(self, name)
      if value is not None and not value > 0:
        raise ValueError(f'{name} must be positive, got {value}')


class Loop:
  """A loop and its two sides."""

  def __init__(self, settings: Settings, preset: str, num_agents: int):
    """Makes the loop, compiles it and runs it past its warm-up."""
    make = lambda: [envpool.Atari(GAME, list(range(num_agents)))]
    self._environment = make()[0]
    self._environment.reset()
    self._agent, preset = _agent_and_preset(preset)
    self._config = presets.make(
        self._agent, preset, replay_capacity=settings.replay_capacity,
        warmup_steps=WARMUP_STEPS)
    self._num_agents = num_agents
    self._loop = self._make_loop(self._config, make())
    self._state = self._loop.init(list(range(num_agents)))
    self._env_steps = np.zeros(num_agents, int)
    self._settings = settings
    self.run(WARMUP_STEPS + settings.chunk_steps)
    # A copy, since both this and the loop donate their state; with the log of a
    # chunk, for which the updates are compiled.
    self._learning = self._loop._mapped(
        host_run.HostRun.clear_log, self._loop._host_run)(
            jax.tree.map(jnp.copy, self._state))
    self._learn()

  def _make_loop(self, config, environments) -> host.HostLoop:
    agent = presets.agent_class(self._agent)(
        atari_updates.SPEC, self._environment.num_actions, config)
    return host.HostLoop(agent, environments)

  def run(self, num_steps: int) -> Any:
    """Advances all agents; returns their state, which the next call reuses."""
    self._state, _ = self._loop.run(self._state, num_steps, self._env_steps)
    return self._state

  def _learn(self):
    """Makes the updates that are due: draws batches and updates on them."""
    self._learning = self._loop._mapped(
        host_run.HostRun.learn, self._loop._host_run)(self._learning)
    return self._learning.log.loss

  def measure(self) -> tuple[float, float, float]:
    """Returns steps/s of all agents: environments, updates, loop."""
    rng = np.random.default_rng(0)
    seconds, steps = self._settings.seconds, self._settings.chunk_steps
    draw = lambda: rng.integers(
        self._environment.num_actions, size=self._num_agents)
    environments = machine.rate(
        lambda: self._environment.step(draw()).reward, seconds,
        self._num_agents)
    updates = machine.rate(
        self._learn, seconds,
        self._num_agents * self._loop.trainer.update_period)
    loop = machine.rate(
        lambda: self.run(steps), seconds, steps * self._num_agents)
    return environments, updates, loop

  @property
  def updates_per_step(self) -> float:
    """Updates that are due for each step of an agent."""
    return self._config.updates_per_period / self._loop.trainer.update_period

  def num_weights(self) -> int:
    """Returns how many weights one agent trains."""
    return networks.num_parameters(
        jax.tree.map(lambda x: x[0], self._state.train.learner.params))

  def flops(self) -> float:
    """Returns XLA's count for a single update, its batch drawn."""
    loop = self._make_loop(
        dataclasses.replace(self._config, updates_per_period=1),
        self._loop.environments.environments)
    run = loop._host_run
    state = jax.eval_shape(
        lambda state: run.clear_log(jax.tree.map(lambda x: x[0], state)),
        loop.abstract_state(range(self._num_agents)))
    return machine.costs(run.learn, state).get('flops', np.nan)

  def close(self):
    """Closes the environments."""
    self._environment.close()
    self._loop.close()


def benchmark(settings: Settings):
  """Measures all points and writes the files.

  Raises:
    ValueError: if the output folder cannot be written.
  """
  machine_lib.use_all_cores()
  machine_lib.keep_freed_memory()
  folder_lib.make(settings.output)  # Fails before anything is measured.
  clock = machine.Clock(settings.minutes)
  provenance = provenance_lib.provenance()  # Before the results change files.
  peaks = [machine.measure_product()]
  loops = []
  for preset, num_agents in itertools.product(
      settings.presets, settings.num_agents):
    if clock.is_past(0.8):
      print(f'{preset}, {num_agents} agents: left out, no time is left')
      continue
    loops.append(_loop_row(settings, preset, num_agents, peaks))
    files.write_csv(settings.output / 'atari_loop.csv', LOOP, loops)
  if settings.updates:
    files.write_csv(
        settings.output / 'atari_update.csv', atari_updates.FIELDS,
        atari_updates.measure(settings.seconds / 2., settings.repeats, peaks))
  files.write_atomically(
      settings.output / 'atari.json',
      json.dumps({'settings': provenance_lib.settings_as_json(
                      settings, without=('output',)),
                  'cpu': machine.cpu_name(), 'peak_flops': max(peaks),
                  **provenance}, indent=2).encode() + b'\n')


def _loop_row(
    settings: Settings, preset: str, num_agents: int, peaks: list[float],
) -> tuple[Any, ...]:
  """Measures a loop and its sides; returns the values of `LOOP`."""
  loop = Loop(settings, preset, num_agents)
  found = np.array([loop.measure() for _ in range(settings.repeats)])
  flops, num_weights = loop.flops(), loop.num_weights()
  loop.close()
  environments, updates, both = np.median(found, axis=0)
  per_second = updates * loop.updates_per_step
  # Ratios of adjacent measurements, since the machine's speed may drift.
  shares = found[:, 2] / found[:, :2].min(axis=1)
  share = np.median(shares)
  print(f'{preset}, {num_agents} agents: environments {environments:,.0f}, '
        f'updates {updates:,.0f}, loop {both:,.0f} steps/s: {share:.0%} of '
        f'the slower side; {per_second:,.1f} updates/s of {num_weights:,} '
        f'weights', flush=True)
  return (preset, num_agents, *(f'{x:.4g}' for x in (
      environments, updates, both, found[:, 2].min(), found[:, 2].max(),
      share, shares.min(), shares.max(), per_second, flops,
      per_second * flops / max(peaks))), num_weights)


def main(argv: list[str] | None = None):
  """Runs the command; see the module."""
  study.main(benchmark, __spec__.name, argv, Settings)


if __name__ == '__main__':
  main()
