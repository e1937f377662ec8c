"""Pictures of a run on Atari, from what lies in its folder.

  python -m experiments.atari.pictures FOLDER

draws them again.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
from matplotlib import figure
from matplotlib import ticker
import numpy as np

from hyperjax import replay
from hyperjax import types
from hyperjax.environments import envpool

from ..common import files
from ..common import run as run_lib
from ..common import style
from . import games as games_lib

matplotlib.use('Agg')

STRIP = 'strip.npz'
MOMENTS = 6
MOST_STEPS = 3000


def learning_curves(folder: Path):
  """Draws learning_curves.png: evaluations and episodes over steps, by game.

  Args:
    folder: of a run, with evaluations.csv and episodes.csv.
  """
  evaluations = files.read_columns(folder / 'evaluations.csv')
  episodes = files.read_columns(folder / 'episodes.csv')
  games = list(dict.fromkeys(evaluations['game']))
  columns = min(4, len(games))
  rows = -(-len(games) // columns)
  fig = figure.Figure(figsize=(4.2 * columns + 0.4, 3.2 * rows),
                      layout='constrained')
  axes = fig.subplots(rows, columns, squeeze=False).ravel()
  for ax in axes[len(games):]:
    ax.set_axis_off()
  for ax, game in zip(axes, games, strict=False):
    seeds = list(dict.fromkeys(evaluations['seed']))
    for i, seed in enumerate(seeds):
      color = style.COLORS[i % len(style.COLORS)]
      own = (episodes['game'] == game) & (episodes['seed'] == seed)
      ax.plot(episodes['env_steps'][own].astype(int),
              episodes['episode_return'][own].astype(float), '.',
              color=color, alpha=0.25, markersize=3)
      own = (evaluations['game'] == game) & (evaluations['seed'] == seed)
      ax.plot(evaluations['env_steps'][own].astype(int),
              evaluations['eval_return'][own].astype(float), 'o-',
              color=color, markersize=3, label=f'seed {seed}')
    if game in games_lib.references():
      ax.axhline(games_lib.references()[game].random, color='0.5',
                 linestyle=':', linewidth=1, label='random')
    ax.set_title(game)
    ax.set_xlabel('steps')
    ax.xaxis.set_major_locator(ticker.MaxNLocator(5))
    ax.spines[['top', 'right']].set_visible(False)
  axes[0].set_ylabel('return: evaluations (lines), learning (dots)')
  axes[0].legend(frameon=False, fontsize='x-small')
  files.write_figure(folder / 'learning_curves.png', fig)


def save_strip(folder: Path, agent: types.Agent, params: types.Params,
               environment: envpool.Atari):
  """Keeps moments of a game, and values of the actions then, for `strip`.

  Args:
    folder: of the run.
    agent: whose it is.
    params: of its learner.
    environment: one fresh environment; it is closed.
  """
  indices = agent.index.sample(jax.random.key(1), (200,))

  @jax.jit
  def look(stack, frame, is_first):
    stack = replay.push(stack, frame, is_first)
    # Greedy for one index, as an evaluation is for its own.
    values = agent.q_values(params, stack[None], indices[:1])
    return stack, jnp.argmax(values, axis=1)

  @jax.jit
  def posterior(stack):
    return agent.q_values(
        params, jnp.broadcast_to(stack, (len(indices), *stack.shape)), indices)

  spec = agent.observation_spec
  stack = jnp.zeros(spec.shape, spec.dtype)
  stacks = []
  try:
    timestep = environment.reset()
    for _ in range(MOST_STEPS):
      stack, action = look(stack, timestep.observation[0], timestep.first()[0])
      stacks.append(np.asarray(stack))
      if timestep.last()[0]:
        break
      timestep = environment.step(np.asarray(action))
  finally:
    environment.close()
  chosen = np.linspace(0, len(stacks) - 1, MOMENTS + 1).astype(int)[1:]
  files.write_npz(
      folder / STRIP, game=environment.name, steps=chosen,
      frames=np.stack([stacks[t][-1] for t in chosen]),
      values=np.stack([np.asarray(posterior(stacks[t])) for t in chosen])[
          ..., :environment.num_actions])


def strip(folder: Path):
  """Draws strip.png: moments of a game, and what the agent thinks of actions.

  Args:
    folder: of a finished run, with what `save_strip` has kept.
  """
  with np.load(folder / STRIP) as data:
    game, steps, frames, values = (
        data[name] for name in ('game', 'steps', 'frames', 'values'))
  num_actions = values.shape[-1]
  fig = figure.Figure(figsize=(2.3 * MOMENTS, 4.6), layout='constrained')
  axes = fig.subplots(2, MOMENTS)
  for column in range(MOMENTS):
    top, bottom = axes[:, column]
    top.imshow(frames[column], cmap='gray', vmin=0, vmax=255)
    top.set_title(f'step {steps[column]}', fontsize='small')
    top.set_axis_off()
    bottom.errorbar(
        np.arange(num_actions), values[column].mean(axis=0),
        2 * values[column].std(axis=0), fmt='o', markersize=3, capsize=2)
    bottom.margins(0.1)
    bottom.set_xlabel('action')
    bottom.tick_params(labelsize='small')
    bottom.xaxis.set_major_locator(ticker.MaxNLocator(7, integer=True))
    bottom.spines[['top', 'right']].set_visible(False)
  axes[1, 0].set_ylabel('value, mean and 2 standard\ndeviations over z')
  fig.suptitle(str(game))
  files.write_figure(folder / 'strip.png', fig)


PICTURES = {'learning_curves.png': learning_curves, 'strip.png': strip}


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  run_lib.draw_main(PICTURES, __spec__.name, argv)


if __name__ == '__main__':
  main()
