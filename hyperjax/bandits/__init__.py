"""Linear bandits: what of posterior sampling can be checked in closed form.

  problem = random_problem(jax.random.key(0), dim=10, num_actions=100)
  state, regrets = jax.jit(run, static_argnums=(0, 3))(
      HyperAgent(10), problem, jax.random.key(1), 1000)
"""

from hyperjax.bandits.agents import EnsembleSampling
from hyperjax.bandits.agents import HyperAgent
from hyperjax.bandits.agents import LangevinSampling
from hyperjax.bandits.agents import LinUCB
from hyperjax.bandits.agents import ThompsonSampling
from hyperjax.bandits.base import Agent
from hyperjax.bandits.base import run
from hyperjax.bandits.problems import FiniteActions
from hyperjax.bandits.problems import Problem
from hyperjax.bandits.problems import UnitSphere
from hyperjax.bandits.problems import make_problem
from hyperjax.bandits.problems import random_problem
from hyperjax.bandits.problems import random_sphere
