"""Many agents in environments that step on the host.

G agents (tasks times seeds), each in its own N environments, advance together.
In each round

  the device observes all time steps and chooses all actions, mapped over
  agents; the environments step while the device makes the updates due.

Updates are due after every `update_period` steps. Their batches are drawn from
all earlier time steps, and their weights act from the next round on. The result
of a run is a function of its seeds, independent of the speed of host and
device; it is equal bit for bit on one machine if its matrix products are. This
is the Sebulba architecture of Hessel et al. (2021).

  loop = HostLoop(agent, environments)
  state = loop.init(seeds)
  state, log = loop.run(state, 1000, env_steps=np.zeros(G, int))
"""

from collections.abc import Iterator, Sequence
import contextlib
import time

import jax
import jax.numpy as jnp
import numpy as np

from hyperjax import checks
from hyperjax import faults
from hyperjax import memory
from hyperjax import seeds as seeds_lib
from hyperjax import types
from hyperjax.environments import vector
from hyperjax.loops import chunk_log
from hyperjax.loops import episodes as episodes_lib
from hyperjax.loops import host_evaluation
from hyperjax.loops import host_run
from hyperjax.loops import joined
from hyperjax.loops import mapping
from hyperjax.loops import stream_trainer
from hyperjax.loops.host_run import HostLog


@contextlib.contextmanager
def _timed(waited: dict[str, float], side: str) -> Iterator[None]:
  """Adds the seconds that a block takes to those of one side."""
  start = time.monotonic()
  yield
  waited[side] += time.monotonic() - start


class HostLoop:
  """Runs G independent agents, each in N environments on the host.

  The environments belong to the loop, not to the state: they are not saved.

  Attributes:
    last_state: newest complete state, also after an interrupt of `run`, from
      which the environments begin anew.
  """

  def __init__(
      self,
      agent: types.Agent,
      environments: Sequence[vector.VectorEnvironment],
      num_envs: int = 1,
      replay_capacity: int | None = None,
      devices: Sequence[jax.Device] | None = None,
  ):
    """Makes a loop; compiles nothing yet.

    Args:
      agent: agent of every run, with the largest number of actions of all
        tasks; in other tasks a mask marks the legal ones. It observes what the
        environments show, or stacks of it.
      environments: vector environments of one task each, with N copies per
        agent of the task.
      num_envs: N, number of environments per agent.
      replay_capacity: number of time steps kept per agent; by default that of
        the agent's config.
      devices: devices that the agents are spread over, see `mapping.RunMap`.

    Raises:
      ValueError: if agent and environments do not fit.
    """
    self.agent = agent
    self.environments = joined.JoinedEnvironments(environments, num_envs)
    self.num_agents = len(self.environments.num_actions)
    most = int(self.environments.num_actions.max())
    if agent.num_actions != most:
      raise ValueError(
          f'the agent has {agent.num_actions} actions, the environments at '
          f'most {most}')
    self.trainer = stream_trainer.StreamTrainer(
        agent, num_envs, replay_capacity,
        stacked=stream_trainer.is_stacked(
            agent, self.environments.observation_spec))
    self._host_run = host_run.HostRun(self.trainer)
    # Vectorized also on a CPU: sequential runs would copy each agent's state at
    # every step. Functions of classes, so that equal agents share programs.
    self._mapped = mapping.RunMap(devices, vectorize=True)
    self.last_state: host_run.HostState | None = None
    self._arrival, self._refill_steps = None, 0
    self._counter = episodes_lib.EpisodeCounter(self.num_agents, num_envs)

  def init(self, seeds: seeds_lib.Seeds) -> host_run.HostState:
    """Returns the state before the first step.

    Args:
      seeds: seed of each agent, G in total, equal ones only in different tasks.

    Raises:
      ValueError: if there are not G seeds, or one is invalid.
      MemoryError: if the state, or what updates need besides it, does not fit
        into the devices' memory.
    """
    arguments = self._init_arguments(seeds)
    # The largest program. It is compiled before anything is allocated.
    self._mapped.check_program(
        self.check_memory(), host_run.HostRun.learn, self._host_run,
        args=(self.abstract_state(seeds),))
    return self._mapped(host_run.HostRun.init, self._host_run, donate=False)(
        *arguments)

  def abstract_state(self, seeds: seeds_lib.Seeds) -> host_run.HostState:
    """Returns the shapes and shardings of `init`'s state; allocates nothing."""
    return self._mapped.abstract(
        self._host_run.init, self.num_agents, *self._init_arguments(seeds))

  def _init_arguments(self, seeds):
    if len(seeds) != self.num_agents:
      raise ValueError(
          f'expected a seed for each of {self.num_agents} agents, got '
          f'{len(seeds)}')
    legal = (np.arange(self.agent.num_actions)
             < self.environments.num_actions[:, None])
    return jnp.asarray(seeds_lib.check_seeds(seeds)), jnp.asarray(legal)

  def check_memory(self, saved: bool = False) -> list[memory.Need]:
    """Checks that the state fits into memory; allocates and compiles nothing.

    Args:
      saved: see `mapping.RunMap.check_state`.

    Returns:
      What the state needs.

    Raises:
      MemoryError: if the state does not fit, with a table of what needs what.
    """
    return self._mapped.check_state(
        self.abstract_state(range(self.num_agents)), self.num_agents,
        saved=saved)

  def refill_replay(self, state: host_run.HostState) -> host_run.HostState:
    """Returns the state with an empty replay, for a run saved without one.

    The agent continues to act, but does not learn until the replay again holds
    the time steps of a warm-up.
    """
    self._refill_steps = self.trainer.warmup_steps
    empty = self._mapped(
        lambda seed: self.trainer.replay.init(), donate=False)(
            jnp.zeros(self.num_agents))
    return state._replace(train=state.train._replace(replay=empty))

  def run(
      self, state: host_run.HostState, num_steps: int, env_steps: np.ndarray
  ) -> tuple[host_run.HostState, HostLog]:
    """Advances every environment of every agent.

    Args:
      state: state before the chunk. Its memory is reused, so do not use the
        state afterwards.
      num_steps: number of steps of each environment, including those that only
        begin an episode.
      env_steps: number of earlier steps per agent, without those that only
        begin an episode, int [G]. The array is updated in place.

    Returns:
      The state after the chunk, and its log.

    Raises:
      ValueError: if `num_steps` or `env_steps` is invalid, or the chunk trained
        with invalid actions or discounts (see `hyperjax.faults`).
      FloatingPointError: if it trained with rewards or observations that are
        not finite. `last_state` has the state, as after every fault.
      vector.StalledError: if the environments fail to begin; the state is then
        untouched.
    """
    checks.COUNT('num_steps', num_steps)
    if np.shape(env_steps) != (self.num_agents,) or not isinstance(
        env_steps, np.ndarray):
      raise ValueError(
          f'env_steps must be an array [{self.num_agents}], got {env_steps}')
    start = time.monotonic()
    failure = None
    waited = {'environments': 0., 'device': 0.}
    episodes = []
    done = int(state.train.num_transitions[0]) // self.trainer.num_envs
    warmup_steps = self.trainer.warmup_steps
    learn = self._mapped(host_run.HostRun.learn, self._host_run)
    self.last_state = state
    if self._arrival is None:
      self._arrival = (
          np.zeros((self.num_agents, self.trainer.num_envs), np.int32),
          self.environments.reset())
    arrival, self._arrival = self._arrival, None
    try:
      state = self._mapped(host_run.HostRun.clear_log, self._host_run)(state)
      for step in range(done, done + num_steps):
        warmup = step < warmup_steps
        state, action = self._mapped(
            host_run.HostRun.step, self._host_run, warmup)(state, *arrival)
        # Queued before the host waits for the actions, so that the device does
        # not wait for the host.
        if self._refill_steps:
          self._refill_steps -= 1
        elif not warmup and not (
            step + 1 - warmup_steps) % self.trainer.update_period:
          state = learn(state)
        with _timed(waited, 'device'):
          action = np.asarray(action)
        try:
          self.environments.send(action)
          with _timed(waited, 'environments'):
            timestep = self.environments.recv()
        except vector.StalledError as error:
          failure = str(error)
          break
        episodes += self._counter.count(timestep, env_steps)
        arrival = (action, timestep)
    finally:
      # Set after an interrupt too.
      done_state = self.last_state = host_run.without_metrics(state)
    self._arrival = arrival
    with _timed(waited, 'device'):
      update_log = jax.device_get(state.log)
    faults.check(state, ignored=faults.LOGGED)  # The log has the others.
    num_updates = update_log.num_updates
    return done_state, HostLog(
        episodes=episodes, loss=chunk_log.mean(update_log.loss, num_updates),
        num_updates=int(num_updates[0]),
        metrics={name: chunk_log.mean(x, num_updates)
                 for name, x in update_log.metrics.items()},
        first_nonfinite=update_log.first_nonfinite,
        seconds=time.monotonic() - start,
        waited_for_environments=waited['environments'],
        waited_for_device=waited['device'], failure=failure)

  def evaluate(
      self, params: types.Params, state: host_run.HostState,
      environments: Sequence[vector.VectorEnvironment], step: int,
  ) -> np.ndarray:
    """Returns the returns of whole episodes, played by the evaluation policy.

    The state does not change.

    Args:
      params: weights of each agent, such as `LearnerState.params`.
      state: state of the same agents, of which only the evaluation keys are
        read.
      environments: fresh environments in the order of the loop's own, with E
        copies per agent. They are closed afterwards.
      step: number of the evaluation; its randomness is a function of this
        number and the seed.

    Returns:
      Undiscounted sums of the environments' own rewards, [G, E].

    Raises:
      vector.StalledError: if an environment does not answer.
    """
    num_episodes = sum(x.num_envs for x in environments) // self.num_agents
    together = joined.JoinedEnvironments(environments, num_episodes)
    evaluation = host_evaluation.Evaluation(self.trainer, num_episodes)
    eval_state = self._mapped(
        host_evaluation.Evaluation.init, evaluation, donate=False)(
            state.eval_key,
            jnp.full(self.num_agents, step % 2**32, jnp.uint32))
    return host_evaluation.play(
        self._mapped(host_evaluation.Evaluation.act, evaluation), eval_state,
        params, together)

  def close(self):
    """Closes the environments."""
    self.environments.close()
