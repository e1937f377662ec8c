"""BBF: a large value network that learns from few steps.

Schwarzer, Obando-Ceron, Courville, Bellemare, Agarwal and Castro, "Bigger,
better, faster: human-level Atari with human-level efficiency", ICML 2023. In
the order of an update, on top of a categorical, dueling Double DQN with
prioritised replay:

1. A round of updates makes 2 or 8 of them for each step of the environment.
2. Now and then weights begin anew: encoder and transition model are mixed half
   and half with fresh weights, the layers after them are fresh
   (`hyperjax.resets`). The replay stays.
3. After a reset n falls from 10 to 3 and gamma rises from 0.97 to 0.997, over
   10,000 updates.
4. A batch has the five steps after each state too. Its images are shifted and
   their intensity is changed (`hyperjax.augment`).
5. The loss is the cross-entropy of C51 plus five times that of self-prediction
   (SPR, `losses.SelfPrediction`), both times the importance weight.
6. The encoder is IMPALA's of four times the width
   (`networks.WideImpalaTorso`); the projection to `hidden_sizes[-1]` features
   is the only hidden layer (`networks.SelfPredictiveValue`).
7. Adam with decoupled weight decay of all weights but biases, in two parts:
   encoder and transition model, and the rest.
8. The target network is a moving average of the online network. It also acts,
   greedily but for epsilon.

Presets: `paper_atari` with 8 updates for each step, `paper_atari_ratio_2` with
2, `sr_spr_atari` (D'Oro et al., 2023), `small_atari` and `minatar`.

This is what the text says. The code released by the authors (google-research,
`bigger_better_faster`) does otherwise in these points:

- It bootstraps an n-step return from the state at step n - 1 instead of n.
- It does not see a termination at the last of the n steps.
- It gives a new priority to two of 64 transitions, the mean of a batch, instead
  of one to each transition.
- A reset begins all of Adam's moments anew; here those of encoder and
  transition model stay.
- Its mask of self-prediction is a step stricter, and ignores the ends of
  episodes in the first row of a group.
- Its shifts are of -4 to 3 pixels instead of -4 to 4.
- n and gamma lag by two groups of batches, since these are prefetched.
- A lost life clears the stack of frames, also where the agent is evaluated.

And this code does otherwise in these:

- The moving average is taken before an update instead of after it: acting sees
  the last update of a round in the next one.
- Of equal pixels in a maximum each has a part of the gradient.
- The first `warmup_steps` actions are random by themselves, whatever epsilon.
"""

import dataclasses

from hyperjax import acting as acting_lib
from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import optimizers
from hyperjax import replay
from hyperjax import resets as resets_lib
from hyperjax import schedules
from hyperjax import targets
from hyperjax.agents import config as config_lib
from hyperjax.agents import td
from hyperjax.networks import categorical
from hyperjax.replay import samplers

# What learns latents, and is reset in part: names of the network's parameters.
ENCODER = ('torso', 'transition')


@dataclasses.dataclass(frozen=True, kw_only=True)
class BBFConfig(config_lib.TDConfig):
  """Settings of BBF, in addition to those of `TDConfig`.

  The defaults are those of the text with 2 updates for each step, for vectors
  in size and warm-up; those for images are presets. Of `hidden_sizes` the last
  is the width of the projection, and the others are layers of the torso.

  Attributes:
    support: (low, high, number of atoms) of the returns. Returns beyond it
      count as its ends: choose it for the task.
    num_jumps: K, number of steps of the self-prediction, at most
      `sequence_length`; 0 for none.
    self_prediction_weight: factor of the self-prediction.
    weight_decay: fraction of the weights, times the learning rate, that an
      update takes away.
    acting: policy while the agent learns.
    evaluation: policy of an evaluation.
  """

  support: tuple[float, float, int] = networks.Support()
  num_jumps: int = 5
  self_prediction_weight: float = 5.
  weight_decay: float = 0.1
  acting: acting_lib.Acting = acting_lib.EpsilonGreedy(
      epsilon=schedules.Linear(1., 0., 2001))
  evaluation: acting_lib.Acting = acting_lib.EpsilonGreedy(epsilon=0.001)
  discount: float | schedules.Schedule = schedules.GeometricHorizon(
      0.97, 0.997, 10_000)
  n_step: int | schedules.Linear = schedules.Geometric(10., 3., 10_000)
  sequence_length: int = 5
  learning_rate: float = 1e-4
  adam_epsilon: float = 1.5e-4
  max_gradient_norm: float | None = None
  target: targets.Target = targets.MovingAverage(0.005)
  batch_size: int = 32
  replay_capacity: int = 200_000
  # Priorities sqrt(loss + 1e-10), and weights 1 / sqrt(priority).
  sampler: samplers.Sampler = replay.Prioritized(
      exponent=0.5, correction=0.5, offset=1e-10)
  updates_per_period: int = 2
  resets: resets_lib.Resets | None = resets_lib.Periodic(
      40_000, keep_of=tuple((part, 0.5) for part in ENCODER))

  def __post_init__(self):
    super().__post_init__()
    checks.fields(
        self, support=categorical.check_support,
        num_jumps=checks.integer(0),
        self_prediction_weight=checks.NONNEGATIVE,
        weight_decay=checks.NONNEGATIVE,
        acting=checks.component(acting_lib.Acting, 'a policy'),
        evaluation=checks.component(acting_lib.Acting, 'a policy'))
    if self.num_jumps > self.sequence_length:
      raise ValueError(
          f'num_jumps must be at most sequence_length, '
          f'{self.sequence_length}, got {self.num_jumps}')


@dataclasses.dataclass(frozen=True)
class BBF(td.TDAgent):
  """BBF; see the module."""

  config: BBFConfig = BBFConfig()

  def make_components(self) -> td.Components:
    """See `TDAgent`."""
    config, spec = self.config, self.observation_spec
    torso, hidden_size = config_lib.split_torso(
        config, spec, kernel_init=networks.initializers.xavier_uniform)
    if isinstance(torso, networks.ImageTorso):
      torso = torso.clone(flatten=False)
    network = networks.SelfPredictiveValue(
        torso, hidden_size, self.num_actions, networks.Support(*config.support))
    index = index_lib.NoIndex()
    loss = losses.CategoricalTD(network, index, config.double)
    if config.num_jumps:
      loss = losses.SelfPrediction(
          loss, network, config.num_jumps, config.self_prediction_weight)
    return td.Components(
        network=network, index=index, loss=loss,
        optimizer=optimizers.partitioned(
            config_lib.adam(config, config.weight_decay), ENCODER),
        target=config.target, acting=config.acting,
        evaluation=config.evaluation, acting_params=td.target_params)
