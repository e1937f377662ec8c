"""The sequential random projection: how long |m|^2 stays within its band.

  python -m experiments.tabular.lemma --output DIR

HyperAgent keeps, for each pair of state and action, the sum of z0 sqrt(beta)
and of one random unit vector z in R^M for each visit. The lemma bounds

  |m|^2 (N + beta) / sigma^2 = |sqrt(beta) z0 + sum z|^2 / (N + beta),

whose mean is 1, for all N at once. The command follows independent pairs for
many visits, by two sequences of visits:

  independent  a pair is visited at every step;
  adaptive     an adversary, which sees the vectors so far, visits a pair only
               while the number is within the band, so that it stays outside
               for ever once it leaves. No sequence of visits is worse.

Written to lemma.csv, for each M, distribution of z and sequence: the share of
steps outside [1/2, 3/2] and outside [1, 3], the share of pairs that ever were,
and the smallest and largest number; curves.csv has the first share over the
visits, and lemma.png shows both. The interval is that of the mean over pairs.
"""

from collections.abc import Sequence
import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
from matplotlib import figure
import numpy as np

from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax import seeds as seeds_lib

from ..common import files
from ..common import folder as folder_lib
from ..common import regret as regret_lib
from ..common import study
from ..common import style

DIMS = (4, 8, 16, 32, 64, 128, 192, 256)
PERTURBATIONS = {
    'sphere': index_lib.Sphere, 'cube': index_lib.Cube,
    'gaussian': index_lib.Gaussian, 'coordinate': index_lib.Coordinate,
    'sparse': index_lib.Sparse}
BANDS = {'half': (0.5, 1.5), 'paper': (1., 3.)}
FIELDS = ('perturbation', 'dim', 'sequence', 'outside', 'half_interval',
          'ever_outside', 'outside_1_3', 'ever_outside_1_3', 'smallest',
          'largest')


@dataclasses.dataclass(frozen=True)
class Settings:
  """Follows |m|^2 over many visits, for several M.

  Attributes:
    output: folder to write to.
    num_pairs: independent pairs of state and action.
    num_visits: steps at which each may be visited.
    prior_mass: beta, above 0.
    seed: of all random vectors.
  """

  output: Path
  num_pairs: int = 400
  num_visits: int = 1000
  prior_mass: float = 1.
  seed: int = 0

  def __post_init__(self):
    checks.fields(
        self, num_pairs=checks.integer(2), num_visits=checks.integer(2),
        prior_mass=checks.positive)
    seeds_lib.check_seed(self.seed)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def relative_variances(
    perturbation: index_lib.IndexDistribution, num_pairs: int,
    num_visits: int, adaptive: bool, prior_mass: float, key: jax.Array,
) -> jax.Array:
  """Returns |m|^2 (N + beta) / sigma^2, float32 [T, P], step by step.

  Args:
    perturbation: distribution of z, scaled here to E|z|^2 = 1.
    num_pairs: P.
    num_visits: T.
    adaptive: whether a pair is visited only while within [1/2, 3/2].
    prior_mass: beta.
    key: PRNG key.
  """
  scale = (perturbation.second_moment * perturbation.dim)**-0.5
  key_prior, key = jax.random.split(key)
  prior = scale * perturbation.sample(key_prior, (num_pairs,))
  low, high = BANDS['half']

  def step(carry, t):
    sums, visits = carry
    before = jnp.sum(jnp.square(sums), -1) / (visits + prior_mass)
    visited = (before >= low) & (before <= high) if adaptive else (
        jnp.ones(num_pairs, bool))
    z = scale * perturbation.sample(jax.random.fold_in(key, t), (num_pairs,))
    sums = sums + jnp.where(visited[:, None], z, 0.)
    visits = visits + visited
    return (sums, visits), jnp.sum(jnp.square(sums), -1) / (
        visits + prior_mass)

  start = prior_mass**0.5 * prior, jnp.zeros(num_pairs)
  return jax.lax.scan(step, start, jnp.arange(num_visits))[1]


def row(name: str, dim: int, sequence: str, found: np.ndarray) -> tuple:
  """Returns a row of lemma.csv of numbers [T, P]."""
  shares = []
  for low, high in BANDS.values():
    outside = (found < low) | (found > high)
    mean = regret_lib.mean(outside.mean(axis=0))
    shares += [mean, outside.any(axis=0).mean()]
  (half, ever, paper, ever_paper) = shares
  return (name, dim, sequence, f'{half.mean:.6f}', f'{half.half:.6f}',
          f'{ever:.4f}', f'{paper.mean:.4f}', f'{ever_paper:.4f}',
          f'{found.min():.3f}', f'{found.max():.3f}')


def draw(
    rows: list[tuple], visits: np.ndarray,
    curves: dict[tuple[str, int], np.ndarray],
) -> figure.Figure:
  """Returns the figure.

  Args:
    rows: of lemma.csv.
    visits: numbers of visits at which the curves are known, [T].
    curves: share of pairs outside the band after so many visits, [T], by
      sequence and M.
  """
  fig = figure.Figure(figsize=(13.5, 4.4), layout='constrained')
  over_time, over_dim = fig.subplots(1, 2)
  colors = dict(zip(DIMS, style.COLORS + (style.GREY,), strict=False))
  for (sequence, dim), share in curves.items():
    over_time.plot(
        visits, 100. * share, color=colors[dim],
        linestyle='-' if sequence == 'independent' else '--', linewidth=1.2,
        label=f'M = {dim}' if sequence == 'independent' else None)
  over_time.set(
      xscale='log', xlabel='visits of a pair', ylabel='pairs outside [%]',
      title='Outside [1/2, 3/2] (sphere; dashed: adversary)', ylim=(-2, 102))
  over_time.legend(
      fontsize='small', loc='upper left', bbox_to_anchor=(1., 1.))
  for name, color in style.colors(PERTURBATIONS).items():
    for sequence, dashes in (('independent', '-'), ('adaptive', '--')):
      mine = [r for r in rows if r[0] == name and r[2] == sequence]
      if mine:
        over_dim.plot(
            [r[1] for r in mine], [100. * float(r[3]) for r in mine],
            color=color, linestyle=dashes, marker='o', markersize=3,
            linewidth=1.2, label=name if sequence == 'independent' else None)
  over_dim.set(
      xscale='log', xlabel='M', ylabel='time outside [%]', ylim=(-2, 102),
      title='By distribution of z (dashed: adversary)')
  over_dim.set_xticks(DIMS, [str(dim) for dim in DIMS])
  over_dim.minorticks_off()
  over_dim.legend(
      fontsize='small', loc='upper left', bbox_to_anchor=(1., 1.))
  return fig


def measure(settings: Settings):
  """Writes lemma.csv, curves.csv and lemma.png, and prints the table."""
  with folder_lib.Folder(settings.output, settings, ('output',)):
    rows, curves = [], {}
    visits = regret_lib.points(settings.num_visits)
    print('| z | M | sequence | time outside | pairs ever | outside [1, 3] |\n'
          '|---|---|---|---|---|---|')
    for name, distribution in PERTURBATIONS.items():
      for dim in DIMS:
        for sequence in ('independent', 'adaptive'):
          found = np.asarray(relative_variances(
              distribution(dim), settings.num_pairs, settings.num_visits,
              sequence == 'adaptive', settings.prior_mass,
              jax.random.key(settings.seed)))
          rows.append(row(name, dim, sequence, found))
          if name == 'sphere':
            low, high = BANDS['half']
            curves[sequence, dim] = (
                (found < low) | (found > high)).mean(axis=1)[visits - 1]
          print('| ' + ' | '.join(map(str, (*rows[-1][:3], *(
              rows[-1][i] for i in (3, 5, 6))))) + ' |', flush=True)
    files.write_csv(settings.output / 'lemma.csv', FIELDS, rows)
    files.write_csv(
        settings.output / 'curves.csv',
        ('sequence', 'dim', 'visits', 'outside'),
        [(sequence, dim, number, f'{outside:.4f}')
         for (sequence, dim), share in curves.items()
         for number, outside in zip(visits, share, strict=True)])
    files.write_figure(
        settings.output / 'lemma.png', draw(rows, visits, curves))


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(measure, __spec__.name, argv, Settings)


if __name__ == '__main__':
  main()
