"""Tabular agents with guarantees, and small MDPs to measure them on.

  mdp = environments.river_swim()
  agent = RLSVI(mdp.sizes(pooled=True), gaussian.scaled(mdp.horizon))
  state, regrets = jax.jit(run, static_argnums=(0, 3))(
      agent, mdp, jax.random.key(0), 1000)

Agents are frozen and hashable, their methods pure functions that scan, and that
map over keys and MDPs with `vmap`; `base.Agent` is their interface.
"""

from hyperjax.tabular import environments
from hyperjax.tabular import gaussian
from hyperjax.tabular import presets
from hyperjax.tabular.base import Agent
from hyperjax.tabular.base import Statistics
from hyperjax.tabular.base import run
from hyperjax.tabular.bayes_ucbvi import BayesUCBVI
from hyperjax.tabular.ensemble_plus import EnsemblePlus
from hyperjax.tabular.hyperagent import HyperAgent
from hyperjax.tabular.incremental import IncrementalBayesUCBVI
from hyperjax.tabular.incremental import QLearning
from hyperjax.tabular.lmc_lsvi import LMCLSVI
from hyperjax.tabular.mdp import MDP
from hyperjax.tabular.mdp import Episode
from hyperjax.tabular.mdp import Sizes
from hyperjax.tabular.mdp import backward_induction
from hyperjax.tabular.mdp import check_policy
from hyperjax.tabular.mdp import make_mdp
from hyperjax.tabular.mdp import optimal_value
from hyperjax.tabular.mdp import play
from hyperjax.tabular.mdp import policy_value
from hyperjax.tabular.psrl import PSRL
from hyperjax.tabular.rlsvi import RLSVI
from hyperjax.tabular.ucbvi import UCBVI
