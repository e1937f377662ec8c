"""RLSVI: value iteration with fresh Gaussian noise in every episode.

Osband, Van Roy, Russo and Wen, 2019, *Deep exploration via randomized value
functions*. Before each episode, from the last stage to the first,

  Q_h(s, a) = (N (r^ + P^ V_{h+1}) + beta mu0) / (N + beta)
              + sigma_h / sqrt(N + beta) w,   w ~ N(0, 1) for each (h, s, a)

and the policy is greedy. The noise is drawn anew from its exact posterior,
which is a closed form for Gaussian noise and tables only.

Theorem: for an independent Dirichlet prior of mass beta >= 3 on transitions,
sigma = sqrt(3) H and mu0 = H (`gaussian.theorem`), the Bayesian regret is at
most of order H^2 sqrt(S A K), up to logarithms, S being states per stage. One
plan costs S^2 A H operations. `gaussian.scaled` is what the experiments use.
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import checks
from hyperjax.tabular import base
from hyperjax.tabular import gaussian
from hyperjax.tabular import mdp as mdp_lib


@dataclasses.dataclass(frozen=True)
class RLSVI(base.Counting):
  """Randomized least-squares value iteration; see the module.

  Attributes:
    sizes: sizes of the MDP.
    noise: prior and size of the noise.
  """

  sizes: mdp_lib.Sizes
  noise: gaussian.Noise

  def __post_init__(self):
    checks.fields(self, sizes=checks.component(mdp_lib.Sizes),
                  noise=checks.component(gaussian.Noise))
    self.noise.check_horizon(self.sizes.horizon)

  def values(
      self, state: base.Statistics, key: chex.PRNGKey
  ) -> Float[Array, 'H S A']:
    """Returns one sample of the values of actions, float32 [H, S, A]."""
    sizes = self.sizes
    draws = jax.random.normal(
        key, (sizes.horizon, sizes.num_states, sizes.num_actions))
    sigmas = jnp.asarray(self.noise.sigmas)[:, None, None]
    scale = sigmas / jnp.sqrt(state.visits + self.noise.prior_mass)
    return gaussian.perturbed_values(self.noise, state, scale * draws)

  def plan(
      self, state: base.Statistics, key: chex.PRNGKey) -> Int[Array, 'H S']:
    """See `base.Agent`."""
    key_values, key_ties = jax.random.split(key)
    return gaussian.greedy(key_ties, self.values(state, key_values))
