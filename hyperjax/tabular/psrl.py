"""PSRL: posterior sampling of the whole MDP.

Strens, 2000; Osband, Russo and Van Roy, NeurIPS 2013. Before each episode a
transition kernel is drawn from the posterior, P(. | s, a) ~ Dir(alpha +
counts), and the policy is optimal for it. Rewards that are not known are drawn
from Beta(1 + successes, 1 + failures), where a reward r of [0, 1] counts as r
successes and 1 - r failures.

Theorem: Bayesian regret of order H sqrt(S A T) for T = K H steps in a
time-homogeneous MDP (Osband and Van Roy, ICML 2017), hence H^2 sqrt(S A K) with
S states at each of H stages. There is no constant to scale; published
experiments use alpha = 1 / S. One plan costs S^2 A H operations, and as many
Gamma variables as there are counts.
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import checks
from hyperjax.tabular import base
from hyperjax.tabular import dirichlet
from hyperjax.tabular import gaussian
from hyperjax.tabular import mdp as mdp_lib


def sample_rewards(
    statistics: base.Statistics, key: chex.PRNGKey
) -> Float[Array, '... S A']:
  """Returns known rewards, or a sample of the posterior of the rewards.

  Unknown rewards are taken to be between 0 and 1: a mean outside counts as the
  nearer end.

  Args:
    statistics: what was seen so far.
    key: PRNG key.

  Returns:
    float32 [H, S, A] if known, else [stages, S, A].
  """
  if statistics.known is not None:
    return statistics.known
  successes = jnp.clip(statistics.reward_sums, 0., statistics.visits)
  return dirichlet.beta(
      key, 1. + successes, 1. + statistics.visits - successes)


@dataclasses.dataclass(frozen=True)
class PSRL(base.Counting):
  """Posterior sampling for reinforcement learning; see the module.

  Attributes:
    sizes: sizes of the MDP.
    prior_mass: mass of the Dirichlet prior of a row, S alpha; 1 as published.
  """

  sizes: mdp_lib.Sizes
  prior_mass: float = 1.

  def __post_init__(self):
    checks.fields(self, sizes=checks.component(mdp_lib.Sizes),
                  prior_mass=checks.positive)

  def posterior(
      self, state: base.Statistics) -> Float[Array, 'stages S A S']:
    """Returns the masses of the Dirichlet posterior, [stages, S, A, S]."""
    return state.counts + self.prior_mass / self.sizes.num_states

  def plan(
      self, state: base.Statistics, key: chex.PRNGKey) -> Int[Array, 'H S']:
    """See `base.Agent`."""
    key_kernel, key_rewards, key_ties = jax.random.split(key, 3)
    kernel = dirichlet.dirichlet(key_kernel, self.posterior(state))
    rewards = base.every_stage(
        self.sizes, sample_rewards(state, key_rewards))
    return gaussian.greedy(
        key_ties, mdp_lib.backward_induction(kernel, rewards))
