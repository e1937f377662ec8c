"""The learner that all value-based agents share.

DQN, HyperAgent and related agents are temporal-difference learning on a value
function Q(s, a; z), z ~ p(z). An algorithm consists of a config and the
components made from it, in one short file of this folder; this file is
independent of the algorithm.
"""

import dataclasses
from typing import Any

import chex
from flax import linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int
import optax

from hyperjax import acting as acting_lib
from hyperjax import arrays
from hyperjax import checks
from hyperjax import data_parallel
from hyperjax import faults
from hyperjax import index as index_lib
from hyperjax import lazy_adam
from hyperjax import networks
from hyperjax import specs
from hyperjax import types
from hyperjax.agents import guards
from hyperjax.agents.components import Components
from hyperjax.agents.components import online_params  # noqa: F401
from hyperjax.agents.components import target_params
from hyperjax.agents.components import with_settings


@dataclasses.dataclass(frozen=True)
class TDAgent:
  """Temporal-difference learning on an index-conditioned value function.

  An agent holds no state: every method is a pure function that can be compiled
  with jit, mapped over seeds and scanned. Agents of equal specs and configs are
  equal, so they share their compiled programs. A subclass defines an algorithm:
  it overrides `make_components`.

  Attributes:
    observation_spec: dm_env spec of one array, or `specs.ObservationSpec`, to
      which it is converted. A `DiscreteArray` is a category, treated as its
      one-hot vector.
    num_actions: A, or a dm_env spec of discrete actions, which is converted to
      A.
    config: settings of the algorithm.

  Raises:
    ValueError: if a spec is of another kind, or the config does not fit it.
  """

  observation_spec: specs.ObservationSpec | Any
  num_actions: int | Any
  config: Any

  def __post_init__(self):
    set_field = lambda name, value: object.__setattr__(self, name, value)
    set_field('observation_spec', specs.observation_spec(self.observation_spec))
    set_field('num_actions', specs.num_actions(self.num_actions))
    guards.check_config(self)
    parts = checks.instance(Components)('components', self.make_components())
    set_field('components', with_settings(
        parts, self.config, self.observation_spec))
    is_lazy = self.config.lazy_adam and self.observation_spec.num_values
    set_field('_tables', lazy_adam.find_tables(
        self.components.network, self.observation_spec) if is_lazy else None)

  def __reduce__(self):
    # Components hold unnamed functions, which cannot be pickled.
    return type(self), (self.observation_spec, self.num_actions, self.config)

  def __deepcopy__(self, memo):
    return self  # Immutable.

  def make_components(self) -> Components:
    """Returns the parts of the algorithm, from the specs and the config."""
    raise TypeError(
        f'{type(self).__name__} is no algorithm; expected a subclass of '
        f'TDAgent that overrides make_components')

  # Set in __post_init__, and determined by the fields above.
  components: Components = dataclasses.field(
      init=False, repr=False, compare=False, hash=False)
  _tables: Any = dataclasses.field(
      init=False, repr=False, compare=False, hash=False)

  @property
  def network(self) -> nn.Module:
    """Value function."""
    return self.components.network

  @property
  def index(self) -> index_lib.IndexDistribution:
    """Distribution of z."""
    return self.components.index

  def init(self, key: chex.PRNGKey) -> types.LearnerState:
    """See `types.Agent`."""
    key_params, key_learner = jax.random.split(key)
    params = networks.unbox(
        self.network.init(key_params, self.observation_spec.zeros()))
    return types.LearnerState(
        params=params,
        # A copy, so that the state may be donated to a compiled update.
        target_params=jax.tree.map(jnp.copy, params['params']),
        opt_state=self.components.optimizer.init(params['params']),
        steps=jnp.int32(0),
        key=key_learner,
        faults=faults.none())

  def acting_params(self, learner: types.LearnerState) -> types.Params:
    """See `types.Agent`."""
    return self.components.acting_params(learner)

  def init_actor(
      self, key: chex.PRNGKey, num_envs: int = 1) -> types.ActorState:
    """See `types.Agent`."""
    checks.COUNT('num_envs', num_envs)
    key_index, key_actor = jax.random.split(key)
    return types.ActorState(
        index=self._sample_index(
            self.components.acting, key_index, num_envs),
        key=key_actor, steps=jnp.int32(0))

  def init_evaluation(
      self, key: chex.PRNGKey, num_episodes: int = 1) -> types.ActorState:
    """See `types.Agent`.

    The indices are new, so `is_first` of `evaluate_action` need be set only for
    later episodes.
    """
    checks.COUNT('num_episodes', num_episodes)
    return types.ActorState(
        index=self._sample_index(
            self.components.evaluation, key, num_episodes),
        key=jax.random.fold_in(key, 1), steps=jnp.int32(0))

  def select_action(
      self, params: types.Params, actor: types.ActorState, observation: Array,
      is_first: Bool[Array, ' N'],
  ) -> tuple[types.ActorState, Int[Array, ' N']]:
    """See `types.Agent`; each environment has its own index z.

    Raises:
      ValueError: if the parameters are another agent's, the observations do not
        fit the spec, or `is_first` does not fit the actor's environments.
    """
    return self._act(
        self.components.acting, params, actor, observation, is_first)

  def evaluate_action(
      self, params: types.Params, actor: types.ActorState, observation: Array,
      is_first: Bool[Array, ' E'],
  ) -> tuple[types.ActorState, Int[Array, ' E']]:
    """See `types.Agent`."""
    return self._act(
        self.components.evaluation, params, actor, observation, is_first)

  def select_random_action(
      self, params: types.Params, actor: types.ActorState
  ) -> tuple[types.ActorState, Int[Array, ' N']]:
    """See `types.Agent`."""
    key, key_action = jax.random.split(actor.key)
    guards.check_legal(self, params)
    values = jnp.zeros((actor.index.shape[0], self.num_actions), jnp.float32)
    # With equal values, the greedy action is a uniformly random legal one.
    action = acting_lib.greedy(
        key_action, values, networks.legal_actions(params))
    return actor._replace(key=key, steps=actor.steps + 1), action

  def q_values(
      self, params: types.Params, observation: Array,
      index: Float[Array, 'N M'],
  ) -> Float[Array, 'N A']:
    """Returns Q(s, .; z), float32 [N, A], with -inf for illegal actions.

    Args:
      params: Flax variables, such as `LearnerState.params`.
      observation: s, [N, ...].
      index: z, [N, M].

    Raises:
      ValueError: if the parameters, observations or indices do not fit.
    """
    guards.check_params(self, params)
    self.observation_spec.check(observation)
    arrays.check_array(
        'index', index, (observation.shape[0], self.index.dim), jnp.float32)

    def value(s, z):
      encoding = self.network.apply(params, s)
      return networks.value(self.network, params, encoding, z)

    return networks.mask_illegal(
        params, jax.vmap(value)(observation, index))

  def update(
      self, learner: types.LearnerState, batch: types.Batch | types.Transition
  ) -> tuple[types.LearnerState, types.Metrics]:
    """See `types.Agent`; the update is one step of the optimiser.

    What only the values tell is noted in `LearnerState.faults`.

    Raises:
      ValueError: if the state is another agent's, or the batch does not fit.
    """
    guards.check_learner(self, learner)
    batch = guards.check_batch(self, batch)
    if self.components.before_update is not None:
      key = jax.random.fold_in(
          jax.random.fold_in(learner.key, learner.steps), 1)
      learner = self.components.before_update(learner, key)
    learner = learner._replace(target_params=self.components.target(
        learner.params['params'], learner.target_params, learner.steps))
    num_values = self.observation_spec.num_values
    if self._tables is not None and num_values is not None:
      after, metrics = lazy_adam.update(
          self._step, learner, batch, num_values, self._tables)
    else:
      after, metrics = self._step(learner, batch)
    found = data_parallel.union(guards.faults_of(
        batch, metrics['loss'], self.num_actions))
    return after._replace(faults=learner.faults | found), metrics

  def _sample_index(self, policy, key, num_envs) -> Float[Array, 'N *K M']:
    num = () if policy.num_indices is None else (policy.num_indices,)
    return self.index.sample(key, (num_envs, *num))

  def _act(self, policy, params, actor, observation, is_first):
    """Draws new indices where a policy requires them, then chooses actions."""
    guards.check_params(self, params)
    redraw = is_first = guards.check_acting(
        self, policy, actor, observation, is_first)
    key, key_redraw, key_index, key_action = jax.random.split(actor.key, 4)
    if policy.resample_probability > 0.:
      redraw |= jax.random.bernoulli(
          key_redraw, policy.resample_probability, is_first.shape)
    fresh = self._sample_index(policy, key_index, *is_first.shape)
    redraw = jnp.reshape(redraw, redraw.shape + (1,) * (fresh.ndim - 1))
    index = jnp.where(redraw, fresh, actor.index)

    def values(s, z):
      encoding = self.network.apply(params, s)
      return policy.values(
          self.index,
          lambda z: networks.value(self.network, params, encoding, z),
          encoding, z)

    action = policy.choose(
        key_action, jax.vmap(values)(observation, index),
        networks.legal_actions(params), actor.steps)
    return types.ActorState(index, key, actor.steps + 1), action

  def _step(
      self, learner: types.LearnerState, batch: types.Batch
  ) -> tuple[types.LearnerState, types.Metrics]:
    """Makes one step of the optimiser towards the targets of target_params."""
    index_key, noise_key, optimizer_key = jax.random.split(learner.key, 3)
    index_key = jax.random.fold_in(index_key, learner.steps)
    optimizer_key = jax.random.fold_in(optimizer_key, learner.steps)

    def loss_fn(trained):
      return self.components.loss(
          {**learner.params, 'params': trained}, target_params(learner),
          batch, index_key, noise_key)

    gradients, metrics = jax.grad(loss_fn, has_aux=True)(
        learner.params['params'])
    # Of a part of the batch; means over parts are those over the batch.
    gradients = data_parallel.mean(gradients)
    metrics = data_parallel.mean_metrics(metrics)
    updates, opt_state = self.components.optimizer.update(
        gradients, learner.opt_state, learner.params['params'],
        key=optimizer_key)
    trained = optax.apply_updates(learner.params['params'], updates)
    return learner._replace(
        params={**learner.params, 'params': trained},
        opt_state=opt_state,
        steps=learner.steps + 1), metrics
