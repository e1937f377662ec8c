"""A categorical value function that also predicts its own latents."""

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import checks
from hyperjax.networks import categorical
from hyperjax.networks import convolutions
from hyperjax.networks import impala
from hyperjax.networks import initializers
from hyperjax.networks import torsos


def renormalize(x: Float[Array, '*F']) -> Float[Array, '*F']:
  """Shifts and scales one latent to [0, 1]; a constant becomes zero."""
  return convolutions.min_max(x, 1e-5)


class TransitionModel(nn.Module):
  """The latent after an action: two convolutions, renormalised.

  The action is added to the latent as one plane for each action, of which one
  is 1. A latent that is a vector is an image of one pixel, whose convolutions
  are dense layers.

  Attributes:
    num_actions: A.
    kernel_init: initialiser of the kernels. Biases begin at zero.
  """

  num_actions: int
  kernel_init: initializers.Initializer = initializers.xavier_uniform

  def __post_init__(self):
    checks.fields(self, 'a transition model', num_actions=checks.COUNT,
                  kernel_init=checks.function)
    super().__post_init__()

  @nn.compact
  def __call__(
      self, latent: Float[Array, 'rows columns F'], action: Int[Array, '']
  ) -> Float[Array, 'rows columns F']:
    """Returns the latent that is predicted after the action."""
    rows, columns, num_features = latent.shape
    size = min(3, rows), min(3, columns)
    planes = jnp.broadcast_to(
        jax.nn.one_hot(action, self.num_actions),
        (rows, columns, self.num_actions))
    x = jnp.concatenate([latent, planes], axis=-1)
    for _ in range(2):
      x = nn.relu(convolutions.Conv(
          num_features, size, kernel_init=self.kernel_init,
      )(impala.padded(x, size)))
    return renormalize(x)


class SelfPredictiveValue(nn.Module):
  """A dueling categorical network with a model of its latents, as in SPR.

  Schwarzer et al. (2021, 2023): the torso's renormalised output is the latent;
  its projection is the only hidden layer. With a ReLU behind it, the heads give
  v [atoms] and a [A, atoms], as in Rainbow and without noise. Without one, the
  predictor maps it to what the target network's projection shall be at a later
  step, to which `step` leads.

  Attributes:
    torso: module from an observation to a latent, a vector [F] or an image
      [rows, columns, F].
    hidden_size: width of projection and predictor.
    num_actions: A.
    support: of the returns.
    kernel_init: initialiser of the kernels. Biases begin at zero.
  """

  torso: nn.Module
  hidden_size: int
  num_actions: int
  support: categorical.Support = categorical.Support()
  kernel_init: initializers.Initializer = initializers.xavier_uniform

  def __post_init__(self):
    checks.fields(
        self, 'a categorical network', torso=checks.instance(nn.Module),
        hidden_size=checks.COUNT, num_actions=checks.COUNT,
        support=categorical.check_support, kernel_init=checks.function)
    super().__post_init__()

  def setup(self):
    """Makes the layers."""
    dense = lambda size: torsos.Dense(size, self.kernel_init)
    self.projection = dense(self.hidden_size)
    self.advantage = dense(self.num_actions * self.support.num_atoms)
    self.state_value = dense(self.support.num_atoms)
    self.predictor = dense(self.hidden_size)
    self.transition = TransitionModel(self.num_actions, self.kernel_init)

  def __call__(self, observation: Array) -> Float[Array, 'rows columns F']:
    """Returns the encoding of one observation: its latent, an image."""
    latent = self.torso(observation)
    if latent.ndim == 1:
      latent = latent[None, None]
    latent = renormalize(latent)
    if self.is_initializing():  # The calls create the weights.
      self.predict(self.step(latent, jnp.int32(0)))
      self.logits(latent, jnp.zeros(0))
    return latent

  def project(
      self, latent: Float[Array, 'rows columns F']
  ) -> Float[Array, ' hidden']:
    """Returns the projection of a latent, float32 [hidden_size]."""
    return self.projection(jnp.ravel(latent))

  def predict(
      self, latent: Float[Array, 'rows columns F']
  ) -> Float[Array, ' hidden']:
    """Returns the prediction of a target's projection, [hidden_size]."""
    return self.predictor(self.project(latent))

  def step(
      self, latent: Float[Array, 'rows columns F'], action: Int[Array, '']
  ) -> Float[Array, 'rows columns F']:
    """Returns the latent that is predicted after an action."""
    return self.transition(latent, action)

  def logits(
      self, latent: Float[Array, 'rows columns F'], index: Float[Array, ' 0']
  ) -> Float[Array, 'A atoms']:
    """Returns the logits of the atoms of each action, float32 [A, atoms]."""
    del index  # Nothing is random.
    hidden = nn.relu(self.project(latent))
    advantage = self.advantage(hidden).reshape(
        -1, self.support.num_atoms)
    return categorical.dueling(self.state_value(hidden), advantage)

  def value(
      self, latent: Float[Array, 'rows columns F'], index: Float[Array, ' 0']
  ) -> Float[Array, ' A']:
    """Returns Q(s, .), float32 [A]."""
    return categorical.mean_of(self.logits(latent, index), self.support)
