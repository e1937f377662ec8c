"""NoisyNet-DQN: exploration by learned noise on the weights.

Fortunato et al., "Noisy networks for exploration", ICLR 2018. The last two
layers have random weights whose spread is learned
(`hyperjax.networks.NoisyValue`); the noise is the index. Acting is greedy for
fresh noise at every step; the loss is (Double) DQN's, with one draw for the
batch, and for the target one for each transition (the paper has one for the
batch there too). An evaluation keeps one draw for each of its episodes, as for
every agent.
"""

import dataclasses
from typing import Any

from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import perturbation
from hyperjax import specs
from hyperjax.agents import td


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoisyDQNConfig(td.TDConfig):
  """Settings of NoisyNet-DQN; what is new beside `TDConfig`.

  Attributes:
    initial_sigma: of the noise on a layer's weights, times sqrt(inputs).
  """

  initial_sigma: float = 0.5

  def __post_init__(self):
    super().__post_init__()
    self.check_at_least('initial_sigma', 0., self.initial_sigma)
    if len(self.hidden_sizes) < 2:
      raise ValueError(
          f'hidden_sizes must have at least two layers, of which the last is '
          f'noisy, got {self.hidden_sizes}')


class NoisyDQN(td.TDAgent):
  """NoisyNet-DQN, see the module."""

  def __init__(
      self,
      observation_spec: Any,
      num_actions: Any,
      config: NoisyDQNConfig = NoisyDQNConfig(),
  ):
    """Composes the agent; arguments and errors as in `HyperAgent`."""
    spec = specs.observation_spec(observation_spec)
    num_actions = specs.num_actions(num_actions)
    *torso_sizes, hidden_size = config.hidden_sizes
    network = networks.NoisyValue(
        config.torso(tuple(torso_sizes), spec), torso_sizes[-1],
        hidden_size, num_actions, config.initial_sigma)
    index = index_lib.Gaussian(network.index_dim)
    super().__init__(
        observation_spec=spec,
        num_actions=num_actions,
        config=config,
        network=network,
        index=index,
        loss=losses.SampledTD(
            network, index, perturbation.Perturbation(index, 0.),
            config.double, losses.SharedIndices(1)),
        optimizer=td.adam(config),
        resample_probability=1.)
