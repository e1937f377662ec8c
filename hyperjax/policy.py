"""A trained agent that acts, and says what it expects of actions.

`hyperjax.load` returns policies. A policy fits
`hyperjax.loops.EnvironmentLoop` and any loop of one's own.
"""

from collections.abc import Callable
import functools
from typing import Any

import dm_env
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
import numpy as np

from hyperjax import acting
from hyperjax import checks
from hyperjax import networks
from hyperjax import seeds
from hyperjax import types
from hyperjax.agents import guards
from hyperjax.agents import td

# Indices that estimate mean and standard deviation where they have no closed
# form, and how many of them are evaluated together.
_NUM_DRAWS = 500
_TOGETHER = 50


def _moments(agent: td.TDAgent, params: types.Params, observation: Array):
  """Returns mean and deviation of the values over z, float32 [N, A] each."""
  network, index = agent.network, agent.index

  def of_one(s):
    encoding: Any = network.apply(params, s)
    value = lambda z: networks.value(network, params, encoding, z)
    if isinstance(network, networks.AffineValue):
      return acting.moments(index, value, encoding)
    values = jax.lax.map(
        lambda key: value(index.sample(key)),
        jax.random.split(jax.random.key(0), _NUM_DRAWS), batch_size=_TOGETHER)
    return jnp.mean(values, axis=0), jnp.std(values, axis=0)

  mean, std = jax.vmap(of_one)(observation)
  legal = networks.legal_actions(params)
  return networks.mask_illegal(params, mean), (
      std if legal is None else jnp.where(legal, std, 0.))


def _mean(agent, params, actor, observation, is_first):
  """Acts greedily for the mean of the values."""
  del is_first
  key, key_action = jax.random.split(actor.key)
  mean, _ = _moments(agent, params, observation)
  return actor._replace(key=key, steps=actor.steps + 1), acting.greedy(
      key_action, mean, networks.legal_actions(params))


def _evaluation(agent, params, actor, observation, is_first):
  """Acts as an evaluation of the agent does."""
  return agent.evaluate_action(params, actor, observation, is_first)


def _training(agent, params, actor, observation, is_first):
  """Acts as the agent does while it learns."""
  return agent.select_action(params, actor, observation, is_first)


# Of module level, so that a policy can be pickled.
_Way = Callable[..., tuple[types.ActorState, Array]]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _act(way, agent, params, actor, observation, is_first):
  return way(agent, params, actor, observation, is_first)


_values = jax.jit(_moments, static_argnums=0)


class Policy:
  """Acts by the weights of a trained agent, and does not learn.

  Its actions are those of an evaluation: for most agents greedy for one random
  index per episode, posterior sampling. `greedy` and `as_trained` return
  policies that act in other ways. Policies can be pickled and copied.

  Attributes:
    agent: agent whose policy this is.
    params: weights, see `types.Agent.acting_params`.
    updates: number of updates that the weights had.
  """

  def __init__(
      self, agent: types.Agent, params: types.Params, updates: int = 0,
      seed: seeds.Seed = 0):
    """Makes a policy.

    Args:
      agent: agent whose policy this is.
      params: weights, see `types.Agent.acting_params`.
      updates: number of updates that the weights had. Where exploration
        changes with time, `as_trained` explores as it did after them.
      seed: seed of the indices and of what else is random, 0..2**32 - 1.

    Raises:
      ValueError: if the weights are another agent's, or a number is invalid.
    """
    self.agent = checks.component(types.Agent, 'an agent')('agent', agent)
    guards.check_params(agent, params)
    self.params = jax.tree.map(jnp.asarray, dict(params))
    self.updates = checks.integer(0)('updates', updates)
    self._way: _Way = _evaluation
    self.reset(seed)

  def _with(self, way: _Way) -> 'Policy':
    policy = Policy(self.agent, self.params, self.updates)
    policy._way, policy._key = way, self._key
    return policy

  def greedy(self) -> 'Policy':
    """Returns the policy that is greedy for the mean of the values.

    Raises:
      ValueError: if the agent has no values, see `values`.
    """
    self._check_values()
    return self._with(_mean)

  def as_trained(self) -> 'Policy':
    """Returns the policy that explores as the agent did while it learned.

    For example with random actions (epsilon-greedy) or optimism. What changes
    with time is as it was for an agent in one environment.
    """
    return self._with(_training)

  def reset(self, seed: seeds.Seed | None = None):
    """Begins an episode, or one in each environment.

    Args:
      seed: seed of which all actions are a function from now on; None to go on
        with the random numbers.

    Raises:
      ValueError: if the seed is invalid.
    """
    if seed is not None:
      self._key = seeds.to_key(seed)
      self._actor: types.ActorState | None = None
    self._begins = True

  def select_action(
      self, observation: Any, is_first: Any = None) -> Any:
    """Returns the action at an observation, or at one of each environment.

    Args:
      observation: observation as the environment gives it, or N of them, [N,
        ...]. An agent of stacks of frames takes stacks. Every new N compiles a
        new program.
      is_first: whether the observations begin their episodes, bool [N]. By
        default those of the first call do, and those of the first call after
        `reset` or `observe_first`.

    Returns:
      The action, an int, for one observation; int32 [N] for several.

    Raises:
      ValueError: if the observation does not fit the agent's spec, or
        `is_first` does not fit the observations.
    """
    batch, is_single = self._batch(observation)
    num = len(batch)
    if self._actor is None or len(self._actor.index) != num:
      self._actor, self._begins = self._begin(num), True
    if is_first is None:
      begins = np.full(num, self._begins)
    else:
      begins = np.atleast_1d(np.asarray(is_first))
      if begins.shape != (num,) or begins.dtype != np.bool_:
        raise ValueError(
            f'is_first must be bool [{num}], as there are {num} observations, '
            f'got {is_first!r}')
    self._actor, action = _act(
        self._way, self.agent, self.params, self._actor, batch, begins)
    self._begins = False
    action = np.asarray(action)
    return int(action[0]) if is_single else action

  def values(
      self, observation: Any
  ) -> tuple[Float[np.ndarray, '*N A'], Float[np.ndarray, '*N A']]:
    """Returns mean and standard deviation over the index of Q(s, .; z).

    In closed form where the value is affine in the index, else over 500 draws.
    The unit is that of the rewards that the agent learned with: of their scale,
    if its config sets `reward_scaling`.

    Args:
      observation: s, or N of them, [N, ...].

    Returns:
      Both float32 [A], or [N, A]. An illegal action has the mean -inf and the
      standard deviation 0.

    Raises:
      ValueError: if the observation does not fit the agent's spec, or the agent
        has no values over an index.
    """
    self._check_values()
    batch, is_single = self._batch(observation)
    mean, std = jax.device_get(_values(self.agent, self.params, batch))
    return (mean[0], std[0]) if is_single else (mean, std)

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    """Begins an episode."""
    del timestep
    self.reset()

  def observe(self, action: Any, next_timestep: dm_env.TimeStep) -> None:
    """Does nothing: a policy does not learn."""

  def update(self, wait: bool = False) -> None:
    """Does nothing: a policy does not learn."""

  def _begin(self, num: int) -> types.ActorState:
    """Returns the state before the first action in N environments."""
    self._key, key = jax.random.split(self._key)
    if self._way is not _training:
      return self.agent.init_evaluation(key, num)
    config = self.agent.config
    steps = (config.warmup_steps + self.updates * config.update_period
             // config.updates_per_period)
    return self.agent.init_actor(key, num)._replace(
        steps=jnp.int32(min(steps, checks.INT32_MAX)))

  def _batch(self, observation: Any) -> tuple[np.ndarray, bool]:
    """Returns observations [N, ...], and whether there was one alone."""
    spec = self.agent.observation_spec
    array = np.asarray(observation)
    if array.shape == spec.shape:
      return spec.convert(array)[None], True
    batch = spec.convert(array, num_leading=1)
    if not len(batch):
      raise ValueError('expected at least one observation, got none')
    return batch, False

  def _check_values(self):
    if not isinstance(self.agent, td.TDAgent):
      raise ValueError(
          f'the agent must be a TDAgent to have values over an index, got '
          f'{type(self.agent).__name__}')
