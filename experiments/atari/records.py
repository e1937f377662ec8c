"""Records of a run on Atari: rows, evaluations, summary and pictures."""

from typing import Any

import jax
import numpy as np

from hyperjax import multihost
from hyperjax import networks
from hyperjax import types
from hyperjax.agents import presets
from hyperjax.environments import envpool
from hyperjax.loops import host

from ..common import files
from . import games as games_lib
from . import pictures
from . import purposes
from . import reading

EPISODES = ('agent', 'game', 'seed', 'env_steps', 'episode_return', 'length')
# Games side by side in an evaluation, for each agent.
ROUND = 20


def record_episodes(task: Any, log: host.HostLog):
  """Writes the episodes that ended in a chunk; `task` is a `run.AtariTask`."""
  task.folder.logs['episodes.csv'].append([
      (task.settings.agent, *task.runs[e.agent], e.env_steps,
       f'{e.episode_return:.6g}', e.length) for e in log.episodes])


def log_chunk(task: Any, log: host.HostLog, env_steps: np.ndarray):
  """Gives the loggers the means of a chunk's metrics and episodes.

  Args:
    task: a `run.AtariTask`.
    log: of the chunk.
    env_steps: of each agent after the chunk, [G].
  """
  for i, step in enumerate(env_steps):
    values = {'loss': log.loss[i],
              **{name: x[i] for name, x in log.metrics.items()}}
    returns = [e.episode_return for e in log.episodes if e.agent == i]
    if returns:
      values['episode_return'] = np.mean(returns)
    task.run_logs.write(i, step, values)


def play(
    task: Any, params: types.Params, state: Any, purpose: int,
    num_episodes: int,
) -> np.ndarray:
  """Returns scores of whole games, [G, E]; a function of step and purpose."""
  step = task.number(state)
  rounds = []
  for number in range(-(-num_episodes // ROUND)):
    count = min(ROUND, num_episodes - number * ROUND)
    purpose_and_number = 1000 * purpose + number
    rounds.append(task.loop.evaluate(
        params, state.host,
        task.environments(count, purpose_and_number, step, training=False),
        10_000 * step + purpose_and_number))
  return np.concatenate(rounds, axis=1)


def record_evaluation(
    task: Any, state: Any, metadata: dict[str, Any], scores: np.ndarray,
) -> np.ndarray:
  """Writes the rows of an evaluation, whose scores are [G, E].

  Returns:
    Which agents are better than ever, bool [G].
  """
  means, step = scores.mean(axis=1), task.number(state)
  task.folder.logs['evaluations.csv'].append([
      (task.settings.agent, game, seed, step, f'{means[i]:.6g}',
       f'{scores[i].std():.6g}') for i, (game, seed) in enumerate(task.runs)])
  for i, env_steps in enumerate(metadata['env_steps']):
    task.run_logs.write(i, env_steps, {
        'eval_return': means[i], 'eval_std': scores[i].std()})
  better = means > [found for found, _ in metadata['best']]
  metadata['best'] = [
      [float(means[i]), step] if better[i] else metadata['best'][i]
      for i in range(len(task.runs))]
  return better


def _num_parameters(task: Any, game: str) -> int:
  """Trainable parameters of an agent with the actions of its own game."""
  of_game = [name for name, _ in task.runs].index(game)
  agent = presets.agent_class(task.settings.agent)(
      task.agent.observation_spec, int(task.loop.num_actions[of_game]),
      task.settings.config)
  return networks.num_parameters(
      jax.eval_shape(agent.init, jax.random.key(0)).params)


def finish(task: Any, state: Any, metadata: dict[str, Any]):
  """Evaluates at length; writes the summary, and what the pictures need."""
  settings = task.settings
  learner = state.host.train.learner
  final = play(
      task, task.weights(state.host), state, purposes.FINAL,
      settings.final_episodes)
  in_hindsight = play(
      task, state.best, state, purposes.BEST, settings.final_episodes)
  sizes = {game: _num_parameters(task, game) for game in task.games}
  updates = multihost.fetch(learner.steps)
  rows = [
      (settings.agent, game, seed, metadata['env_steps'][i], updates[i],
       f'{final[i].mean():.6g}', f'{final[i].std():.6g}',
       metadata['best'][i][1],
       f'{in_hindsight[i].mean():.6g}', f'{in_hindsight[i].std():.6g}',
       sizes[game], round(task.folder.seconds(), 1))
      for i, (game, seed) in enumerate(task.runs)]
  params = jax.tree.map(jax.numpy.asarray, multihost.fetch(
      jax.tree.map(lambda x: x[0], task.weights(state.host))))
  if multihost.is_first():
    seeds = purposes.environment_seeds(task.seeds[0], purposes.PICTURE, 0, 1)
    pictures.save_strip(
        settings.output, task.agent, params,
        envpool.Atari(task.games[0], seeds,
                      sticky_actions=settings.sticky_actions,
                      life_ends_return=False, max_frames=settings.max_frames,
                      backend=settings.backend))
  files.write_csv(settings.output / 'summary.csv', reading.SUMMARY, rows)


def report(task: Any):
  """Prints the returns of a finished run, and where the files are."""
  settings = task.settings
  path = settings.output / 'summary.csv'
  rows = files.read_columns(path, reading.SUMMARY)
  number = lambda text: files.read_number(text, path, 'return or parameters')
  print(f'Returns at the end, and of the best evaluation, over '
        f'{settings.final_episodes} games each:')
  for game, seed, final, best, size in zip(
      rows['game'], rows['seed'], rows['final_return'], rows['best_return'],
      rows['parameters'], strict=True):
    print(f'  {game}, seed {seed}: {number(final):.1f}, {number(best):.1f} '
          f'(random: {games_lib.references()[game].random:.1f}; '
          f'{number(size):,.0f} trainable parameters)')
  for name in ('summary.csv', 'learning_curves.png', 'strip.png'):
    print(f'  {settings.output / name}')
