"""HyperAgent in tables: RLSVI whose noise is kept incrementally.

Li, Xu, Han and Luo, ICML 2024, section 5. Each pair (h, s, a) has a vector m in
R^M instead of fresh noise. With a random vector z of E|z|^2 = 1 for each
transition, drawn once, and z0 for the prior,

  m = sigma_h (sum of z over the visits + sqrt(beta) z0) / (N + beta)
  Q_h(s, a) = (N (r^ + P^ V_{h+1}) + beta mu0) / (N + beta) + <m, xi(h, s)>

with a fresh index xi(h, s) of E xi xi^T = I for every state and stage in each
episode, which all actions of the state share. One more visit is one more
vector in a sum, however many there were. Given m the noise is Gaussian with
variance |m|^2, whose mean over z is RLSVI's sigma^2 / (N + beta), exactly.

Lemma (martingale Johnson-Lindenstrauss): with z of unit norm, such as uniform
on the sphere, and M of order log(S A H K), |m|^2 is within [1/2, 3/2] of
RLSVI's variance for all pairs and episodes with high probability. Lemma 5.2 of
the paper has [1, 3], which cannot be, since the mean is 1; its proof gives
[1/2, 3/2] (eps = 1/2 in theorem G.1).

Theorem 5.3: with that, sigma >= sqrt(3) H, mu0 = H and a Dirichlet prior of
mass beta >= 3 on transitions (`gaussian.theorem`), the Bayesian regret is at
most 18 H^2 sqrt(beta S A K log(1 + S A H K) log(1 + K / (S A))). One plan costs
S^2 A H + S A H M operations. `gaussian.scaled` is what the experiments use.
"""

from collections.abc import Callable
import dataclasses
import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax.tabular import base
from hyperjax.tabular import gaussian
from hyperjax.tabular import mdp as mdp_lib

# From an index distribution, a key and sizes to xi, [H, S, M].
Scheme = Callable[
    [index_lib.IndexDistribution, chex.PRNGKey, mdp_lib.Sizes], jax.Array]


def per_state(
    index: index_lib.IndexDistribution, key: chex.PRNGKey,
    sizes: mdp_lib.Sizes,
) -> Float[Array, 'H S M']:
  """Returns an independent index for every stage and state: the theorem's."""
  return index.sample(key, (sizes.horizon, sizes.num_states))


def per_episode(
    index: index_lib.IndexDistribution, key: chex.PRNGKey,
    sizes: mdp_lib.Sizes,
) -> Float[Array, 'H S M']:
  """Returns one index for the whole episode, as the deep agents have it."""
  return jnp.broadcast_to(
      index.sample(key), (sizes.horizon, sizes.num_states, index.dim))


class HyperAgentState(NamedTuple):
  """State of HyperAgent.

  Attributes:
    statistics: what was seen so far.
    sums: sum of z over the visits plus sqrt(beta) z0, float32 [stages, S, A,
      M].
    key: PRNG key of the vectors z, of which each is a function of the key and
      of the number of its step in the run.
    num_steps: number of steps so far, int32 [].
  """

  statistics: base.Statistics
  sums: Float[Array, 'stages S A M']
  key: chex.PRNGKey
  num_steps: Int[Array, '']


@dataclasses.dataclass(frozen=True)
class HyperAgent:
  """HyperAgent in tables; see the module.

  Attributes:
    sizes: sizes of the MDP.
    noise: prior and size of the noise.
    index: distribution of xi, scaled here to E xi xi^T = I; of dimension M.
    perturbation: distribution of z, of mean 0, scaled here to E|z|^2 = 1; of
      dimension M.
    scheme: which states share an index, `per_state` or `per_episode`.
  """

  sizes: mdp_lib.Sizes
  noise: gaussian.Noise
  index: index_lib.IndexDistribution = index_lib.Gaussian(16)
  perturbation: index_lib.IndexDistribution = index_lib.Sphere(16)
  scheme: Scheme = per_state

  def __post_init__(self):
    checks.fields(self, sizes=checks.component(mdp_lib.Sizes),
                  noise=checks.component(gaussian.Noise))
    self.noise.check_horizon(self.sizes.horizon)
    checks.fields(
        self, index=checks.component(index_lib.IndexDistribution),
        perturbation=checks.component(index_lib.IndexDistribution),
        scheme=checks.function)
    checks.COUNT('M, the dimension of the index,', self.index.dim)
    if self.index.dim != self.perturbation.dim:
      raise ValueError(
          f'expected an index and a perturbation of one dimension M, got '
          f'{self.index.dim} and {self.perturbation.dim}')
    if self.perturbation.mean:
      raise ValueError(
          f'perturbation must have mean 0, got '
          f'{type(self.perturbation).__name__}')

  def perturbations(
      self, key: chex.PRNGKey, first_step: Int[Array, '']
  ) -> Float[Array, 'H M']:
    """Returns z of the H steps of an episode, float32 [H, M].

    Args:
      key: PRNG key of the run.
      first_step: number of the episode's first step in the run.
    """
    steps = first_step + jnp.arange(self.sizes.horizon)
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, steps)
    return _unit(self.perturbation) * jax.vmap(self.perturbation.sample)(keys)

  def init(
      self, key: chex.PRNGKey, rewards: Float[Array, 'H S A'] | None = None
  ) -> HyperAgentState:
    """See `base.Agent`."""
    sizes = self.sizes
    key_prior, key = jax.random.split(key)
    prior = self.perturbation.sample(
        key_prior, (sizes.stages, sizes.num_states, sizes.num_actions))
    return HyperAgentState(
        base.no_statistics(sizes, rewards),
        math.sqrt(self.noise.prior_mass) * _unit(self.perturbation) * prior,
        key, jnp.int32(0))

  def relative_variance(
      self, state: HyperAgentState) -> Float[Array, 'stages S A']:
    """Returns |m|^2 (N + beta) / sigma^2, whose mean over z is 1."""
    return jnp.sum(jnp.square(state.sums), axis=-1) / (
        state.statistics.visits + self.noise.prior_mass)

  def values(
      self, state: HyperAgentState, key: chex.PRNGKey
  ) -> Float[Array, 'H S A']:
    """Returns the values of actions at a fresh index, float32 [H, S, A]."""
    xi = self.scheme(self.index, key, self.sizes) / math.sqrt(
        self.index.second_moment)
    sigmas = jnp.asarray(self.noise.sigmas)[:, None, None]
    scale = sigmas / (state.statistics.visits + self.noise.prior_mass)
    return gaussian.perturbed_values(
        self.noise, state.statistics,
        scale * jnp.sum(state.sums * xi[:, :, None], axis=-1))

  def plan(
      self, state: HyperAgentState, key: chex.PRNGKey) -> Int[Array, 'H S']:
    """See `base.Agent`."""
    key_index, key_ties = jax.random.split(key)
    return gaussian.greedy(key_ties, self.values(state, key_index))

  def update(
      self, state: HyperAgentState, episode: mdp_lib.Episode
  ) -> HyperAgentState:
    """See `base.Agent`; the cost does not depend on the number of episodes."""
    z = self.perturbations(state.key, state.num_steps)
    pairs = (base.stages_of(self.sizes), episode.states[:-1], episode.actions)
    return HyperAgentState(
        base.count(self.sizes, state.statistics, episode),
        state.sums.at[pairs].add(z), state.key,
        state.num_steps + self.sizes.horizon)

  def batch_state(
      self, initial: HyperAgentState, episodes: mdp_lib.Episode
  ) -> HyperAgentState:
    """Returns the state after episodes, computed from all of them at once.

    The batch form of `update`, whose cost grows with the number of episodes:
    the sums over all visits so far as the equation of the module has them.

    Args:
      initial: state from `init`.
      episodes: all episodes so far, each field with a leading axis [E].
    """
    num_episodes = episodes.actions.shape[0]
    first = self.sizes.horizon * jnp.arange(num_episodes)
    z = jax.vmap(self.perturbations, in_axes=(None, 0))(initial.key, first)
    sizes = self.sizes
    pair = (base.stages_of(sizes) * sizes.num_states + episodes.states[:, :-1]
            ) * sizes.num_actions + episodes.actions
    visited = jax.nn.one_hot(
        pair.reshape(-1),
        sizes.stages * sizes.num_states * sizes.num_actions)
    sums = visited.T @ z.reshape(-1, self.perturbation.dim)
    counts = jnp.einsum(
        'tp,ts->ps', visited, jax.nn.one_hot(
            episodes.states[:, 1:].reshape(-1), sizes.num_states))
    rewards = visited.T @ episodes.rewards.reshape(-1)
    old = initial.statistics
    return HyperAgentState(
        base.Statistics(
            counts.reshape(old.counts.shape),
            rewards.reshape(old.reward_sums.shape), old.known),
        initial.sums + sums.reshape(initial.sums.shape), initial.key,
        jnp.int32(num_episodes * sizes.horizon))


def _unit(perturbation: index_lib.IndexDistribution) -> float:
  """Returns the factor that makes E|z|^2 equal to 1."""
  return 1. / math.sqrt(perturbation.second_moment * perturbation.dim)
