"""Arithmetic and time per episode of tabular agents against S, A, H, M and K.

  python -m experiments.tabular.cost --output DIR

The count is XLA's of what one episode's `plan` and `update` are lowered to,
before it is optimised, with loops over stages and over Langevin steps unrolled.
Loops of the random bits and of gamma samples are counted once, integers as
floats. From a base size each of S, A, H and M is doubled, and the growth is
written as an exponent, log2 of the ratio; the base is chosen so large that the
highest power decides. Counts do not depend on the number k of the episode, but
for LMC-LSVI by its theorem, where the number of steps J_k does, and for
HyperAgent's batch form, which sees all episodes again.

HyperAgent's count is also fitted, by least squares over all sizes twice the
base's or not, by S^2 A H, S A H M and S H M (the indices that are drawn).

Written to cost.csv, fit.csv, and time.csv: the time of each of ten chunks of
episodes in units of their median, compiled and run one after another; and
wall.csv: how time and count grow when a size of the base is doubled. A time is
the smallest of several, and the sizes of an agent take turns, since other work
may come in between.
"""

from collections.abc import Sequence
import contextlib
import dataclasses
import functools
import itertools
import math
from pathlib import Path
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax import tabular
from hyperjax.tabular import environments
from hyperjax.tabular import gaussian
from hyperjax.tabular import presets

from ..common import files
from ..common import folder as folder_lib
from ..common import study

BASE = {'S': 128, 'A': 8, 'H': 4, 'M': 64}
FIELDS = ('agent', 'operations', *(f'exponent_of_{x}' for x in BASE),
          'exponent_of_k')
NUM_CHUNKS = 10
# Of one measurement in seconds at least, and how many there are.
MEASURED = 0.2
REPEATS = 7


@dataclasses.dataclass(frozen=True)
class Settings:
  """Counts the arithmetic of tabular agents, and times them.

  Attributes:
    output: folder to write to.
    chunk: episodes of each of the ten chunks that are timed.
    repeats: measurements of each agent at each size.
  """

  output: Path
  chunk: int = 1000
  repeats: int = REPEATS

  def __post_init__(self):
    checks.fields(self, chunk=checks.COUNT, repeats=checks.COUNT)


def agents(sizes: dict[str, int]) -> dict[str, tabular.Agent]:
  """Returns the agents for sizes S, A, H and M."""
  mdp = tabular.Sizes(sizes['S'], sizes['A'], sizes['H'])
  noise = gaussian.scaled(sizes['H'])
  dim = sizes['M']
  found = presets.scaled(mdp, noise, dim, num_members=dim)
  hyper = tabular.HyperAgent(
      mdp, noise, index_lib.Gaussian(dim), index_lib.Sphere(dim))
  return {**found, 'hyperagent': hyper}


@contextlib.contextmanager
def unrolled():
  """Within, loops of a known length are traced step by step."""
  scan, loop = jax.lax.scan, jax.lax.fori_loop
  with (mock.patch.object(
      jax.lax, 'scan', functools.partial(scan, unroll=True)),
        mock.patch.object(
            jax.lax, 'fori_loop', functools.partial(loop, unroll=True))):
    yield


def _episode(sizes: tabular.Sizes, leading: tuple[int, ...] = ()
             ) -> tabular.Episode:
  shape = (*leading, sizes.horizon)
  return tabular.Episode(
      jnp.zeros((*leading, sizes.horizon + 1), jnp.int32),
      jnp.zeros(shape, jnp.int32), jnp.zeros(shape))


def operations(agent: tabular.Agent) -> float:
  """Returns XLA's count of what an episode of an agent needs."""

  def episode(state, key, found):
    return agent.update(state, found), agent.plan(state, key)

  return _count(episode, jax.eval_shape(agent.init, jax.random.key(0)),
                jax.random.key(0), _episode(agent.sizes))


def batch_operations(agent: tabular.HyperAgent, num_episodes: int) -> float:
  """Returns the count of HyperAgent's batch form after so many episodes."""
  return _count(
      agent.batch_state, jax.eval_shape(agent.init, jax.random.key(0)),
      _episode(agent.sizes, (num_episodes,)))


def _count(function, *arguments) -> float:
  with unrolled():
    analysis = jax.jit(function).lower(*arguments).cost_analysis()
  return float(analysis['flops'])


def rows() -> list[tuple]:
  """Returns the rows of cost.csv."""
  found = {name: operations(agent) for name, agent in agents(BASE).items()}
  exponents = {name: [] for name in found}
  for size in BASE:
    doubled = agents({**BASE, size: 2 * BASE[size]})
    for name, agent in doubled.items():
      exponents[name].append(math.log2(operations(agent) / found[name]))
  result = [(name, f'{count:.4g}', *(f'{x:.2f}' for x in exponents[name]),
             '0.00') for name, count in found.items()]
  # A Langevin step, times the theorem's number of steps.
  sizes = agents(BASE)['lmc_lsvi'].sizes
  ten, twenty = (operations(tabular.LMCLSVI(sizes, j)) for j in (10, 20))
  per_step = (twenty - ten) / 10.
  steps = [tabular.LMCLSVI.theorem(sizes, k).num_steps for k in (5000, 10_000)]
  counts = [ten + (j - 10) * per_step for j in steps]
  result.append((
      'lmc_lsvi_theorem_10000', f'{counts[1]:.4g}', '', '', '', '',
      f'{math.log2(counts[1] / counts[0]):.2f}'))
  small = agents({'S': 8, 'A': 2, 'H': 4, 'M': 16})['hyperagent']
  counts = [batch_operations(small, k) for k in (500, 1000)]
  result.append((
      'hyperagent_batch_1000_small', f'{counts[1]:.4g}', '', '', '', '',
      f'{math.log2(counts[1] / counts[0]):.2f}'))
  return result


def fit() -> list[tuple]:
  """Returns rows of fit.csv: terms, their factors, and the largest error."""
  corners = [dict(zip(BASE, x, strict=True)) for x in itertools.product(
      *((size, 2 * size) for size in BASE.values()))]
  counts = np.array([operations(agents(x)['hyperagent']) for x in corners])
  terms = {
      'S^2 A H': lambda S, A, H, M: S**2 * A * H,
      'S A H M': lambda S, A, H, M: S * A * H * M,
      'S H M': lambda S, A, H, M: S * H * M}
  x = np.array([[term(**corner) for term in terms.values()]
                for corner in corners], float)
  # In units of the counts, so that all sizes weigh alike.
  factors, *_ = np.linalg.lstsq(
      x / counts[:, None], np.ones(len(counts)), rcond=None)
  error = np.abs(x @ factors / counts - 1.).max()
  return [*((name, f'{factor:.2f}') for name, factor in zip(
      terms, factors, strict=True)), ('largest relative error', f'{error:.3f}')]


def _advance(agent: tabular.Agent, mdp: tabular.MDP, num: int, *arguments):
  """Returns a compiled step of so many episodes, and the first state."""

  def advance(state, first):

    def episode(state, k):
      key_plan, key_play = jax.random.split(
          jax.random.fold_in(jax.random.key(0), k))
      policy = agent.plan(state, key_plan)
      return agent.update(state, tabular.play(mdp, policy, key_play)), None

    return jax.lax.scan(episode, state, first + jnp.arange(num))[0]

  state = jax.jit(agent.init)(jax.random.key(0), *arguments)
  compiled = jax.jit(advance).lower(state, 0).compile()
  jax.block_until_ready(compiled(state, 0))
  return compiled, state


def _seconds(compiled, state, first: int):
  """Returns the time that a compiled step takes, and the next state."""
  start = time.monotonic()
  state = jax.block_until_ready(compiled(state, first))
  return time.monotonic() - start, state


def times(chunk: int) -> list[tuple]:
  """Returns rows of time.csv: agent, episodes so far, time of the chunk."""
  mdp = environments.river_swim()
  noise = gaussian.scaled(mdp.horizon)
  chosen = presets.scaled(mdp.sizes(pooled=True), noise)
  result = []
  for name in ('rlsvi', 'hyperagent', 'psrl', 'lmc_lsvi'):
    advance, state = _advance(chosen[name], mdp, chunk, mdp.rewards)
    seconds = []
    for i in range(NUM_CHUNKS):
      taken, state = _seconds(advance, state, i * chunk)
      seconds.append(taken)
    result += [(name, (i + 1) * chunk, f'{x / np.median(seconds):.3f}')
               for i, x in enumerate(seconds)]
  return result


def wall(repeats: int) -> list[tuple]:
  """Returns rows of wall.csv: agent, size, growth of the count and of time."""
  sizes = [BASE, *({**BASE, x: 2 * BASE[x]} for x in BASE)]
  made = [(agents(x), environments.random_mdp(
      jax.random.key(0), x['S'], x['A'], x['H'])) for x in sizes]
  result = []
  for name in made[0][0]:
    steps = []
    for of_size, mdp in made:
      advance, state = _advance(of_size[name], mdp, 1, mdp.rewards)
      num = math.ceil(MEASURED / _seconds(advance, state, 0)[0])
      steps.append((num, *_advance(of_size[name], mdp, num, mdp.rewards)))
    seconds = np.min([[_seconds(advance, state, 0)[0] / num
                       for num, advance, state in steps]
                      for _ in range(repeats)], axis=0)
    counts = [operations(of_size[name]) for of_size, _ in made]
    result += [(name, size, f'{counts[i] / counts[0]:.2f}',
                f'{seconds[i] / seconds[0]:.2f}', f'{1e3 * seconds[0]:.3g}')
               for i, size in enumerate(BASE, 1)]
    for row in result[-len(BASE):]:
      print(*row, flush=True)
  return result


def measure(settings: Settings):
  """Writes cost.csv, fit.csv, time.csv and wall.csv, and prints them."""
  with folder_lib.Folder(settings.output, settings, ('output',)):
    found = rows()
    print('| ' + ' | '.join(FIELDS) + ' |\n' + '|---' * len(FIELDS) + '|')
    for row in found:
      print('| ' + ' | '.join(map(str, row)) + ' |', flush=True)
    files.write_csv(settings.output / 'cost.csv', FIELDS, found)
    found = fit()
    files.write_csv(settings.output / 'fit.csv', ('term', 'factor'), found)
    for row in found:
      print(*row)
    found = times(settings.chunk)
    files.write_csv(settings.output / 'time.csv',
                    ('agent', 'episodes', 'time_to_median'), found)
    for row in found:
      print(*row)
    files.write_csv(
        settings.output / 'wall.csv',
        ('agent', 'doubled', 'operations_ratio', 'time_ratio',
         'milliseconds_of_base'), wall(settings.repeats))


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(measure, __spec__.name, argv, Settings)


if __name__ == '__main__':
  main()
