"""Agents in linear bandits, all with the prior N(0, v I) and known noise.

`ThompsonSampling`  theta from the posterior, exactly (Thompson, 1933)
`HyperAgent`        theta = mu + A zeta with a factor A in R^{d x M} that is
                    updated incrementally (Li et al., 2024): A A^T stands for
                    Sigma. With the perturbation z_t in R^M of step t and its
                    gain g_t, A <- A + g_t (s z_t - A^T x_t)^T, which is
                    A_t = Sigma_t (Sigma_{t-1}^{-1} A_{t-1} + x_t z_t^T / s).
                    Regret in theory: of order d sqrt(T log X log T), for z of
                    unit norm and M of order d log T. No inflation, as in code.
`EnsembleSampling`  M samples of the prior, each updated by the reward plus
                    noise of its own; one is drawn per step (Lu and Van Roy,
                    2017)
`LinUCB`            x with the largest <x, mu> + alpha sqrt(x^T Sigma x)
                    (Li et al., 2010)
`LangevinSampling`  theta by J steps of Langevin dynamics on the posterior, from
                    the last theta on (Xu et al., 2022)

The cost of a step, without the choice among actions: d^2 for all, plus d M of
HyperAgent and ensembles, and J d^2 and a decomposition of Langevin sampling.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax.bandits import posterior as posterior_lib
from hyperjax.bandits import problems


@dataclasses.dataclass(frozen=True)
class _Gaussian:
  """An agent that keeps the posterior of theta.

  Attributes:
    dim: d, dimension of the actions.
    prior_variance: v.
    noise_std: s, standard deviation of the rewards' noise.
  """

  dim: int
  prior_variance: float = 10.
  noise_std: float = 1.

  def __post_init__(self):
    checks.fields(
        self, 'a bandit agent', dim=checks.COUNT,
        prior_variance=checks.positive, noise_std=checks.positive)

  def _prior(self) -> posterior_lib.Posterior:
    return posterior_lib.prior(self.dim, self.prior_variance)


@dataclasses.dataclass(frozen=True)
class ThompsonSampling(_Gaussian):
  """Exact Thompson sampling; see the module.

  Attributes:
    inflation: factor of the samples' standard deviation; 1 is exact.
  """

  inflation: float = 1.

  def __post_init__(self):
    super().__post_init__()
    checks.fields(self, inflation=checks.NONNEGATIVE)

  def init(self, key: chex.PRNGKey) -> posterior_lib.Posterior:
    """See `base.Agent`."""
    del key
    return self._prior()

  def act(self, state, actions, key) -> Float[Array, ' d']:
    """See `base.Agent`."""
    draw = state.root @ jax.random.normal(key, (self.dim,))
    return actions.best(state.mean + self.inflation * draw)

  def update(self, state, x, y, key) -> posterior_lib.Posterior:
    """See `base.Agent`."""
    del key
    return posterior_lib.observe(state, x, y, self.noise_std)


class FactorState(NamedTuple):
  """Posterior and a factor that stands for it.

  Attributes:
    posterior: posterior of theta.
    factor: A of HyperAgent, or the members of an ensemble, float32 [d, M].
  """

  posterior: posterior_lib.Posterior
  factor: Float[Array, 'd M']


@dataclasses.dataclass(frozen=True)
class HyperAgent(_Gaussian):
  """Linear HyperAgent; see the module.

  Attributes:
    reference: distribution of zeta, scaled to E zeta zeta^T = I; of dimension
      M.
    perturbation: distribution of z, of mean 0, scaled to E|z|^2 = 1; of
      dimension M.
  """

  reference: index_lib.IndexDistribution = index_lib.Gaussian(16)
  perturbation: index_lib.IndexDistribution = index_lib.Sphere(16)

  def __post_init__(self):
    super().__post_init__()
    checks.fields(
        self, reference=checks.component(index_lib.IndexDistribution),
        perturbation=checks.component(index_lib.IndexDistribution))
    checks.COUNT('M, the dimension of the index,', self.reference.dim)
    if self.reference.dim != self.perturbation.dim:
      raise ValueError(
          f'expected a reference and a perturbation of one dimension M, got '
          f'{self.reference.dim} and {self.perturbation.dim}')
    if self.perturbation.mean:
      raise ValueError(
          f'perturbation must have mean 0, got '
          f'{type(self.perturbation).__name__}')

  def init(self, key: chex.PRNGKey) -> FactorState:
    """See `base.Agent`; the rows of A are sqrt(v) times perturbations."""
    rows = problems.perturbation(self.perturbation, key, (self.dim,))
    return FactorState(self._prior(), self.prior_variance**0.5 * rows)

  def act(self, state, actions, key) -> Float[Array, ' d']:
    """See `base.Agent`."""
    zeta = problems.reference(self.reference, key)
    return actions.best(state.posterior.mean + state.factor @ zeta)

  def update(self, state, x, y, key) -> FactorState:
    """See `base.Agent`."""
    z = problems.perturbation(self.perturbation, key)
    gain = posterior_lib.gain(state.posterior, x, self.noise_std)
    return FactorState(
        posterior_lib.observe(state.posterior, x, y, self.noise_std),
        state.factor + jnp.outer(gain, self.noise_std * z - x @ state.factor))


@dataclasses.dataclass(frozen=True)
class EnsembleSampling(_Gaussian):
  """Linear ensemble sampling; see the module.

  Attributes:
    num_members: M.
  """

  num_members: int = 16

  def __post_init__(self):
    super().__post_init__()
    checks.fields(self, num_members=checks.COUNT)

  def init(self, key: chex.PRNGKey) -> FactorState:
    """See `base.Agent`."""
    draws = jax.random.normal(key, (self.dim, self.num_members))
    return FactorState(self._prior(), self.prior_variance**0.5 * draws)

  def act(self, state, actions, key) -> Float[Array, ' d']:
    """See `base.Agent`."""
    member = jax.random.randint(key, (), 0, self.num_members)
    return actions.best(state.factor[:, member])

  def update(self, state, x, y, key) -> FactorState:
    """See `base.Agent`."""
    targets = y + self.noise_std * jax.random.normal(key, (self.num_members,))
    gain = posterior_lib.gain(state.posterior, x, self.noise_std)
    return FactorState(
        posterior_lib.observe(state.posterior, x, y, self.noise_std),
        state.factor + jnp.outer(gain, targets - x @ state.factor))


@dataclasses.dataclass(frozen=True)
class LinUCB(_Gaussian):
  """LinUCB, for finitely many actions; see the module.

  Attributes:
    alpha: number of standard deviations.
  """

  alpha: float = 1.

  def __post_init__(self):
    super().__post_init__()
    checks.fields(self, alpha=checks.NONNEGATIVE)

  def init(self, key: chex.PRNGKey) -> posterior_lib.Posterior:
    """See `base.Agent`."""
    del key
    return self._prior()

  def act(self, state, actions, key) -> Float[Array, ' d']:
    """See `base.Agent`.

    Raises:
      ValueError: if the actions are not `FiniteActions`.
    """
    del key
    if not isinstance(actions, problems.FiniteActions):
      raise ValueError(
          f'LinUCB is for FiniteActions, got {type(actions).__name__}')
    std = jnp.linalg.norm(actions.features @ state.root, axis=-1)
    return actions.features[jnp.argmax(
        actions.features @ state.mean + self.alpha * std)]

  def update(self, state, x, y, key) -> posterior_lib.Posterior:
    """See `base.Agent`."""
    del key
    return posterior_lib.observe(state, x, y, self.noise_std)


class LangevinState(NamedTuple):
  """State of Langevin sampling.

  Attributes:
    theta: the chain, float32 [d].
    precision: Sigma^-1, float32 [d, d].
    moment: Sigma^-1 mu, float32 [d].
  """

  theta: Float[Array, ' d']
  precision: Float[Array, 'd d']
  moment: Float[Array, ' d']


@dataclasses.dataclass(frozen=True)
class LangevinSampling(_Gaussian):
  """Langevin Thompson sampling; see the module.

  Attributes:
    num_steps: J, steps of the chain per step of the bandit, of the size 1 / (2
      lambda_max) of the precision.
  """

  num_steps: int = 10

  def __post_init__(self):
    super().__post_init__()
    checks.fields(self, num_steps=checks.COUNT)

  def init(self, key: chex.PRNGKey) -> LangevinState:
    """See `base.Agent`."""
    theta = self.prior_variance**0.5 * jax.random.normal(key, (self.dim,))
    return LangevinState(
        theta, jnp.eye(self.dim) / self.prior_variance, jnp.zeros(self.dim))

  def act(self, state, actions, key) -> Float[Array, ' d']:
    """See `base.Agent`."""
    del key
    return actions.best(state.theta)

  def update(self, state, x, y, key) -> LangevinState:
    """See `base.Agent`."""
    weight = self.noise_std**-2
    precision = state.precision + weight * jnp.outer(x, x)
    moment = state.moment + weight * y * x
    eta = 0.5 / jnp.linalg.eigvalsh(precision)[-1]

    def step(j, theta):
      noise = jax.random.normal(jax.random.fold_in(key, j), theta.shape)
      return (theta - eta * (precision @ theta - moment)
              + jnp.sqrt(2. * eta) * noise)

    theta = jax.lax.fori_loop(0, self.num_steps, step, state.theta)
    return LangevinState(theta, precision, moment)
