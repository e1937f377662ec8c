"""Value functions that are distributions of returns over fixed atoms."""

from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax import checks
from hyperjax import specs
from hyperjax.networks import noisy


class Support(NamedTuple):
  """The returns that have a probability: atoms at equal distances.

  Attributes:
    low: smallest return.
    high: largest return.
    num_atoms: number of atoms, at least 2.
  """

  low: float = -10.
  high: float = 10.
  num_atoms: int = 51

  def atoms(self) -> Float[Array, ' atoms']:
    """Returns the atoms, float32 [atoms]."""
    return jnp.linspace(self.low, self.high, self.num_atoms)


def check_support(name: str, value: Any) -> Support:
  """Returns a support of atoms, as `checks.fields` asks for it.

  Raises:
    ValueError: if there are fewer than two atoms, or they do not rise.
  """
  if not isinstance(value, tuple | list) or len(value) != 3:
    raise ValueError(
        f'{name} must be (low, high, number of atoms), got {value!r}')
  low, high = (checks.real()(name, x) for x in value[:2])
  if low >= high:
    raise ValueError(f'{name} must rise, got {low} to {high}')
  return Support(low, high, checks.integer(2)(f'atoms of {name}', value[2]))


def num_features(torso: nn.Module, spec: specs.ObservationSpec) -> int:
  """Returns F, the number of features of a torso; computes none of them."""
  shape = jax.eval_shape(
      lambda: torso.init_with_output(
          jax.random.key(0), jnp.zeros(spec.shape, spec.dtype))[0])
  return shape.shape[0]


class NoisyDuelingValue(nn.Module):
  """A noisy dueling network over atoms, as Rainbow has it.

  Hessel et al. (2018): two streams of a noisy hidden layer and a noisy output
  layer each (`NoisyValue` has the noise) give v [atoms] and a [A, atoms]. The
  logits of action i are v + a_i - mean over actions of a, and the value is the
  mean of the distribution that they give. The index z holds the Gaussian
  vectors of all four layers.

  Attributes:
    torso: module from an observation to features [F].
    num_features: F.
    hidden_size: width of each stream's hidden layer.
    num_actions: A.
    support: of the returns.
    initial_sigma: initial sigma times sqrt(inputs).
  """

  torso: nn.Module
  num_features: int
  hidden_size: int
  num_actions: int
  support: Support = Support()
  initial_sigma: float = 0.5

  def __post_init__(self):
    checks.fields(
        self, 'a categorical network', torso=checks.instance(nn.Module),
        num_features=checks.COUNT, hidden_size=checks.COUNT,
        num_actions=checks.COUNT, support=check_support,
        initial_sigma=checks.NONNEGATIVE)
    super().__post_init__()

  @property
  def _sizes(self) -> tuple[tuple[int, int], ...]:
    """Inputs and outputs of the layers: hidden and output, of both streams."""
    atoms = self.support.num_atoms
    return tuple(
        size for outputs in (self.num_actions * atoms, atoms) for size in (
            (self.num_features, self.hidden_size), (self.hidden_size, outputs)))

  @property
  def index_dim(self) -> int:
    """M, dimension of the index, which has the noise of all layers."""
    return sum(n + m for n, m in self._sizes)

  def setup(self):
    """Makes the parameters of all layers."""
    self.layers = [
        noisy.layer_params(self, i, n, m, self.initial_sigma)
        for i, (n, m) in enumerate(self._sizes)]

  def __call__(self, observation: Array) -> Float[Array, ' F']:
    """Returns the encoding of one observation: its features, float32 [F]."""
    return self.torso(observation)

  def logits(
      self, features: Float[Array, ' F'], index: Float[Array, ' M']
  ) -> Float[Array, 'A atoms']:
    """Returns the logits of the atoms of each action, float32 [A, atoms]."""
    noise = noisy.factor(index)
    streams = []
    for layers in (self.layers[:2], self.layers[2:]):
      hidden, noise = noisy.apply_layer(layers[0], features, noise)
      out, noise = noisy.apply_layer(layers[1], nn.relu(hidden), noise)
      streams.append(out.reshape(-1, self.support.num_atoms))
    advantage, value = streams
    return dueling(value, advantage)

  def value(
      self, features: Float[Array, ' F'], index: Float[Array, ' M']
  ) -> Float[Array, ' A']:
    """Returns Q(s, .; z), float32 [A]; index 0 gives the mean weights."""
    return mean_of(self.logits(features, index), self.support)


def dueling(
    value: Float[Array, '*one atoms'], advantage: Float[Array, 'A atoms']
) -> Float[Array, 'A atoms']:
  """Returns v + a_i - mean over actions of a, for each action i."""
  return value + advantage - jnp.mean(advantage, axis=0, keepdims=True)


def mean_of(
    logits: Float[Array, '*N atoms'], support: Support) -> Float[Array, '*N']:
  """Returns the means of distributions over atoms, [...]."""
  return jax.nn.softmax(logits) @ support.atoms()
