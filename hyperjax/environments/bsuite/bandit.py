"""The bandit of bsuite: arms with fixed rewards, and nothing to observe.

Every episode has one step. The rewards of the A arms are 0, 1 / (A - 1), .., 1
in an order that a seed determines.

Equal to `bsuite.environments.bandit.SimpleBandit` step for step.
"""

import dataclasses
from typing import NamedTuple

import chex
from dm_env import specs
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
import numpy as np

from hyperjax import arrays
from hyperjax import checks
from hyperjax import seeds
from hyperjax import types
from hyperjax.environments import timesteps


class BanditParams(NamedTuple):
  """Parameters of a bandit, constant over episodes.

  Attributes:
    arm_rewards: reward of each arm, float32 [A].
  """

  arm_rewards: Float[Array, ' A']


@dataclasses.dataclass(frozen=True)
class Bandit:
  """A bandit without noise; see the module. Its state is empty.

  Attributes:
    num_actions: A, number of arms, at least 2.
  """

  num_actions: int = 11

  def __post_init__(self):
    checks.fields(self, num_actions=checks.integer(2))

  @property
  def max_episode_length(self) -> int:
    """1, length of every episode."""
    return 1

  def observation_spec(self) -> specs.Array:
    """Returns the spec of the observation, which is always 1."""
    return specs.Array((1, 1), np.float32, 'observation')

  def action_spec(self) -> specs.DiscreteArray:
    """Returns the spec of the arms."""
    return specs.DiscreteArray(self.num_actions, np.int32, 'action')

  def params_from_seed(self, mapping_seed: int) -> BanditParams:
    """Returns the arms that bsuite has for the same seed; on the host.

    Raises:
      ValueError: if the seed is not an integer of 0..2**32 - 1.
    """
    order = np.random.RandomState(seeds.check_seed(mapping_seed)).choice(
        self.num_actions, size=self.num_actions, replace=False)
    return BanditParams(
        jnp.asarray(np.linspace(0, 1, self.num_actions)[order], jnp.float32))

  def reset(
      self, params: BanditParams, key: chex.PRNGKey
  ) -> tuple[tuple[()], types.TimeStep]:
    """Begins an episode, which is not random."""
    del params, key
    return (), timesteps.first(jnp.ones((1, 1), jnp.float32))

  def step(
      self, params: BanditParams, state: tuple[()], action: Int[Array, ''],
      key: chex.PRNGKey,
  ) -> tuple[tuple[()], types.TimeStep]:
    """Pulls an arm, which is not random and ends the episode.

    Args:
      params: rewards of the arms.
      state: empty.
      action: number of the arm, int32 [].
      key: PRNG key, not used.

    Raises:
      ValueError: if the parameters are those of another number of arms.
    """
    del key
    arm_rewards = arrays.check_array(
        'arm_rewards', params.arm_rewards, (self.num_actions,), jnp.float32)
    return state, timesteps.after_step(
        arm_rewards[action], jnp.bool_(True), jnp.ones((1, 1), jnp.float32))
