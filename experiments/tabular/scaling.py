"""Growth of regret with S, A, H and K on MDPs of the theorems' prior.

  python -m experiments.tabular.scaling --output DIR

Random MDPs with independent Dirichlet(3 / S) transitions at each stage, counts
of each stage by itself, known rewards. From a base of S = 6, A = 4, H = 6 and
K = 2000 one size at a time takes half, the same and twice its value, and the
exponent is the slope of log regret over log size by least squares. `scaled` has
noise of c = 0.3, `theorem` the constants of the theorems (see
`hyperjax.tabular.presets`).

Written to scaling.csv, the regret for each size and seed, and exponents.csv,
with 95% intervals from 1,000 bootstrap samples of the seeds. An exponent over
such ranges shows transients (near 1 in K while nothing is learned yet) and
instances (near 0 once the best policy is found), and no upper bound.
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
from hyperjax.tabular import environments
from hyperjax.tabular import gaussian
from hyperjax.tabular import presets

from ..common import files
from ..common import folder as folder_lib
from ..common import study

BASE = {'S': 6, 'A': 4, 'H': 6, 'K': 2000}
AGENTS = (('scaled', 'psrl'), ('scaled', 'rlsvi'), ('scaled', 'hyperagent'),
          ('scaled', 'ucbvi'), ('theorem', 'rlsvi'), ('theorem', 'hyperagent'))
NUM_BOOTSTRAPS = 1000


@dataclasses.dataclass(frozen=True)
class Settings:
  """Measures how regret grows with S, A, H and K.

  Attributes:
    output: folder to write to.
    num_seeds: MDPs, and runs of each agent.
    seed: the first one.
  """

  output: Path
  num_seeds: int = 20
  seed: int = 0

  def __post_init__(self):
    checks.fields(self, num_seeds=checks.integer(2))
    seeds_lib.check_seeds([self.seed, self.seed + self.num_seeds - 1])


@functools.partial(jax.jit, static_argnums=(0, 1))
def _regrets(
    agent: tabular.Agent, num_episodes: int, seeds: jax.Array) -> jax.Array:
  """Returns the cumulative regret, [S, E], of seeds [S]."""
  sizes = agent.sizes

  def one(seed):
    mdp = environments.random_mdp(
        jax.random.fold_in(jax.random.key(seed), 1), sizes.num_states,
        sizes.num_actions, sizes.horizon)
    return jnp.cumsum(tabular.run(
        agent, mdp, jax.random.key(seed), num_episodes, mdp.rewards)[1])

  return jax.vmap(one)(seeds)


def _agent(preset: str, name: str, sizes: dict[str, int]) -> tabular.Agent:
  mdp = tabular.Sizes(sizes['S'], sizes['A'], sizes['H'])
  if preset == 'theorem':
    return presets.theorem(mdp, sizes['K'])[name]
  return presets.scaled(
      mdp, gaussian.scaled(sizes['H'], 0.3), prior_mass=3.)[name]


def regrets(
    preset: str, name: str, seeds: np.ndarray
) -> dict[str, dict[int, np.ndarray]]:
  """Returns the regret [S] for each value of each size."""
  found = {size: {} for size in BASE}
  for size in ('S', 'A', 'H'):
    for value in (BASE[size] // 2, BASE[size], 2 * BASE[size]):
      if value == BASE[size] and size != 'S':
        found[size][value] = found['S'][BASE['S']]
        continue
      sizes = {**BASE, size: value}
      # Twice the episodes of the base, for K.
      last = (2 if sizes == BASE else 1) * BASE['K']
      curve = np.asarray(_regrets(
          _agent(preset, name, sizes), last, jnp.asarray(seeds)))
      found[size][value] = curve[:, BASE['K'] - 1]
      if sizes == BASE:
        found['K'] = {k: curve[:, k - 1] for k in (last // 4, last // 2, last)}
  return found


def exponent(by_value: dict[int, np.ndarray]) -> float:
  """Returns the slope of the log of the mean regret over the log of a size."""
  means = [np.mean(regret) for regret in by_value.values()]
  slope, _ = np.polyfit(np.log(list(by_value)), np.log(means), 1)
  return float(slope)


def interval(by_value: dict[int, np.ndarray]) -> tuple[float, float]:
  """Returns the 95% interval of the exponent over bootstrapped seeds."""
  rng = np.random.default_rng(0)
  num = len(next(iter(by_value.values())))
  found = []
  for _ in range(NUM_BOOTSTRAPS):
    chosen = rng.integers(0, num, num)
    found.append(exponent({x: r[chosen] for x, r in by_value.items()}))
  low, high = np.quantile(found, [0.025, 0.975])
  return float(low), float(high)


def measure(settings: Settings):
  """Writes scaling.csv and exponents.csv, and prints the exponents."""
  seeds = settings.seed + np.arange(settings.num_seeds, dtype=np.uint32)
  with folder_lib.Folder(settings.output, settings, ('output',)):
    rows, exponents = [], []
    print('| preset | agent | S | A | H | K |\n|---|---|---|---|---|---|')
    for preset, name in AGENTS:
      line = []
      for size, by_value in regrets(preset, name, seeds).items():
        rows += [(preset, name, size, value, seed, f'{regret:.6g}')
                 for value, found in by_value.items()
                 for seed, regret in zip(seeds, found, strict=True)]
        slope, (low, high) = exponent(by_value), interval(by_value)
        exponents.append((preset, name, size, f'{slope:.3f}', f'{low:.3f}',
                          f'{high:.3f}'))
        line.append(f'{slope:.2f} ({low:.2f}, {high:.2f})')
      print(f'| {preset} | {name} | ' + ' | '.join(line) + ' |', flush=True)
    files.write_csv(
        settings.output / 'scaling.csv',
        ('preset', 'agent', 'size', 'value', 'seed', 'regret'), rows)
    files.write_csv(
        settings.output / 'exponents.csv',
        ('preset', 'agent', 'size', 'exponent', 'low', 'high'), exponents)


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(measure, __spec__.name, argv, Settings)


if __name__ == '__main__':
  main()
