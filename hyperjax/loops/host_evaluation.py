"""Whole episodes by the evaluation policy, in environments on the host."""

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, UInt
import numpy as np

from hyperjax import multihost
from hyperjax import types
from hyperjax.environments import vector
from hyperjax.loops import joined
from hyperjax.loops import processes
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


def evaluate(
    share: processes.Share, trainer: stream_trainer.StreamTrainer,
    training: joined.JoinedEnvironments, params: types.Params,
    eval_key: chex.PRNGKey,
    environments: Sequence[vector.VectorEnvironment], step: int,
) -> np.ndarray:
  """Returns the returns of E episodes of each agent, [G, E].

  Each process plays those of its own agents. The environments are closed
  afterwards, also after an error.

  Args:
    share: share of this process in the agents.
    trainer: trainer of the agents.
    training: environments that the agents are trained in.
    params: see `HostLoop.evaluate`.
    eval_key: see `HostState`, [G].
    environments: see `HostLoop.evaluate`.
    step: see `HostLoop.evaluate`.

  Raises:
    ValueError: if they are not E for each agent, task by task.
    vector.StalledError: on all processes, if an environment does not answer.
  """
  environments = joined.check_list(environments)
  try:
    training.check_copies(environments)
    num_agents = len(share.agents)
    num_episodes = sum(x.num_envs for x in environments) // num_agents
    together = joined.JoinedEnvironments(environments, num_episodes)
    evaluation = Evaluation(trainer, num_episodes)
    params, eval_key = share.own((params, eval_key))
    state = share.runs(Evaluation.init, evaluation, donate=False)(
        eval_key, jnp.full(num_agents, step % 2**32, jnp.uint32))
    returns, failure = None, None
    try:
      returns = _play(
          share.runs(Evaluation.act, evaluation), state, params, together)
    except vector.StalledError as error:
      if not multihost.is_many():
        raise
      failure = str(error)
    return share.rows(share.gather(returns, failure, vector.StalledError))
  finally:
    for environment in environments:
      environment.close()


def _play(
    act: Callable[..., Any], state: EvalState, params: types.Params,
    environments: joined.JoinedEnvironments,
) -> np.ndarray:
  """Plays one episode in each environment."""
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
