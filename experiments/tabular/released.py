"""Agents as the code of Tiapkin et al. (2022) has them on GridWorld 10 x 10.

They differ from the library's in what the value of a state may be: at most H
at every stage, where the library has H - h; and actions are compared by values
that are not clipped, so that pairs of which little is known still differ where
the library's agents have ties.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax import tabular
from hyperjax.tabular import base
from hyperjax.tabular import dirichlet
from hyperjax.tabular import gaussian
from hyperjax.tabular import mdp as mdp_lib
from hyperjax.tabular import psrl
from hyperjax.tabular import ucbvi


class UCBVIState(NamedTuple):
  """State of UCBVI.

  Attributes:
    statistics: what was seen so far.
    bonuses: b, float32 [H, S, A].
    values: V of the last plan, with a last row of zeros, float32 [H + 1, S].
    q: Q of the last plan, float32 [H, S, A].
  """

  statistics: base.Statistics
  bonuses: Float[Array, 'H S A']
  values: Float[Array, 'stages S']
  q: Float[Array, 'H S A']


@dataclasses.dataclass(frozen=True)
class UCBVI:
  """UCBVI with pooled counts as that code has it.

  A bonus is of its pair's last visit, min(H - h, b), with the variance of the
  values that were planned before that episode; H - h for pairs that were never
  seen, which lead to all states alike. The released code refreshes the bonus of
  the stage of the visit only, so that other stages keep H - h until the pair is
  visited there as well. Ties are random; there the first action wins.

  Attributes:
    sizes: sizes of the MDP, which must be pooled.
    bonus: the bonus.
    all_stages: whether a visit refreshes the bonuses of all stages.
    limited: whether values are at most H - h, against that code.
  """

  sizes: tabular.Sizes
  bonus: ucbvi.Bonus = ucbvi.Bernstein()
  all_stages: bool = True
  limited: bool = False

  def init(self, key, rewards=None) -> UCBVIState:
    """See `tabular.Agent`."""
    del key
    sizes = self.sizes
    left = sizes.steps_left[:, None, None]
    shape = (sizes.horizon, sizes.num_states, sizes.num_actions)
    return UCBVIState(
        base.no_statistics(sizes, rewards), jnp.broadcast_to(left, shape),
        jnp.append(jnp.broadcast_to(left[:, 0], shape[:2]),
                   jnp.zeros((1, shape[1])), axis=0),
        jnp.zeros(shape))

  def plan(self, state: UCBVIState, key) -> jax.Array:
    """See `tabular.Agent`."""
    return gaussian.greedy(key, state.q)

  def update(
      self, state: UCBVIState, episode: tabular.Episode) -> UCBVIState:
    """See `tabular.Agent`."""
    sizes = self.sizes
    stages = jnp.arange(sizes.horizon)
    left = sizes.steps_left[:, None]
    # Of the last plan and the stages after each stage.
    moments = jnp.stack([state.values[1:], jnp.square(state.values[1:])])

    def visit(carry, step):
      counts, bonuses = carry
      h, s, a, after = step
      counts = counts.at[0, s, a, after].add(1.)
      visits = jnp.sum(counts[0, s, a])
      mean, square = moments @ (counts[0, s, a] / visits)
      variance = jnp.maximum(square - jnp.square(mean), 0.)[:, None]
      new = jnp.minimum(self.bonus.bonus(
          jnp.full_like(left, visits), variance, left), left)[:, 0]
      if not self.all_stages:
        new = jnp.where(stages == h, new, bonuses[:, s, a])
      return (counts, bonuses.at[:, s, a].set(new)), None

    (_, bonuses), _ = jax.lax.scan(
        visit, (state.statistics.counts, state.bonuses),
        (stages, episode.states[:-1], episode.actions, episode.states[1:]))
    statistics = base.count(sizes, state.statistics, episode)
    visits = statistics.visits[0][..., None]
    kernel = jnp.where(
        visits > 0., statistics.counts[0] / jnp.maximum(visits, 1.),
        1. / sizes.num_states)
    values, q = _backward(
        kernel, base.every_stage(sizes, statistics.rewards) + bonuses,
        left[:, 0] if self.limited else jnp.full_like(
            left[:, 0], sizes.horizon))
    return UCBVIState(statistics, bonuses, values, q)


@dataclasses.dataclass(frozen=True)
class OPSRL(tabular.BayesUCBVI):
  """Bayes-UCBVI with pooled counts where states have few successors.

  It draws from the same law, but only for the next states that were seen, of
  which a cell of GridWorld has four at most: a small part of the variables.

  Attributes:
    successors: number of next states that a pair has at most.
  """

  successors: int = 4

  def values(self, state: base.Statistics, key) -> jax.Array:
    """See `tabular.BayesUCBVI`."""
    key_kernels, key_rewards = jax.random.split(key)
    counts, after = jax.lax.top_k(state.counts[0], self.successors)
    masses = jnp.append(
        counts, jnp.full((*counts.shape[:-1], 1), self.prior_visits), axis=-1)
    kernels = jax.vmap(dirichlet.dirichlet, in_axes=(0, None))(
        jax.random.split(key_kernels, self.num_samples), masses)
    rewards = jnp.max(jax.vmap(psrl.sample_rewards, in_axes=(None, 0))(
        state, jax.random.split(key_rewards, self.num_samples)), axis=0)

    def step(value, inputs):
      left, reward = inputs
      best = jnp.full((*counts.shape[:-1], 1),
                      self.optimistic_reward * (left - 1.))
      q = reward + jnp.max(jnp.sum(
          kernels * jnp.append(value[after], best, axis=-1), axis=-1), axis=0)
      return jnp.minimum(jnp.max(q, axis=-1), left), q

    _, q = jax.lax.scan(
        step, jnp.zeros(self.sizes.num_states),
        (self.sizes.steps_left, base.every_stage(self.sizes, rewards)),
        reverse=True)
    return q


def _backward(
    kernel: jax.Array, rewards: jax.Array, limits: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """Returns V [H + 1, S], at most a limit [H], and Q [H, S, A], not clipped."""

  def step(value, inputs):
    reward, limit = inputs
    q = reward + kernel @ value
    value = jnp.minimum(jnp.max(q, axis=-1), limit)
    return value, (value, q)

  last = jnp.zeros(kernel.shape[0])
  _, (values, q) = jax.lax.scan(step, last, (rewards, limits), reverse=True)
  return jnp.append(values, last[None], axis=0), q


@dataclasses.dataclass(frozen=True)
class RLSVI(base.Counting):
  """RLSVI with the noise and the prior of rlberry, which that code configures.

  Every pair has one visit to begin with, without a reward and to every state
  alike; noise is 1 / sqrt(N) + (H - h) / N, and values are clipped to [0, H].
  The released code adds the mean reward twice; here it is added once.

  Attributes:
    sizes: sizes of the MDP.
  """

  sizes: tabular.Sizes

  def init(self, key, rewards=None) -> base.Statistics:
    """See `tabular.Agent`."""
    empty = super().init(key, rewards)
    return empty._replace(counts=empty.counts + 1. / self.sizes.num_states)

  def plan(self, state: base.Statistics, key) -> jax.Array:
    """See `tabular.Agent`."""
    sizes, visits = self.sizes, state.visits
    key_noise, key_ties = jax.random.split(key)
    std = (1. / jnp.sqrt(visits)
           + sizes.steps_left[:, None, None] / visits)
    noise = std * jax.random.normal(key_noise, std.shape)
    kernel = state.counts / visits[..., None]
    rewards = state.rewards + noise

    def step(value, h):
      q = rewards[h] + mdp_lib.at_stage(kernel, h) @ value
      return jnp.clip(jnp.max(q, axis=-1), 0., float(sizes.horizon)), q

    _, q = jax.lax.scan(
        step, jnp.zeros(sizes.num_states), jnp.arange(sizes.horizon),
        reverse=True)
    return gaussian.greedy(key_ties, q)


def agents(sizes: tabular.Sizes) -> dict[str, tabular.Agent]:
  """Returns the agents of pooled sizes, by name.

  Of UCBVI, `released` is with the bonuses of all stages refreshed, `one_stage`
  without, and `limited` with values of at most H - h. OPSRL is for at most four
  successors of a pair.
  """
  found: dict[str, tabular.Agent] = {
      'rlsvi_released': RLSVI(sizes), 'opsrl_1': OPSRL(sizes, 1),
      'opsrl_8': OPSRL(sizes, 8)}
  for kind, options in (('released', {}), ('one_stage', {'all_stages': False}),
                        ('limited', {'limited': True})):
    found[f'ucbvi_{kind}'] = UCBVI(sizes, **options)
    found[f'ucbvi_hoeffding_{kind}'] = UCBVI(
        sizes, ucbvi.Hoeffding(), **options)
  return found
