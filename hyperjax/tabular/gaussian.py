"""Value iteration with Gaussian noise: what RLSVI and HyperAgent share.

Both plan with the posterior mean of a linear model of the values, plus noise
that is chosen by the algorithm:

  Q_h(s, a) = (N (r^ + P^ V_{h+1}) + beta mu0_h) / (N + beta) + noise_h(s, a)

N counts visits of (h, s, a), or of (s, a) if pooled; r^ and P^ are the mean
reward and the empirical distribution of the next state; mu0 and beta are mean
and mass of the prior. The noise has the standard deviation sigma_h /
sqrt(N + beta), exactly (RLSVI) or approximately (HyperAgent).
"""

import dataclasses
import math
from typing import Any

import chex
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import acting
from hyperjax import checks
from hyperjax.tabular import base
from hyperjax.tabular import mdp as mdp_lib


def _numbers(check: checks.Check) -> checks.Check:
  """Returns a check of a tuple of numbers, one for each stage."""

  def check_all(name: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, tuple | list):
      raise ValueError(
          f'{name} must be a number for each stage, got {value!r}')
    return tuple(check(f'{name}[{h}]', x) for h, x in enumerate(value))

  return check_all


@dataclasses.dataclass(frozen=True)
class Noise:
  """Prior and size of the noise; `theorem` and `scaled` are presets.

  Attributes:
    sigmas: sigma_h for the stages h = 0..H-1, each at least 0.
    prior_means: mu0_h for the same stages.
    prior_mass: beta, above 0: so many visits is the prior worth.
    clip: whether V_h is clipped to [0, H - h].
  """

  sigmas: tuple[float, ...]
  prior_means: tuple[float, ...]
  prior_mass: float = 1.
  clip: bool = True

  def __post_init__(self):
    checks.fields(
        self, sigmas=_numbers(checks.NONNEGATIVE),
        prior_means=_numbers(checks.real()), prior_mass=checks.positive,
        clip=checks.flag)
    if len(self.sigmas) != len(self.prior_means):
      raise ValueError(
          f'expected as many sigmas as prior_means, one for each stage, got '
          f'{len(self.sigmas)} and {len(self.prior_means)}')

  def check_horizon(self, horizon: int):
    """Raises ValueError unless there is a sigma for each of H stages."""
    if len(self.sigmas) != horizon:
      raise ValueError(
          f'expected sigmas for {horizon} stages, got {len(self.sigmas)}')


def theorem(horizon: int, prior_mass: float = 3.) -> Noise:
  """Returns the constants of the theorems.

  sigma = sqrt(3) H, beta >= 3, mu0 = H and no clipping (Osband et al., 2019,
  theorem 1, for RLSVI; Li et al., 2024, theorem 5.3, for HyperAgent).

  Args:
    horizon: H.
    prior_mass: beta, at least 3.

  Raises:
    ValueError: if beta is below 3.
  """
  checks.real(3.)('prior_mass of the theorems', prior_mass)
  return Noise((math.sqrt(3.) * horizon,) * horizon,
               (float(horizon),) * horizon, prior_mass, clip=False)


def scaled(horizon: int, scale: float = 0.2, prior_mass: float = 1.) -> Noise:
  """Returns noise of a size with which something is learned.

  sigma_h = c (H - h), mu0 = 0, beta = 1, and values clipped to [0, H - h]. The
  prior's mean is 0, since an optimistic one explores without any noise.

  Args:
    horizon: H.
    scale: c.
    prior_mass: beta.
  """
  return Noise(tuple(scale * (horizon - h) for h in range(horizon)),
               (0.,) * horizon, prior_mass)


def perturbed_values(
    noise: Noise, statistics: base.Statistics,
    perturbation: Float[Array, 'H S A'],
) -> Float[Array, 'H S A']:
  """Returns Q of the module's equation, float32 [H, S, A].

  Args:
    noise: prior and clipping.
    statistics: what was seen so far.
    perturbation: what is added to the posterior's mean, [H, S, A].
  """
  visits = statistics.visits
  weight = 1. / (visits + noise.prior_mass)
  prior_means = jnp.asarray(noise.prior_means)[:, None, None]
  rewards = weight * (
      visits * statistics.rewards + noise.prior_mass * prior_means)
  return mdp_lib.backward_induction(
      statistics.counts * weight[..., None], rewards + perturbation,
      noise.clip)


def greedy(
    key: chex.PRNGKey, values: Float[Array, 'H S A']) -> Int[Array, 'H S']:
  """Returns the greedy policy with random ties, int32 [H, S]."""
  return acting.greedy(key, values)
