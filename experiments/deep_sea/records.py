"""Records of a run on DeepSea: rows, posteriors, summary and pictures."""

from typing import Any

import jax
import numpy as np

from experiments.common import files
from experiments.deep_sea import pictures
from hyperjax.loops import on_device

SOLVED_RETURN = 0.99
EPISODES = ('agent', 'size', 'seed', 'episode', 'env_steps', 'episode_return')
EVALUATIONS = ('agent', 'size', 'seed', 'episode', 'env_steps', 'eval_return')
SUMMARY = ('agent', 'size', 'seed', 'solved', 'episodes_to_learn', 'env_steps',
           'updates', 'wall_seconds')


def record(
    task: Any, state: on_device.RunState, log: on_device.ChunkLog | None,
    metadata: dict[str, Any], active: np.ndarray | None = None,
):
  """Writes a chunk's episodes and the evaluation that follows it.

  Args:
    task: a `run.DeepSeaTask`.
    state: after the chunk.
    log: of the chunk; None before the first one.
    metadata: the task's; is told which seeds have solved the task, for each
      seed (episodes, env_steps, updates, wall_seconds) or None.
    active: which seeds the chunk was of, bool [S]; None for all.
  """
  settings = task.settings
  name, size = settings.agent, settings.size
  num_episodes, num_steps, updates = (
      np.asarray(x)
      for x in (state.num_episodes, state.num_steps, state.num_updates))
  returns = np.asarray(
      task.loop.evaluate(state, settings.eval_episodes)
  ).mean(axis=1, dtype=np.float64)
  episodes, evaluations = [], []
  for i, seed in enumerate(settings.seeds):
    if active is not None and not active[i]:
      continue
    if log is not None:
      count = log.num_episodes[i]
      first = num_episodes[i] - count + 1
      episodes += [
          (name, size, seed, first + j, log.episode_step[i, j],
           f'{log.episode_return[i, j]:.6g}') for j in range(count)]
    evaluations.append((name, size, seed, num_episodes[i], num_steps[i],
                        f'{returns[i]:.6g}'))
    # Returns are sums of single-precision rewards.
    if metadata['solved'][i] is None and returns[i] >= SOLVED_RETURN - 1e-5:
      metadata['solved'][i] = [
          int(num_episodes[i]), int(num_steps[i]), int(updates[i]),
          round(task.folder.seconds(), 2)]
      if i == 0:
        save_posterior(task, state, 'solved')
  task.folder.logs['episodes.csv'].append(episodes)
  task.folder.logs['evaluations.csv'].append(evaluations)


def check_finite(task: Any, log: on_device.ChunkLog):
  """Raises FloatingPointError if a loss of the chunk was not finite."""
  for seed, first in zip(
      task.settings.seeds, log.first_nonfinite, strict=True):
    if first >= 0:
      raise FloatingPointError(
          f'the loss of seed {seed} was not finite at update {first}; the last '
          f'checkpoint is from before')


def save_posterior(task: Any, state: on_device.RunState, moment: str):
  """Keeps the first seed's posterior over the grid, for the picture."""
  params = jax.tree.map(lambda x: x[0], state.train.learner.params)
  mean, std = jax.jit(pictures.posterior_of_values, static_argnums=(0, 1))(
      task.agent, task.environment, params)
  pictures.save_posterior(
      task.settings.output, moment, int(state.num_episodes[0]),
      np.asarray(mean), np.asarray(std))


def finish(task: Any, state: on_device.RunState, metadata: dict[str, Any]):
  """Writes the summary and the pictures."""
  settings = task.settings
  rows = []
  for i, seed in enumerate(settings.seeds):
    solved = metadata['solved'][i]
    rows.append((
        settings.agent, settings.size, seed, int(solved is not None),
        *(solved or ('', int(state.num_steps[i]), int(state.num_updates[i]),
                     round(task.folder.seconds(), 2)))))
  task.folder.sync()
  save_posterior(task, state, 'after')
  files.write_csv(settings.output / 'summary.csv', SUMMARY, rows)
  pictures.learning_curves(settings.output)
  pictures.posterior(settings.output)


def report(task: Any, metadata: dict[str, Any]):
  """Prints how many seeds have solved the task, and where the files are."""
  settings = task.settings
  episodes = [x[0] for x in metadata['solved'] if x is not None]
  mean = f', after {np.mean(episodes):.0f} episodes on average' if (
      episodes) else ''
  print(f'{len(episodes)} of {settings.num_seeds} seeds have solved DeepSea-'
        f'{settings.size}{mean} ({task.folder.saved_seconds:.0f} s).')
  for name in ('summary.csv', 'learning_curves.png', 'posterior.png'):
    print(f'  {settings.output / name}')
