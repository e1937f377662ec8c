"""SANE: exploration by noise whose size depends on the state.

Aravindan and Lee, "State-aware variational Thompson sampling for deep
Q-networks", AAMAS 2021 (arXiv 2102.03719); code: NUS-LID/SANE. The last two
layers have random weights, as in NoisyNet, but with one standard deviation
sigma(s) for all of them, which a small perturbation module computes from the
state (`hyperjax.networks.StateAwareNoisyValue`). Acting is greedy for new noise
at every step, and in an evaluation for one draw per episode, as for every
agent. The loss is that of DQN, with independent noise for each transition and
for its target. There are two published forms: SANE, and Q-SANE, whose
perturbation module also sees the values.

The penalty on weights and variances of the derivation, sigma^2 / 2 - log
|sigma|, is left out; the released code has it off by default.
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
class SANEConfig(config_lib.TDConfig):
  """Settings of SANE, in addition to those of `TDConfig`.

  As in the released code, the target network selects the target's action.

  Attributes:
    latent_size: width of the perturbation module's hidden layer.
    q_values_in: whether the perturbation module also sees the values (Q-SANE).
  """

  latent_size: int = 256
  q_values_in: bool = False
  double: bool = False

  def __post_init__(self):
    super().__post_init__()
    checks.fields(self, latent_size=checks.COUNT, q_values_in=checks.flag)
    if len(self.hidden_sizes) < 2:
      raise ValueError(
          f'hidden_sizes must have at least two layers, of which the last is '
          f'noisy, got {self.hidden_sizes}')


@dataclasses.dataclass(frozen=True)
class SANE(td.TDAgent):
  """SANE; see the module."""

  config: SANEConfig = SANEConfig()

  def make_components(self) -> td.Components:
    """See `TDAgent`."""
    config = self.config
    torso, hidden_size = config_lib.split_torso(config, self.observation_spec)
    network = networks.StateAwareNoisyValue(
        torso, config.hidden_sizes[-2], hidden_size, self.num_actions,
        config.latent_size, config.q_values_in)
    index = index_lib.Gaussian(network.index_dim)
    return td.Components(
        network=network,
        index=index,
        loss=losses.SampledTD(
            network, index, config.double, losses.Independent(1)),
        optimizer=config_lib.adam(config),
        target=config.target,
        acting=acting.Thompson(resample_probability=1.))
