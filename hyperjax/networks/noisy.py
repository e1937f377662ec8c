"""Noisy networks: weights that are random themselves."""

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class NoisyValue(nn.Module):
  """A value function whose last two layers are noisy.

  Fortunato et al. (2018, "Noisy networks for exploration"), factorised noise:
  a layer from x in R^n to R^m has weights mu + sigma * f(e) f(d)^T and biases
  likewise, where f(e) = sign(e) sqrt|e| and the index z holds the Gaussian
  d in R^n and e in R^m of both layers.

  Attributes:
    torso: from an observation to features, [F].
    num_features: F.
    hidden_size: width of the noisy hidden layer.
    num_actions: A.
    initial_sigma: sigma begins at this over sqrt(n).
  """

  torso: nn.Module
  num_features: int
  hidden_size: int
  num_actions: int
  initial_sigma: float = 0.5

  @property
  def index_dim(self) -> int:
    """M, of the index that both layers share out."""
    return self.num_features + 2 * self.hidden_size + self.num_actions

  def setup(self):
    sizes = (self.num_features, self.hidden_size, self.num_actions)
    self.layers = [
        self._layer_params(i, n, m)
        for i, (n, m) in enumerate(zip(sizes[:-1], sizes[1:], strict=True))]

  def _layer_params(self, i, n, m):
    bound = n**-0.5

    def mean(key, shape):
      return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

    sigma = nn.initializers.constant(self.initial_sigma * bound)
    return {
        name: self.param(f'{name}_{i}', init, shape)
        for name, init, shape in (
            ('mean_kernel', mean, (n, m)), ('mean_bias', mean, (m,)),
            ('sigma_kernel', sigma, (n, m)), ('sigma_bias', sigma, (m,)))}

  def __call__(self, observation: Array) -> Float[Array, 'F']:
    """The encoding of one observation: the torso's features."""
    return self.torso(observation)

  def value(
      self, features: Float[Array, 'F'], index: Float[Array, 'M']
  ) -> Float[Array, 'A']:
    """Q(s, .; z), [A]; the index zero gives the mean weights."""
    noise = jnp.sign(index) * jnp.sqrt(jnp.abs(index))
    x = features
    for layer in self.layers:
      n, m = layer['mean_kernel'].shape
      d, e, noise = jnp.split(noise, (n, n + m))
      # (mu + sigma * e d^T) x without forming the weights.
      x = (x @ layer['mean_kernel'] + layer['mean_bias']
           + e * ((d * x) @ layer['sigma_kernel'] + layer['sigma_bias']))
      if noise.size:  # Not the last layer.
        x = nn.relu(x)
    return x
