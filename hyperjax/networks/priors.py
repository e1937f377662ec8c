"""Fixed random priors."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import numpy as np

from hyperjax import checks
from hyperjax import specs

# Length scales in a range and in a direction.
_RANGE = 4.5
_DIRECTION = 0.3
# What is appended to x. Where all numbers have a range it is in length scales,
# so that draws at the lower bounds, where an odd kernel would end, vary as they
# do elsewhere; otherwise it is in units of the numbers.
_CONSTANT_OF_RANGES = 2.
_CONSTANT = 0.3


class FixedPrior(nn.Module):
  """A network whose weights are drawn once and never trained.

  Randomised prior functions of Osband et al. (2018). The weights are in the
  Flax collection 'prior', which the optimiser does not see, and have gradient
  zero.

  Attributes:
    network: module from an observation to an array, or to several.
  """

  network: nn.Module

  def __post_init__(self):
    checks.fields(
        self, 'a prior', network=checks.instance(nn.Module))
    super().__post_init__()

  @nn.compact
  def __call__(self, observation: Array) -> Any:
    """Returns the output of the network for one observation."""
    network = self.network.clone(parent=None, name=None)
    weights = self.variable(
        'prior', 'weights',
        lambda: network.init(self.make_rng('params'), observation)['params'])
    return network.apply(
        {'params': jax.lax.stop_gradient(weights.value)}, observation)


class UniformPrior(nn.Module):
  """A prior of mean zero and equal spread at every observation and action.

  Only the direction of the network's heads psi over the index is kept, and the
  standard deviation of the values is 1. So the uncertainty about unvisited
  observations is the same everywhere, instead of largest where the random
  network happens to be large.

  Attributes:
    network: module from an observation to psi, [M+1, A], or to psi and the
      features of a `PriorCorrection`, such as `FeaturePrior`.
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
  def __call__(self, observation: Array) -> Any:
    """Returns psi, float32 [M+1, A], with psi[0] = 0; and the features."""
    psi = self.network(observation)
    psi, features = psi if isinstance(psi, tuple) else (psi, None)
    psi = psi.at[0].set(0.)
    length = jnp.sqrt(self.second_moment) * jnp.linalg.norm(psi, axis=0)
    psi /= jnp.where(length > 0., length, 1.)
    return psi if features is None else (psi, features)


class FeaturePrior(nn.Module):
  """A prior that is a linear function of features, for a `PriorCorrection`.

  Attributes:
    features: module from an observation to features, [F].
    head: module from the features to psi, [M+1, A].
  """

  features: nn.Module
  head: nn.Module

  def __post_init__(self):
    checks.fields(
        self, 'a prior', features=checks.instance(nn.Module),
        head=checks.instance(nn.Module))
    super().__post_init__()

  @nn.compact
  def __call__(
      self, observation: Array
  ) -> tuple[Float[Array, 'heads A'], Float[Array, ' F']]:
    """Returns the heads psi, float32 [M+1, A], and the features, [F]."""
    features = self.features(observation)
    return self.head(features), features


class PriorCorrection(nn.Module):
  """Trained heads on the features of a prior, which take its draws away.

  A network of a few hundred units does not learn to cancel a random function
  closely, and what it leaves stays as uncertainty for ever. A linear function
  of the prior's own features does. If the prior is linear in them, a fit of
  what its draw lacks is an exact draw from the posterior (Osband, Aslanides and
  Cassirer, 2018, "Randomized prior functions for deep reinforcement learning");
  a `UniformPrior` is linear but for its length.

  Attributes:
    num_actions: A.
    index_dim: M.
  """

  num_actions: int
  index_dim: int

  def __post_init__(self):
    checks.fields(
        self, 'a correction', num_actions=checks.COUNT, index_dim=checks.COUNT)
    super().__post_init__()

  @nn.compact
  def __call__(self, features: Float[Array, ' F']) -> Float[Array, 'heads A']:
    """Returns the heads psi, float32 [M+1, A]; at first, and of the mean, 0."""
    weights = self.param(
        'correction', nn.initializers.zeros,
        (self.index_dim, features.size, self.num_actions), jnp.float32)
    psi = jnp.einsum('f,mfa->ma', features, weights)
    return jnp.pad(psi, ((1, 0), (0, 0)))


class PriorFeatures(nn.Module):
  """Random features of an observation, for a prior that is linear in them.

  Sines of random frequencies (Rahimi and Recht, 2007, "Random features for
  large-scale kernel machines"). With x and y in length scales, a random linear
  function of the features is nearly a draw from a Gaussian process with kernel

    exp(-|x - y|^2 / 2) - exp(-|x + y|^2 / 2).

  It is smooth, so that a network learns to take a draw away where there are
  data: what it cannot learn would stay as uncertainty for ever. It is odd, so
  that orthogonal observations, such as one-hot ones, have independent draws
  however long the length scale is. A constant joins the observation, so that
  one of zeros has features too. Numbers with a range count from its lower end.

  The length scale of a number is

    1 / 4.5 of its range, if the spec has one, so that draws a tenth of the
      range apart correlate by 0.9;
    sqrt(D) / 2 otherwise, of D numbers: distances grow so with D, and by a
      length scale that does not no two of many-dimensional observations would
      be near each other;
    0.3 in the direction of a torso's output.

  Attributes:
    spec: spec of the observation.
    torso: module from the observation to a vector, of which the features see
      only the direction; None for features of the observation itself.
    num_features: F.
  """

  spec: specs.ObservationSpec
  torso: nn.Module | None = None
  num_features: int = 128

  def __post_init__(self):
    checks.fields(
        self, 'features of a prior', spec=specs.check_spec,
        torso=checks.optional(checks.instance(nn.Module)),
        num_features=checks.COUNT)
    super().__post_init__()

  @nn.compact
  def __call__(self, observation: Array) -> Float[Array, ' F']:
    """Returns the features of one observation, float32 [F]."""
    if self.torso is None:
      x = _in_length_scales(observation, self.spec)
    else:
      x = self.torso(observation)
      x = x / (_DIRECTION * (jnp.linalg.norm(x) + 1e-6))
    frequencies = self.param(
        'frequencies', nn.initializers.normal(1.),
        (x.size, self.num_features), jnp.float32)
    return jnp.sqrt(2. / self.num_features) * _sine(x @ frequencies)


def _sine(x: Array) -> Array:
  """Returns sin(x), to some 1e-6 of a turn.

  On CPUs XLA computes `jnp.sin` number by number, for it has to be exact for
  huge arguments too; these features would take a third of an update's time.
  """
  # cos(x - pi/2), from the sine of half of that angle.
  turns = x / np.float32(2. * np.pi) - 0.25
  half = np.float32(np.pi) * (turns - jnp.round(turns))  # Within -pi/2, pi/2.
  square = half * half
  sine = half * (1. + square * (-1 / 6 + square * (1 / 120 + square * (
      -1 / 5_040 + square * (1 / 362_880 - square / 39_916_800)))))
  return 1. - 2. * sine * sine


def _in_length_scales(
    observation: Array, spec: specs.ObservationSpec
) -> Float[Array, ' inputs']:
  """Returns the observation and a constant, in length scales."""
  x = jnp.ravel(observation).astype(jnp.float32)
  scale = np.float32(np.sqrt(x.size) / 2.)
  constant = _CONSTANT / scale
  if spec.minimum is None or spec.maximum is None:
    return jnp.append(x / scale, constant)
  low = np.asarray(spec.minimum, np.float64)
  high = np.asarray(spec.maximum, np.float64)
  # Infinite bounds, or the limits of a wide dtype, are not a range of values.
  known = np.isfinite(low) & np.isfinite(high) & (
      high > low) & (high - low < 1e30)
  dtype = np.dtype(spec.dtype)
  if np.issubdtype(dtype, np.integer) and dtype.itemsize > 2:
    limits = np.iinfo(dtype)
    known &= (high < limits.max) & ((low > limits.min) | (limits.min == 0))
  low = np.where(known, low, 0.).astype(np.float32)
  scale = np.where(known, (high - low) / _RANGE, scale).astype(np.float32)
  return jnp.append((x - np.ravel(low)) / np.ravel(scale),
                    _CONSTANT_OF_RANGES if np.all(known) else constant)
