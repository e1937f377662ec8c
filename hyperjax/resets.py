"""Resets: weights that begin anew during a run, shrunk and perturbed or fresh.

Nikishin et al. (2022, "The primacy bias in deep reinforcement learning") reset
the last layers of an agent now and then and keep its replay; Ash and Adams
(2020, "On warm-starting neural network training") shrink and perturb instead:

  theta <- keep theta + (1 - keep) fresh,

where `fresh` are newly initialised weights. Any agent takes resets in its
config:

  HyperAgentConfig(
      resets=Periodic(10_000, keep_of=(('body/layers_0', 0.5),)))
"""

from collections.abc import Callable
import dataclasses
from typing import Any, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int
import optax

from hyperjax import checks
from hyperjax import parts
from hyperjax import types


@runtime_checkable
class Resets(Protocol):
  """When weights are reset, and how."""

  def since(self, steps: Int[Array, '']) -> Int[Array, '']:
    """Returns the number of updates since the newest reset, int32 [].

    Schedules of an agent that is reset are functions of this number. Before the
    first reset it is the number of updates.

    Args:
      steps: number of updates so far, int32 [].
    """
    ...

  def check(self, updates_per_period: int, params: chex.ArrayTree | None):
    """Checks that the resets fit an agent.

    Args:
      updates_per_period: number of updates in each round of updates.
      params: shapes of the trained parameters; None if they are not known yet.

    Raises:
      ValueError: if they do not fit.
    """
    ...

  def __call__(
      self, learner: types.LearnerState, key: chex.PRNGKey,
      init: Callable[[chex.PRNGKey], optax.Params],
      optimizer: optax.GradientTransformation,
  ) -> types.LearnerState:
    """Returns the learner's state, reset if a reset is due.

    Args:
      learner: state before an update.
      key: PRNG key of this update's reset.
      init: function from a PRNG key to freshly initialised weights.
      optimizer: optimiser of the weights.
    """
    ...


@dataclasses.dataclass(frozen=True)
class Periodic:
  """Resets after every `period` updates.

  Online and target network are mixed with fresh weights of their own. The
  optimiser's moments are kept where weights are kept in part, and new where
  weights are fresh. Numbers that belong to no parameter, such as Adam's count,
  are new if all parameters beside them are fresh: where a network is reset in
  part, `optimizers.partitioned` gives each part a count of its own. Replay,
  priorities, the number of updates, prior and keys stay as they are.

  Attributes:
    period: number of updates between two resets, at least 1, and a multiple of
      the agent's `updates_per_period`.
    keep: fraction of the weights that a reset keeps, in [0, 1]; 0 for fresh
      ones.
    keep_of: (name of a part, fraction) for parts with another fraction, see
      `hyperjax.parts`. Of several that have a parameter the last one counts.
    first: number of updates before the first reset; None for `period`.
    last: number of updates after which there is no further reset; None for no
      end.
  """

  period: int
  keep: float = 0.
  keep_of: tuple[tuple[str, float], ...] = ()
  first: int | None = None
  last: int | None = None

  def __post_init__(self):
    count = checks.optional(checks.COUNT)
    checks.fields(
        self, 'resets', period=checks.COUNT, keep=checks.FRACTION,
        keep_of=_check_parts, first=count, last=count)
    if self.last is not None and self.last < self._first:
      raise ValueError(
          f'last of resets must be at least the first reset, {self._first}, '
          f'got {self.last}: there would be none')

  @property
  def _first(self) -> int:
    return self.period if self.first is None else self.first

  def check(self, updates_per_period, params):
    """See `Resets`."""
    for name in ('period', 'first'):
      number = getattr(self, name)
      if number is not None and number % updates_per_period:
        raise ValueError(
            f'{name} of resets must be a multiple of updates_per_period, '
            f'{updates_per_period}, since a reset comes before a round of '
            f'updates, got {number}')
    if params is not None:
      parts.check_exist(
          'keep_of of resets', (part for part, _ in self.keep_of), params)

  def since(self, steps) -> Int[Array, '']:
    """See `Resets`."""
    until = steps if self.last is None else jnp.minimum(steps, self.last)
    newest = self._first + (until - self._first) // self.period * self.period
    return steps - jnp.where(steps < self._first, 0, newest)

  def __call__(self, learner, key, init, optimizer) -> types.LearnerState:
    """See `Resets`."""
    due = (learner.steps >= self._first) & (self.since(learner.steps) == 0)

    def reset(state):
      before, before_target, opt_state = state
      key_online, key_target = jax.random.split(key)
      params = self._mixed(before, init(key_online))
      after = (params, self._mixed(before_target, init(key_target)),
               self._optimizer_state(opt_state, optimizer.init(params), params))
      return jax.tree.map(lambda x, y: jnp.where(due, x, y), after, state)

    # Initial weights cost about as much as an update. So they are drawn only
    # where a reset is due, in any of the agents that are mapped together.
    params, target_params, opt_state = jax.lax.cond(
        _anywhere(due), reset, lambda state: state,
        (learner.params['params'], learner.target_params, learner.opt_state))
    return learner._replace(
        params={**learner.params, 'params': params},
        target_params=target_params, opt_state=opt_state)

  def _keep(self, path: tuple[str, ...]) -> float:
    """Returns the fraction of a parameter that a reset keeps."""
    found = [keep for part, keep in self.keep_of if parts.is_within(path, part)]
    return found[-1] if found else self.keep

  def _mixed(self, params, fresh) -> optax.Params:

    def mix(path, old, new):
      keep = self._keep(parts.names(path))
      if keep in (0., 1.):  # Exactly, also if a weight is not finite.
        return old if keep else new
      return keep * old + (1. - keep) * new

    return jax.tree_util.tree_map_with_path(mix, params, fresh)

  def _optimizer_state(self, old, new, params) -> optax.OptState:
    """Returns the state with new moments of the weights that are fresh."""
    weights = {parts.names(path)
               for path, _ in jax.tree_util.tree_leaves_with_path(params)}
    found = ((path, parts.owner(path, weights))
             for path, _ in jax.tree_util.tree_leaves_with_path(old))
    owners = {path: owner for path, owner in found if owner is not None}

    def is_fresh(path) -> bool:
      # The weight itself, or those in the innermost tree that has any.
      for length in reversed(range(len(path) + 1)):
        beside = {owner for other, owner in owners.items()
                  if other[:length] == path[:length]}
        if beside:
          return all(self._keep(owner) == 0. for owner in beside)
      return False

    return jax.tree_util.tree_map_with_path(
        lambda path, x, y: y if is_fresh(path) else x, old, new)


def _check_parts(name: str, value: Any) -> tuple[tuple[str, float], ...]:
  """Checks (name of a part, fraction) of each part."""
  if not isinstance(value, tuple | list) or any(
      not isinstance(pair, tuple | list) or len(pair) != 2
      or not isinstance(pair[0], str) for pair in value):
    raise ValueError(
        f'{name} must be (name of parameters, fraction to keep) of each part, '
        f'got {value!r}')
  return tuple(
      (part, checks.FRACTION(f'{part} in {name}', keep))
      for part, keep in value)


@jax.custom_batching.custom_vmap
def _anywhere(due: Bool[Array, '']) -> Bool[Array, '']:
  """Returns a condition; mapped over agents, whether it holds for any."""
  return due


@_anywhere.def_vmap
def _anywhere_mapped(axis_size, is_mapped, due):
  del axis_size, is_mapped
  return jnp.any(due), False
