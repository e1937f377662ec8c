"""The environments and agents of the tabular experiments, by name."""

from collections.abc import Callable
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax import tabular
from hyperjax.tabular import environments
from hyperjax.tabular import gaussian
from hyperjax.tabular import hyperagent
from hyperjax.tabular import presets
from hyperjax.tabular import ucbvi

from . import released

# Keeps the MDP of a seed apart from its run.
_MDP = 1


class Task(NamedTuple):
  """An environment, and what agents know of it.

  Attributes:
    make: from a key to the MDP.
    noise: from H and c to the prior and the noise of the agents with Gaussian
      noise.
    scale: c.
    pooled: whether agents count all stages together.
    known: whether agents know the rewards.
    prior_mass: mass of PSRL's Dirichlet prior.
  """

  make: Callable[[jax.Array], tabular.MDP]
  noise: Callable[[int, float], gaussian.Noise] = gaussian.scaled
  scale: float = 0.2
  pooled: bool = True
  known: bool = True
  prior_mass: float = 1.


def _deep_sea(key: jax.Array, size: int) -> tabular.MDP:
  return environments.deep_sea(
      size, jax.random.bernoulli(key, shape=(size, size)).astype(jnp.int32))


def _deep_sea_noise(horizon: int, scale: float) -> gaussian.Noise:
  """Returns noise for transitions and rewards that are not random.

  One visit tells all, so beta is small; values are of order 1 at every stage,
  as is the prior's standard deviation, c / sqrt(beta).
  """
  return gaussian.Noise(
      (scale,) * horizon, (0.,) * horizon, 0.01, clip=False)


TASKS = {
    'river_swim': Task(lambda key: environments.river_swim()),
    'grid_world': Task(lambda key: environments.grid_world()),
    'deep_sea': Task(
        lambda key: _deep_sea(key, 10), _deep_sea_noise, 0.1, pooled=False),
    'deep_sea_20': Task(
        lambda key: _deep_sea(key, 20), _deep_sea_noise, 0.1, pooled=False),
    'chain': Task(lambda key: environments.chain()),
    'dirichlet': Task(
        environments.random_mdp, scale=0.3, pooled=False, prior_mass=3.),
    'dirichlet_pooled': Task(
        lambda key: environments.random_mdp(key, stage_dependent=False),
        scale=0.3, prior_mass=3.),
    # As in the released experiments of Tiapkin et al. (2022).
    'grid_world_10': Task(
        lambda key: environments.grid_world(10, 50), known=False),
}


def make_mdp(task: Task, seed: jax.Array) -> tabular.MDP:
  """Returns the MDP of a seed, uint32 []."""
  return task.make(jax.random.fold_in(jax.random.key(seed), _MDP))


@dataclasses.dataclass(frozen=True)
class Uniform:
  """Uniformly random play."""

  sizes: tabular.Sizes

  def init(self, key, rewards=None):
    """See `tabular.Agent`."""
    return ()

  def plan(self, state, key):
    """See `tabular.Agent`."""
    return jax.random.randint(
        key, (self.sizes.horizon, self.sizes.num_states), 0,
        self.sizes.num_actions)

  def update(self, state, episode):
    """See `tabular.Agent`."""
    return state


def shared_stages(index, key, sizes):
  """Returns an index for each state, shared by all stages, [H, S, M]."""
  return jnp.broadcast_to(
      index.sample(key, (sizes.num_states,)),
      (sizes.horizon, sizes.num_states, index.dim))


def agents(task: Task, scale: float | None = None) -> dict[str, tabular.Agent]:
  """Returns all agents for a task, by name.

  Args:
    task: the task.
    scale: c instead of the task's.
  """
  sizes = jax.eval_shape(task.make, jax.random.key(0)).sizes(task.pooled)
  noise = task.noise(sizes.horizon, task.scale if scale is None else scale)

  def hyper(dim, scheme=hyperagent.per_state):
    return tabular.HyperAgent(
        sizes, noise, index_lib.Gaussian(dim), index_lib.Sphere(dim), scheme)

  found = presets.scaled(sizes, noise, prior_mass=task.prior_mass)
  del found['hyperagent'], found['ensemble_plus']
  silent = dataclasses.replace(noise, sigmas=(0.,) * sizes.horizon)
  return {
      **found,
      **{f'hyperagent_{dim}': hyper(dim) for dim in (1, 2, 4, 8, 16, 64)},
      'hyperagent_4_per_episode': hyper(4, hyperagent.per_episode),
      'hyperagent_16_per_episode': hyper(16, hyperagent.per_episode),
      'hyperagent_16_shared_stages': hyper(16, shared_stages),
      **{f'ensemble_plus_{k}': tabular.EnsemblePlus(sizes, noise, k)
         for k in (4, 16, 64)},
      'ucbvi_hoeffding': tabular.UCBVI(sizes, ucbvi.Hoeffding()),
      'bayes_ucbvi_1': tabular.BayesUCBVI(sizes, 1),
      'greedy': tabular.RLSVI(sizes, silent),
      'uniform': Uniform(sizes),
      **(released.agents(sizes) if task.pooled else {}),
  }


def chosen(task: Task, names: str, scale: float | None = None
           ) -> dict[str, tabular.Agent]:
  """Returns the agents that names with commas between them stand for.

  Raises:
    ValueError: for an unknown name, with near matches.
  """
  known = agents(task, scale)
  for name in names.split(','):
    checks.known('agent', name, known)
  return {name: known[name] for name in names.split(',')}
