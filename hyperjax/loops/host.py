"""Many agents in environments that step on the host.

G agents (tasks times seeds), each in its own N environments, advance together.
In each round

  the device observes all time steps and chooses all actions, mapped over
  agents; the environments step while the device makes the updates due.

Updates are due after every `update_period` steps. Their batches are drawn from
all earlier time steps, and their weights act from the next round on. The result
of a run is a function of its seeds, independent of the speed of host and
device; it is equal bit for bit on one machine if its matrix products are. This
is the Sebulba architecture of Hessel et al. (2021). The agents are sharded over
devices, those of other processes included, see `hyperjax.loops.processes`.

  loop = HostLoop(agent, environments)
  state = loop.init(seeds)
  state, log = loop.run(state, 1000, env_steps=np.zeros(G, int))
"""

from collections.abc import Sequence
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
from hyperjax.loops import episodes as episodes_lib
from hyperjax.loops import host_evaluation
from hyperjax.loops import host_run
from hyperjax.loops import joined
from hyperjax.loops import mapping
from hyperjax.loops import processes
from hyperjax.loops import stream_trainer
from hyperjax.loops.host_run import HostLog


class HostLoop:
  """Runs G independent agents, each in N environments on the host.

  The environments belong to the loop, not to the state: they are not saved.
  In a job of several processes each has the environments of its own agents, and
  all make the same calls. States, logs, counts and returns are of all G agents.

  Attributes:
    num_agents: G.
    num_actions: number of actions in each agent's environments, int [G].
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
        agent of the task; in a job of several processes for the agents of this
        one, see `processes.own_agents`.
      num_envs: N, number of environments per agent.
      replay_capacity: number of time steps kept per agent; by default that of
        the agent's config.
      devices: devices that the agents are spread over, see `mapping.RunMap`.

    Raises:
      ValueError: if agent and environments do not fit, or the devices of
        several processes do not divide the agents.
    """
    self.agent = agent
    self.environments = joined.JoinedEnvironments(environments, num_envs)
    # Vectorized also on a CPU: sequential runs would copy each agent's state at
    # every step. Functions of classes, so that equal agents share programs.
    self._all = mapping.RunMap(devices, vectorize=True)
    own_actions = self.environments.num_actions
    self._share = processes.Share(self._all, len(own_actions))
    self._mapped = self._share.runs
    self.num_agents = self._share.num_agents
    self.num_actions = self._share.rows(self._share.gather(own_actions, None))
    most = int(self.num_actions.max())
    if agent.num_actions != most:
      raise ValueError(
          f'the agent has {agent.num_actions} actions, the environments at '
          f'most {most}')
    self.trainer = stream_trainer.StreamTrainer(
        agent, num_envs, replay_capacity,
        stacked=stream_trainer.is_stacked(
            agent, self.environments.observation_spec))
    self._host_run = host_run.HostRun(self.trainer)
    self.last_state: host_run.HostState | None = None
    self._refill_steps = 0
    self._counter = episodes_lib.EpisodeCounter(
        self._share.agents, num_envs)

  def init(self, seeds: seeds_lib.Seeds) -> host_run.HostState:
    """Returns the state before the first step.

    Args:
      seeds: seed of each agent, G in total, equal ones only in different tasks.

    Raises:
      ValueError: if there are not G seeds, one is invalid, or one occurs twice
        in a task.
      MemoryError: if the state, or what updates need besides it, does not fit
        into the devices' memory.
    """
    arguments = [x[self._share.agents] for x in self._init_arguments(seeds)]
    self.environments.check_seeds(arguments[0])
    self._refill_steps = 0
    self.environments.forget()
    run = self._host_run
    # The largest program. It is compiled before anything is allocated, for the
    # log that a chunk begins with.
    self._mapped.check_program(
        self.check_memory(), host_run.HostRun.learn, run,
        args=(self._share.abstract(
            lambda *x: run.clear_log(run.init(*x)), *arguments),))
    return self._share.whole(self._mapped(
        host_run.HostRun.init, run, donate=False)(*arguments))

  def abstract_state(self, seeds: seeds_lib.Seeds) -> host_run.HostState:
    """Returns the shapes and shardings of `init`'s state; allocates nothing."""
    return self._all.abstract(
        self._host_run.init, self.num_agents, *self._init_arguments(seeds))

  def _init_arguments(self, seeds):
    if len(seeds) != self.num_agents:
      raise ValueError(
          f'expected a seed for each of {self.num_agents} agents, got '
          f'{len(seeds)}')
    legal = (np.arange(self.agent.num_actions)
             < self.num_actions[:, None])
    return seeds_lib.check_seeds(seeds), legal

  def check_memory(self, saved: bool = False) -> list[memory.Need]:
    """Checks that the state fits into memory; allocates and compiles nothing.

    Args:
      saved: see `mapping.RunMap.check_state`.

    Returns:
      What the state needs.

    Raises:
      MemoryError: if the state does not fit, with a table of what needs what.
    """
    return self._all.check_state(
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
            jnp.zeros(len(self._share.agents)))
    return state._replace(train=state.train._replace(
        replay=self._share.whole(empty)))

  def run(
      self, state: host_run.HostState, num_steps: int, env_steps: np.ndarray
  ) -> tuple[host_run.HostState, HostLog]:
    """Advances every environment of every agent.

    Args:
      state: state before the chunk. Its memory is reused, so do not use the
        state afterwards. If it is not the one that the last chunk returned,
        such as one from a checkpoint, all environments begin new episodes.
      num_steps: number of steps of each environment, including those that only
        begin an episode.
      env_steps: number of earlier steps per agent, without those that only
        begin an episode, int32 or int64 [G]. The array is updated in place.

    Returns:
      The state after the chunk, and its log.

    Raises:
      ValueError: if `num_steps` or `env_steps` is invalid, or the chunk trained
        with invalid actions or discounts (see `hyperjax.faults`).
      FloatingPointError: if it trained with rewards or observations that are
        not finite. `last_state` has the state, as after every fault.
      vector.StalledError: if the environments fail to begin; the state is then
        untouched.
      multihost.ProcessError: on all processes of several, if the environments
        of one fail to begin or stall. The processes agree after each chunk, not
        after each step, which would make every step wait for the slowest; so
        the others have gone on, and only an earlier checkpoint is whole.
    """
    checks.COUNT('num_steps', num_steps)
    episodes_lib.check_env_steps(env_steps, self.num_agents)
    start = time.monotonic()
    share, failure = self._share, None
    waited = {'environments': 0., 'device': 0.}
    ended = []  # Episodes of this process, step by step.
    own_steps = (env_steps if len(share.agents) == self.num_agents
                 else env_steps[share.agents])
    done = host_run.num_time_steps(state) // self.trainer.num_envs
    warmup_steps = self.trainer.warmup_steps
    learn = self._mapped(host_run.HostRun.learn, self._host_run)
    self.last_state = state
    try:
      arrival = self.environments.arrival(done)
    except vector.StalledError as error:
      share.gather(None, str(error))  # The others go on until then.
      raise
    self._counter.begin(arrival[1])
    state = share.own(state)
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
        with host_run.timed(waited, 'device'):
          action = np.asarray(action)
        try:
          self.environments.send(action)
          with host_run.timed(waited, 'environments'):
            timestep = self.environments.recv()
        except vector.StalledError as error:
          failure = str(error)
          break
        ended.append(self._counter.count(timestep, own_steps))
        arrival = (action, timestep)
    finally:
      # Set after an interrupt too.
      done_state = self.last_state = share.whole(
          host_run.without_metrics(state))
    if failure is None:  # What has stalled cannot go on.
      self.environments.keep(done + num_steps, *arrival)
    with host_run.timed(waited, 'device'):
      update_log = jax.device_get(state.log)
    episodes, counts, logs = zip(*share.gather(
        (ended, own_steps, update_log), failure), strict=True)
    env_steps[:], update_log = share.rows(counts), share.rows(logs)
    faults.check(done_state, ignored=faults.LOGGED)  # The log has the others.
    return done_state, host_run.host_log(
        episodes_lib.in_order(episodes), update_log, time.monotonic() - start,
        waited, failure)

  def evaluate(
      self, params: types.Params, state: host_run.HostState,
      environments: Sequence[vector.VectorEnvironment], step: int,
  ) -> np.ndarray:
    """Returns the returns of whole episodes, played by the evaluation policy.

    The state does not change.

    Args:
      params: weights of each agent, see `types.Agent.acting_params`.
      state: state of the same agents, of which only the evaluation keys are
        read.
      environments: fresh environments in the order of the loop's own, for the
        same agents, with E copies per agent. They are closed afterwards, also
        after an error.
      step: number of the evaluation; its randomness is a function of this
        number and the seed.

    Returns:
      Undiscounted sums of the environments' own rewards, [G, E].

    Raises:
      ValueError: if they are not E for each agent, task by task.
      vector.StalledError: on all processes, if an environment does not answer.
    """
    return host_evaluation.evaluate(
        self._share, self.trainer, self.environments, params, state.eval_key,
        environments, step)

  def close(self):
    """Closes the environments."""
    self.environments.close()
