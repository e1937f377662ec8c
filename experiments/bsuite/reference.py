"""bsuite's own environments, each id stepped in a process of its own.

Slower by far than the compiled path, for comparison with it: the agent is the
same, by way of `hyperjax.adapters`. An id that was stopped goes on from its
last checkpoint, which is made between two episodes.
"""

import base64
from collections.abc import Iterator, Sequence
import functools
import os
import pathlib
import pickle
import shutil
import time
import types
from typing import Any
from unittest import mock

from hyperjax import checkpoint
from hyperjax.environments.bsuite import suite

from ..common import jobs
from ..common import stopping
from . import points as points_lib
from . import records
from . import settings as settings_lib

# Steps that the replay of a run holds at most, unless the agent's holds fewer.
_MAX_REPLAY = 100_000


def make_environment(
    bsuite_id: str, seed: int, mnist_dir: pathlib.Path | None = None) -> Any:
  """Returns bsuite's environment of an id, with randomness of a seed.

  bsuite itself draws the seeds of most ids from the operating system, and
  downloads the images of MNIST to a folder of its own.

  Args:
    bsuite_id: of the environment.
    seed: of its randomness.
    mnist_dir: folder with the four files of MNIST, for ids that need them.
  """
  import bsuite
  from bsuite import sweep
  from bsuite.environments import deep_sea
  from bsuite.utils import datasets

  family, settings = bsuite_id.split('/')[0], dict(sweep.SETTINGS[bsuite_id])
  if family == 'deep_sea_stochastic':  # Its loader takes no seed.
    environment = deep_sea.DeepSea(
        deterministic=False, seed=seed, size=settings['size'],
        mapping_seed=settings['mapping_seed'])
    environment.bsuite_num_episodes = sweep.EPISODES[bsuite_id]
    return environment
  if suite.needs_images(bsuite_id):
    with mock.patch.object(datasets, 'load_mnist', functools.partial(
        datasets.load_mnist, str(mnist_dir))):
      return bsuite.load(family, {**settings, 'seed': seed})
  try:
    return bsuite.load(family, {**settings, 'seed': seed})
  except TypeError:  # Nothing of it is random but the mapping.
    return bsuite.load(family, settings)


def _layers(environment: Any) -> Iterator[dict[str, Any]]:
  """Returns the fields of an environment with bsuite's logger, layer by layer.

  They are those of the logger, of the wrappers and of the environment within.
  """
  yield vars(environment._logger)
  while environment is not None:
    yield vars(environment)
    environment = vars(environment).get('_env')


def _is_state(name: str, value: Any) -> bool:
  """Whether a field can change; the others are layers, paths and functions."""
  return name not in ('_env', '_logger', '_save_path') and not isinstance(
      value, types.FunctionType)


def environment_state(environment: Any) -> str:
  """Returns the state of an environment with bsuite's logger, as text.

  bsuite's environments cannot be pickled as a whole.
  """
  return base64.b64encode(pickle.dumps([
      {name: value for name, value in layer.items() if _is_state(name, value)}
      for layer in _layers(environment)])).decode()


def set_environment_state(environment: Any, state: str):
  """Sets the state of an environment that was made with the same settings."""
  layers = pickle.loads(base64.b64decode(state))
  for layer, saved in zip(_layers(environment), layers, strict=True):
    layer.update(saved)


def run_one(
    settings: settings_lib.Settings, bsuite_id: str, seed: int, prng_seed: int,
    num_episodes: int, requests: stopping.Requests | None = None,
):
  """Runs one id to its end; its CSV is whole then, or not there.

  Args:
    settings: of the command.
    bsuite_id: of the run.
    seed: of the run, in the name of its folder.
    prng_seed: of its randomness.
    num_episodes: of the run.
    requests: to stop; None if nobody asks.

  Raises:
    stopping.Stopped: if a request to stop came; the run is saved.
  """
  from bsuite.logging import csv_logging

  from hyperjax import specs
  from hyperjax.adapters import acme
  from hyperjax.agents import presets
  from hyperjax.loops import environment_loop

  requests = requests or stopping.Requests()
  path = settings.output / records.log_name(bsuite_id, seed)
  unfinished = path.parent / f'{path.name}.unfinished'
  environment = csv_logging.wrap_environment(
      make_environment(bsuite_id, prng_seed, settings.mnist_dir), bsuite_id,
      str(unfinished), overwrite=True)
  agent = presets.agent_class(settings.agent)(
      *specs.of_environment(environment), settings.config)
  actor = acme.Actor(agent, prng_seed, min(
      settings.config.replay_capacity,
      max(_MAX_REPLAY, settings.config.batch_size)))
  checkpoints = checkpoint.Checkpointer(
      unfinished / 'checkpoints', max_to_keep=1)
  kept = 0  # Episodes of the newest checkpoint.
  restored = checkpoints.restore(actor.state)
  if restored is not None:
    actor.state, saved = restored
    kept = saved['num_episodes']
    set_environment_state(environment, saved['environment'])
  requests.what_is_kept = lambda: (
      f'{kept} of {num_episodes} episodes of {bsuite_id}, seed {seed}, are '
      f'saved; the same command goes on')
  loop = environment_loop.EnvironmentLoop(environment, actor)
  saved_at = time.monotonic()
  for done in range(kept + 1, num_episodes + 1):
    loop.run_episode()
    stops = requests.signal is not None
    if done < num_episodes and (
        stops or time.monotonic() - saved_at > settings.checkpoint_seconds):
      checkpoints.save(done, actor.state, {
          'num_episodes': done, 'environment': environment_state(environment)})
      kept, saved_at = done, time.monotonic()
      requests.check()
  os.replace(unfinished / path.name, path)
  shutil.rmtree(unfinished)


def run(
    settings: settings_lib.Settings, todo: Sequence[points_lib.Point],
    pool: jobs.Pool, requests: stopping.Requests | None = None):
  """Runs each id in a process of its own; one that fails leaves the others.

  Raises:
    ValueError: if runs have failed; their errors are in files beside the CSVs.
    stopping.Stopped: if a request to stop came.
  """
  jobs.run([
      jobs.Job(
          f'{point.bsuite_id}, seed {point.seed}',
          settings.output / records.log_name(*point), run_one,
          (settings, *point, point.prng_seed,
           points_lib.num_episodes(settings, point.bsuite_id)))
      for point in todo], pool, f'{settings.agent}, reference', requests)
