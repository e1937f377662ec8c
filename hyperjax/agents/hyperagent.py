"""HyperAgent: Double DQN with a last-layer hypermodel.

Li, Xu, Han and Luo, "Q-Star Meets Scalable Posterior Sampling: Bridging Theory
and Practice via HyperAgent", ICML 2024 (arXiv 2402.10228).

The value function is

  Q(s, a; z) = c <b_a + A_a z, phi(s)> + prior(s, a; z)

with trained (phi, b, A), a fixed random prior, and a random index z in R^M. A
draw of z is a draw of the value function from an approximate posterior: the
actor keeps one z for an episode and acts greedily for Q(., .; z). For a
transition (s, a, r, s') with its own random vector xi, and an independent z'
drawn for s', the loss is

  E_z (r + sigma xi^T z + gamma Q-(s', a*; z') - Q(s, a; z))^2,
  a* = argmax_a Q(s', a; z').

The perturbation sigma xi^T z makes the spread over z shrink with the number of
visits, as the spread of a posterior does; the prior gives the spread where
there are no data.

The default, `HyperAgentConfig()`, differs from the paper: the expectation over
z is exact, where the paper averages over 20 draws; the target is a mean over 16
z'; the prior has the same spread at every observation and action, and where
observations are no categories trained heads on its features can take it away
(`networks.PriorCorrection`); z is Gaussian; the torso normalises its layers,
and its biases are random initially, so that an observation of zeros has
features too; and the rewards are in units of their measured scale.
`hyperjax.agents.presets` has the published settings.
"""

from collections.abc import Callable
import dataclasses

from flax import linen as nn

from hyperjax import acting as acting_lib
from hyperjax import checks
from hyperjax import data_noise
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import optimizers
from hyperjax import regularizers
from hyperjax import targets
from hyperjax.agents import config as config_lib
from hyperjax.agents import priors
from hyperjax.agents import td


@dataclasses.dataclass(frozen=True, kw_only=True)
class HyperAgentConfig(config_lib.TDConfig):
  """Settings of HyperAgent, in addition to those of `TDConfig`.

  Attributes:
    index_dim: M, at least 1.
    index: class of the index distribution, constructed with `index_dim`.
    num_index_samples: K, number of indices per transition in the loss; None for
      the exact expectation.
    num_target_indices: number of z' per transition over which the target is
      averaged, without `target_optimism`. The paper has 1; more cost little,
      since as many transitions share them, and leave out noise that rare
      transitions take long to average out.
    scale: c, factor of the trained part of the value.
    mean_std: length of the initial b as one vector; None for Xavier-normal.
    random_biases: whether the torso's initial biases are random. Otherwise they
      are 0, as in the released code, which then learns nothing at an
      observation of zeros. If observations are categories they are always 0.
    prior: fixed prior, with its scale; None for no prior.
    noise: sigma xi, in units of reward (of its scale with `reward_scaling`).
    acting: policy; posterior sampling is `acting.Thompson`.
    target_optimism: values of the target over several indices; None for the
      mean over `num_target_indices` of the values at each.
    weight_decay: share of the weights, though not the biases, that every update
      takes off them, times the learning rate (AdamW); 0 for none.
    gradient_penalty: coefficient of `regularizers.GradientPenalty`.
    head_l2: coefficient of `regularizers.head_l2`.
  """

  torso: Callable[..., nn.Module] = networks.LayerNormTorso
  index_dim: int = 4
  index: Callable[[int], index_lib.IndexDistribution] = index_lib.Gaussian
  num_index_samples: int | None = None
  num_target_indices: int = 16
  scale: float = 1.
  mean_std: float | None = None
  random_biases: bool = True
  prior: priors.Prior | None = priors.Uniform(scale=1.)
  noise: data_noise.LinearNoise = data_noise.Perturbation(scale=0.001)
  acting: acting_lib.Acting = acting_lib.Thompson()
  target_optimism: acting_lib.Optimism | None = None
  weight_decay: float = 0.
  gradient_penalty: float = 0.
  head_l2: float = 0.
  target: targets.Target = targets.Periodic(20)
  reward_scaling: bool = True

  def __post_init__(self):
    super().__post_init__()
    checks.fields(
        self,
        index_dim=checks.COUNT,
        index=checks.function,
        num_index_samples=checks.optional(checks.COUNT),
        num_target_indices=checks.COUNT,
        scale=checks.NONNEGATIVE,
        mean_std=checks.optional(checks.NONNEGATIVE),
        random_biases=checks.flag,
        prior=checks.optional(checks.component(priors.Prior)),
        noise=checks.component(data_noise.LinearNoise),
        acting=checks.component(acting_lib.Acting, 'a policy'),
        target_optimism=checks.optional(checks.component(acting_lib.Optimism)),
        weight_decay=checks.NONNEGATIVE,
        gradient_penalty=checks.NONNEGATIVE,
        head_l2=checks.NONNEGATIVE)
    index = self.index(self.index_dim)
    kind = type(index).__name__
    data_noise.check_index(self.noise, index)
    for name, on in (
        ('a uniform prior', isinstance(self.prior, priors.Uniform)),
        ('head_l2', self.head_l2 > 0.)):
      if on and index.mean:
        raise ValueError(
            f'{name} is for an index of mean 0, got {kind}; choose another '
            f'index or turn {name} off')


@dataclasses.dataclass(frozen=True)
class HyperAgent(td.TDAgent):
  """Posterior sampling with a last-layer hypermodel; see the module.

  Attributes:
    observation_spec: dm_env spec of one array, or `specs.ObservationSpec`. A
      `DiscreteArray` is a category, treated as its one-hot vector.
    num_actions: A, or a dm_env spec of discrete actions.
    config: settings, see `HyperAgentConfig`.
  """

  config: HyperAgentConfig = HyperAgentConfig()

  def _network(self, index: index_lib.IndexDistribution) -> nn.Module:
    """Returns the value function."""
    config, spec = self.config, self.observation_spec
    bias_init = networks.initializers.zero_bias
    if config.random_biases and spec.num_values is None:
      bias_init = networks.initializers.uniform_bias

    def torso(**options):
      return config.torso(
          config.hidden_sizes, spec, **{'bias_init': bias_init, **options})

    body = nn.Sequential((torso(), networks.HypermodelHead(
        self.num_actions, index.dim,
        mean_init=priors.mean_init(config.mean_std),
        factor_init=networks.initializers.factor_xavier)))
    if config.prior is None:
      return networks.AffineValue(body, scale=config.scale)
    prior = config.prior.network(spec, self.num_actions, index, torso)
    correction = None
    if isinstance(prior, networks.UniformPrior) and isinstance(
        prior.network, networks.FeaturePrior):
      correction = networks.PriorCorrection(self.num_actions, index.dim)
    return networks.AffineValue(
        body, prior, config.scale, config.prior.scale, correction)

  def _loss(self, network, index) -> losses.Loss:
    """Returns the loss with its regulariser."""
    config = self.config
    if config.num_index_samples is None:
      loss = losses.ExactTD(
          network, index, config.double, config.noise, config.target_optimism,
          num_target_indices=config.num_target_indices)
    else:
      loss = losses.SampledTD(
          network, index, config.double,
          losses.Independent(config.num_index_samples), config.noise,
          config.target_optimism, num_target_indices=config.num_target_indices)
    if config.gradient_penalty > 0.:
      loss = regularizers.GradientPenalty(
          loss, network, index, config.gradient_penalty)
    return loss

  def _optimizer(self, index):
    """Returns the optimiser, with the penalty on the hypermodel before it."""
    config = self.config
    adam = config_lib.adam(config, config.weight_decay)
    if config.head_l2 == 0.:
      return adam
    return optimizers.chain(
        regularizers.head_l2(
            config.head_l2, index.second_moment,
            config.hidden_sizes[-1] * self.num_actions, config.warmup_steps,
            config.update_period / config.updates_per_period,
            config.replay_capacity),
        adam)

  def make_components(self) -> td.Components:
    """See `TDAgent`."""
    config = self.config
    index = config.index(config.index_dim)
    network = self._network(index)
    return td.Components(
        network=network,
        index=index,
        loss=self._loss(network, index),
        optimizer=self._optimizer(index),
        target=config.target,
        acting=config.acting)
