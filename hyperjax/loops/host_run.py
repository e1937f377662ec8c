"""The run of one agent whose environments step on the host, as pure functions.

What `host` compiles and maps over agents.
"""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt

from hyperjax import types
from hyperjax.environments import vector
from hyperjax.loops import seed_run
from hyperjax.loops import trainer as trainer_lib


class UpdateLog(NamedTuple):
  """What became of the updates since the log was cleared.

  Attributes:
    loss: their sum, float32 [].
    num_updates: int32 [].
    first_nonfinite: the number of the first whose loss was not finite, counted
      over the whole run, int32 []; -1 if all were.
  """

  loss: Float[Array, '...']
  num_updates: Int[Array, '...']
  first_nonfinite: Int[Array, '...']


class HostState(NamedTuple):
  """All that a run has on the device; every leaf has a leading axis [G].

  Attributes:
    train: the agent, see `trainer.TrainState`. Its weights are those that act.
    observation: what each environment shows, [N, ...].
    log: of the updates since the chunk began.
    eval_key: constant; the randomness of an evaluation is a function of it.
  """

  train: trainer_lib.TrainState
  observation: Array
  log: UpdateLog
  eval_key: chex.PRNGKey


@dataclasses.dataclass(frozen=True)
class HostRun:
  """Pure functions over the `HostState` of one agent, without the axis [G].

  Attributes:
    trainer: the agent with its replay, in N environments.
  """

  trainer: trainer_lib.StreamTrainer

  def init(self, seed: Array, legal: Bool[Array, ' A']) -> HostState:
    """Returns the state before the first time step.

    Args:
      seed: uint32 [].
      legal: which of the agent's actions its environment has.
    """
    agent_key, _, eval_key = seed_run.run_keys(seed)
    return HostState(
        train=self.trainer.init(agent_key, legal),
        observation=self.trainer.init_observation(self.trainer.num_envs),
        log=_empty_log(),
        eval_key=eval_key)

  def clear_log(self, state: HostState) -> HostState:
    """Returns the state with an empty log."""
    return state._replace(log=_empty_log())

  def step(
      self, warmup: bool, state: HostState, action: Int[Array, ' N'],
      timestep: vector.VectorTimeStep,
  ) -> tuple[HostState, Int[Array, ' N']]:
    """Takes in a time step of each environment, and acts on it.

    Args:
      warmup: whether the actions are uniformly random.
      state: before.
      action: that led to the time step, int32 [N].
      timestep: [N].
    """
    train = self.trainer.observe(
        state.train, state.observation, action, timestep)
    observation = self.trainer.next_observation(state.observation, timestep)
    if warmup:
      train, action = self.trainer.warm_up(train)
    else:
      # A life is an episode to the agent: it has an index of its own.
      begins = timestep.first() | (timestep.discount == 0.)
      train, action = self.trainer.act(train, observation, begins)
    return state._replace(train=train, observation=observation), action

  def learn(self, state: HostState) -> HostState:
    """Makes the updates that are owed, each on a batch of its own."""
    first = state.train.learner.steps
    train, metrics = self.trainer.learn(state.train, unroll=True)
    loss, log = metrics['loss'], state.log
    return state._replace(train=train, log=UpdateLog(
        log.loss + jnp.sum(loss),
        log.num_updates + loss.shape[0],
        trainer_lib.first_nonfinite(log.first_nonfinite, first, loss)))


def _empty_log() -> UpdateLog:
  return UpdateLog(jnp.float32(0.), jnp.int32(0), jnp.int32(-1))


class EvalState(NamedTuple):
  """An agent that is evaluated in E episodes side by side.

  Attributes:
    actor: of the evaluation.
    observation: what each episode shows, [E, ...].
  """

  actor: types.ActorState
  observation: Array


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Pure functions that play E episodes as the agent is judged.

  Attributes:
    trainer: the agent's.
    num_episodes: E.
  """

  trainer: trainer_lib.StreamTrainer
  num_episodes: int

  def init(self, eval_key: chex.PRNGKey, step: UInt[Array, '']) -> EvalState:
    """Returns the state before the first time step.

    Args:
      eval_key: see `HostState`.
      step: number that tells evaluations apart, uint32 [].
    """
    return EvalState(
        self.trainer.init_evaluation(
            jax.random.fold_in(eval_key, step), self.num_episodes),
        self.trainer.init_observation(self.num_episodes))

  def act(
      self, state: EvalState, params: types.Params,
      timestep: vector.VectorTimeStep,
  ) -> tuple[EvalState, Int[Array, ' E']]:
    """Chooses actions after new time steps [E]."""
    observation = self.trainer.next_observation(state.observation, timestep)
    actor, action = self.trainer.agent.evaluate_action(
        params, state.actor, observation,
        jnp.zeros(self.num_episodes, bool))
    return EvalState(actor, observation), action
