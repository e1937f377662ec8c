"""Pure functions of a run whose environments step on the host.

`host` compiles these functions and maps them over agents.
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import dataclasses
import time
from typing import NamedTuple

import chex
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int
import numpy as np

from hyperjax.environments import vector
from hyperjax.loops import chunk_log
from hyperjax.loops import episodes
from hyperjax.loops import seed_run
from hyperjax.loops import stream_trainer
from hyperjax.loops import trainer as trainer_lib


class UpdateLog(NamedTuple):
  """Log of the updates since it was cleared.

  Attributes:
    loss: sum of the losses, float32 [].
    num_updates: number of updates, int32 [].
    first_nonfinite: number of the first update with a non-finite loss, counted
      over the whole run, int32 []; -1 if there is none.
    metrics: sums of the other metrics by name, float32 [] each; empty outside a
      chunk.
  """

  loss: Float[Array, '...']
  num_updates: Int[Array, '...']
  first_nonfinite: Int[Array, '...']
  metrics: dict[str, Float[Array, '...']]


class HostLog(NamedTuple):
  """Log of a chunk of steps.

  Attributes:
    episodes: episodes that ended in the chunk, in order.
    loss: mean over the chunk's updates, [G]; NaN if there were none.
    num_updates: number of updates per agent.
    first_nonfinite: see `UpdateLog`, [G].
    seconds: duration of the chunk; this and the next two are of this process.
    waited_for_environments: seconds in which the host waited for time steps.
    waited_for_device: seconds in which the host waited for actions.
    metrics: mean over the chunk's updates of each other number that the agent's
      `update` reports, by name, [G] each; NaN if there were none.
    failure: reason why environments ended the chunk early, or None. After a
      failure the state is complete, but the loop unusable. Always None in a job
      of several processes, where `run` raises an error.
  """

  episodes: list[episodes.Episode]
  loss: np.ndarray
  num_updates: int
  first_nonfinite: np.ndarray
  seconds: float
  waited_for_environments: float
  waited_for_device: float
  metrics: dict[str, np.ndarray]
  failure: str | None = None


def host_log(
    ended: Sequence[episodes.Episode], updates: UpdateLog, seconds: float,
    waited: Mapping[str, float], failure: str | None) -> HostLog:
  """Returns the log of a chunk.

  Args:
    ended: see `HostLog.episodes`.
    updates: log of the updates of all agents, in NumPy arrays [G].
    seconds: see `HostLog`.
    waited: seconds that the host waited for 'environments' and 'device'.
    failure: see `HostLog`.
  """
  count = updates.num_updates
  return HostLog(
      episodes=list(ended), loss=chunk_log.mean(updates.loss, count),
      num_updates=int(count[0]),
      metrics={name: chunk_log.mean(x, count)
               for name, x in updates.metrics.items()},
      first_nonfinite=np.asarray(updates.first_nonfinite), seconds=seconds,
      waited_for_environments=waited['environments'],
      waited_for_device=waited['device'], failure=failure)


@contextlib.contextmanager
def timed(waited: dict[str, float], side: str) -> Iterator[None]:
  """Adds the seconds that a block takes to those of one side."""
  start = time.monotonic()
  yield
  waited[side] += time.monotonic() - start


class HostState(NamedTuple):
  """The device's part of a run; every leaf has a leading axis [G].

  Attributes:
    train: agent's state with the acting weights, see `trainer.TrainState`.
    observation: current observation of each environment, [N, ...].
    log: log of the updates since the chunk began.
    eval_key: PRNG key, constant; the randomness of an evaluation is a function
      of this key and the step.
  """

  train: trainer_lib.TrainState
  observation: Array
  log: UpdateLog
  eval_key: chex.PRNGKey


@dataclasses.dataclass(frozen=True)
class HostRun:
  """Pure functions over the `HostState` of one agent, without the axis [G].

  Attributes:
    trainer: agent with its replay, in N environments.
  """

  trainer: stream_trainer.StreamTrainer

  def init(self, seed: Array, legal: Bool[Array, ' A']) -> HostState:
    """Returns the state before the first time step.

    Args:
      seed: seed of the run, uint32 [].
      legal: mask of the actions that the environment has, bool [A].
    """
    agent_key, _, eval_key = seed_run.run_keys(seed)
    return HostState(
        train=self.trainer.init(agent_key, legal),
        observation=self.trainer.init_observation(self.trainer.num_envs),
        log=_empty_log(),
        eval_key=eval_key)

  def clear_log(self, state: HostState) -> HostState:
    """Returns the state with an empty log."""
    return state._replace(log=_empty_log()._replace(
        metrics=chunk_log.empty_metrics(self.trainer.learn, state.train)))

  def step(
      self, warmup: bool, state: HostState, action: Int[Array, ' N'],
      timestep: vector.VectorTimeStep,
  ) -> tuple[HostState, Int[Array, ' N']]:
    """Observes a time step of each environment and chooses the next actions.

    Args:
      warmup: whether the actions are uniformly random.
      state: state before the step.
      action: actions that led to the time steps, int32 [N].
      timestep: time steps, each field [N, ...].

    Returns:
      The state after the step, and the next actions, int32 [N].
    """
    train = self.trainer.observe(
        state.train, state.observation, action, timestep)
    observation = self.trainer.next_observation(state.observation, timestep)
    if warmup:
      train, action = self.trainer.warm_up(train)
    else:
      # To the agent a life is an episode, with its own index.
      begins = timestep.first() | (timestep.discount == 0.)
      train, action = self.trainer.act(train, observation, begins)
    return state._replace(train=train, observation=observation), action

  def learn(self, state: HostState) -> HostState:
    """Makes the updates that are due, each on its own batch."""
    first = state.train.learner.steps
    train, metrics = self.trainer.learn(state.train, unroll=True)
    loss, log = metrics['loss'], state.log
    return state._replace(train=train, log=UpdateLog(
        log.loss + jnp.sum(loss),
        log.num_updates + loss.shape[0],
        chunk_log.first_nonfinite(log.first_nonfinite, first, loss),
        chunk_log.add_metrics(log.metrics, metrics)))


def num_time_steps(state: HostState) -> int:
  """Returns the number of time steps per agent, equal for all agents.

  In a job of several processes each reads those of its own agents.
  """
  return int(np.asarray(state.train.num_transitions.addressable_data(0))[0])


def _empty_log() -> UpdateLog:
  return UpdateLog(jnp.float32(0.), jnp.int32(0), jnp.int32(-1), {})


def without_metrics(state: HostState) -> HostState:
  """Returns the state as it is between chunks, and in checkpoints."""
  return state._replace(log=state.log._replace(metrics={}))
