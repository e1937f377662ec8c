"""Ensemble+ in tables: K members with their own noise, one per episode.

The tabular form of bootstrapped DQN with randomised priors and noise on the
targets (Osband, Aslanides and Cassirer, NeurIPS 2018), for which neither code
nor a theorem is published: HyperAgent's store with z ~ N(0, I / K), so that
member k has an independent Gaussian noise on every transition and on its prior,
and the index sqrt(K) e_k, k uniform, one for all states of an episode. A member
that is wrong stays wrong: there are K hypotheses and no more.
"""

from hyperjax import index as index_lib
from hyperjax.tabular import gaussian
from hyperjax.tabular import hyperagent
from hyperjax.tabular import mdp as mdp_lib


class EnsemblePlus(hyperagent.HyperAgent):
  """Ensemble+ in tables; see the module."""

  def __init__(
      self, sizes: mdp_lib.Sizes, noise: gaussian.Noise, num_members: int = 16):
    """Initializes the agent.

    Args:
      sizes: sizes of the MDP.
      noise: prior and size of the noise.
      num_members: K, at least 1.
    """
    super().__init__(
        sizes, noise, index_lib.OneHot(num_members),
        index_lib.Gaussian(num_members), hyperagent.per_episode)
