"""Checks of rewards, discounts and actions from outside the library."""

import math
from typing import Any

import jax
import numpy as np

_LARGEST = float(np.finfo(np.float32).max)


def _check_number(name: str, value: Any) -> float:
  if type(value) is float and math.isfinite(value):
    return value  # The usual case, fast because it occurs at every step.
  if value is None or np.shape(value):
    raise ValueError(
        f'expected a {name} that is one number, got '
        f'{value if value is None else f"the shape {np.shape(value)}"}')
  dtype = np.asarray(value).dtype
  if dtype != np.bool_ and not (
      jax.dtypes.issubdtype(dtype, np.floating)
      or jax.dtypes.issubdtype(dtype, np.integer)):
    raise ValueError(f'expected a {name} that is a number, got {value!r}')
  number = float(value)
  if not math.isfinite(number):
    raise ValueError(f'expected a finite {name}, got {number}')
  return number


def check_reward(reward: Any) -> float:
  """Returns a reward as a float.

  Raises:
    ValueError: if the reward is not one finite number that fits float32.
  """
  number = _check_number('reward', reward)
  if abs(number) > _LARGEST:
    raise ValueError(f'expected a reward that fits float32, got {number}')
  return number


def check_discount(discount: Any) -> float:
  """Returns a discount as a float.

  Raises:
    ValueError: if the discount is not one number in [0, 1].
  """
  number = _check_number('discount', discount)
  if not 0. <= number <= 1.:
    raise ValueError(
        f'expected a discount between 0 and 1, got {number}')
  return number


def check_action(action: Any, num_actions: int) -> int:
  """Returns an action as a Python integer.

  Raises:
    ValueError: if the action is not an integer, 0..num_actions-1.
  """
  if type(action) is int and 0 <= action < num_actions:
    return action  # The usual case.
  if np.shape(action) or not np.issubdtype(np.asarray(action).dtype,
                                           np.integer):
    raise ValueError(f'expected an action that is an integer, got {action!r}')
  if not 0 <= action < num_actions:
    raise ValueError(
        f'expected an action of 0..{num_actions - 1}, got {action}')
  return int(action)
