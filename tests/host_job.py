"""A run of `HostLoop` by one process or by two, for `test_host_processes`.

  python -m tests.host_job FOLDER PART [ADDRESS NUMBER]

Eight agents in two games are spread over four devices. What is seen of the run
is written to FOLDER, by each process. PART is

  begin   the first half of a run, and a checkpoint
  go_on   the second half, from the checkpoint
  stall   environments of process 1 stall: in a chunk, an evaluation, a reset
"""

from pathlib import Path
import sys
from typing import Any

import jax
import numpy as np

from hyperjax import agents
from hyperjax import checkpoint
from hyperjax import multihost
from hyperjax.environments import vector
from hyperjax.loops import host
from hyperjax.loops import host_run
from hyperjax.loops import processes
from tests import games

NUM_ENVS, STEPS = 2, 40
# The number of actions in the game of each agent. The second process has agents
# of both games.
ACTIONS = [2] * 5 + [4] * 3
SEEDS = [3, 4, 5, 6, 7, 3, 4, 5]


class Stalled(games.Game):
  """The game, until a step of which it gives no answer."""

  def __init__(self, *args, half, **kwargs):
    super().__init__(*args, **kwargs)
    self._half = half

  def reset(self):
    if self._half == 'reset':
      raise vector.StalledError('Match: did not begin')
    return super().reset()

  def recv(self):
    if len(self.sent) == 9:
      raise vector.StalledError('Match: did not answer')
    return super().recv()


def environments(first_seed, num_envs, make=games.Game):
  """Those of the agents of this process, one for each game."""
  own = processes.own_agents(len(SEEDS))
  return [make([
      first_seed + 100 * SEEDS[i] + env for i in own if ACTIONS[i] == actions
      for env in range(num_envs)], num_actions=actions)
          for actions in sorted({ACTIONS[i] for i in own})]


def make_loop(first_seed, make=games.Game):
  agent = agents.DQN(games.SPEC, 4, agents.DQNConfig(
      hidden_sizes=(8,), batch_size=8, warmup_steps=16, replay_capacity=60,
      discount=0.5, learning_rate=0.01, update_period=4))
  return host.HostLoop(agent, environments(first_seed, NUM_ENVS, make),
                       num_envs=NUM_ENVS)


def seen(loop, state, log, env_steps) -> dict[str, Any]:
  weights, faults = multihost.fetch(
      (state.train.learner.params, state.train.replay.faults))
  return {
      'episodes': np.array(log.episodes), 'env_steps': env_steps,
      'loss': log.loss, 'num_updates': log.num_updates, 'faults': faults,
      'first_nonfinite': log.first_nonfinite,
      **{f'metric {name}': x for name, x in log.metrics.items()},
      **{f'weight {i}': x for i, x in enumerate(jax.tree.leaves(weights))},
      'returns': loop.evaluate(
          state.train.learner.params, state, environments(5000, 3), step=9)}


def check_program_of_updates(loop, state):
  """Checks that `init` has compiled the program that the loop will use."""
  events = []
  jax.monitoring.register_event_duration_secs_listener(
      lambda name, *_, **__: events.append(name))
  loop._mapped._compiled(
      host_run.HostRun.learn, (loop._host_run,), len(loop._share.agents), 1,
      True).lower(loop._share.own(state)).compile()
  assert not any('backend_compile' in x for x in events)


def begin(checkpointer):
  loop, env_steps = make_loop(0), np.zeros(len(SEEDS), int)
  state = loop.init(SEEDS)
  check_program_of_updates(loop, state)
  for num_steps in (STEPS - 10, 10):
    state, log = loop.run(state, num_steps, env_steps)
  checkpointer.save(1, state, {'env_steps': env_steps.tolist()})
  return seen(loop, state, log, env_steps)


def go_on(checkpointer):
  loop = make_loop(1000)
  state, metadata = checkpointer.restore(loop.abstract_state(SEEDS))
  env_steps = np.array(metadata['env_steps'])
  state, log = loop.run(state, STEPS, env_steps)
  loop = make_loop(2000)
  state, refilled = loop.run(loop.refill_replay(state), 20, env_steps)
  assert refilled.num_updates == (20 - 16 // NUM_ENVS) * NUM_ENVS // 4
  return seen(loop, state, log, env_steps)


def stall(number):
  """Says the errors of a process."""
  for half in ('step', 'reset'):

    def make(*args, half=half, **kwargs):
      if number == 0:
        return games.Game(*args, **kwargs)
      return Stalled(*args, half=half, **kwargs)

    loop = make_loop(0, make)
    state = loop.init(SEEDS)
    try:
      loop.run(state, STEPS, np.zeros(len(SEEDS), int))
    except multihost.ProcessError as error:
      print('error:', error)
  loop = make_loop(0)
  state, _ = loop.run(loop.init(SEEDS), 20, np.zeros(len(SEEDS), int))
  try:
    loop.evaluate(state.train.learner.params, state,
                  environments(0, 3, make), step=1)
  except vector.StalledError as error:
    print('error:', error)
  # All can go on.
  state, _ = loop.run(state, 4, np.zeros(len(SEEDS), int))
  print('steps:', int(multihost.fetch(state.train.num_transitions).max()))


def refuse(number):
  """Says why agents cannot be spread."""
  agent = agents.DQN(games.SPEC, 4)
  for counts in ((3, 3), (6, 2)):
    try:
      host.HostLoop(agent, [games.Game(range(counts[number]), num_actions=4)])
    except ValueError as error:
      print('error:', error)
  try:
    processes.own_agents(6)
  except ValueError as error:
    print('error:', error)


def main(folder, part, address=None, number='0'):
  jax.config.update('jax_num_cpu_devices', 4 if address is None else 2)
  if address is not None:
    multihost.initialize(address, 2, int(number))
  if part in ('stall', 'refuse'):
    {'stall': stall, 'refuse': refuse}[part](int(number))
    return
  folder = Path(folder)
  checkpointer = checkpoint.Checkpointer(folder / 'checkpoints')
  found = {'begin': begin, 'go_on': go_on}[part](checkpointer)
  np.savez(folder / f'{part}_{number}.npz', **found)


if __name__ == '__main__':
  main(*sys.argv[1:])
