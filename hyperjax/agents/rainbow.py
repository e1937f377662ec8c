"""Rainbow, and its data-efficient form DER.

Hessel et al., "Rainbow: combining improvements in deep reinforcement learning",
AAAI 2018; van Hasselt, Hessel and Aslanides, "When to use parametric models in
reinforcement learning?", NeurIPS 2019 (DER). Six parts on top of DQN: double,
prioritised replay, dueling, n-step returns, distributions of returns (C51) and
noisy layers, whose noise is the index. Acting is greedy for new noise at every
step.

Presets of `rainbow`: `paper_atari` is Rainbow's table, `der_atari` DER's. Where
sources disagree these follow DQN Zoo (google-deepmind/dqn_zoo) and the tables;
of what they leave open: initial weights and biases of all layers are as in the
paper on noisy networks, draws are not cut off, and priorities are neither
clipped nor mixed with uniform ones.

An evaluation keeps one draw of the noise per episode, as for every agent.
"""

import dataclasses

from hyperjax import acting
from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import replay
from hyperjax import targets
from hyperjax.agents import config as config_lib
from hyperjax.agents import td
from hyperjax.networks import categorical
from hyperjax.replay import samplers


@dataclasses.dataclass(frozen=True, kw_only=True)
class RainbowConfig(config_lib.TDConfig):
  """Settings of Rainbow, in addition to those of `TDConfig`.

  The defaults are for vectors and small problems; those of the papers are
  presets. Of `hidden_sizes` the last is the width of the noisy hidden layers.

  Attributes:
    support: (low, high, number of atoms) of the returns. Returns beyond it
      count as its ends: choose it for the task.
    initial_sigma: initial standard deviation of a layer's weights, times
      sqrt(inputs).
  """

  support: tuple[float, float, int] = networks.Support()
  initial_sigma: float = 0.5
  n_step: int = 3
  sampler: samplers.Sampler = replay.Prioritized(exponent=0.5)
  target: targets.Target = targets.Periodic(100)
  batch_size: int = 32
  replay_capacity: int = 100_000

  def __post_init__(self):
    super().__post_init__()
    checks.fields(self, support=categorical.check_support,
                  initial_sigma=checks.NONNEGATIVE)


@dataclasses.dataclass(frozen=True)
class Rainbow(td.TDAgent):
  """Rainbow; see the module."""

  config: RainbowConfig = RainbowConfig()

  def make_components(self) -> td.Components:
    """See `TDAgent`."""
    config, spec = self.config, self.observation_spec
    torso, hidden_size = config_lib.split_torso(config, spec)
    network = networks.NoisyDuelingValue(
        torso, categorical.num_features(torso, spec), hidden_size,
        self.num_actions, networks.Support(*config.support),
        config.initial_sigma)
    index = index_lib.Gaussian(network.index_dim)
    return td.Components(
        network=network,
        index=index,
        loss=losses.CategoricalTD(network, index, config.double),
        optimizer=config_lib.adam(config),
        target=config.target,
        acting=acting.Thompson(resample_probability=1.))
