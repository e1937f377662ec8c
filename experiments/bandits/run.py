"""Regret of agents in linear bandits.

  python -m experiments.bandits.run --dim 50 --num-actions 10000 --output DIR

The published problem (Li et al., 2024): actions uniform on [-1/sqrt(5),
1/sqrt(5)]^d, or the unit sphere with --num-actions 0; theta ~ N(0, 10 I), noise
N(0, 1), both known to the agents. Runs of different agents with the same seed
have the same problem and the same noise. The agents:

  thompson, lin_ucb, lin_ucb_2 (two standard deviations), greedy;
  lin_ucb_released (by ridge regression with the factor 1e-3, as the authors'
  code: a prior of variance 1,000 instead of the true one);
  ensemble_M, langevin_J, hyperagent_M (Gaussian reference, sphere);
  hyperagent_M_REFERENCE_PERTURBATION, each of gaussian, sphere, cube,
  coordinate and sparse; pairs_M stands for all 25.

Writes regret.csv, summary.csv with 95% intervals and the difference from exact
Thompson sampling, run by run, and regret.png. The same command with more agents
adds theirs, and runs none again.
"""

from collections.abc import Sequence
import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from hyperjax import bandits
from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax import seeds as seeds_lib

from ..common import files
from ..common import folder as folder_lib
from ..common import regret as regret_lib
from ..common import stopping
from . import figures

INDICES = {
    'gaussian': index_lib.Gaussian, 'sphere': index_lib.Sphere,
    'cube': index_lib.Cube, 'coordinate': index_lib.Coordinate,
    'sparse': index_lib.Sparse}
SUMMARY = ('agent', 'runs', 'steps', 'regret', 'half_interval', 'median',
           'above_thompson', 'half_interval_of_it', 'stuck')
# Keeps the problem of a seed apart from its run.
_PROBLEM = 1
NUM_POINTS = 12


@dataclasses.dataclass(frozen=True)
class Settings:
  """Measures the regret of agents in linear bandits.

  Attributes:
    output: folder to write to; more agents may be added to it later.
    agents: names with commas between them, see the module.
    dim: d.
    num_actions: X; 0 for the unit sphere.
    num_steps: T.
    num_runs: independent runs, each with a problem of its own.
    seed: the first one.
    batch: runs that advance together.
  """

  output: Path
  agents: str = 'thompson,hyperagent_8,hyperagent_16,hyperagent_32'
  dim: int = 50
  num_actions: int = 10_000
  num_steps: int = 1000
  num_runs: int = 200
  seed: int = 0
  batch: int = 1

  def __post_init__(self):
    checks.fields(
        self, dim=checks.COUNT, num_actions=checks.integer(0),
        num_steps=checks.integer(2), num_runs=checks.COUNT,
        batch=checks.COUNT)
    seeds_lib.check_seeds([self.seed, self.seed + self.num_runs - 1])
    agents(self.agents, self.dim)


def agents(names: str, dim: int) -> dict[str, bandits.Agent]:
  """Returns agents by name; see the module.

  Args:
    names: names with commas between them.
    dim: d.

  Raises:
    ValueError: for an unknown name.
  """
  found = {}
  for name in names.split(','):
    if name.startswith('pairs_'):
      size = _number(name, name.removeprefix('pairs_'))
      for reference, perturbation in (
          (r, p) for r in INDICES for p in INDICES):
        found[f'hyperagent_{size}_{reference}_{perturbation}'] = _hyperagent(
            dim, size, reference, perturbation)
    else:
      found[name] = _agent(name, dim)
  return found


def _hyperagent(
    dim: int, size: int, reference: str, perturbation: str) -> bandits.Agent:
  for index in (reference, perturbation):
    checks.known('distribution', index, INDICES)
  return bandits.HyperAgent(
      dim, reference=INDICES[reference](size),
      perturbation=INDICES[perturbation](size))


def _number(name: str, text: str) -> int:
  if not text.isdecimal() or not int(text):
    raise ValueError(
        f'expected a number of at least 1 in the agent {name!r}, got {text!r}')
  return int(text)


def _agent(name: str, dim: int) -> bandits.Agent:
  plain = {
      'thompson': bandits.ThompsonSampling(dim),
      'greedy': bandits.ThompsonSampling(dim, inflation=0.),
      'lin_ucb': bandits.LinUCB(dim),
      'lin_ucb_2': bandits.LinUCB(dim, alpha=2.),
      'lin_ucb_released': bandits.LinUCB(dim, prior_variance=1e3)}
  if name in plain:
    return plain[name]
  kind, *rest = name.split('_')
  if kind == 'hyperagent' and len(rest) in (1, 3):
    reference, perturbation = rest[1:] or ('gaussian', 'sphere')
    return _hyperagent(dim, _number(name, rest[0]), reference, perturbation)
  if kind == 'ensemble' and len(rest) == 1:
    return bandits.EnsembleSampling(
        dim, num_members=_number(name, rest[0]))
  if kind == 'langevin' and len(rest) == 1:
    return bandits.LangevinSampling(dim, num_steps=_number(name, rest[0]))
  raise ValueError(checks.unknown('agent', name, (
      *plain, 'ensemble_M', 'langevin_J', 'hyperagent_M',
      'hyperagent_M_REFERENCE_PERTURBATION', 'pairs_M')))


@functools.partial(jax.jit, static_argnums=(0, 2, 3, 4, 5))
def regrets(
    agent: bandits.Agent, seeds: jax.Array, dim: int, num_actions: int,
    num_steps: int, batch: int,
) -> jax.Array:
  """Returns the regret in every step, [S, T], of seeds [S]."""

  def one(seed):
    key = jax.random.key(seed)
    key_problem = jax.random.fold_in(key, _PROBLEM)
    problem = (bandits.random_problem(key_problem, dim, num_actions)
               if num_actions else bandits.random_sphere(key_problem, dim))
    return bandits.run(agent, problem, key, num_steps)[1]

  return jax.lax.map(one, seeds, batch_size=batch)


def summary(curves: dict[str, regret_lib.Curves]) -> list[tuple]:
  """Returns the rows of summary.csv.

  A run is stuck if its regret is above twice the mean of exact Thompson
  sampling; without that agent there is nothing to compare.
  """
  rows, exact = [], curves.get('thompson')
  for name, found in curves.items():
    last = found.regret[:, -1]
    mean = regret_lib.mean(last)
    compared = ('', '', '')
    if exact is not None:
      reference = exact.regret[:, -1]
      above = regret_lib.relative(last, reference)
      stuck = int((last > 2. * reference.mean()).sum())
      compared = (f'{above.mean:.4f}', f'{above.half:.4f}', stuck)
    rows.append((
        name, len(found.seeds), found.times[-1], f'{mean.mean:.6g}',
        f'{mean.half:.6g}', f'{np.median(last):.6g}', *compared))
  return rows


def run(settings: Settings, requests: stopping.Requests | None = None):
  """Runs all agents that are not in the table yet, and draws regret.png.

  Args:
    settings: of the command.
    requests: to stop; None if nobody asks.

  Raises:
    ValueError: for a folder that cannot be used.
    stopping.Stopped: if a request to stop came; finished agents are saved.
  """
  seeds = settings.seed + np.arange(settings.num_runs, dtype=np.uint32)

  def measure(agent: bandits.Agent) -> regret_lib.Curves:
    return regret_lib.of_run(seeds, np.asarray(regrets(
        agent, jnp.asarray(seeds), settings.dim, settings.num_actions,
        settings.num_steps, min(settings.batch, settings.num_runs))),
        NUM_POINTS)

  without = ('output', 'agents', 'batch')
  with folder_lib.Folder(settings.output, settings, without):
    curves = regret_lib.measure(
        settings.output, agents(settings.agents, settings.dim), measure,
        summary, SUMMARY, requests)
    files.write_figure(
        settings.output / 'regret.png', figures.regret(
            settings.dim, settings.num_actions, curves))


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  regret_lib.main(run, Settings, __spec__.name, argv)


if __name__ == '__main__':
  main()
