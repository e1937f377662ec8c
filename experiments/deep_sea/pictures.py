"""Pictures of a run on DeepSea, from what lies in its folder.

  python -m experiments.deep_sea.pictures FOLDER

draws them again.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import matplotlib
from matplotlib import figure
import numpy as np

from hyperjax import types
from hyperjax.environments import deep_sea

from ..common import files
from ..common import run as run_lib

matplotlib.use('Agg')

MOMENTS = ('before', 'solved', 'after')


def posterior_of_values(
    agent: types.Agent, environment: deep_sea.DeepSea, params: types.Params,
) -> tuple[Float[Array, 'N N'], Float[Array, 'N N']]:
  """Mean and standard deviation of max_a Q(s, a; z) over 500 indices z.

  Args:
    agent: whose value function it is.
    environment: DeepSea of size N with cell numbers as observations.
    params: of the agent's learner.

  Returns:
    Both over the grid, float32 [N, N].
  """
  size = environment.size
  cells = jnp.arange(size**2)

  def value(index):
    indices = jnp.broadcast_to(index, (size**2, *index.shape))
    return jnp.max(agent.q_values(params, cells, indices), axis=-1)

  values = jax.lax.map(value, agent.index.sample(jax.random.key(0), (500,)))
  grid = values.reshape(-1, size, size)
  return grid.mean(axis=0), grid.std(axis=0)


def save_posterior(
    folder: Path, moment: str, episode: int, mean: np.ndarray,
    std: np.ndarray):
  """Keeps the posterior of one of the `MOMENTS` for `posterior`."""
  files.write_npz(folder / f'posterior_{moment}.npz',
                    episode=episode, mean=mean, std=std)


def posterior(folder: Path):
  """Draws posterior.png: mean and spread of the value before and after.

  Cells above the diagonal cannot be reached and are left white.
  """
  found = {m: np.load(folder / f'posterior_{m}.npz') for m in MOMENTS
           if (folder / f'posterior_{m}.npz').exists()}
  fig = figure.Figure(figsize=(3.6 * len(found) + 1, 6.6),
                      layout='constrained')
  axes = fig.subplots(2, len(found), squeeze=False)
  size = found['before']['mean'].shape[0]
  reachable = np.tril(np.ones((size, size), bool))
  for row, (key, label) in enumerate(
      (('mean', 'mean of the value over z'),
       ('std', 'standard deviation over z'))):
    data = {m: np.where(reachable, f[key], np.nan) for m, f in found.items()}
    if key == 'mean':  # The same colours for the same values, 0 in white.
      top = max(np.nanmax(np.abs(d)) for d in data.values())
      norm = matplotlib.colors.SymLogNorm(0.1, vmin=-top, vmax=top)
      cmap = 'RdBu_r'
    else:  # Spread shrinks by orders of magnitude.
      top = max(np.nanmax(d) for d in data.values())
      norm = matplotlib.colors.LogNorm(max(top, 1e-6) * 1e-4, max(top, 1e-6))
      cmap = 'viridis'
    for column, (moment, d) in enumerate(data.items()):
      ax = axes[row, column]
      image = ax.imshow(np.maximum(d, norm.vmin), norm=norm, cmap=cmap)
      ax.set_xticks([0, size - 1], ['1', f'{size}'])
      ax.set_yticks([0, size - 1], ['1', f'{size}'])
      if row == 0:
        episode = int(found[moment]['episode'])
        ax.set_title({'before': 'before training',
                      'solved': f'when solved, episode {episode}',
                      'after': f'at the end, episode {episode}'}[moment])
      if row == 1:
        ax.set_xlabel('column: steps to the right', labelpad=-6)
      if column == 0:
        ax.set_ylabel('row: step of the episode', labelpad=-6)
    fig.colorbar(image, ax=axes[row, :], shrink=0.85, label=label)
  fig.suptitle(
      f'DeepSea-{size}: posterior of the value max$_a$ Q(s, a; z) in each '
      f'cell.\nAn episode begins at the upper left; the treasure of 1 lies at '
      f'the lower right.', fontsize='large')
  files.write_figure(folder / 'posterior.png', fig)


def learning_curves(folder: Path):
  """Draws learning_curves.png from episodes.csv and evaluations.csv."""
  evaluations = files.read_columns(folder / 'evaluations.csv')
  episodes = files.read_columns(folder / 'episodes.csv')
  fig = figure.Figure(figsize=(10, 3.8), layout='constrained')
  left, right = fig.subplots(1, 2, sharex=True)
  seeds = list(dict.fromkeys(evaluations['seed']))
  colors = matplotlib.colormaps['viridis'](np.linspace(0., 0.9, len(seeds)))
  for seed, color in zip(seeds, colors, strict=False):
    mine = evaluations['seed'] == seed
    left.plot(evaluations['episode'][mine].astype(int),
              evaluations['eval_return'][mine].astype(float),
              color=color, marker='.', markersize=4, linewidth=1)
    mine = episodes['seed'] == seed
    returns = episodes['episode_return'][mine].astype(float)
    right.plot(episodes['episode'][mine].astype(int), np.cumsum(0.99 - returns),
               color=color, linewidth=1,
               label=f'seed {seed}' if len(seeds) <= 10 else None)
  left.axhline(0.99, color='grey', linewidth=0.8, linestyle='--')
  left.set_ylabel('mean return of the evaluation')
  right.set_ylabel('cumulative regret in training')
  for ax in (left, right):
    ax.set_xlabel('episode')
    ax.spines[['top', 'right']].set_visible(False)
  if len(seeds) <= 10:
    # The regret rises and then stays, so that no curve comes there.
    right.legend(frameon=False, fontsize='small', loc='lower right')
  agent, size = evaluations['agent'][0], evaluations['size'][0]
  fig.suptitle(f'{agent} on DeepSea-{size}')
  files.write_figure(folder / 'learning_curves.png', fig)


PICTURES = {'learning_curves.png': learning_curves, 'posterior.png': posterior}


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  run_lib.draw_main(PICTURES, __spec__.name, argv)


if __name__ == '__main__':
  main()
