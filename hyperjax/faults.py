"""Faults that only values in a compiled program can tell, as flags in a state.

A compiled program cannot raise an error. It notes what it has seen in a bit
mask, uint32 []: the field `faults` of `types.LearnerState`, `types.Batch` and
`replay.ReplayState`. The host raises the error, with `check`, when it reads the
state. (The manner is that of `jax.experimental.checkify`, whose errors would be
one more output of every function.) The loops and adapters call `check`; in a
loop of your own call it where you read metrics:

  learner, metrics = update(learner, batch)
  faults.check(learner)

A flag is never cleared: what was trained with a fault stays so.
"""

import enum
import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt
import numpy as np

from hyperjax import multihost


class Fault(enum.IntFlag):
  """Kinds of faults, one bit each."""

  ACTION = 1
  DISCOUNT = 2
  REWARD = 4
  OBSERVATION = 8
  WEIGHT = 16
  LOSS = 32
  EMPTY_REPLAY = 64
  PRIORITY = 128
  NEGATIVE_PRIORITY = 256


_MESSAGES = {
    Fault.ACTION: 'a batch had an action that is none of 0..num_actions-1',
    Fault.DISCOUNT: 'a batch had a discount outside [0, 1]',
    Fault.REWARD: 'a batch had a reward that is not finite',
    Fault.OBSERVATION: 'a batch had an observation that is not finite',
    Fault.WEIGHT: 'a batch had a weight of a transition that is not finite',
    Fault.LOSS: 'a loss was not finite',
    Fault.EMPTY_REPLAY: 'a batch was drawn from a replay without transitions',
    Fault.PRIORITY: 'a loss that gives a priority was not finite',
    Fault.NEGATIVE_PRIORITY: 'a loss that gives a priority was negative',
}
# The kinds that are numbers which are not finite.
_NONFINITE = (Fault.REWARD | Fault.OBSERVATION | Fault.WEIGHT | Fault.LOSS
              | Fault.PRIORITY)
# The kinds after which the loss of the same update or of the next one is not
# finite. The log of a loop has the number of that update.
LOGGED = Fault.WEIGHT | Fault.LOSS | Fault.PRIORITY


def none() -> UInt[Array, '']:
  """Returns the mask without a fault, uint32 []."""
  return jnp.uint32(0)


def where(bad: Bool[Array, '...'], fault: Fault) -> UInt[Array, '...']:
  """Returns the mask of a fault where `bad`, uint32 [...]."""
  return jnp.where(bad, jnp.uint32(fault), jnp.uint32(0))


def union(masks: UInt[Array, '...']) -> UInt[Array, '']:
  """Returns the faults of all entries as one mask, uint32 []."""
  return jax.lax.reduce(
      masks, np.uint32(0), jax.lax.bitwise_or, range(masks.ndim))


def of_losses(
    losses: Float[Array, ' B'], nonnegative: bool) -> UInt[Array, '']:
  """Returns the faults of losses that give priorities, uint32 [].

  Args:
    losses: loss of each transition, [B].
    nonnegative: whether a negative loss is a fault.
  """
  masks = where(~jnp.isfinite(losses), Fault.PRIORITY)
  if nonnegative:
    masks |= where(losses < 0., Fault.NEGATIVE_PRIORITY)
  return union(masks)


def _masks(state: Any) -> list[Any]:
  """Returns the fields `faults` in a pytree."""
  return [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)
          if path and getattr(path[-1], 'name', None) == 'faults']


def found(state: Any) -> UInt[Array, '...']:
  """Returns all faults in a state as one mask, uint32 [...].

  Args:
    state: any pytree with fields `faults`, of equal leading axes [...] of runs.
  """
  return functools.reduce(operator.or_, _masks(state), jnp.uint32(0))


def check(state: Any, ignored: Fault = Fault(0)):
  """Raises an error that names all faults in a state, and the runs with any.

  Args:
    state: any pytree with fields `faults`, such as the state of a learner, a
      trainer or a loop. They may have leading axes of runs.
    ignored: kinds that raise no error.

  Raises:
    FloatingPointError: if all faults are numbers that are not finite.
    ValueError: if there is a fault of another kind.
  """
  masks = multihost.fetch(_masks(state))
  check_mask(functools.reduce(operator.or_, masks, np.uint32(0)), ignored)


def check_mask(mask: Any, ignored: Fault = Fault(0)):
  """Raises the error of `check` for a mask of `found`, uint32 [...]."""
  mask = np.asarray(mask, np.uint32) & np.uint32(~int(ignored) & 0xFFFFFFFF)
  if not np.any(mask):
    return
  kinds = Fault(int(np.bitwise_or.reduce(mask.ravel())))
  message = '; '.join(
      _MESSAGES[kind] + _runs(mask & np.uint32(kind) > 0) for kind in kinds)
  error = ValueError if kinds & ~_NONFINITE else FloatingPointError
  raise error(
      f'{message}. Restore an earlier state, and look at what the environment '
      f'or the caller gives')


def _runs(bad: Bool[np.ndarray, '...'] | np.bool_) -> str:
  """Returns which of many runs are bad, in words; nothing for a single one."""
  if not bad.ndim:
    return ''
  runs = [
      str(run[0] if len(run) == 1 else tuple(run))
      for run in np.argwhere(bad).tolist()]
  shown = ', '.join(runs[:10]) + (', ...' if len(runs) > 10 else '')
  return f' (run {shown} of {bad.size}, from 0)'
