"""Agents that only correct tables: bootstrapped optimism and Q-learning.

`IncrementalBayesUCBVI` (Tiapkin et al., ICML 2022) has B tables. A transition
(h, s, a, r, s') has a weight w ~ Exp(1) in each of them, drawn once,

  W_b += w,   Q_b += w / W_b (r + V_{h+1}(s') - Q_b),   V = max_a max_b Q_b

with V clipped to [0, H - h]. Tables begin with n0 optimistic transitions: W_b ~
Gamma(n0, 1), Q_b = r0 (H - h). Old targets are never corrected. No bound on its
regret is known.

`QLearning` corrects one table at the rate (H + 1) / (H + n), n visits so far,
and acts randomly with probability epsilon. It does not explore.

Both cost order A B operations per step. Their tables are those of each stage,
also where others pool: values differ between stages.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import acting
from hyperjax import checks
from hyperjax.tabular import dirichlet
from hyperjax.tabular import gaussian
from hyperjax.tabular import mdp as mdp_lib


class Tables(NamedTuple):
  """State of an agent with tables.

  Attributes:
    values: Q_b, float32 [H, S, A, B].
    weights: W_b, or the number of visits, float32 [H, S, A, B].
    key: PRNG key of what `update` draws.
  """

  values: Float[Array, 'H S A B']
  weights: Float[Array, 'H S A B']
  key: chex.PRNGKey


@dataclasses.dataclass(frozen=True)
class IncrementalBayesUCBVI:
  """Incremental Bayes-UCBVI; see the module.

  Attributes:
    sizes: sizes of the MDP.
    num_tables: B.
    prior_visits: n0, number of optimistic transitions at the start.
    optimistic_reward: r0, what they pay; 2 in theory.
  """

  sizes: mdp_lib.Sizes
  num_tables: int = 8
  prior_visits: float = 1.
  optimistic_reward: float = 1.

  def __post_init__(self):
    checks.fields(
        self, sizes=checks.component(mdp_lib.Sizes),
        num_tables=checks.COUNT, prior_visits=checks.positive,
        optimistic_reward=checks.positive)

  def init(
      self, key: chex.PRNGKey, rewards: Float[Array, 'H S A'] | None = None
  ) -> Tables:
    """See `base.Agent`; known rewards are not used."""
    del rewards
    sizes = self.sizes
    key_prior, key = jax.random.split(key)
    shape = (sizes.horizon, sizes.num_states, sizes.num_actions,
             self.num_tables)
    weights = jnp.exp(dirichlet.log_gamma(
        key_prior, jnp.full(shape, self.prior_visits)))
    values = self.optimistic_reward * sizes.steps_left
    return Tables(
        jnp.broadcast_to(values[:, None, None, None], shape), weights, key)

  def plan(self, state: Tables, key: chex.PRNGKey) -> Int[Array, 'H S']:
    """See `base.Agent`."""
    return gaussian.greedy(key, jnp.max(state.values, axis=-1))

  def update(self, state: Tables, episode: mdp_lib.Episode) -> Tables:
    """See `base.Agent`."""
    sizes = self.sizes
    key, key_weights = jax.random.split(state.key)
    new = jax.random.exponential(
        key_weights, (sizes.horizon, self.num_tables))

    h, s, a = jnp.arange(sizes.horizon), episode.states[:-1], episode.actions
    weights = state.weights.at[h, s, a].add(new)
    targets = episode.rewards + _next_values(
        jnp.max(state.values, axis=-1), episode.states)
    values = state.values[h, s, a]
    values += new / weights[h, s, a] * (targets[:, None] - values)
    return Tables(state.values.at[h, s, a].set(values), weights, key)


@dataclasses.dataclass(frozen=True)
class QLearning:
  """Epsilon-greedy Q-learning; see the module.

  Attributes:
    sizes: sizes of the MDP.
    epsilon: probability of a random action.
  """

  sizes: mdp_lib.Sizes
  epsilon: float = 0.1

  def __post_init__(self):
    checks.fields(self, sizes=checks.component(mdp_lib.Sizes),
                  epsilon=checks.FRACTION)

  def init(
      self, key: chex.PRNGKey, rewards: Float[Array, 'H S A'] | None = None
  ) -> Tables:
    """See `base.Agent`; known rewards are not used."""
    del rewards
    sizes = self.sizes
    zeros = jnp.zeros(
        (sizes.horizon, sizes.num_states, sizes.num_actions, 1))
    return Tables(zeros, zeros, key)

  def plan(self, state: Tables, key: chex.PRNGKey) -> Int[Array, 'H S']:
    """See `base.Agent`; a state of a stage comes at most once per episode."""
    return acting.epsilon_greedy(key, state.values[..., 0], self.epsilon)

  def update(self, state: Tables, episode: mdp_lib.Episode) -> Tables:
    """See `base.Agent`."""
    horizon = self.sizes.horizon
    h, s, a = jnp.arange(horizon), episode.states[:-1], episode.actions
    visits = state.weights[h, s, a, 0] + 1.
    targets = episode.rewards + _next_values(
        state.values[..., 0], episode.states)
    values = state.values[h, s, a, 0]
    values += (horizon + 1.) / (horizon + visits) * (targets - values)
    return state._replace(
        values=state.values.at[h, s, a, 0].set(values),
        weights=state.weights.at[h, s, a, 0].set(visits))


def _next_values(
    values: Float[Array, 'H S A'], states: Int[Array, ' H+1']
) -> Float[Array, ' H']:
  """Returns V_{h+1}(s_{h+1}), clipped to [0, H - h - 1]; 0 after the end."""
  horizon = values.shape[0]
  best = jnp.max(values[jnp.arange(1, horizon), states[1:-1]], axis=-1)
  left = horizon - jnp.arange(1, horizon, dtype=jnp.float32)
  return jnp.append(jnp.clip(best, 0., left), 0.)
