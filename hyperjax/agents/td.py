"""The learner that every value-based agent shares.

DQN, HyperAgent and their kin are temporal-difference learning on a value
function Q(s, a; z), z ~ p(z). An algorithm chooses the components of a
`TDAgent`, in one short file beside this one; nothing here knows which
algorithm it runs.
"""

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

import chex
from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int
import optax

from hyperjax import acting
from hyperjax import index as index_lib
from hyperjax import lazy_rows
from hyperjax import losses
from hyperjax import networks
from hyperjax import optimizers
from hyperjax import specs
from hyperjax import types


@dataclasses.dataclass(frozen=True, kw_only=True)
class TDConfig:
  """The settings that every agent here has.

  Attributes:
    torso: the class of the torso, made with `hidden_sizes` and the spec of the
      observation, and by some agents with the keywords `kernel_init` or
      `activation` of `networks.MLPTorso`.
    hidden_sizes: widths of the torso's dense layers.
    discount: gamma, of one step.
    n_step: steps of a return. More than one need a replay of frames
      (`hyperjax.frames`).
    double: whether the online network chooses the action of the target.
    learning_rate: of Adam.
    adam_epsilon: of Adam, added to the root of the second moment.
    max_gradient_norm: gradients of a larger global norm are scaled down to it;
      None for no limit.
    batch_size: B, transitions in an update.
    target_period: updates between two copies to the target network.
    replay_capacity: transitions kept; the oldest are overwritten.
    min_replay_size: transitions before the first update. Until then actions
      are uniformly random.
    steps_per_update: environment steps (of all environments of an agent
      together) between learning; rounded down to steps of all of them, to one
      at least.
    updates_per_step: updates then done at once.
    recent_fraction: of a batch, that is drawn from the `recent_window` newest
      transitions instead of from all.
    recent_window: in transitions.
    prioritized_fraction: of a batch, that is drawn by how large the losses of
      transitions were (see `hyperjax.replay`). What is neither recent nor this
      is drawn uniformly: the two are at most 1 together.
    tournament_size: transitions among which the one of largest loss is drawn;
      1 draws uniformly.
    lazy_rows: whether an update leaves alone the rows of the first layer that
      its batch does not read, where observations are categories (see
      `hyperjax.lazy_rows`).
  """

  torso: Callable[..., nn.Module] = networks.MLPTorso
  hidden_sizes: Sequence[int] = (64, 64)
  discount: float = 0.99
  n_step: int = 1
  double: bool = True
  learning_rate: float = 1e-3
  adam_epsilon: float = 1.5e-4
  max_gradient_norm: float | None = 10.
  batch_size: int = 128
  target_period: int = 4
  replay_capacity: int = 1_000_000
  min_replay_size: int = 128
  steps_per_update: int = 1
  updates_per_step: int = 1
  recent_fraction: float = 0.
  recent_window: int = 1000
  prioritized_fraction: float = 0.
  tournament_size: int = 4
  lazy_rows: bool = False

  def __post_init__(self):
    """Raises ValueError for a setting that cannot be meant."""
    # A list would have no hash, which a config must have.
    object.__setattr__(self, 'hidden_sizes', tuple(self.hidden_sizes))
    self.check_at_least('hidden_sizes', 1, *self.hidden_sizes)
    if not self.hidden_sizes:
      raise ValueError('hidden_sizes must name at least one layer, got ()')
    self.check_within('discount', 0., 1., self.discount)
    self.check_at_least('learning_rate', 0., self.learning_rate)
    self.check_at_least('adam_epsilon', 0., self.adam_epsilon)
    if self.max_gradient_norm is not None and not self.max_gradient_norm > 0.:
      raise ValueError(
          f'max_gradient_norm must be positive or None, '
          f'got {self.max_gradient_norm}')
    for name in ('batch_size', 'target_period', 'replay_capacity',
                 'min_replay_size', 'steps_per_update', 'updates_per_step',
                 'recent_window', 'tournament_size', 'n_step'):
      self.check_at_least(name, 1, getattr(self, name))
    for name in ('recent_fraction', 'prioritized_fraction'):
      self.check_within(name, 0., 1., getattr(self, name))
    for name in ('batch_size', 'min_replay_size'):
      if getattr(self, name) > self.replay_capacity:
        raise ValueError(
            f'{name} must be at most replay_capacity, {self.replay_capacity}, '
            f'got {getattr(self, name)}')

  @staticmethod
  def check_at_least(name: str, minimum: float, *values: float):
    for value in values:
      if not value >= minimum:  # Also refuses a NaN.
        raise ValueError(f'{name} must be at least {minimum}, got {value}')

  @staticmethod
  def check_within(name: str, low: float, high: float, value: float):
    if not low <= value <= high:
      raise ValueError(
          f'{name} must be between {low} and {high}, got {value}')


def adam(config: TDConfig) -> optax.GradientTransformationExtraArgs:
  """Adam with the settings of an agent."""
  return optimizers.clipped(
      optimizers.adam(config.learning_rate, config.adam_epsilon),
      config.max_gradient_norm)


@dataclasses.dataclass(frozen=True)
class TDAgent:
  """Temporal-difference learning on an index-conditioned value function.

  An agent holds no state. Every method is a pure function that returns
  (state, output); jit them, vmap them over seeds, scan over them.

  Attributes:
    observation_spec: what `select_action` and `update` expect.
    num_actions: A.
    config: the algorithm's settings, a `TDConfig`.
    network: a value function with two methods: calling it encodes one
      observation, `value` maps the encoding and an index to values [A].
    index: distribution of z, for acting and evaluation.
    loss: of a batch, see `hyperjax.losses`.
    optimizer: over params['params']; takes extra arguments, see
      `hyperjax.optimizers`.
    resample_probability: of a new acting index before a step that is not the
      first of an episode; before the first one it is always new.
    epsilon: probability of a uniformly random action.
    optimism: of acting; None for the values at one index. With K indices,
      `ActorState.index` is [N, K, M].
  """

  observation_spec: specs.ObservationSpec
  num_actions: int
  config: Any
  network: nn.Module
  index: index_lib.IndexDistribution
  loss: losses.Loss
  optimizer: optax.GradientTransformationExtraArgs
  resample_probability: float = 0.
  epsilon: float = 0.
  optimism: acting.Optimism | None = None

  def init(self, key: chex.PRNGKey) -> types.LearnerState:
    """The learner before its first update.

    Args:
      key: of the initial weights and of all randomness in learning.
    """
    key_params, key_learner = jax.random.split(key)
    params = self.network.init(key_params, self.observation_spec.zeros())
    return types.LearnerState(
        params=params,
        # A copy, so that the state may be donated to a compiled update.
        target_params=jax.tree.map(jnp.copy, params['params']),
        opt_state=self.optimizer.init(params['params']),
        steps=jnp.int32(0),
        key=key_learner)

  def init_actor(
      self, key: chex.PRNGKey, num_envs: int = 1) -> types.ActorState:
    """The actor before its first step in `num_envs` environments (N)."""
    key_index, key_actor = jax.random.split(key)
    return types.ActorState(
        index=self._sample_acting_index(key_index, num_envs), key=key_actor)

  def q_values(
      self, params: types.Params, observation: Array,
      index: Float[Array, 'N M'],
  ) -> Float[Array, 'N A']:
    """Q(s, .; z) for each pair of an observation and an index.

    Args:
      params: Flax variables, `LearnerState.params`.
      observation: s, [N, ...].
      index: z, [N, M].

    Raises:
      ValueError: if the observations do not fit the spec.
    """
    self.observation_spec.check(observation)

    def value(s, z):
      encoding = self.network.apply(params, s)
      return networks.value(self.network, params, encoding, z)

    return jax.vmap(value)(observation, index)

  def select_action(
      self, params: types.Params, actor: types.ActorState, observation: Array,
      is_first: Bool[Array, ' N'],
  ) -> tuple[types.ActorState, Int[Array, ' N']]:
    """Acts in N environments, each greedy for its own index z.

    Args:
      params: Flax variables, `LearnerState.params`.
      actor: of the same N environments.
      observation: s, [N, ...].
      is_first: whether s is the first of its episode, bool [N].

    Returns:
      The next actor state, and actions, int32 [N].

    Raises:
      ValueError: if the observations do not fit the spec, or `is_first` not
        the actor's environments.
    """
    redraw = is_first = jnp.asarray(is_first)
    if is_first.shape != actor.index.shape[:1]:
      raise ValueError(
          f'expected is_first of shape {actor.index.shape[:1]}, one for each '
          f'environment, got {is_first.shape}')
    key, key_redraw, key_index, key_action = jax.random.split(actor.key, 4)
    if self.resample_probability > 0.:
      redraw |= jax.random.bernoulli(
          key_redraw, self.resample_probability, is_first.shape)
    fresh = self._sample_acting_index(key_index, *is_first.shape)
    redraw = jnp.reshape(redraw, redraw.shape + (1,) * (fresh.ndim - 1))
    index = jnp.where(redraw, fresh, actor.index)
    if self.optimism is None:
      values = self.q_values(params, observation, index)
    else:
      values = self._optimistic_values(params, observation, index)
    action = acting.epsilon_greedy(key_action, values, self.epsilon)
    return types.ActorState(index, key), action

  def _optimistic_values(self, params, observation, indices):
    """Optimistic values [N, A] at observations [N, ...], indices [N, K, M]."""
    self.observation_spec.check(observation)

    def value(s, zs):
      encoding = self.network.apply(params, s)
      return self.optimism(
          lambda z: networks.value(self.network, params, encoding, z),
          encoding, zs)

    return jax.vmap(value)(observation, indices)

  def _sample_acting_index(self, key, num_envs) -> Float[Array, 'N *K M']:
    if self.optimism is None:
      return self.index.sample(key, (num_envs,))
    return self.index.sample(key, (num_envs, self.optimism.num_indices))

  def select_random_action(
      self, params: types.Params, actor: types.ActorState
  ) -> tuple[types.ActorState, Int[Array, ' N']]:
    """Uniformly random legal actions, int32 [N], from the actor's own key."""
    key, key_action = jax.random.split(actor.key)
    num_envs = actor.index.shape[0]
    # Where all legal actions are worth the same, the greedy one is any.
    values = networks.mask_illegal(
        params, jnp.zeros((num_envs, self.num_actions)))
    return actor._replace(key=key), acting.greedy(key_action, values)

  def update(
      self, learner: types.LearnerState, batch: types.Transition
  ) -> tuple[types.LearnerState, types.Metrics]:
    """One step of the optimiser on one batch.

    Args:
      learner: the state before.
      batch: transitions [B].

    Returns:
      The state after, and metrics, among them 'loss', float32 [], and
      'losses', of each transition, float32 [B].

    Raises:
      ValueError: if the observations do not fit the spec.
    """
    self.observation_spec.check(batch.observation)
    self.observation_spec.check(batch.next_observation)
    learner = learner._replace(target_params=optax.periodic_update(
        learner.params['params'], learner.target_params, learner.steps,
        self.config.target_period))
    num_values = self.observation_spec.num_values
    if self.config.lazy_rows and num_values is not None:
      return lazy_rows.update(self._step, learner, batch, num_values)
    return self._step(learner, batch)

  def _step(
      self, learner: types.LearnerState, batch: types.Transition
  ) -> tuple[types.LearnerState, types.Metrics]:
    """One step of the optimiser towards the targets of target_params."""
    index_key, perturbation_key, noise_key = jax.random.split(learner.key, 3)
    index_key = jax.random.fold_in(index_key, learner.steps)
    noise_key = jax.random.fold_in(noise_key, learner.steps)

    def loss_fn(trained):
      return self.loss(
          {**learner.params, 'params': trained},
          {**learner.params, 'params': learner.target_params},
          batch, index_key, perturbation_key)

    gradients, metrics = jax.grad(loss_fn, has_aux=True)(
        learner.params['params'])
    updates, opt_state = self.optimizer.update(
        gradients, learner.opt_state, learner.params['params'], key=noise_key)
    trained = optax.apply_updates(learner.params['params'], updates)
    return learner._replace(
        params={**learner.params, 'params': trained},
        opt_state=opt_state,
        steps=learner.steps + 1), metrics
