"""Epinets: value functions that are not affine in the index."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax import checks
from hyperjax import specs
from hyperjax.networks import heads
from hyperjax.networks import initializers
from hyperjax.networks import torsos
from hyperjax.networks.priors import FixedPrior


class EpinetEncoding(NamedTuple):
  """The part of an epinet's computation that does not depend on the index.

  Attributes:
    base: values of the base network, float32 [A].
    hidden: hidden layer of the epinet before the index is added, float32 [H].
    prior: values of the prior's M members, float32 [M, A].
  """

  base: Float[Array, '...']
  hidden: Float[Array, '...']
  prior: Float[Array, '...']


class EpinetValue(nn.Module):
  """Q(s, a; z) = base(s, a) + epinet(s, z)_a . z + prior_scale * p(s)_a . z.

  Osband et al. (2023, "Epistemic neural networks"). The base is linear in the
  features phi(s) of the torso. The epinet is a network of one hidden layer with
  inputs (s, phi(s), z), whose gradient stops at the features. The prior
  consists of M small fixed networks with input s. Only the torso and the prior
  have biases.

  If a dense layer on s makes no sense, as on frames, the input of the epinet is
  (phi(s), z), as in the same paper's image networks, and the prior consists of
  M linear functions of the features of one fixed torso. (The paper's prior is a
  fixed copy of the epinet and M small convolutional networks.)

  Attributes:
    num_actions: A.
    index_dim: M.
    spec: spec of the observation.
    hidden_sizes: widths of the torso's layers; the last one is F.
    make_torso: class of the torso; with any class but `MLPTorso` the epinet and
      the prior do not see s itself.
    epinet_size: H, width of the epinet's hidden layer.
    prior_sizes: widths of the hidden layers of each member of the prior, if the
      members see s itself.
    prior_scale: factor of the prior.
  """

  num_actions: int
  index_dim: int
  spec: specs.ObservationSpec
  hidden_sizes: Sequence[int]
  make_torso: Callable[..., nn.Module] = torsos.MLPTorso
  epinet_size: int = 50
  prior_sizes: Sequence[int] = (5,)
  prior_scale: float = 1.

  def __post_init__(self):
    checks.fields(
        self, 'an epinet', num_actions=checks.COUNT, index_dim=checks.COUNT,
        spec=specs.check_spec, hidden_sizes=checks.widths(1),
        make_torso=checks.function, epinet_size=checks.COUNT,
        prior_sizes=checks.widths(1), prior_scale=checks.NONNEGATIVE)
    super().__post_init__()

  @property
  def _sees_observation(self) -> bool:
    return self.make_torso is torsos.MLPTorso

  def setup(self):
    """Makes the layers."""
    init = initializers.xavier
    num_features, num_hidden = self.hidden_sizes[-1], self.epinet_size
    self.torso = self.make_torso(self.hidden_sizes, self.spec)
    self.base = nn.Dense(
        self.num_actions, use_bias=False, kernel_init=init)
    # Parts of one dense layer on all inputs: each part has the initial standard
    # deviation of the whole layer.
    whole = num_features + self.index_dim
    if self._sees_observation:
      whole += self.spec.num_inputs
    part = nn.initializers.normal(jnp.sqrt(2. / (whole + num_hidden)))
    self.from_features = nn.Dense(
        num_hidden, use_bias=False, kernel_init=part)
    self.from_index = self.param(
        'from_index', part, (self.index_dim, num_hidden), jnp.float32)
    self.output = self.param(
        'output', init, (num_hidden, self.index_dim * self.num_actions),
        jnp.float32)
    if self._sees_observation:
      self.from_input = torsos.InputLayer(
          num_hidden, self.spec, part, use_bias=False)
      members = heads.SeparateNetworks(
          nn.Sequential((torsos.MLPTorso(self.prior_sizes, self.spec),
                         heads.LinearHead(self.num_actions))),
          self.index_dim)
    else:
      members = nn.Sequential((
          self.make_torso(self.hidden_sizes, self.spec),
          heads.EnsembleHead(self.index_dim, self.num_actions)))
    self.prior = FixedPrior(members)

  def __call__(self, observation: Array) -> EpinetEncoding:
    """Returns the encoding of one observation."""
    features = self.torso(observation)
    hidden = self.from_features(jax.lax.stop_gradient(features))
    if self._sees_observation:
      hidden += self.from_input(observation)
    return EpinetEncoding(
        self.base(features), hidden, self.prior(observation)[1:])

  def value(
      self, encoding: EpinetEncoding, index: Float[Array, ' M']
  ) -> Float[Array, ' A']:
    """Returns Q(s, .; z), float32 [A], from an encoding of s and an index z."""
    hidden = nn.relu(encoding.hidden + index @ self.from_index)
    epinet = (hidden @ self.output).reshape(self.index_dim, self.num_actions)
    return (encoding.base + index @ epinet
            + self.prior_scale * index @ encoding.prior)
