"""All tabular agents by name, by the theorems' constants and by smaller ones.

With the constants of the theorems nothing is learned in numbers of episodes
that can be afforded, and all agents with noise are alike: `theorem` is there to
show it. `scaled` has the constants of published experiments, and for the agents
with Gaussian noise `gaussian.scaled`.
"""

from hyperjax import index as index_lib
from hyperjax.tabular import base
from hyperjax.tabular import bayes_ucbvi
from hyperjax.tabular import ensemble_plus
from hyperjax.tabular import gaussian
from hyperjax.tabular import hyperagent
from hyperjax.tabular import incremental
from hyperjax.tabular import lmc_lsvi
from hyperjax.tabular import mdp as mdp_lib
from hyperjax.tabular import psrl
from hyperjax.tabular import rlsvi
from hyperjax.tabular import ucbvi


def _with_noise(
    sizes: mdp_lib.Sizes, noise: gaussian.Noise, dim: int, num_members: int
) -> dict[str, base.Agent]:
  return {
      'rlsvi': rlsvi.RLSVI(sizes, noise),
      'hyperagent': hyperagent.HyperAgent(
          sizes, noise, index_lib.Gaussian(dim), index_lib.Sphere(dim)),
      'ensemble_plus': ensemble_plus.EnsemblePlus(sizes, noise, num_members),
  }


def theorem(
    sizes: mdp_lib.Sizes, num_episodes: int, dim: int = 16,
) -> dict[str, base.Agent]:
  """Returns all agents with the constants of their theorems, by name.

  Incremental Bayes-UCBVI, Ensemble+ and Q-learning have no theorem; the first
  has Bayes-UCBVI's r0 = 2.

  Args:
    sizes: sizes of the MDP.
    num_episodes: K, on which some constants depend.
    dim: M of HyperAgent, and the members of Ensemble+; the theorem asks for
      hundreds.
  """
  return {
      'psrl': psrl.PSRL(sizes, 3.),
      **_with_noise(sizes, gaussian.theorem(sizes.horizon), dim, dim),
      'bayes_ucbvi': bayes_ucbvi.BayesUCBVI.theorem(sizes, num_episodes),
      'incremental_bayes_ucbvi': incremental.IncrementalBayesUCBVI(
          sizes, optimistic_reward=2.),
      'lmc_lsvi': lmc_lsvi.LMCLSVI.theorem(sizes, num_episodes),
      'ucbvi': ucbvi.UCBVI.theorem(sizes, num_episodes),
      'q_learning': incremental.QLearning(sizes),
  }


def scaled(
    sizes: mdp_lib.Sizes, noise: gaussian.Noise | None = None, dim: int = 16,
    num_members: int = 4, prior_mass: float = 1.,
) -> dict[str, base.Agent]:
  """Returns all agents with the constants of experiments, by name.

  Args:
    sizes: sizes of the MDP.
    noise: prior and noise of the agents with Gaussian noise; by default
      `gaussian.scaled`.
    dim: M of HyperAgent.
    num_members: K of Ensemble+.
    prior_mass: mass of PSRL's Dirichlet prior.
  """
  noise = noise or gaussian.scaled(sizes.horizon)
  return {
      'psrl': psrl.PSRL(sizes, prior_mass),
      **_with_noise(sizes, noise, dim, num_members),
      'bayes_ucbvi': bayes_ucbvi.BayesUCBVI(sizes),
      'incremental_bayes_ucbvi': incremental.IncrementalBayesUCBVI(sizes),
      'lmc_lsvi': lmc_lsvi.LMCLSVI(sizes),
      'ucbvi': ucbvi.UCBVI(sizes),
      'q_learning': incremental.QLearning(sizes),
  }
