"""HyperAgent finds the treasure, as a moving picture.

  python -m experiments.deep_sea.animation FILE.gif

One seed of the optimist on DeepSea, an episode a frame: the path that the
agent takes, over the mean and the standard deviation of the value of each cell.
"""

from collections.abc import Sequence
import dataclasses
import io
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
import matplotlib
from matplotlib import figure
import numpy as np
from PIL import Image
import tyro

from hyperjax import agents
from hyperjax.agents import presets
from hyperjax.environments import deep_sea
from hyperjax.loops import on_device

from ..common import files
from ..common import folder as folder_lib
from ..common import study
from . import pictures

matplotlib.use('Agg')


@dataclasses.dataclass(frozen=True)
class Settings:
  """Draws HyperAgent's optimist on its way to the treasure.

  Attributes:
    output: file to write, FILE.gif or FILE.webp.
    size: N.
    seed: of the agent and of the environment.
    num_episodes: number of episodes.
    every: number of episodes from one frame to the next.
  """

  output: tyro.conf.Positional[Path]
  size: int = 20
  seed: int = 0
  num_episodes: int = 90
  every: int = 2

  def __post_init__(self):
    if self.output.suffix not in ('.gif', '.webp'):
      raise ValueError(
          f'output must be a .gif or .webp file, got {self.output}')
    for name, least in (('size', 2), ('num_episodes', 1), ('every', 1)):
      if getattr(self, name) < least:
        raise ValueError(
            f'{name} must be at least {least}, got {getattr(self, name)}')


def path_of(
    agent: agents.TDAgent, environment: deep_sea.DeepSea,
    env_params: deep_sea.DeepSeaParams, state: on_device.RunState,
) -> tuple[Int[Array, ' N'], Float[Array, '']]:
  """Returns the columns of the cells that an episode passes, and its return.

  Args:
    agent: agent that acts, as it does while it learns.
    environment: DeepSea of size N.
    env_params: its mapping.
    state: of one seed, without the axis of seeds.
  """
  params = agent.acting_params(state.train.learner)
  actor = agent.init_actor(jax.random.key(0), 1)

  def step(carry, is_first):
    env_state, timestep, actor = carry
    column = env_state.column
    actor, action = agent.select_action(
        params, actor, timestep.observation[None], is_first[None])
    env_state, timestep = environment.step(
        env_params, env_state, action[0], jax.random.key(0))
    return (env_state, timestep, actor), (column, timestep.reward)

  first = environment.reset(env_params, jax.random.key(0))
  _, (columns, rewards) = jax.lax.scan(
      step, (*first, actor), np.arange(environment.size) == 0)
  return columns, jnp.sum(rewards)


def _frame(
    mean: np.ndarray, std: np.ndarray, path: np.ndarray, episode: int,
    found: bool,
) -> Image.Image:
  size = len(path)
  fig = figure.Figure(figsize=(6.4, 3.5), layout='constrained')
  reachable = np.tril(np.ones((size, size), bool))
  panels = (
      ('mean of the value', mean,
       matplotlib.colors.SymLogNorm(0.1, vmin=-1., vmax=1.), 'RdBu_r'),
      ('standard deviation', std,
       matplotlib.colors.LogNorm(1e-4, 1., clip=True), 'viridis'))
  for ax, (title, values, norm, cmap) in zip(
      fig.subplots(1, 2), panels, strict=True):
    ax.imshow(np.where(reachable, values, np.nan), norm=norm, cmap=cmap)
    ax.plot(path, np.arange(size), color='black', linewidth=3.)
    ax.plot(path, np.arange(size), color='white', linewidth=1.5)
    ax.plot(size - 1, size - 1, '*', markersize=12, color='#E69F00',
            markeredgecolor='black')
    ax.set_title(title, fontsize='medium')
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
  fig.suptitle(f'DeepSea-{size}, episode {episode}: '
               f'{"the treasure" if found else "nothing"}', fontsize='medium')
  data = io.BytesIO()
  fig.savefig(data, dpi=80, format='png')
  return Image.open(data).convert('P', palette=Image.Palette.ADAPTIVE)


def animate(settings: Settings):
  """Trains one seed and writes the picture.

  Raises:
    ValueError: if the file cannot be written.
  """
  folder_lib.make(settings.output.parent)
  environment = deep_sea.DeepSea(settings.size)
  agent = agents.HyperAgent(
      environment.observation_spec(), environment.action_spec(),
      presets.hyperagent_optimistic())
  loop = on_device.OnDeviceLoop(
      agent, environment,
      replay_capacity=max(settings.num_episodes * settings.size, 256))
  env_params = environment.params_from_seeds([settings.seed])
  state = loop.init([settings.seed], env_params)

  @jax.jit
  def look(env_params, state):
    env_params, state = jax.tree.map(lambda x: x[0], (env_params, state))
    return (*pictures.posterior_of_values(
        agent, environment, agent.acting_params(state.train.learner)),
            *path_of(agent, environment, env_params, state))

  frames = []
  for episode in range(0, settings.num_episodes, settings.every):
    if episode:
      state, _ = loop.run(state, settings.every * settings.size)
    mean, std, path, found = map(np.asarray, look(env_params, state))
    frames.append(_frame(mean, std, path, episode + 1, found > 0.5))
  data = io.BytesIO()
  frames[0].save(
      data, settings.output.suffix[1:], save_all=True,
      append_images=frames[1:], duration=[120] * (len(frames) - 1) + [3000],
      loop=0)
  files.write_atomically(settings.output, data.getvalue())


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(animate, __spec__.name, argv, Settings)


if __name__ == '__main__':
  main()
