"""Noisy networks: value functions with random weights."""

from collections.abc import Mapping
from typing import NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax import checks


class StateAwareEncoding(NamedTuple):
  """Encoding of an observation by a `StateAwareNoisyValue`.

  Attributes:
    features: features of the torso, float32 [F].
    sigma: standard deviation of the noise at this observation, float32 []. Its
      sign is irrelevant.
  """

  features: Float[Array, '...']
  sigma: Float[Array, '...']


class NoisyValue(nn.Module):
  """A value function whose last two layers are noisy.

  Fortunato et al. (2018, "Noisy networks for exploration"), factorised noise: a
  layer from x in R^n to R^m has weights

    mu + sigma * f(e) f(d)^T,   f(e) = sign(e) sqrt|e|,

  and biases mu + sigma * f(e). The index z holds the Gaussian vectors d in R^n
  and e in R^m of both layers.

  Attributes:
    torso: module from an observation to features [F].
    num_features: F.
    hidden_size: width of the noisy hidden layer.
    num_actions: A.
    initial_sigma: initial sigma times sqrt(n).
  """

  torso: nn.Module
  num_features: int
  hidden_size: int
  num_actions: int
  initial_sigma: float = 0.5

  def __post_init__(self):
    checks.fields(
        self, 'a noisy network', torso=checks.instance(nn.Module),
        num_features=checks.COUNT, hidden_size=checks.COUNT,
        num_actions=checks.COUNT, initial_sigma=checks.NONNEGATIVE)
    super().__post_init__()

  @property
  def index_dim(self) -> int:
    """M, dimension of the index, which has the noise of both layers."""
    return self.num_features + 2 * self.hidden_size + self.num_actions

  def setup(self):
    """Makes the parameters of both layers."""
    sizes = (self.num_features, self.hidden_size, self.num_actions)
    self.layers = [
        layer_params(self, i, n, m, self.initial_sigma)
        for i, (n, m) in enumerate(zip(sizes[:-1], sizes[1:], strict=True))]

  def __call__(self, observation: Array) -> Float[Array, ' F']:
    """Returns the encoding of one observation: its features, float32 [F]."""
    return self.torso(observation)

  def value(
      self, features: Float[Array, ' F'], index: Float[Array, ' M']
  ) -> Float[Array, ' A']:
    """Returns Q(s, .; z), float32 [A]; index 0 gives the mean weights."""
    noise = factor(index)
    x = features
    for layer in self.layers:
      x, noise = apply_layer(layer, x, noise)
      if noise.size:  # Not the last layer.
        x = nn.relu(x)
    return x


class StateAwareNoisyValue(nn.Module):
  """A value function with state-dependent noise in its last two layers.

  Aravindan and Lee (2021, "State-aware variational Thompson sampling for deep
  Q-networks"), simple form: a small network on the features, the perturbation
  module, computes one standard deviation sigma(s). Each of the two layers has
  weights mu + sigma(s) f(e) f(d)^T and biases mu + sigma(s) f(e), with noise
  factorised as in `NoisyValue`. With `q_values_in` the perturbation module also
  sees the noiseless values, without a gradient to them (Q-SANE).

  Attributes:
    torso: module from an observation to features [F].
    num_features: F.
    hidden_size: width of the noisy hidden layer.
    num_actions: A.
    latent_size: width of the perturbation module's hidden layer.
    q_values_in: whether the perturbation module sees the values.
  """

  torso: nn.Module
  num_features: int
  hidden_size: int
  num_actions: int
  latent_size: int = 256
  q_values_in: bool = False

  def __post_init__(self):
    checks.fields(
        self, 'a noisy network', torso=checks.instance(nn.Module),
        num_features=checks.COUNT, hidden_size=checks.COUNT,
        num_actions=checks.COUNT, latent_size=checks.COUNT,
        q_values_in=checks.flag)
    super().__post_init__()

  @property
  def index_dim(self) -> int:
    """M, dimension of the index, which has the noise of both layers."""
    return self.num_features + 2 * self.hidden_size + self.num_actions

  def setup(self):
    """Makes the layers."""
    self.layers = [
        nn.Dense(size, kernel_init=nn.initializers.xavier_uniform())
        for size in (self.hidden_size, self.num_actions)]
    he_normal = nn.initializers.he_normal()
    self.latent = nn.Dense(self.latent_size, kernel_init=he_normal)
    self.sigma = nn.Dense(1, kernel_init=he_normal)

  def __call__(self, observation: Array) -> StateAwareEncoding:
    """Returns the encoding of one observation."""
    features = self.torso(observation)
    # Called even if the values are not used: the call creates the weights.
    hidden, output = self.layers
    values = output(nn.relu(hidden(features)))
    inputs = features
    if self.q_values_in:
      inputs = jnp.concatenate([features, jax.lax.stop_gradient(values)])
    sigma = self.sigma(nn.relu(self.latent(inputs)))[0]
    return StateAwareEncoding(features, sigma)

  def value(
      self, encoding: StateAwareEncoding, index: Float[Array, ' M']
  ) -> Float[Array, ' A']:
    """Returns Q(s, .; z), float32 [A]; index 0 gives the mean weights."""
    noise = factor(index)
    x = encoding.features
    for layer, width in zip(
        self.layers, (self.hidden_size, self.num_actions), strict=True):
      d, e, noise = jnp.split(noise, (x.size, x.size + width))
      x = layer(x) + encoding.sigma * e * (d @ x + 1.)
      if noise.size:  # Not the last layer.
        x = nn.relu(x)
    return x


def layer_params(
    module: nn.Module, i: int, n: int, m: int, initial_sigma: float,
) -> dict[str, Array]:
  """Makes the parameters of a noisy layer, in the `setup` of a module.

  Args:
    module: whose parameters they are.
    i: number of the layer, in the parameters' names.
    n: number of inputs.
    m: number of outputs.
    initial_sigma: initial sigma times sqrt(n).
  """
  bound = n**-0.5

  def mean(key, shape, dtype):
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  sigma = nn.initializers.constant(initial_sigma * bound)
  return {
      name: module.param(f'{name}_{i}', init, shape, jnp.float32)
      for name, init, shape in (
          ('mean_kernel', mean, (n, m)), ('mean_bias', mean, (m,)),
          ('sigma_kernel', sigma, (n, m)), ('sigma_bias', sigma, (m,)))}


def apply_layer(
    layer: Mapping[str, Array], x: Float[Array, ' n'],
    noise: Float[Array, ' noise'],
) -> tuple[Float[Array, ' m'], Float[Array, ' left']]:
  """Returns a noisy layer's output, and the noise that it has not used.

  Args:
    layer: its parameters.
    x: its inputs.
    noise: f of the noise of this layer, n + m numbers, and of those after it.
  """
  n, m = layer['mean_kernel'].shape
  d, e, noise = jnp.split(noise, (n, n + m))
  # (mu + sigma * e d^T) x without forming the weights.
  return (x @ layer['mean_kernel'] + layer['mean_bias']
          + e * ((d * x) @ layer['sigma_kernel'] + layer['sigma_bias'])), noise


def factor(noise: Float[Array, ' M']) -> Float[Array, ' M']:
  """Returns f(e) = sign(e) sqrt|e| of factorised noise."""
  return jnp.sign(noise) * jnp.sqrt(jnp.abs(noise))
