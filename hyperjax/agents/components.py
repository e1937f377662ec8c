"""The parts of an algorithm that `hyperjax.agents.td` learns with."""

from collections.abc import Callable
import dataclasses
from typing import Any

import chex
from flax import linen as nn
import jax
import optax

from hyperjax import acting as acting_lib
from hyperjax import augment
from hyperjax import checks
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import specs
from hyperjax import targets
from hyperjax import types


def online_params(learner: types.LearnerState) -> types.Params:
  """Returns the weights of the online network."""
  return learner.params


def target_params(learner: types.LearnerState) -> types.Params:
  """Returns the weights of the target network, with prior and legal actions."""
  return {**learner.params, 'params': learner.target_params}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Components:
  """The parts of an algorithm.

  Attributes:
    network: value function, see `hyperjax.networks`.
    index: distribution of z, for acting and evaluation.
    loss: loss of a batch, see `hyperjax.losses`.
    optimizer: optimiser of params['params'], see `hyperjax.optimizers`.
    target: update of the target network.
    acting: policy while the agent learns.
    evaluation: policy of an evaluation; by default one index per episode.
    acting_params: function from the learner to the weights for acting and
      evaluation, `online_params` or `target_params`.
    before_update: function of the learner and a PRNG key before each update,
      such as a periodic reset of some weights; None for no function.
  """

  network: nn.Module
  index: index_lib.IndexDistribution
  loss: losses.Loss
  optimizer: optax.GradientTransformationExtraArgs
  target: targets.Target
  acting: acting_lib.Acting = acting_lib.Thompson()
  evaluation: acting_lib.Acting = acting_lib.Thompson()
  acting_params: Callable[[types.LearnerState], types.Params] = online_params
  before_update: Callable[
      [types.LearnerState, chex.PRNGKey], types.LearnerState] | None = None

  def __post_init__(self):
    checks.fields(
        self, 'an agent', network=checks.instance(nn.Module),
        index=checks.instance(index_lib.IndexDistribution),
        loss=checks.instance(losses.Loss),
        optimizer=checks.instance(optax.GradientTransformation),
        target=checks.instance(targets.Target),
        acting=checks.instance(acting_lib.Acting, 'a policy'),
        evaluation=checks.instance(acting_lib.Acting, 'a policy'),
        acting_params=checks.function,
        before_update=checks.optional(checks.function))


def with_settings(
    components: Components, config: Any, spec: specs.ObservationSpec,
) -> Components:
  """Returns an algorithm's parts with what any config may add to them.

  Args:
    components: parts of the algorithm.
    config: settings, of which `augmentation` wraps the loss and `resets` come
      before each update.
    spec: spec of the observations.

  Raises:
    ValueError: if the augmentation does not fit the observations or the torso,
      or a reset the parameters.
  """
  augmentation, resets = config.augmentation, config.resets
  if augmentation is not None:
    augmentation.check(spec)
    torso = config.torso(config.hidden_sizes, spec)
    last = getattr(torso, 'channels_last', None)
    if last is not None and last != getattr(
        augmentation, 'channels_last', last):
      raise ValueError(
          f'augmentation must have channels_last={last}, as '
          f'{type(torso).__name__} has, got {augmentation}')
    components = dataclasses.replace(
        components, loss=augment.Augmented(components.loss, augmentation))
  if resets is not None:
    network, optimizer = components.network, components.optimizer
    further = components.before_update

    def init(key: chex.PRNGKey) -> Any:
      return networks.unbox(network.init(key, spec.zeros()))['params']

    def before_update(learner: types.LearnerState, key: chex.PRNGKey):
      learner = resets(learner, key, init, optimizer)
      return learner if further is None else further(learner, key)

    resets.check(config.updates_per_period,
                 jax.eval_shape(init, jax.random.key(0)))
    components = dataclasses.replace(components, before_update=before_update)
  return components
