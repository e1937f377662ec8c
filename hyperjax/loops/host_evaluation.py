"""Whole episodes by the evaluation policy, in environments on the host."""

from collections.abc import Callable
import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, UInt
import numpy as np

from hyperjax import types
from hyperjax.environments import vector
from hyperjax.loops import joined
from hyperjax.loops import stream_trainer


class EvalState(NamedTuple):
  """State of an agent that is evaluated in E episodes together.

  Attributes:
    actor: actor's state of the evaluation.
    observation: current observation of each episode, [E, ...].
  """

  actor: types.ActorState
  observation: Array


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Pure functions that play E episodes by the evaluation policy.

  Attributes:
    trainer: agent's trainer.
    num_episodes: E.
  """

  trainer: stream_trainer.StreamTrainer
  num_episodes: int

  def init(self, eval_key: chex.PRNGKey, step: UInt[Array, '']) -> EvalState:
    """Returns the state before the first time step.

    Args:
      eval_key: PRNG key of evaluations, see `HostState`.
      step: number that distinguishes evaluations, uint32 [].
    """
    return EvalState(
        self.trainer.init_evaluation(
            jax.random.fold_in(eval_key, step), self.num_episodes),
        self.trainer.init_observation(self.num_episodes))

  def act(
      self, state: EvalState, params: types.Params,
      timestep: vector.VectorTimeStep,
  ) -> tuple[EvalState, Int[Array, ' E']]:
    """Chooses actions at new time steps.

    Args:
      state: state before the step.
      params: Flax variables of the acting weights.
      timestep: time steps, each field [E, ...].

    Returns:
      The state after the step, and the actions, int32 [E].
    """
    observation = self.trainer.next_observation(state.observation, timestep)
    actor, action = self.trainer.agent.evaluate_action(
        params, state.actor, observation,
        jnp.zeros(self.num_episodes, bool))
    return EvalState(actor, observation), action


def play(
    act: Callable[..., Any], state: EvalState, params: types.Params,
    environments: joined.JoinedEnvironments,
) -> np.ndarray:
  """Returns the returns of one episode in each environment, [G, E].

  Args:
    act: `Evaluation.act`, mapped over agents.
    state: state of each agent before the first time step.
    params: weights of each agent.
    environments: fresh environments, [G, E]. They are closed afterwards.

  Raises:
    vector.StalledError: if an environment does not answer.
  """
  try:
    timestep = environments.reset()
    returns = np.zeros(timestep.score.shape)
    alive = np.ones_like(returns, bool)
    while True:
      returns += np.where(alive, timestep.score, 0.)
      alive &= ~timestep.last()
      if not alive.any():
        return returns
      state, action = act(state, params, timestep)
      environments.send(np.asarray(action))
      timestep = environments.recv()
  finally:
    environments.close()
