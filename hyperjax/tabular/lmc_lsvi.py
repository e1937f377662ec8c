"""LMC-LSVI: value iteration by Langevin dynamics, warm-started.

Ishfaq et al., ICLR 2024. The values w_h(s, a) are a chain that goes on from
episode to episode. After an episode, from the last stage to the first, J steps

  w <- w - eta grad L_h(w) + sqrt(2 eta T) xi,   xi ~ N(0, I)
  L_h(w) = sum over visits (r + V_{h+1}(s') - w)^2 + lambda |w|^2

with V_h = max_a w_h, within [0, H - h]. In tables the gradient follows from
counts, 2 (N + lambda) w - 2 N (r^ + P^ V_{h+1}), and the coordinates are
independent: the chain's law approaches, as eta falls,

  N(N (r^ + P^ V) / (N + lambda), T / (2 (N + lambda)))

which is RLSVI's with mu0 = 0, beta = lambda and sigma^2 = T / 2.

With one step size for all, eta = 1 / (4 (max N + lambda)), a pair that is
visited rarely needs some max N steps to forget: the theorem's J is
2 kappa log(4 H K S A), and kappa <= K + 1 grows with K (`theorem`). In practice
J is ten and T = 1 (`scaled`). `coordinate_step` has a step size for each pair,
and needs few steps.

Theorem 4.2: regret of order H^2 sqrt(S^3 A^3 K) in tables, with probability 1 -
delta for delta > 0.12 only. An update costs H S^2 A + J H S A operations, and
the same without counts K times as many.
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
from hyperjax.tabular import base
from hyperjax.tabular import gaussian
from hyperjax.tabular import mdp as mdp_lib

# From the curvatures N + lambda of the pairs of a stage to step sizes, [S, A].
StepSize = Callable[[jax.Array], jax.Array]


def common_step(curvature: Float[Array, 'S A']) -> Float[Array, 'S A']:
  """Returns the theorem's step size, one for all pairs of a stage."""
  return jnp.full_like(curvature, 0.25 / jnp.max(curvature))


def coordinate_step(curvature: Float[Array, 'S A']) -> Float[Array, 'S A']:
  """Returns a step size for each pair, so that all chains mix alike."""
  return 0.25 / curvature


class LMCState(NamedTuple):
  """State of LMC-LSVI.

  Attributes:
    statistics: what was seen so far.
    values: w, the chain, float32 [H, S, A].
    key: PRNG key of the chain's noise.
  """

  statistics: base.Statistics
  values: Float[Array, 'H S A']
  key: chex.PRNGKey


@dataclasses.dataclass(frozen=True)
class LMCLSVI:
  """LMC-LSVI in tables; see the module.

  Attributes:
    sizes: sizes of the MDP.
    num_steps: J, steps of the chain at each stage in an episode.
    temperature: T, the inverse of the paper's beta_k.
    ridge: lambda.
    step_size: `common_step` or `coordinate_step`.
  """

  sizes: mdp_lib.Sizes
  num_steps: int = 10
  temperature: float = 1.
  ridge: float = 1.
  step_size: StepSize = common_step

  def __post_init__(self):
    checks.fields(
        self, sizes=checks.component(mdp_lib.Sizes),
        num_steps=checks.COUNT, temperature=checks.NONNEGATIVE,
        ridge=checks.positive, step_size=checks.function)

  @classmethod
  def theorem(cls, sizes: mdp_lib.Sizes, num_episodes: int) -> 'LMCLSVI':
    """Returns the constants of the theorem, up to logarithms.

    T = H^2 S A, and J for the largest condition number K + 1 that there may be.

    Args:
      sizes: sizes of the MDP.
      num_episodes: K.

    Raises:
      ValueError: if K is below 1.
    """
    base.check_theorem(num_episodes)
    dim = sizes.num_states * sizes.num_actions
    steps = 2. * (num_episodes + 1) * math.log(
        4. * sizes.horizon * num_episodes * dim)
    return cls(sizes, math.ceil(steps), float(sizes.horizon**2 * dim))

  def init(
      self, key: chex.PRNGKey, rewards: Float[Array, 'H S A'] | None = None
  ) -> LMCState:
    """See `base.Agent`."""
    sizes = self.sizes
    return LMCState(
        base.no_statistics(sizes, rewards),
        jnp.zeros((sizes.horizon, sizes.num_states, sizes.num_actions)), key)

  def plan(self, state: LMCState, key: chex.PRNGKey) -> Int[Array, 'H S']:
    """See `base.Agent`."""
    return gaussian.greedy(key, state.values)

  def update(self, state: LMCState, episode: mdp_lib.Episode) -> LMCState:
    """See `base.Agent`."""
    return self.mix(state._replace(
        statistics=base.count(self.sizes, state.statistics, episode)))

  def mix(self, state: LMCState) -> LMCState:
    """Returns the state after J steps of the chain at each stage."""
    horizon = self.sizes.horizon
    statistics = state.statistics
    key, key_noise = jax.random.split(state.key)
    curvatures = statistics.visits + self.ridge
    reward_sums = base.every_stage(
        self.sizes, statistics.visits * statistics.rewards)

    def stage(value, inputs):
      h, w, key = inputs
      curvature = mdp_lib.at_stage(curvatures, h)
      targets = reward_sums[h] + (
          mdp_lib.at_stage(statistics.counts, h) @ value)
      eta = self.step_size(curvature)

      def step(j, w):
        noise = jax.random.normal(jax.random.fold_in(key, j), w.shape)
        return (w - 2. * eta * (curvature * w - targets)
                + jnp.sqrt(2. * eta * self.temperature) * noise)

      w = jax.lax.fori_loop(0, self.num_steps, step, w)
      left = (horizon - h).astype(jnp.float32)
      return jnp.clip(jnp.max(w, axis=-1), 0., left), w

    _, values = jax.lax.scan(
        stage, jnp.zeros(self.sizes.num_states),
        (jnp.arange(horizon), state.values,
         jax.random.split(key_noise, horizon)), reverse=True)
    return LMCState(statistics, values, key)
