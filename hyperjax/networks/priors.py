"""Fixed random priors."""

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import numpy as np

from hyperjax import checks
from hyperjax import specs


class FixedPrior(nn.Module):
  """A network whose weights are drawn once and never trained.

  Randomised prior functions of Osband et al. (2018). The weights are in the
  Flax collection 'prior', which the optimiser does not see, and have gradient
  zero.

  Attributes:
    network: module from an observation to an array.
  """

  network: nn.Module

  def __post_init__(self):
    checks.fields(
        self, 'a prior', network=checks.instance(nn.Module))
    super().__post_init__()

  @nn.compact
  def __call__(self, observation: Array) -> Array:
    """Returns the output of the network for one observation."""
    network = self.network.clone(parent=None, name=None)
    weights = self.variable(
        'prior', 'weights',
        lambda: network.init(self.make_rng('params'), observation)['params'])
    return network.apply(  # pyright: ignore[reportReturnType] Nothing mutable.
        {'params': jax.lax.stop_gradient(weights.value)}, observation)


class UniformPrior(nn.Module):
  """A prior of mean zero and equal spread at every observation and action.

  Only the direction of the network's heads psi over the index is kept, and the
  standard deviation of the values is 1. So the uncertainty about unvisited
  observations is the same everywhere, instead of largest where the random
  network happens to be large.

  Attributes:
    network: module from an observation to psi, [M+1, A].
    second_moment: c of the index, which has mean 0 and E[z z^T] = c I.
  """

  network: nn.Module
  second_moment: float = 1.

  def __post_init__(self):
    checks.fields(
        self, 'a prior', network=checks.instance(nn.Module),
        second_moment=checks.positive)
    super().__post_init__()

  @nn.compact
  def __call__(self, observation: Array) -> Float[Array, 'heads A']:
    """Returns the heads psi, float32 [M+1, A], of which the first is 0."""
    psi = self.network(observation).at[0].set(0.)
    length = jnp.sqrt(self.second_moment) * jnp.linalg.norm(psi, axis=0)
    return psi / jnp.where(length > 0., length, 1.)


class PriorFeatures(nn.Module):
  """Random features that separate observations, of length about 1.

  A network of few layers with small weights is nearly linear, so its values at
  similar observations are nearly equal. These features are cosines of many
  frequencies instead (Rahimi and Recht, 2007, "Random features for large-scale
  kernel machines"). A random linear function of the features is a draw from a
  Gaussian process with a Matern kernel of smoothness 3/2,

    (1 + r) exp(-r),  r = sqrt(3) |x - y| / length_scale.

  Each dimension of x and y is scaled from the range in the spec to [0, 1];
  dimensions without a range are not scaled.

  Attributes:
    spec: spec of the observation.
    torso: module from the observation to a vector, of which the features see
      only the direction; None for features of the observation itself.
    num_features: F.
    length_scale: distance at which the correlation is 0.48.
  """

  spec: specs.ObservationSpec
  torso: nn.Module | None = None
  num_features: int = 128
  length_scale: float = 0.3

  def __post_init__(self):
    checks.fields(
        self, 'features of a prior', spec=specs.check_spec,
        torso=checks.optional(checks.instance(nn.Module)),
        num_features=checks.COUNT, length_scale=checks.positive)
    super().__post_init__()

  @nn.compact
  def __call__(self, observation: Array) -> Float[Array, ' F']:
    """Returns the features of one observation, float32 [F]."""
    if self.torso is None:
      x = _to_unit_range(observation, self.spec)
    else:
      x = self.torso(observation)
      x = x / (jnp.linalg.norm(x) + 1e-6)
    frequencies = self.param('frequencies', _matern_frequencies,
                             (x.size, self.num_features), jnp.float32)
    phases = self.param(
        'phases', lambda key, shape: jax.random.uniform(
            key, shape, jnp.float32, 0., 2. * np.pi), (self.num_features,))
    angles = x @ frequencies / self.length_scale + phases
    return jnp.sqrt(2. / self.num_features) * _cosine(angles)


def _cosine(x: Array) -> Array:
  """Returns cos(x), to some 1e-6 of a turn.

  On CPUs XLA computes `jnp.cos` number by number, for it has to be exact for
  huge arguments too; these features would take a third of an update's time.
  """
  turns = x / np.float32(2. * np.pi)
  half = np.float32(np.pi) * (turns - jnp.round(turns))  # Within -pi/2, pi/2.
  square = half * half
  sine = half * (1. + square * (-1 / 6 + square * (1 / 120 + square * (
      -1 / 5_040 + square * (1 / 362_880 - square / 39_916_800)))))
  return 1. - 2. * sine * sine


def _matern_frequencies(key, shape, dtype=jnp.float32):
  """Draws from the spectral density, a Student t with 3 degrees of freedom."""
  key_normal, key_chi = jax.random.split(key)
  normal = jax.random.normal(key_normal, shape, dtype)
  chi_squared = jnp.sum(jnp.square(
      jax.random.normal(key_chi, (3, *shape[1:]), dtype)), axis=0)
  return normal * jnp.sqrt(3. / chi_squared)


def _to_unit_range(
    observation: Array, spec: specs.ObservationSpec) -> Float[Array, ' inputs']:
  x = jnp.ravel(observation).astype(jnp.float32)
  if spec.minimum is None or spec.maximum is None:
    return x
  low, high = np.asarray(spec.minimum), np.asarray(spec.maximum)
  # Infinite bounds, or the limits of a dtype, are not a range of values.
  known = np.isfinite(low) & np.isfinite(high) & (
      high > low) & (high - low < 1e30)
  low, width = np.where(known, low, 0.), np.where(known, high - low, 1.)
  return (x - low.astype(np.float32)) / width.astype(np.float32)
