"""UCBVI: value iteration with a bonus for what was seen rarely.

Azar, Osband and Munos, ICML 2017. From the last stage to the first,

  Q_h(s, a) = min(H - h, r + P^ V_{h+1} + b_h(s, a))

and H - h for pairs that were never seen; in the theorem Q never rises from one
episode to the next either. Bonuses, for N visits:

  `ChernoffHoeffding`  7 H L / sqrt(N), L = log(5 S A K H / delta), of theorem 1
  `Hoeffding`          c (H - h) / 2 / sqrt(N), without constants and logarithm
  `Bernstein`          c sqrt(Var_P^(V_{h+1}) / N) + c (H - h) / N, the same of
                       the paper's second bonus

The last two are those of published experiments, `scaled`.

Theorem 1: with the first bonus, pooled counts and the same transitions at all
stages, regret of at most 20 H^{3/2} L sqrt(S A K) + 250 H^2 S^2 A L^2 with
probability 1 - delta; theorem 2 has H L sqrt(S A K) with a Bernstein bonus of
more terms, which is left out here. One plan costs S^2 A H operations.
"""

import dataclasses
import math
from typing import NamedTuple, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import checks
from hyperjax.tabular import base
from hyperjax.tabular import gaussian
from hyperjax.tabular import mdp as mdp_lib


@runtime_checkable
class Bonus(Protocol):
  """Optimism that is added to the value of a pair."""

  def bonus(
      self, visits: Float[Array, 'S A'], variance: Float[Array, 'S A'],
      left: Float[Array, '...'],
  ) -> Float[Array, 'S A']:
    """Returns the bonuses of a stage, float32 [S, A].

    Args:
      visits: N, at least 1, [S, A].
      variance: Var_P^(V_{h+1}), [S, A].
      left: H - h, number of steps that are left; one, or one for each entry.
    """
    ...


@dataclasses.dataclass(frozen=True)
class ChernoffHoeffding:
  """The theorem's bonus; see the module.

  Attributes:
    constant: 7 H L.
  """

  constant: float

  def __post_init__(self):
    checks.fields(self, constant=checks.NONNEGATIVE)

  def bonus(self, visits, variance, left) -> Float[Array, 'S A']:
    """See `Bonus`."""
    del variance, left
    return self.constant / jnp.sqrt(visits)


@dataclasses.dataclass(frozen=True)
class _Scaled:
  """A bonus with a factor.

  Attributes:
    scale: c.
  """

  scale: float = 1.

  def __post_init__(self):
    checks.fields(self, scale=checks.NONNEGATIVE)


@dataclasses.dataclass(frozen=True)
class Hoeffding(_Scaled):
  """Bonus by the range of the values, times `scale`; see the module."""

  def bonus(self, visits, variance, left) -> Float[Array, 'S A']:
    """See `Bonus`."""
    del variance
    return self.scale * 0.5 * left / jnp.sqrt(visits)


@dataclasses.dataclass(frozen=True)
class Bernstein(_Scaled):
  """Bonus by the variance of the next value, times `scale`; see the module."""

  def bonus(self, visits, variance, left) -> Float[Array, 'S A']:
    """See `Bonus`."""
    return self.scale * (jnp.sqrt(variance / visits) + left / visits)


class UCBVIState(NamedTuple):
  """State of UCBVI.

  Attributes:
    statistics: what was seen so far.
    values: Q, float32 [H, S, A].
  """

  statistics: base.Statistics
  values: Float[Array, 'H S A']


@dataclasses.dataclass(frozen=True)
class UCBVI:
  """Upper-confidence-bound value iteration; see the module.

  Attributes:
    sizes: sizes of the MDP.
    bonus: the bonus.
    monotone: whether Q never rises.
  """

  sizes: mdp_lib.Sizes
  bonus: Bonus = Bernstein()
  monotone: bool = False

  def __post_init__(self):
    checks.fields(
        self, sizes=checks.component(mdp_lib.Sizes),
        bonus=checks.component(Bonus), monotone=checks.flag)

  @classmethod
  def theorem(
      cls, sizes: mdp_lib.Sizes, num_episodes: int, failure: float = 0.05
  ) -> 'UCBVI':
    """Returns the constants of theorem 1.

    Args:
      sizes: sizes of the MDP.
      num_episodes: K.
      failure: delta, above 0 and at most 1.

    Raises:
      ValueError: if K or delta is out of range.
    """
    base.check_theorem(num_episodes, failure)
    steps = num_episodes * sizes.horizon
    log = math.log(5. * sizes.num_states * sizes.num_actions * steps / failure)
    return cls(
        sizes, ChernoffHoeffding(7. * sizes.horizon * log), monotone=True)

  def init(
      self, key: chex.PRNGKey, rewards: Float[Array, 'H S A'] | None = None
  ) -> UCBVIState:
    """See `base.Agent`."""
    del key
    sizes = self.sizes
    return UCBVIState(
        base.no_statistics(sizes, rewards),
        jnp.broadcast_to(
            sizes.steps_left[:, None, None],
            (sizes.horizon, sizes.num_states, sizes.num_actions)))

  def plan(self, state: UCBVIState, key: chex.PRNGKey) -> Int[Array, 'H S']:
    """See `base.Agent`."""
    return gaussian.greedy(key, state.values)

  def update(
      self, state: UCBVIState, episode: mdp_lib.Episode) -> UCBVIState:
    """See `base.Agent`."""
    statistics = base.count(self.sizes, state.statistics, episode)
    horizon = self.sizes.horizon
    visits = statistics.visits
    kernel = statistics.counts / jnp.maximum(visits, 1.)[..., None]
    rewards = base.every_stage(self.sizes, statistics.rewards)

    def step(value, inputs):
      h, before = inputs
      left = (horizon - h).astype(jnp.float32)
      p, seen = mdp_lib.at_stage(kernel, h), mdp_lib.at_stage(visits, h)
      mean = p @ value
      variance = jnp.maximum(p @ jnp.square(value) - jnp.square(mean), 0.)
      q = rewards[h] + mean + self.bonus.bonus(
          jnp.maximum(seen, 1.), variance, left)
      q = jnp.minimum(
          before if self.monotone else left, jnp.where(seen > 0., q, left))
      return jnp.max(q, axis=-1), q

    _, values = jax.lax.scan(
        step, jnp.zeros(self.sizes.num_states),
        (jnp.arange(horizon), state.values), reverse=True)
    return UCBVIState(statistics, values)
