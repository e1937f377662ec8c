"""Saves trained agents and loads them as policies.

A folder of policies contains

  policy.json: class, specs and config of the agent, and whose weights these
    are: one run, or several runs of the same agent.
  weights/: what acts, with an axis of runs: the trained parameters and the
    fixed prior, in the format of `hyperjax.checkpoint`. Not the optimiser's
    state, and no replay.

It is written under another name and renamed when it is complete. Nothing in it
is pickled; but loading imports the module of an agent that is not hyperjax's
own, so load only what you trust.
"""

from collections.abc import Sequence
import contextlib
import json
import os
from pathlib import Path
import shutil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hyperjax import checkpoint
from hyperjax import multihost
from hyperjax import networks
from hyperjax import policy as policy_lib
from hyperjax import policy_json
from hyperjax import types
from hyperjax.agents import guards

# All that `save` writes, and `weights/0.tmp`, which a killed one leaves.
_OWN = {policy_json.FILE, 'weights', 'weights/0', 'weights/0.tmp',
        'weights/0/arrays', 'weights/0/metadata.json'}
# What file systems and browsers of files leave in any folder.
_DEBRIS = '.DS_Store', '.nfs'
# Of the folder of a run of the commands.
FOLDER = 'policies'


class Run(NamedTuple):
  """One of several runs of an agent.

  Attributes:
    seed: seed of the run; None if it has no name.
    task: what was learned, such as 'catch/0' or 'Pong'.
  """

  seed: int | None = None
  task: str | None = None

  def __str__(self):
    words = [f'task {self.task!r}'] * (self.task is not None) + [
        f'seed {self.seed}'] * (self.seed is not None)
    return ', '.join(words) or 'a run'


def save(
    path: str | os.PathLike, agent: types.Agent, learner: types.LearnerState):
  """Saves a trained agent, for `load`.

  What acts is saved: the parameters and the prior, and what makes the agent.
  Neither the optimiser nor the replay is: `hyperjax.checkpoint` saves whole
  runs.

  Args:
    path: folder, which is made; one that holds policies alone is replaced, at
      the end of a symbolic link.
    agent: agent, of a class that can be imported where the policy is loaded.
    learner: state of the learner of one run.

  Raises:
    ValueError: if the state is another agent's, the agent cannot be made again
      from what JSON can say of it, or the folder, or one of its name with
      .tmp or .replaced, which `save` uses and removes, holds something else.
  """
  params = agent.acting_params(learner)
  guards.check_params(agent, params)
  _save(path, agent, jax.tree.map(lambda x: x[None], params),
        learner.steps[None], [Run()])


def save_runs(
    path: str | os.PathLike, agent: types.Agent, learner: types.LearnerState,
    runs: Sequence[Run]):
  """Saves several runs of an agent in one folder.

  Args:
    path: see `save`.
    agent: see `save`.
    learner: state of the learners, with a leading axis of runs [S].
    runs: S different ones.

  Raises:
    ValueError: see `save`.
  """
  params = agent.acting_params(learner)
  guards.check_params(agent, jax.eval_shape(
      lambda: jax.tree.map(lambda x: x[0], _without_legal(params))))
  if len(set(runs)) != len(runs) or np.shape(learner.steps) != (len(runs),):
    raise ValueError(
        f'expected a different name for each of the '
        f'{np.shape(learner.steps)} runs, got {list(map(str, runs))}')
  _save(path, agent, params, learner.steps, runs)


def _without_legal(params: types.Params) -> dict[str, Any]:
  return {name: x for name, x in params.items() if name != 'legal'}


def _save(
    path: str | os.PathLike, agent: types.Agent, params: Any, updates: Any,
    runs: Sequence[Run]):
  path = Path(os.path.realpath(path))
  contents = policy_json.describe(agent)
  params, updates = multihost.fetch((params, updates))
  legal = params['legal']['actions'] if 'legal' in params else None  # [S, A]
  contents['runs'] = [{
      'seed': run.seed, 'task': run.task, 'updates': int(updates[i]),
      'legal_actions': None if legal is None
      else np.flatnonzero(legal[i]).tolist()} for i, run in enumerate(runs)]
  written, replaced = Path(f'{path}.tmp'), Path(f'{path}.replaced')
  multihost.agree(lambda: _prepare(path, written, replaced))
  checkpointer = checkpoint.Checkpointer(written / 'weights')
  with contextlib.closing(checkpointer):
    checkpointer.save(0, _without_legal(params), {})
  multihost.agree(lambda: _complete(path, written, replaced, contents))


def _prepare(path: Path, written: Path, replaced: Path):
  """Checks that a folder may be replaced, and removes what a kill has left."""
  for folder in (path, written, replaced):
    names = {x.relative_to(folder).as_posix() for pattern in (
        '*', 'weights/*', 'weights/0/*') for x in folder.glob(pattern)
             if not x.name.startswith(_DEBRIS)}
    # Only under the other names may a folder be half written, or half removed.
    own = _OWN if policy_json.FILE in names or folder != path else set()
    others = ', '.join(sorted(names - own)[:3])
    if others or folder.exists() and not folder.is_dir():
      raise ValueError(
          f'{folder} is something else than a folder of policies; expected '
          f'{policy_json.FILE} and weights or nothing in it, got '
          f'{others or "a file"}')
  shutil.rmtree(written, ignore_errors=True)


def _complete(
    path: Path, written: Path, replaced: Path, contents: dict[str, Any]):
  """Writes what is no weight, and shows the folder under its name."""
  with open(written / policy_json.FILE, 'w', encoding='utf-8') as file:
    json.dump(contents, file, indent=2)
    file.write('\n')
    file.flush()
    os.fsync(file.fileno())
  # Orbax notes the path there, and policies are given away.
  for marker in written.rglob('commit_success.txt'):
    marker.write_text('Checkpoint commit was successful\n')
  if path.exists():
    shutil.rmtree(replaced, ignore_errors=True)
    path.rename(replaced)
  written.rename(path)
  shutil.rmtree(replaced, ignore_errors=True)


def load(
    path: str | os.PathLike, seed: int | None = None, task: str | None = None,
) -> policy_lib.Policy:
  """Loads a trained agent.

  Args:
    path: folder that `save` wrote, or that of a run of one of the commands
      `experiments.deep_sea.run`, `experiments.bsuite.run` and
      `experiments.atari.run`, finished or not: of its newest checkpoint.
    seed: seed of the run; may be left out if there is one.
    task: such as 'catch/0' or 'Pong'; may be left out if there is one.

  Raises:
    ValueError: if the folder has no such policy, was damaged or changed, was
      written by a version that this one does not understand, or has an agent
      whose class cannot be imported.
  """
  runs = [(folder, contents, i, run)
          for folder, contents in _found(Path(path))
          for i, run in enumerate(contents['runs'])]
  chosen = [(folder, contents, i, run) for folder, contents, i, run in runs
            if seed in (None, run['seed']) and task in (None, run['task'])]
  if len(chosen) != 1:
    known = [str(Run(run['seed'], run['task'])) for *_, run in runs]
    raise ValueError(
        f'expected seed and task of one of the policies of {path}, got seed='
        f'{seed!r} and task={task!r}; it has: '
        f'{"; ".join(known[:20] + ["..."] * (len(known) > 20))}')
  (folder, contents, i, run), = chosen
  try:
    agent = policy_json.agent_of(contents)
    params = _weights(folder, agent, len(contents['runs']), i)
    if run['legal_actions'] is not None:
      params = networks.with_legal_actions(
          params, jnp.isin(jnp.arange(agent.num_actions),
                           np.array(run['legal_actions'], int)))
    return policy_lib.Policy(agent, params, run['updates'])
  except (ValueError, TypeError) as error:
    text = '; '.join(line.strip() for line in str(error).splitlines())
    raise ValueError(f'{folder / policy_json.FILE}: {text}') from error


def _found(path: Path) -> list[tuple[Path, dict[str, Any]]]:
  """Returns the folders of policies in a folder, and their policy.json."""
  folders = [path, *(x / FOLDER for x in (
      path, *sorted(path.glob('programs/*'))))]
  # A process that is killed between the two renames leaves only the old one.
  folders = [x if x.exists() else Path(f'{x}.replaced') for x in folders]
  folders = [x for x in folders if (x / policy_json.FILE).exists()]
  if not folders:
    raise ValueError(
        f'{path} has no {policy_json.FILE}, nor has its folder {FOLDER}; '
        f'expected a folder that hyperjax.save wrote, or that of a run with a '
        f'checkpoint')
  return [(folder, policy_json.read(folder)) for folder in folders]


def _weights(folder, agent, num_runs, i) -> dict[str, Any]:
  """Returns the weights of one run."""
  shapes = jax.eval_shape(
      lambda: agent.acting_params(agent.init(jax.random.key(0))))
  # NumPy's, so that orbax needs no device; without memory of their own.
  like = jax.tree.map(lambda x: np.broadcast_to(
      np.zeros((), x.dtype), (num_runs, *x.shape)), dict(shapes))
  checkpointer = checkpoint.Checkpointer(folder / 'weights')
  with contextlib.closing(checkpointer):
    restored = checkpointer.restore(like)
  if restored is None:
    raise ValueError('its weights, which lie beside it, are missing or damaged')
  return jax.tree.map(lambda x: x[i], restored[0])
