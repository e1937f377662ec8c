"""Many agents in environments that step on the host, together (Sebulba).

G agents (tasks times seeds), each in N environments of its own, advance in
lockstep. In each round

  the device takes in all time steps and chooses all actions, mapped over
  agents; the environments step, while the device makes the updates owed.

Updates are owed every few rounds. Their batches are drawn from all time steps
so far, and their weights act from the next round on. What a run computes is a
function of its seeds and does not depend on which of both sides is faster; bit
for bit on one machine, as far as its matrix products are. (Hessel et al., 2021,
call an architecture that acts and learns on accelerators beside environments
on the host Sebulba.)

  loop = HostLoop(agent, environments)
  state = loop.init(seeds)
  state, log = loop.run(state, 1000, env_steps=np.zeros(G, int))
"""

from collections.abc import Iterator, Sequence
import contextlib
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hyperjax import replay as replay_lib
from hyperjax import seeds as seeds_lib
from hyperjax import specs
from hyperjax import types
from hyperjax.environments import vector
from hyperjax.loops import host_run
from hyperjax.loops import joined
from hyperjax.loops import mapping
from hyperjax.loops import trainer as trainer_lib


class Episode(NamedTuple):
  """An episode that ended.

  Attributes:
    agent: whose it was, of 0..G-1.
    env_steps: of all environments of that agent so far.
    episode_return: sum of the environment's own rewards.
    length: in steps.
  """

  agent: int
  env_steps: int
  episode_return: float
  length: int


class HostLog(NamedTuple):
  """What a chunk of steps reports.

  Attributes:
    episodes: that ended in it, in order.
    loss: mean over the chunk's updates, [G]; NaN without any.
    num_updates: of each agent.
    first_nonfinite: see `host_run.UpdateLog`, [G].
    seconds: that the chunk took.
    waited_for_environments: seconds of these in which the host had nothing to
      do but wait for time steps.
    waited_for_device: and for actions.
    failure: why the chunk ended early, if it did: environments that stalled or
      died. The state is whole, but the loop is of no more use.
  """

  episodes: list[Episode]
  loss: np.ndarray
  num_updates: int
  first_nonfinite: np.ndarray
  seconds: float
  waited_for_environments: float
  waited_for_device: float
  failure: str | None = None


@contextlib.contextmanager
def _timed(waited: dict[str, float], side: str) -> Iterator[None]:
  start = time.monotonic()
  yield
  waited[side] += time.monotonic() - start


class HostLoop:
  """Runs G independent agents, each in N environments on the host.

  The environments belong to the loop and not to the state: they cannot be
  saved, and begin anew with a loop.

  Attributes:
    last_state: newest whole state; what `run` has reached when it is
      interrupted. The environments then begin anew.
  """

  def __init__(
      self,
      agent: types.Agent,
      environments: Sequence[vector.VectorEnvironment],
      num_envs: int = 1,
      replay_capacity: int | None = None,
      devices: Sequence[jax.Device] | None = None,
  ):
    """Compiles nothing yet.

    Args:
      agent: of every run, with as many actions as the task that has most. The
        others are told which of them are legal, but their first weights are
        those of an agent with all. Its observations are those of the
        environments, or stacks of them.
      environments: each of one task, with N copies for each agent in it.
      num_envs: N, environments for each agent.
      replay_capacity: time steps kept for each agent, if not as its config
        says.
      devices: to spread the agents over, see `mapping.RunMap`.

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
    self.trainer = trainer_lib.StreamTrainer(
        agent, num_envs, replay_capacity,
        stacked=_is_stacked(agent, self.environments.observation_spec))
    self._host_run = host_run.HostRun(self.trainer)
    # Advancing together, also on a CPU: a chunk is one step, and one after
    # another each would be cut out of the whole and put back. What is mapped
    # is a function of its class, not a method of one object, so that loops of
    # equal agents share their programs.
    self._mapped = mapping.RunMap(devices, vectorize=True)
    self.last_state: host_run.HostState | None = None
    self._arrival = None
    shape = (self.num_agents, num_envs)
    self._episode_return = np.zeros(shape)
    self._episode_length = np.zeros(shape, int)
    self._refill_steps = 0

  def init(self, seeds: Sequence[int]) -> host_run.HostState:
    """Returns the state before the first step.

    Args:
      seeds: of each agent, G of them. Agents in different tasks may share one.

    Raises:
      ValueError: if there are not G seeds, or one is invalid.
      MemoryError: if the replays do not fit into the devices' memory.
    """
    arguments = self._init_arguments(seeds)
    self.check_memory()
    return self._mapped(host_run.HostRun.init, self._host_run, donate=False)(
        *arguments)

  def abstract_state(self, seeds: Sequence[int]) -> host_run.HostState:
    """Returns what `init` would, as shapes and shardings; allocates nothing."""
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

  def num_replay_bytes(self) -> int:
    """Returns the memory of the replays of all agents, in bytes."""
    return self.num_agents * self.trainer.num_bytes()

  def check_memory(self):
    """Raises MemoryError if the replays do not fit."""
    replay_lib.check_fits(
        self.trainer.replay, self._mapped.runs_on_a_device(self.num_agents),
        self._mapped.mesh(self.num_agents).devices[0])

  def refill_replay(self, state: host_run.HostState) -> host_run.HostState:
    """Returns the state with an empty replay, for a run saved without one.

    The agent acts as before but does not learn until the replay holds
    the time steps of a warm-up again.

    Args:
      state: whose replay has no meaning.
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
      state: before; its memory is used again, so do not use it afterwards.
      num_steps: of each environment, the steps that only begin an episode
        included.
      env_steps: taken by each agent so far, without these; int [G]. Counted on.

    Returns:
      The state after, and what happened.

    Raises:
      ValueError: for less than one step.
      vector.StalledError: if the environments do not even begin; the state
        before is then untouched.
    """
    if num_steps < 1:
      raise ValueError(f'num_steps must be at least 1, got {num_steps}')
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
        # Queued before the actions are waited for, so that the device does not
        # wait for the host.
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
        episodes += self._count(timestep, env_steps)
        arrival = (action, timestep)
    finally:
      # Also after an interrupt.
      self.last_state = state
    self._arrival = arrival
    with _timed(waited, 'device'):
      loss, num_updates, nonfinite = jax.device_get(state.log)
    with np.errstate(invalid='ignore'):
      loss = loss / num_updates
    return state, HostLog(
        episodes=episodes, loss=loss, num_updates=int(num_updates[0]),
        first_nonfinite=nonfinite, seconds=time.monotonic() - start,
        waited_for_environments=waited['environments'],
        waited_for_device=waited['device'], failure=failure)

  def _count(self, timestep, env_steps) -> list[Episode]:
    """Adds a step to the running episodes; those that ended."""
    taken = ~timestep.first()
    env_steps += taken.sum(axis=1)
    self._episode_return = np.where(
        taken, self._episode_return + timestep.score, 0.)
    self._episode_length = np.where(taken, self._episode_length + 1, 0)
    return [
        Episode(int(agent), int(env_steps[agent]),
                float(self._episode_return[agent, env]),
                int(self._episode_length[agent, env]))
        for agent, env in np.argwhere(timestep.last())]

  def evaluate(
      self, params: types.Params, state: host_run.HostState,
      environments: Sequence[vector.VectorEnvironment], step: int,
  ) -> np.ndarray:
    """Returns the returns of whole episodes, played as the agent is judged.

    Changes nothing in the state; the randomness is a function of the seed and
    the step.

    Args:
      params: of each agent, such as `LearnerState.params`.
      state: of the same agents; only its evaluation keys are read.
      environments: fresh ones in the order of the loop's own, with E copies
        for each agent. They are used up.
      step: a number that tells evaluations apart.

    Returns:
      The environments' own returns, [G, E].

    Raises:
      vector.StalledError: if an environment does not answer.
    """
    num_episodes = sum(x.num_envs for x in environments) // self.num_agents
    together = joined.JoinedEnvironments(environments, num_episodes)
    evaluation = host_run.Evaluation(self.trainer, num_episodes)
    eval_state = self._mapped(
        host_run.Evaluation.init, evaluation, donate=False)(
        state.eval_key, jnp.full(self.num_agents, step % 2**32, jnp.uint32))
    act = self._mapped(host_run.Evaluation.act, evaluation)
    returns = np.zeros((self.num_agents, num_episodes))
    alive = np.ones_like(returns, bool)
    timestep = together.reset()
    while True:
      returns += np.where(alive, timestep.score, 0.)
      alive &= ~timestep.last()
      if not alive.any():
        together.close()
        return returns
      eval_state, action = act(eval_state, params, timestep)
      together.send(np.asarray(action))
      timestep = together.recv()

  def close(self):
    """Releases the environments."""
    self.environments.close()


def _is_stacked(
    agent: types.Agent, environment_spec: specs.ObservationSpec) -> bool:
  """Whether the agent sees stacks of what environments show."""
  expected, got = agent.observation_spec, environment_spec
  if expected.num_values == got.num_values and expected.dtype == got.dtype:
    if expected.shape == got.shape:
      return False
    if len(expected.shape) == 3 and expected.shape[1:] == got.shape:
      return True
  raise ValueError(
      f'the agent expects observations of shape {expected.shape} and type '
      f'{expected.dtype}, or frames to stack for it; the environments show '
      f'{got.shape} of {got.dtype}')
