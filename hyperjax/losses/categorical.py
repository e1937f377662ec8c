"""The categorical TD loss of C51, for values that are distributions."""

import dataclasses

from flax import linen as nn
import jax
from jaxtyping import Array, Float
import rlax

from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax import networks
from hyperjax import types
from hyperjax.losses import base


@dataclasses.dataclass(frozen=True)
class CategoricalTD:
  """Cross-entropy between distributions of returns over fixed atoms.

  Bellemare, Dabney and Munos (2017): the target r + d z of each atom z of the
  distribution at (s', a*) is moved to the two atoms beside it, and the loss is
  -sum_i target_i log p_i(s, a). As in Rainbow, one draw of the noise serves the
  whole batch, with fresh and independent ones for Q(s), for the target
  network at s' and for the network that selects a* there.

  Attributes:
    network: `networks.NoisyDuelingValue`, or another with its `logits`.
    index: distribution of the noise.
    double: whether the online network selects the target's action.
  """

  network: nn.Module
  index: index_lib.IndexDistribution
  double: bool = True

  def __post_init__(self):
    checks.fields(
        self, 'a loss', network=checks.instance(nn.Module),
        index=checks.instance(index_lib.IndexDistribution), double=checks.flag)
    for name in ('logits', 'support'):
      if not hasattr(self.network, name):
        raise ValueError(
            f'a categorical loss needs a network with {name}, such as '
            f'networks.NoisyDuelingValue, got {type(self.network).__name__}')

  def _logits(self, params, observations, key) -> Float[Array, 'B A atoms']:
    index = self.index.sample(key)

    def one(observation: Array):
      features = self.network.apply(params, observation)
      return self.network.apply(
          params, features, index, method='logits')

    return jax.vmap(one)(observations)  # pyright: ignore[reportReturnType]

  def __call__(
      self, params, target_params, batch, index_key, noise_key
  ) -> tuple[Float[Array, ''], types.Metrics]:
    """See `Loss`."""
    del noise_key  # Targets have no noise of their own.
    key_online, key_target, key_chooser = jax.random.split(index_key, 3)
    transitions, support = batch.transitions, self.network.support
    logits = self._logits(params, transitions.observation, key_online)
    next_logits = self._logits(
        target_params, transitions.next_observation, key_target)
    chooser = next_logits
    if self.double:
      chooser = self._logits(
          params, transitions.next_observation, key_chooser)
    next_values = networks.mask_illegal(
        params, networks.mean_of(chooser, support))
    atoms = support.atoms()

    def example(logits, transition, next_logits, next_values):
      return rlax.categorical_double_q_learning(
          atoms, logits, transition.action, transition.reward,
          transition.discount, atoms, next_logits, next_values)

    losses = jax.vmap(example)(
        logits, transitions, next_logits, next_values)
    return base.reduce(losses, batch)
