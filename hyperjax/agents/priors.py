"""Fixed priors of HyperAgent, as components of its config."""

from collections.abc import Callable
import dataclasses
from typing import Protocol, runtime_checkable

from flax import linen as nn

from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax import networks
from hyperjax import specs


@runtime_checkable
class Prior(Protocol):
  """A fixed random function that is added to the value."""

  @property
  def scale(self) -> float:
    """Factor of the network's output."""
    ...

  def network(
      self, spec: specs.ObservationSpec, num_actions: int,
      index: index_lib.IndexDistribution, torso: Callable[..., nn.Module],
  ) -> nn.Module:
    """Returns a module from an observation to psi, [M+1, A].

    Args:
      spec: spec of the observation.
      num_actions: A.
      index: distribution of z.
      torso: constructor of a torso like the trained one; keyword arguments
        replace its options.
    """
    ...


@dataclasses.dataclass(frozen=True)
class Uniform:
  """Prior of mean 0 and the same spread at every observation and action.

  Draws at different observations differ, in any encoding of the observations,
  and are smooth enough to be learned (`networks.PriorFeatures`). The spread
  does not shrink where a random network happens to be small
  (`networks.UniformPrior`). With M = 1 only a sign is left of a draw: it jumps.

  Attributes:
    scale: standard deviation of the value over the index, in units of reward
      (of its scale where the config sets `reward_scaling`).
  """

  scale: float = 1.

  def __post_init__(self):
    checks.fields(
        self, 'a prior (None for no prior)', scale=checks.positive)

  def network(self, spec, num_actions, index, torso) -> nn.Module:
    """See `Prior`."""
    head = networks.HypermodelHead(
        num_actions, index.dim, mean_init=mean_init(1.),
        factor_init=networks.initializers.factor_sphere(1.))
    if spec.num_values is not None:
      # An odd activation: positive features would correlate the priors of
      # different observations, and a network that has learned some of them
      # would remove the spread of all.
      network = nn.Sequential((torso(activation=nn.tanh), head))
    elif isinstance(torso(), networks.MLPTorso):
      network = networks.FeaturePrior(networks.PriorFeatures(spec), head)
    else:
      network = networks.FeaturePrior(networks.PriorFeatures(
          spec, torso(bias_init=networks.initializers.uniform_bias)), head)
    return networks.UniformPrior(network, index.second_moment)


@dataclasses.dataclass(frozen=True)
class Hypermodel:
  """Random network like the trained one, as published.

  Its spread differs between observations, is 0 at an observation of zeros if
  the torso's biases are 0, and shrinks as one-hot observations grow wider.

  Attributes:
    scale: c0, factor of the prior's value.
    std: length of each row of A0.
    mean_std: length of b0 as one vector; None for Xavier-normal.
  """

  scale: float = 10.
  std: float = 1.
  mean_std: float | None = 1.

  def __post_init__(self):
    checks.fields(
        self, 'a prior', scale=checks.NONNEGATIVE, std=checks.NONNEGATIVE,
        mean_std=checks.optional(checks.NONNEGATIVE))

  def network(self, spec, num_actions, index, torso) -> nn.Module:
    """See `Prior`."""
    return nn.Sequential((torso(), networks.HypermodelHead(
        num_actions, index.dim, mean_init=mean_init(self.mean_std),
        factor_init=networks.initializers.factor_sphere(self.std))))


def mean_init(mean_std: float | None) -> networks.initializers.Initializer:
  """Returns the initialiser of b: one vector of a length, or Xavier-normal."""
  if mean_std is None:
    return networks.initializers.xavier
  return networks.initializers.sphere(mean_std)
