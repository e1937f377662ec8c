"""Records of a run on DeepSea: rows, posteriors, summary and pictures."""

from typing import Any

import jax
import numpy as np

from hyperjax import multihost
from hyperjax.loops import on_device

from ..common import files
from . import pictures

SOLVED_RETURN = 0.99
EPISODES = ('agent', 'size', 'seed', 'episode', 'env_steps', 'episode_return')
EVALUATIONS = ('agent', 'size', 'seed', 'episode', 'env_steps', 'eval_return')
SUMMARY = ('agent', 'size', 'seed', 'solved', 'episodes_to_learn', 'env_steps',
           'updates', 'wall_seconds')


def record_episodes(
    task: Any, state: on_device.RunState, log: on_device.ChunkLog,
    active: np.ndarray,
):
  """Writes the episodes of a chunk, in an order that no cut changes.

  Args:
    task: a `run.DeepSeaTask`.
    state: after the chunk.
    log: of the chunk.
    active: which seeds it was of, bool [S].
  """
  settings, rows = task.settings, []
  first = multihost.fetch(state.num_episodes) - log.num_episodes + 1
  # All episodes have N steps, so the seeds end theirs together.
  for j in range(int(log.num_episodes.max())):
    rows += [
        (settings.agent, settings.size, seed, first[i] + j,
         log.episode_step[i, j], f'{log.episode_return[i, j]:.6g}')
        for i, seed in enumerate(settings.seeds) if active[i]]
  task.folder.logs['episodes.csv'].append(rows)


def record_evaluation(
    task: Any, state: on_device.RunState, metadata: dict[str, Any],
    returns: np.ndarray,
):
  """Writes an evaluation, and notes which seeds have solved the task.

  Args:
    task: a `run.DeepSeaTask`.
    state: that was evaluated.
    metadata: the task's; is told for each seed that has solved the task
      [episodes, env_steps, updates, wall_seconds].
    returns: of the episodes of each seed, [S, E].
  """
  settings, rows = task.settings, []
  num_episodes, num_steps, updates = multihost.fetch(
      (state.num_episodes, state.num_steps, state.num_updates))
  means = returns.mean(axis=1, dtype=np.float64)
  active = task.active(state, metadata)
  if metadata['evaluated'] < 0:
    save_posterior(task, state, 'before')
  for i, seed in enumerate(settings.seeds):
    if not active[i]:
      continue
    rows.append((settings.agent, settings.size, seed, num_episodes[i],
                 num_steps[i], f'{means[i]:.6g}'))
    task.run_logs.write(i, num_steps[i], {'eval_return': means[i]})
    # Returns are sums of single-precision rewards.
    if metadata['solved'][i] is None and means[i] >= SOLVED_RETURN - 1e-5:
      metadata['solved'][i] = [
          int(num_episodes[i]), int(num_steps[i]), int(updates[i]),
          round(task.folder.seconds(), 2)]
      if i == 0:
        save_posterior(task, state, 'solved')
  task.folder.logs['evaluations.csv'].append(rows)


def save_posterior(task: Any, state: on_device.RunState, moment: str):
  """Keeps the first seed's posterior over the grid, for the picture."""
  num_episodes, params = multihost.fetch(jax.tree.map(
      lambda x: x[0], (state.num_episodes,
                       task.agent.acting_params(state.train.learner))))
  mean, std = jax.jit(pictures.posterior_of_values, static_argnums=(0, 1))(
      task.agent, task.environment, params)
  pictures.save_posterior(
      task.settings.output, moment, int(num_episodes),
      np.asarray(mean), np.asarray(std))


def finish(task: Any, state: on_device.RunState, metadata: dict[str, Any]):
  """Writes the summary, and what the pictures need."""
  settings = task.settings
  num_steps, num_updates = multihost.fetch(
      (state.num_steps, state.num_updates))
  rows = []
  for i, seed in enumerate(settings.seeds):
    solved = metadata['solved'][i]
    rows.append((
        settings.agent, settings.size, seed, int(solved is not None),
        *(solved or ('', int(num_steps[i]), int(num_updates[i]),
                     round(task.folder.seconds(), 2)))))
  save_posterior(task, state, 'after')
  files.write_csv(settings.output / 'summary.csv', SUMMARY, rows)


def report(task: Any):
  """Prints how many seeds have solved the task, and where the files are."""
  settings = task.settings
  path = settings.output / 'summary.csv'
  rows = files.read_columns(path, SUMMARY)
  solved = rows['solved'] == '1'
  episodes = [files.read_number(x, path, 'episodes_to_learn')
              for x in rows['episodes_to_learn'][solved]]
  mean = f', after {np.mean(episodes):.0f} episodes on average' if (
      episodes) else ''
  print(f'{len(episodes)} of {settings.num_seeds} seeds have solved DeepSea-'
        f'{settings.size}{mean}.')
  for name in ('summary.csv', 'learning_curves.png', 'posterior.png'):
    print(f'  {settings.output / name}')
