"""The interface of bandit agents, and their regret."""

from typing import Any, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hyperjax import checks
from hyperjax.bandits import problems

AgentState = Any


@runtime_checkable
class Agent(Protocol):
  """An agent in linear bandits.

  All methods are pure functions; implementations are frozen and hashable.
  """

  def init(self, key: chex.PRNGKey) -> AgentState:
    """Returns the state before the first step."""
    ...

  def act(
      self, state: AgentState, actions: problems.Actions, key: chex.PRNGKey
  ) -> Float[Array, ' d']:
    """Returns the next action, float32 [d]."""
    ...

  def update(
      self, state: AgentState, x: Float[Array, ' d'], y: Float[Array, ''],
      key: chex.PRNGKey,
  ) -> AgentState:
    """Returns the state after the reward y of the action x."""
    ...


def run(
    agent: Agent, problem: problems.Problem, key: chex.PRNGKey, num_steps: int
) -> tuple[AgentState, Float[Array, ' T']]:
  """Runs an agent, and returns its expected regret in every step.

  The noise of the reward in step t is a function of (key, t), the same for all
  agents, so that runs with the same key are paired.

  Args:
    agent: the agent.
    problem: the bandit.
    key: PRNG key of the run.
    num_steps: T, number of steps.

  Returns:
    The last state, and max_x <x, theta> - <x_t, theta>, float32 [T].

  Raises:
    ValueError: if the number of steps is negative.
  """
  checks.integer(0)('num_steps', num_steps)
  best = problem.actions.best(problem.theta) @ problem.theta
  key_init, key_steps = jax.random.split(key)

  def step(state, t):
    key_act, key_update, key_noise = jax.random.split(
        jax.random.fold_in(key_steps, t), 3)
    x = agent.act(state, problem.actions, key_act)
    mean = x @ problem.theta
    y = mean + problem.noise_std * jax.random.normal(key_noise)
    return agent.update(state, x, y, key_update), best - mean

  return jax.lax.scan(step, agent.init(key_init), jnp.arange(num_steps))
