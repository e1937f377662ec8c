"""Bayes-UCBVI: an upper quantile of the posterior of the values.

Tiapkin et al., ICML 2022. There is an absorbing state s0 beyond the MDP that
pays r0 at every step, and of which the prior has seen n0 visits from every
(s, a). From the last stage to the first,

  Q_h(s, a) = r + quantile of sum_s' p(s') V_{h+1}(s'),  p ~ Dir(counts, n0)

with V_{h+1}(s0) = r0 (H - h - 1) and V_h = min(max_a Q_h, H - h). The quantile
is estimated by the largest of B draws, as in optimistic posterior sampling
(Tiapkin et al., NeurIPS 2022), whose released experiments are `scaled`: B = 8,
n0 = 1, r0 = 1. `theorem` has r0 = 2, n0 growing with log K, and that paper's
number of draws. Rewards that are not known have the largest of B draws too.

Theorem: regret of order sqrt(H^3 S A K) with high probability, for large K: a
worst-case bound, of another kind than the Bayesian ones. One plan costs
B S^2 A H operations and as many Gamma variables as B times the counts.
"""

import dataclasses
import math

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import checks
from hyperjax.tabular import base
from hyperjax.tabular import dirichlet
from hyperjax.tabular import gaussian
from hyperjax.tabular import mdp as mdp_lib
from hyperjax.tabular import psrl


@dataclasses.dataclass(frozen=True)
class BayesUCBVI(base.Counting):
  """Bayes-UCBVI by sampled quantiles; see the module.

  Attributes:
    sizes: sizes of the MDP.
    num_samples: B, number of draws of which the largest counts.
    prior_visits: n0, visits of the optimistic state that the prior has seen.
    optimistic_reward: r0, what that state pays at each step.
  """

  sizes: mdp_lib.Sizes
  num_samples: int = 8
  prior_visits: float = 1.
  optimistic_reward: float = 1.

  def __post_init__(self):
    checks.fields(
        self, sizes=checks.component(mdp_lib.Sizes),
        num_samples=checks.COUNT, prior_visits=checks.positive,
        optimistic_reward=checks.positive)

  @classmethod
  def theorem(
      cls, sizes: mdp_lib.Sizes, num_episodes: int, failure: float = 0.05
  ) -> 'BayesUCBVI':
    """Returns the constants of the theorem, up to its own constants.

    Args:
      sizes: sizes of the MDP.
      num_episodes: K.
      failure: probability with which the bound may fail, above 0.

    Raises:
      ValueError: if K or the probability is out of range.
    """
    base.check_theorem(num_episodes, failure)
    pairs = sizes.num_states * sizes.num_actions * sizes.horizon
    # 1 / log(2 / (1 + Phi(1))): one draw in so many is above the mean plus one
    # standard deviation.
    per_log = 1. / math.log(4. / (3. + math.erf(math.sqrt(0.5))))
    draws = math.ceil(per_log * math.log(2. * pairs * num_episodes / failure))
    return cls(sizes, draws, max(1., math.log(num_episodes)), 2.)

  def values(
      self, state: base.Statistics, key: chex.PRNGKey
  ) -> Float[Array, 'H S A']:
    """Returns the upper quantiles Q, float32 [H, S, A]."""
    key_kernels, key_rewards = jax.random.split(key)
    masses = jnp.concatenate([
        state.counts,
        jnp.full((*state.counts.shape[:-1], 1), self.prior_visits)], axis=-1)
    # [B, stages, S, A, S + 1]
    kernels = jax.vmap(dirichlet.dirichlet, in_axes=(0, None))(
        jax.random.split(key_kernels, self.num_samples), masses)
    rewards = jnp.max(jax.vmap(psrl.sample_rewards, in_axes=(None, 0))(
        state, jax.random.split(key_rewards, self.num_samples)), axis=0)
    rewards = base.every_stage(self.sizes, rewards)
    horizon = self.sizes.horizon
    kernels = jnp.moveaxis(kernels, 0, 1)

    def step(value, h):
      left = (horizon - h).astype(jnp.float32)
      extended = jnp.append(value, self.optimistic_reward * (left - 1.))
      quantile = jnp.max(mdp_lib.at_stage(kernels, h) @ extended, axis=0)
      q = rewards[h] + quantile
      return jnp.minimum(jnp.max(q, axis=-1), left), q

    _, q = jax.lax.scan(
        step, jnp.zeros(self.sizes.num_states), jnp.arange(horizon),
        reverse=True)
    return q

  def plan(
      self, state: base.Statistics, key: chex.PRNGKey) -> Int[Array, 'H S']:
    """See `base.Agent`."""
    key_values, key_ties = jax.random.split(key)
    return gaussian.greedy(key_ties, self.values(state, key_values))
