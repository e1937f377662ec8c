"""NoisyNet-DQN: exploration by learned noise on the weights.

Fortunato et al., "Noisy networks for exploration", ICLR 2018. The last two
layers have random weights with learned standard deviations
(`hyperjax.networks.NoisyValue`); the noise is the index. Acting is greedy for
new noise at every step. The loss is that of (Double) DQN, with one draw of the
noise per batch, and one draw per transition in the target (the paper has one
per batch there too). An evaluation keeps one draw per episode, as for every
agent.
"""

import dataclasses

from hyperjax import acting
from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax.agents import config as config_lib
from hyperjax.agents import td


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoisyDQNConfig(config_lib.TDConfig):
  """Settings of NoisyNet-DQN, in addition to those of `TDConfig`.

  Attributes:
    initial_sigma: initial standard deviation of a layer's weights, times
      sqrt(inputs).
  """

  initial_sigma: float = 0.5

  def __post_init__(self):
    super().__post_init__()
    checks.fields(self, initial_sigma=checks.NONNEGATIVE)
    if len(self.hidden_sizes) < 2:
      raise ValueError(
          f'hidden_sizes must have at least two layers, of which the last is '
          f'noisy, got {self.hidden_sizes}')


@dataclasses.dataclass(frozen=True)
class NoisyDQN(td.TDAgent):
  """NoisyNet-DQN; see the module."""

  config: NoisyDQNConfig = NoisyDQNConfig()

  def make_components(self) -> td.Components:
    """See `TDAgent`."""
    config = self.config
    torso, hidden_size = config_lib.split_torso(config, self.observation_spec)
    network = networks.NoisyValue(
        torso, config.hidden_sizes[-2], hidden_size, self.num_actions,
        config.initial_sigma)
    index = index_lib.Gaussian(network.index_dim)
    return td.Components(
        network=network,
        index=index,
        loss=losses.SampledTD(
            network, index, config.double, losses.Shared(1, tied=False)),
        optimizer=config_lib.adam(config),
        target=config.target,
        acting=acting.Thompson(resample_probability=1.))
