"""Speed of an agent in bsuite's own loop, beside bsuite's own JAX agent.

  python -m benchmarks.host_loop --output benchmarks/results

DQN and HyperAgent through `hyperjax.adapters.bsuite`, and bsuite's JAX DQN, in
the loop of `bsuite.baselines.experiment`, with the same batches, update period,
widths and replay. All else is each agent's default: our DQN is double, which is
one network more per update; `dqn_not_double` is bsuite's algorithm; HyperAgent
has its exact loss and its prior.
bsuite's agent keeps its replay in NumPy; it needs dm-haiku, and is left out
without it.

The agents take turns: every repeat measures each of them, over whole episodes.
host_loop.csv has a row per agent: environment steps, each with its updates, per
second of CPU time of the process (all threads) and of wall time; and the ratio
of its steps per CPU second to those of our DQN in the same turn. The numbers
are medians over the repeats, with the least and the greatest.
"""

from collections.abc import Callable, Sequence
import dataclasses
import functools
import importlib.util
import json
import math
from pathlib import Path
import time
from typing import Any

import numpy as np
import optax

from benchmarks import machine
from experiments.bsuite import reference as reference_lib
from experiments.common import files
from experiments.common import folder as folder_lib
from experiments.common import provenance as provenance_lib
from experiments.common import study
from hyperjax import agents
from hyperjax import specs
from hyperjax.adapters import bsuite as adapter
from hyperjax.environments.bsuite import suite

FIELDS = (
    'agent', 'steps_per_cpu_second', 'min', 'max', 'steps_per_second',
    'ratio', 'ratio_min', 'ratio_max')
WARMUP_STEPS = 100
OURS = {'dqn': (agents.DQN, agents.DQNConfig),
        'dqn_not_double': (
            agents.DQN, functools.partial(agents.DQNConfig, double=False)),
        'hyperagent': (agents.HyperAgent, agents.HyperAgentConfig)}
BSUITE = 'bsuite_dqn'


@dataclasses.dataclass(frozen=True)
class Settings:
  """Measures agents in bsuite's loop.

  Attributes:
    output: folder of host_loop.csv and host_loop.json; earlier ones are
      replaced.
    bsuite_id: environment.
    batch_size: number of transitions in an update.
    update_period: number of steps between two updates.
    hidden_sizes: widths of the network.
    replay_capacity: number of transitions kept.
    seconds: measuring time of each agent in each repeat, in seconds.
    repeats: number of measurements, of which the median is reported.
    minutes: time for all, in minutes; None for as long as it takes.
  """

  output: Path
  bsuite_id: str = 'catch/0'
  batch_size: int = 32
  update_period: int = 1
  hidden_sizes: tuple[int, ...] = (64, 64)
  replay_capacity: int = 10_000
  seconds: float = 1.
  repeats: int = 15
  minutes: float | None = None

  def __post_init__(self):
    """Raises ValueError for an invalid setting."""
    for name in ('seconds', 'minutes', 'repeats'):
      value = getattr(self, name)
      if value is not None and not 0. < value < math.inf:
        raise ValueError(f'{name} must be positive and finite, got {value}')
    if self.bsuite_id not in suite.ids('SWEEP'):
      raise ValueError(f'bsuite_id must be one of bsuite, got {self.bsuite_id}')
    for _, config in OURS.values():
      self.config(config)

  def config(self, make: Callable[..., Any]) -> Any:
    """Returns the config of one of our agents."""
    return make(
        batch_size=self.batch_size, update_period=self.update_period,
        hidden_sizes=self.hidden_sizes, warmup_steps=WARMUP_STEPS,
        replay_capacity=self.replay_capacity)


def _bsuite_dqn(settings: Settings, environment: Any) -> Any:
  """Returns bsuite's agent with its own settings where ours do not tell."""
  from bsuite.baselines.jax.dqn import agent
  import haiku as hk
  action_spec = environment.action_spec()

  def network(inputs):
    widths = [*settings.hidden_sizes, action_spec.num_values]
    return hk.nets.MLP(widths)(hk.Flatten()(inputs))

  return agent.DQN(
      obs_spec=environment.observation_spec(), action_spec=action_spec,
      network=network, optimizer=optax.adam(1e-3),
      batch_size=settings.batch_size, epsilon=0.05, rng=hk.PRNGSequence(0),
      discount=0.99, replay_capacity=settings.replay_capacity,
      min_replay_size=WARMUP_STEPS, sgd_period=settings.update_period,
      target_update_period=4)


class Point:
  """One agent in an environment of its own."""

  def __init__(self, name: str, settings: Settings):
    """Compiles the agent, and runs past the warm-up.

    Args:
      name: key of `OURS`, or `BSUITE`.
      settings: settings of all agents.
    """
    self._environment = reference_lib.make_environment(settings.bsuite_id, 0)
    if name == BSUITE:
      self._agent = _bsuite_dqn(settings, self._environment)
    else:
      agent, config = OURS[name]
      self._agent = adapter.Agent(agent(
          *specs.of_environment(self._environment), settings.config(config)))
    steps = 0
    while steps < WARMUP_STEPS + 20 * settings.update_period:
      steps += self._episode()

  def _episode(self) -> int:
    """Runs an episode as `experiment.run` does; returns its steps."""
    timestep, steps = self._environment.reset(), 0
    while not timestep.last():
      action = self._agent.select_action(timestep)
      new_timestep = self._environment.step(action)
      self._agent.update(timestep, action, new_timestep)
      timestep, steps = new_timestep, steps + 1
    return steps

  def measure(self, seconds: float) -> tuple[float, float]:
    """Returns steps per second of CPU time, and of wall time."""
    began, cpu, steps = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < seconds:
      steps += self._episode()
    return (steps / (time.process_time() - cpu),
            steps / (time.perf_counter() - began))


def _rows(names: Sequence[str], found: np.ndarray) -> list[tuple[Any, ...]]:
  """Returns rows of `FIELDS`.

  Args:
    names: agents.
    found: what `Point.measure` returned, [repeats, agents, 2].
  """
  by_cpu = found[:, :, 0]
  ratios = by_cpu / by_cpu[:, [names.index('dqn')]]
  return [(name, *(f'{x:.4g}' for x in (
      np.median(by_cpu[:, i]), by_cpu[:, i].min(), by_cpu[:, i].max(),
      np.median(found[:, i, 1]), np.median(ratios[:, i]), ratios[:, i].min(),
      ratios[:, i].max()))) for i, name in enumerate(names)]


def benchmark(settings: Settings):
  """Measures all agents and writes the files.

  Raises:
    ValueError: if the output folder cannot be written.
  """
  folder_lib.make(settings.output)  # Fails before anything is measured.
  clock = machine.Clock(settings.minutes)
  names = list(OURS)
  if importlib.util.find_spec('haiku'):
    names.append(BSUITE)
  else:
    print("bsuite's own agent is left out, since it needs dm-haiku: "
          'pip install dm-haiku', flush=True)
  files.write_atomically(
      settings.output / 'host_loop.json',
      json.dumps({'settings': provenance_lib.settings_as_json(
                      settings, without=('output',)),
                  'cpu': machine.cpu_name(), **provenance_lib.provenance()},
                 indent=2).encode() + b'\n')
  points = [Point(name, settings) for name in names]
  found = []
  while len(found) < settings.repeats and not (found and clock.is_past(0.9)):
    found.append([point.measure(settings.seconds) for point in points])
  if len(found) < settings.repeats:
    print(f'only {len(found)} of {settings.repeats} repeats, no time is left')
  rows = _rows(names, np.array(found))
  files.write_csv(settings.output / 'host_loop.csv', FIELDS, rows)
  for row in rows:
    print('{}: {} steps per CPU second ({} to {}), {} per second; {} ({} to {})'
          " of our DQN's".format(*row), flush=True)


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(benchmark, __spec__.name, argv, Settings)


if __name__ == '__main__':
  main()
