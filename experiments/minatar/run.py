"""One agent on a game of MinAtar, for several seeds at once.

  python -m experiments.minatar.run --agent dqn --game Breakout --output DIR

The games are gymnax's: no sticky actions, the game's own actions only, and
episodes of at most 1,000 steps (Freeway 2,500). They are not those of other
implementations, so neither are their scores. Without `--preset` an agent has
`minatar`, its settings with MinAtar's torso; DQN has those of Young and Tian
(2019). The same command again resumes a run that was interrupted. Large numbers
of environments and batches go over several devices: `--devices-per-seed`.

An evaluation is the mean return of episodes played by the evaluation policy,
each at its own freshly drawn index; the training return beside it is the mean
of the episodes since the last evaluation.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib import figure
import numpy as np

from hyperjax import checks
from hyperjax import multihost
from hyperjax import policy_folder
from hyperjax.agents import presets
from hyperjax.environments import gymnax
from hyperjax.loops import on_device

from ..common import files
from ..common import progress
from ..common import run as run_lib
from ..common import task as task_lib
from . import settings as settings_lib

DEFAULT_PRESETS = ('minatar',)
# Most steps of a chunk, whose log has room for as many episodes.
MAX_STEPS = 4096
EVALUATIONS = ('agent', 'game', 'seed', 'env_steps', 'eval_return',
               'train_return', 'train_episodes')
SUMMARY = ('agent', 'game', 'seed', 'env_steps', 'updates', 'final_return',
           'best_return', 'wall_seconds')


def learning_curves(folder: Path):
  """Draws learning_curves.png from evaluations.csv."""
  rows = files.read_columns(folder / 'evaluations.csv', EVALUATIONS)
  fig = figure.Figure(figsize=(5.5, 3.8), layout='constrained')
  ax = fig.subplots()
  seeds = list(dict.fromkeys(rows['seed']))
  colors = matplotlib.colormaps['viridis'](np.linspace(0., 0.9, len(seeds)))
  for seed, color in zip(seeds, colors, strict=True):
    mine = rows['seed'] == seed
    steps = rows['env_steps'][mine].astype(int)
    ax.plot(steps, rows['eval_return'][mine].astype(float), color=color,
            linewidth=1.2, label=f'seed {seed}' if len(seeds) <= 20 else None)
    ax.plot(steps, rows['train_return'][mine].astype(float), color=color,
            linewidth=0.8, linestyle=':')
  ax.set_xlabel('steps')
  ax.set_ylabel('mean return (dotted: in training)')
  ax.spines[['top', 'right']].set_visible(False)
  fig.legend(frameon=False, fontsize='small', loc='outside right upper')
  ax.set_title(f'{rows["agent"][0]} on {rows["game"][0]} (MinAtar, gymnax)')
  files.write_figure(folder / 'learning_curves.png', fig)


class MinAtarTask(task_lib.Task):
  """MinAtar as a `task.Task`."""

  logs = {'evaluations.csv': EVALUATIONS}
  pictures = {'learning_curves.png': learning_curves}

  def __init__(self, settings: settings_lib.Settings):
    """Checks everything; trains and writes nothing yet.

    Raises:
      ValueError: for invalid settings.
      MemoryError: if the state does not fit into memory.
    """
    self.settings = settings
    checks.known('game', settings.game, settings_lib.GAMES)
    environment = gymnax.Gymnax(f'{settings.game}-MinAtar')
    self.agent = presets.agent_class(settings.agent)(
        environment.observation_spec(), environment.action_spec(),
        settings.config)
    # A run needs no more replay than it has steps.
    self.loop = on_device.OnDeviceLoop(
        self.agent, environment, settings.num_envs,
        max(settings.config.batch_size,
            min(settings.config.replay_capacity, settings.num_steps)),
        devices_per_seed=settings.devices_per_seed)
    self._params = environment.params()
    period = self.loop.trainer.update_period
    self._max_steps = max(period, MAX_STEPS // period * period)
    period *= settings.num_envs
    for name in ('num_steps', 'evaluate_every'):
      if getattr(settings, name) % period:
        raise ValueError(
            f'{name} must be a multiple of the {period} steps between '
            f'updates, got {getattr(settings, name)}')
    warmup = self.loop.trainer.warmup_steps * settings.num_envs
    if settings.num_steps <= warmup:
      raise ValueError(
          f'num_steps must be more than the {warmup} steps before the first '
          f'update, got {settings.num_steps}')
    self.loop.check_memory(settings.num_seeds, saved=True)

  def progress(self, state):
    return progress.Runs(
        f'{self.settings.agent}, {self.settings.game}',
        self.number(state) * self.settings.num_seeds,
        self.settings.num_steps * self.settings.num_seeds,
        self.settings.num_seeds, 'step')

  def init(self):
    self.loop.check_memory(
        self.settings.num_seeds, self._params, self._max_steps, saved=True)
    seeds = self.settings.num_seeds
    return self.loop.init(self.settings.seeds, self._params), {
        'evaluated': -1, 'final': [0.] * seeds, 'best': [-np.inf] * seeds,
        'returns': [0.] * seeds, 'episodes': [0] * seeds}

  def abstract_state(self):
    return self.loop.abstract_state(self.settings.seeds, self._params)

  def resume(self, saved, metadata):
    print(f'resuming after {self.number(saved)} steps')
    return saved

  def run_names(self):
    return [policy_folder.Run(seed, self.settings.game)
            for seed in self.settings.seeds]

  def policies(self, state):
    return self.agent, state.train.learner

  def number(self, state) -> int:
    # Steps of each seed, in all its environments.
    return int(multihost.fetch(state.num_steps).max()) * self.settings.num_envs

  def is_done(self, state, metadata) -> bool:
    return self.number(state) >= self.settings.num_steps

  def advance(self, state, metadata, pace, bar):
    settings, trainer = self.settings, self.loop.trainer
    done, num_envs = self.number(state), self.settings.num_envs
    steps = pace.amount(
        min(settings.evaluate_every - done % settings.evaluate_every,
            settings.num_steps - done, self._max_steps * num_envs),
        trainer.update_period * num_envs,
        warmup=trainer.warmup_steps * num_envs - done)
    with pace.timed(steps):
      state, log = self.loop.run(
          state, steps // num_envs, max_steps=self._max_steps)
    task_lib.check_finite(
        log.first_nonfinite, [f'seed {seed}' for seed in settings.seeds])
    for i, count in enumerate(log.num_episodes):
      metadata['returns'][i] += float(log.episode_return[i, :count].sum())
      metadata['episodes'][i] += int(count)
    number = self.number(state)
    self.run_logs.write_chunk(
        log, [number] * settings.num_seeds, np.ones(settings.num_seeds, bool))
    bar.update((number - done) * settings.num_seeds,
               int(log.num_updates.sum()),
               settings.num_seeds * (number >= settings.num_steps))
    return state

  def evaluation_is_due(self, state, metadata) -> bool:
    number = self.number(state)
    return number > metadata['evaluated'] and (
        not number % self.settings.evaluate_every
        or number == self.settings.num_steps)

  def evaluate(self, state, metadata):
    return self.loop.evaluate(state, self.settings.eval_episodes)

  def record(self, state, metadata, evaluation):
    settings, number = self.settings, self.number(state)
    means = evaluation.mean(axis=1, dtype=np.float64)
    rows = []
    for i, seed in enumerate(settings.seeds):
      count = metadata['episodes'][i]
      trained = f'{metadata["returns"][i] / count:.6g}' if count else 'nan'
      rows.append((settings.agent, settings.game, seed, number,
                   f'{means[i]:.6g}', trained, count))
      self.run_logs.write(i, number, {'eval_return': means[i]})
    self.folder.logs['evaluations.csv'].append(rows)
    metadata.update(
        evaluated=number, final=means.tolist(),
        best=np.maximum(means, metadata['best']).tolist(),
        returns=[0.] * settings.num_seeds, episodes=[0] * settings.num_seeds)
    return state

  def finish(self, state, metadata):
    settings, updates = self.settings, multihost.fetch(state.num_updates)
    files.write_csv(settings.output / 'summary.csv', SUMMARY, [
        (settings.agent, settings.game, seed, self.number(state), updates[i],
         f'{metadata["final"][i]:.6g}', f'{metadata["best"][i]:.6g}',
         round(self.folder.seconds(), 1))
        for i, seed in enumerate(settings.seeds)])

  def report(self):
    path = self.settings.output / 'summary.csv'
    rows = files.read_columns(path, SUMMARY)
    returns = [files.read_number(x, path, 'final_return')
               for x in rows['final_return']]
    print(f'Return at the end on {self.settings.game}: {np.mean(returns):.1f}, '
          f'mean of {len(returns)} seeds ({min(returns):.1f} to '
          f'{max(returns):.1f}).')
    for name in ('summary.csv', 'learning_curves.png'):
      print(f'  {self.settings.output / name}')


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  run_lib.main(MinAtarTask, settings_lib.Settings,
               __spec__.name, argv, DEFAULT_PRESETS)


if __name__ == '__main__':
  main()
