"""Exact regret of tabular agents in one environment.

  python -m experiments.tabular.run --environment river_swim --output DIR

Writes regret.csv, the cumulative regret of each agent and seed at some forty
numbers of episodes; summary.csv, the last of them with 95% intervals; and
regret.png. The regret of an episode is that of the policy played, by dynamic
programming. The same command with more agents adds theirs, and runs none again.
"""

from collections.abc import Sequence
import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from hyperjax import checks
from hyperjax import seeds as seeds_lib
from hyperjax import tabular

from ..common import files
from ..common import folder as folder_lib
from ..common import regret as regret_lib
from ..common import stopping
from . import figures
from . import tasks

SUMMARY = ('agent', 'seeds', 'episodes', 'regret', 'half_interval', 'median',
           'late_regret', 'stuck')
# A run is stuck if in its last third the regret of an episode is above this
# share of V* (of the first seed's).
STUCK = 0.25


@dataclasses.dataclass(frozen=True)
class Settings:
  """Measures the exact regret of tabular agents in one environment.

  Attributes:
    output: folder to write to; more agents may be added to it later.
    environment: name, see experiments/tabular/tasks.py.
    agents: names with commas between them, see the same file.
    num_episodes: episodes of each run.
    num_seeds: independent runs of each agent.
    seed: the first one.
    scale: c of the noise sigma_h = c (H - h); by default the environment's.
    batch: seeds that advance together.
  """

  output: Path
  environment: str = 'river_swim'
  agents: str = 'psrl,rlsvi,hyperagent_16,ucbvi,lmc_lsvi,uniform'
  num_episodes: int = 3000
  num_seeds: int = 20
  seed: int = 0
  scale: float | None = None
  batch: int = 20

  def __post_init__(self):
    checks.fields(
        self, num_episodes=checks.integer(2), num_seeds=checks.COUNT,
        batch=checks.COUNT, scale=checks.optional(checks.NONNEGATIVE))
    seeds_lib.check_seeds([self.seed, self.seed + self.num_seeds - 1])
    checks.known('environment', self.environment, tasks.TASKS)
    tasks.chosen(self.task, self.agents, self.scale)

  @property
  def task(self) -> tasks.Task:
    """The task of the environment's name."""
    return tasks.TASKS[self.environment]


@functools.partial(jax.jit, static_argnums=(0, 1, 3, 4))
def regrets(
    agent: tabular.Agent, task: tasks.Task, seeds: jax.Array,
    num_episodes: int, batch: int,
) -> jax.Array:
  """Returns the regret in every episode, [S, E], of seeds [S]."""

  def one(seed):
    mdp = tasks.make_mdp(task, seed)
    _, found = tabular.run(
        agent, mdp, jax.random.key(seed), num_episodes,
        mdp.rewards if task.known else None)
    return found

  return jax.lax.map(one, seeds, batch_size=batch)


def run(settings: Settings, requests: stopping.Requests | None = None):
  """Runs all agents that are not in the table yet, and draws regret.png.

  Args:
    settings: of the command.
    requests: to stop; None if nobody asks.

  Raises:
    ValueError: for a folder that cannot be used.
    stopping.Stopped: if a request to stop came; finished agents are saved.
  """
  seeds = settings.seed + np.arange(settings.num_seeds, dtype=np.uint32)

  def measure(agent: tabular.Agent) -> regret_lib.Curves:
    return regret_lib.of_run(seeds, np.asarray(regrets(
        agent, settings.task, jnp.asarray(seeds), settings.num_episodes,
        min(settings.batch, settings.num_seeds))))

  without = ('output', 'agents', 'batch')
  with folder_lib.Folder(settings.output, settings, without):
    curves = regret_lib.measure(
        settings.output,
        tasks.chosen(settings.task, settings.agents, settings.scale), measure,
        functools.partial(summary, settings), SUMMARY, requests)
    files.write_figure(
        settings.output / 'regret.png',
        figures.regret({settings.environment: curves}))


def summary(
    settings: Settings, curves: dict[str, regret_lib.Curves]) -> list[tuple]:
  """Returns the rows of summary.csv."""
  best = float(tabular.optimal_value(
      tasks.make_mdp(settings.task, jnp.uint32(settings.seed))))
  rows = []
  for name, found in curves.items():
    last, late = regret_lib.mean(found.regret[:, -1]), regret_lib.late(found)
    rows.append((
        name, len(found.seeds), found.times[-1], f'{last.mean:.6g}',
        f'{last.half:.6g}', f'{np.median(found.regret[:, -1]):.6g}',
        f'{late.mean():.4g}', int((late > STUCK * best).sum())))
  return rows


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  regret_lib.main(run, Settings, __spec__.name, argv)


if __name__ == '__main__':
  main()
