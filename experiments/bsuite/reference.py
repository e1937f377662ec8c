"""bsuite's own environments, each id stepped in a process of its own.

Slower by far than the compiled path, for comparison with it: the agent is the
same, by way of `hyperjax.adapters`. An id that was stopped begins anew.
"""

from collections.abc import Sequence
import os
from typing import Any

from ..common import jobs
from ..common import stopping
from . import points as points_lib
from . import records
from . import settings as settings_lib

# Steps that the replay of a run holds at most, unless the agent's holds fewer.
_MAX_REPLAY = 100_000


def make_environment(bsuite_id: str, seed: int) -> Any:
  """Returns bsuite's environment of an id, with randomness of a seed.

  bsuite itself draws the seeds of most ids from the operating system.
  """
  import bsuite
  from bsuite import sweep
  from bsuite.environments import deep_sea

  family, settings = bsuite_id.split('/')[0], dict(sweep.SETTINGS[bsuite_id])
  if family == 'deep_sea_stochastic':  # Its loader takes no seed.
    environment = deep_sea.DeepSea(
        deterministic=False, seed=seed, size=settings['size'],
        mapping_seed=settings['mapping_seed'])
    environment.bsuite_num_episodes = sweep.EPISODES[bsuite_id]
    return environment
  try:
    return bsuite.load(family, {**settings, 'seed': seed})
  except TypeError:  # Nothing of it is random but the mapping.
    return bsuite.load(family, settings)


def run_one(
    settings: settings_lib.Settings, bsuite_id: str, seed: int, prng_seed: int,
    num_episodes: int,
):
  """Runs one id to its end; its CSV is whole then, or not there.

  Args:
    settings: of the command.
    bsuite_id: of the run.
    seed: of the run, in the name of its folder.
    prng_seed: of its randomness.
    num_episodes: of the run.
  """
  from bsuite.logging import csv_logging

  from hyperjax import specs
  from hyperjax.adapters import acme
  from hyperjax.agents import presets
  from hyperjax.loops import environment_loop

  path = settings.output / records.log_name(bsuite_id, seed)
  unfinished = path.parent / f'{path.name}.unfinished'
  environment = csv_logging.wrap_environment(
      make_environment(bsuite_id, prng_seed), bsuite_id, str(unfinished),
      overwrite=True)
  agent = presets.agent_class(settings.agent)(
      *specs.of_environment(environment), settings.config)
  actor = acme.Actor(agent, prng_seed, min(
      settings.config.replay_capacity,
      max(_MAX_REPLAY, settings.config.batch_size)))
  environment_loop.EnvironmentLoop(environment, actor).run(num_episodes)
  os.replace(unfinished / path.name, path)
  unfinished.rmdir()


def _run_job(*arguments, requests: stopping.Requests):
  """Runs one id as a job, see `run_one`; it can stop at any moment."""
  with requests.interruptible():
    run_one(*arguments)


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
          settings.output / records.log_name(*point), _run_job,
          (settings, *point, point.prng_seed,
           points_lib.num_episodes(settings, point.bsuite_id)))
      for point in todo], pool, f'{settings.agent}, reference', requests)
