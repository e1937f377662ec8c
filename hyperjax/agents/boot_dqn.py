"""Bootstrapped DQN with randomised priors, and Ensemble+.

Osband, Blundell, Pritzel and Van Roy, "Deep exploration via bootstrapped DQN",
NeurIPS 2016; Osband, Aslanides and Cassirer, "Randomized prior functions for
deep reinforcement learning", NeurIPS 2018. There are K value functions,

  Q_k(s, a) = f_k(s, a) + c0 p_k(s, a),

each with a fixed random prior p_k. The actor chooses one member at the
beginning of an episode and acts greedily for it until the end. For a transition
with mask b in {0, 1}^K and noise xi ~ N(0, I_K), both drawn once, the loss is

  1/K sum_k b_k (r + sigma xi_k + gamma Q-_k(s', a*_k) - Q_k(s, a))^2.

In the terms of this library: the index is one-hot, every member learns from
every batch, and the target has the member's own index.

Ensemble+ (Osband et al., 2018; the name is from "Epistemic neural networks",
2023) has Gaussian noise instead of the mask, or neither.
"""

from collections.abc import Sequence
import dataclasses

from flax import linen as nn

from hyperjax import checks
from hyperjax import data_noise
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax.agents import config as config_lib
from hyperjax.agents import td


@dataclasses.dataclass(frozen=True, kw_only=True)
class BootDQNConfig(config_lib.TDConfig):
  """Settings of BootDQN, in addition to those of `TDConfig`.

  The defaults are those of bsuite's agent (google-deepmind/bsuite at effafc01,
  `bsuite/baselines/jax/boot_dqn`), except that the initial weights are
  Xavier-normal and the first `warmup_steps` actions random, as for every agent
  here.

  Attributes:
    num_members: K.
    shared_torso: whether the members share one torso, and their priors another
      one; otherwise the members share nothing.
    prior_scale: c0; 0 for no priors.
    noise: masks of the members, and xi, in units of reward.
  """

  num_members: int = 20
  shared_torso: bool = False
  prior_scale: float = 5.
  noise: data_noise.DataNoise = data_noise.BootstrapMask(
      1., data_noise.Perturbation(0., index_lib.Gaussian))
  double: bool = False
  hidden_sizes: Sequence[int] = (50, 50)
  adam_epsilon: float = 1e-8
  max_gradient_norm: float | None = None
  replay_capacity: int = 10_000

  def __post_init__(self):
    super().__post_init__()
    checks.fields(
        self,
        num_members=checks.COUNT,
        shared_torso=checks.flag,
        prior_scale=checks.NONNEGATIVE,
        noise=checks.component(data_noise.DataNoise))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnsemblePlusConfig(BootDQNConfig):
  """Settings of Ensemble+: those of BootDQN, with noise instead of masks.

  The scale of the prior is that of google-deepmind/neural_testbed, whose
  ensemble is for supervised learning, with 100 members, an L2 penalty, and
  neither masks nor noise. The noise is this library's own choice; the other
  settings are those of bsuite for BootDQN.
  """

  prior_scale: float = 3.
  noise: data_noise.DataNoise = data_noise.Perturbation(
      0.1, index_lib.Gaussian)


@dataclasses.dataclass(frozen=True)
class BootDQN(td.TDAgent):
  """Bootstrapped DQN with randomised priors; see the module."""

  config: BootDQNConfig = BootDQNConfig()

  def make_components(self) -> td.Components:
    """See `TDAgent`."""
    config = self.config
    index = index_lib.OneHot(config.num_members)

    def members():
      torso = config.torso(config.hidden_sizes, self.observation_spec)
      if config.shared_torso:
        return nn.Sequential((torso, networks.EnsembleHead(
            config.num_members, self.num_actions)))
      return networks.SeparateNetworks(
          nn.Sequential((torso, networks.LinearHead(self.num_actions))),
          config.num_members)

    network = networks.AffineValue(
        members(), members() if config.prior_scale > 0. else None,
        prior_scale=config.prior_scale)
    return td.Components(
        network=network,
        index=index,
        loss=losses.SampledTD(
            network, index, config.double, losses.Members(), config.noise),
        optimizer=config_lib.adam(config),
        target=config.target)


@dataclasses.dataclass(frozen=True)
class EnsemblePlus(BootDQN):
  """BootDQN with Gaussian noise; see the module."""

  config: EnsemblePlusConfig = EnsemblePlusConfig()
