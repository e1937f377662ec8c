"""What is needed, what is left, and what is refused before it is allocated."""

import os
import subprocess
import sys
import textwrap
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import memory
from hyperjax import multihost
from hyperjax import specs
from hyperjax.adapters import acme
from hyperjax.environments import DeepSea
from hyperjax.loops import HostLoop
from hyperjax.loops import OnDeviceLoop
from hyperjax.loops import host_run
from hyperjax.loops import mapping
from tests.games import SPEC
from tests.games import Game

CPU = jax.devices('cpu')[0]
GB = 10**9
SMALL = dict(hidden_sizes=(8,), batch_size=8, warmup_steps=8,
             replay_capacity=100)


def write(folder, **files):
  folder.mkdir(parents=True, exist_ok=True)
  for name, content in files.items():
    (folder / name.replace('__', '.')).write_text(f'{content}\n')


def groups(root, text):
  write(root / 'proc/self', cgroup=text)
  return root / 'sys/fs/cgroup'


def left(root):
  """What the limits of control groups leave, by name."""
  return {limit.name: limit.num_bytes for limit in memory.limits(CPU, root)
          if 'control group' in limit.name}


# Limits.


def test_reads_the_limits_of_nested_groups(tmp_path):
  mount = groups(tmp_path, '0::/jobs/mine')
  write(mount, memory__stat='anon 5')  # The root has no limit.
  write(mount / 'jobs', memory__max=8 * GB, memory__current=7 * GB,
        memory__stat=f'anon 1\ninactive_file {GB}\nactive_file {GB}')
  write(mount / 'jobs/mine', memory__max='max', memory__current=GB)
  # Files in the cache give way.
  assert left(tmp_path) == {
      'memory.max of the control group /jobs': 3 * GB}
  write(mount / 'jobs/mine', memory__max=3 * GB)
  assert left(tmp_path) == {
      'memory.max of the control group /jobs': 3 * GB,
      'memory.max of the control group /jobs/mine': 2 * GB}


def test_reads_the_limits_of_version_1_beside_version_2(tmp_path):
  mount = groups(tmp_path, '9:name=systemd:/\n4:cpu,memory:/a/b\n0::/')
  write(mount / 'memory', memory__limit_in_bytes=2**63 - 4096,
        memory__usage_in_bytes=GB)
  write(mount / 'memory/a', memory__limit_in_bytes=4 * GB,
        memory__usage_in_bytes=2 * GB,
        memory__stat=f'active_file 7\ntotal_active_file {GB}')
  write(mount / 'unified', memory__max=6 * GB, memory__current=GB)
  assert left(tmp_path) == {
      'memory.limit_in_bytes of the control group /a': 3 * GB,
      'memory.max of the control group /': 5 * GB}


def test_reads_the_limit_of_a_container_that_sees_its_group_as_the_root(
    tmp_path):
  """Its path is that of the host, which the container does not have."""
  for text in ('0::/../../docker/0123', '0::/docker/0123'):
    mount = groups(tmp_path, text)
    write(mount, memory__max=2 * GB, memory__current=GB)
    assert left(tmp_path) == {'memory.max of the control group /': GB}


@pytest.mark.parametrize('text', ['', 'nonsense', '0::', '::::', '0::/a\n\n'])
def test_ignores_what_it_cannot_read(tmp_path, text):
  mount = groups(tmp_path, text)
  write(mount / 'a', memory__max='many', memory__current='few')
  assert not left(tmp_path)
  assert memory.limits(CPU, tmp_path)  # Still the machine's own.
  assert not left(tmp_path / 'nowhere')


def test_names_the_narrowest_limit(tmp_path):
  mount = groups(tmp_path, '0::/job')
  write(mount / 'job', memory__max=10**8, memory__current=0)
  needs = [memory.Need('little', 4 * 10**7, 'this'),
           memory.Need('much', 7 * 10**7, 'that, or those')]
  memory.check_fits(needs[1:], CPU, tmp_path)
  with pytest.raises(MemoryError) as error:
    memory.check_fits(needs, CPU, tmp_path)
  assert str(error.value) == textwrap.dedent("""\
      not enough memory:
        0.07 GB  much
        0.04 GB  little
        0.11 GB  needed together
        0.10 GB  left by memory.max of the control group /job
      lower that, or those""")


def device_with(stats):
  """A device with a memory of its own."""
  device = mock.MagicMock(spec=jax.Device)
  device.configure_mock(platform='gpu', memory_stats=lambda: stats)
  device.__str__.return_value = 'gpu:3'
  return device


def test_a_device_has_limits_of_its_own():
  device = device_with({'bytes_limit': 8 * GB, 'bytes_in_use': 2 * GB})
  assert memory.available_bytes(device) == 6 * GB
  with pytest.raises(MemoryError, match='6.00 GB  left by the memory of gpu:3'):
    memory.check_fits([memory.Need('x', 7 * GB, 'x')], device)
  unknown = device_with(None)
  assert memory.available_bytes(unknown) is None
  memory.check_fits([memory.Need('x', 10**30, 'x')], unknown)


def test_available_bytes_of_this_machine():
  assert 10**6 < memory.available_bytes(CPU) < 10**15


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no ulimit')
@pytest.mark.parametrize('kind, flag', [('RLIMIT_AS', 'v'),
                                        ('RLIMIT_DATA', 'd')])
def test_reads_the_limits_of_the_process(kind, flag):
  """In a process of its own, in which JAX has started."""
  program = f"""
      import resource, jax
      from hyperjax import memory
      device = jax.devices('cpu')[0]
      resource.setrlimit(resource.{kind}, (6 * 10**9, 6 * 10**9))
      memory.check_fits([memory.Need('x', 10**9, '')], device)
      try:
        memory.check_fits([memory.Need('x', 7 * 10**9, '')], device)
      except MemoryError as error:
        print(error)
      """
  printed = subprocess.run(
      [sys.executable, '-c', textwrap.dedent(program)], check=True, text=True,
      capture_output=True, env={**os.environ, 'JAX_PLATFORMS': 'cpu'}).stdout
  assert f'(ulimit -{flag})' in printed


# Refusals of whole runs.


def device_loop(size=3, num_devices=1, agent_config=None, **kwargs):
  environment = DeepSea(size)
  agent = agents.DQN(
      environment.observation_spec(), environment.action_spec(),
      agents.DQNConfig(**{**SMALL, **(agent_config or {})}))
  return OnDeviceLoop(
      agent, environment, devices=jax.devices()[:num_devices], **kwargs)


def host_loop(agent_config=None, **kwargs):
  config = agents.DQNConfig(**{**SMALL, **(agent_config or {})})
  return HostLoop(agents.DQN(SPEC, 3, config), [Game([0])], **kwargs)


def init_device_loop(**kwargs):
  loop = device_loop(**kwargs)
  return loop.init([0], loop.environment.params_from_seeds([0]))


def init_host_loop(**kwargs):
  return host_loop(**kwargs).init([0])


def make_actor(agent_config, **kwargs):
  return acme.Actor(agents.DQN(
      specs.ObservationSpec((3,), 'float32'), 2,
      agents.DQNConfig(**{**SMALL, **agent_config})), **kwargs)


@pytest.mark.parametrize('init', [init_device_loop, init_host_loop, make_actor])
@pytest.mark.parametrize('config, names', [
    (dict(hidden_sizes=(200_000, 200_000)),
     ['640.0', 'parameters and optimizer\n', 'lower hidden_sizes']),
    (dict(replay_capacity=10**12), ['replay\n', 'lower replay_capacity']),
    (dict(replay_capacity=2**31), ['lower replay_capacity'])])
def test_refuses_in_a_moment_what_cannot_be_allocated(
    init, config, names, monkeypatch):
  monkeypatch.setattr(memory, 'limits', lambda *_: [
      memory.Limit('this test', GB)])
  with pytest.raises(MemoryError, match='^not enough memory') as error:
    init(agent_config=config)
  message = str(error.value)
  assert all(name in message for name in names), message
  # The largest is named first.
  assert message.splitlines()[1].endswith(names[-1].replace(
      'lower hidden_sizes', 'parameters and optimizer').replace(
          'lower replay_capacity', 'replay'))


def test_refuses_too_many_seeds():
  loop = device_loop()
  loop.check_memory(10)
  for num_seeds in (10**9, 10**20):
    with pytest.raises(MemoryError, match='or the number of agents'):
      loop.check_memory(num_seeds)


def test_counts_the_memory_of_one_device(monkeypatch):
  """CPU devices share a memory, others do not."""
  loop = device_loop(num_devices=4)
  params = loop.environment.params_from_seeds(range(8))
  state = loop.abstract_state(range(8), params)
  expected = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
  found = []
  monkeypatch.setattr(memory, 'check_fits', lambda needs, device, *_: (
      found.append(sum(need.num_bytes for need in needs))))
  loop.check_memory(8, params)
  monkeypatch.setattr(mapping.RunMap, 'num_memories', lambda *_: 4)
  loop.check_memory(8, params)
  assert found[0] == expected
  assert expected / 4 - 4 < found[1] <= expected / 4


def test_other_devices_need_a_copy_on_the_host(monkeypatch):
  state = {'replay': jnp.zeros(100), 'x': jnp.zeros(10)}
  assert memory.copy_on_host(state, 3).num_bytes == 3 * 440
  needs = memory.needs_of_state({'learner': jax.random.key(0)}, 4, 2)
  assert [need.num_bytes for need in needs] == [16]


# Programs.


@pytest.fixture
def compiled():
  """Seconds that each compilation takes."""
  seconds, running = [], [True]

  def count(name, duration, **_):
    if running and 'backend_compile' in name:
      seconds.append(duration)

  jax.monitoring.register_event_duration_secs_listener(count)
  yield seconds
  running.clear()


class _State(NamedTuple):
  """What states have: weak types, empty arrays, keys."""

  weak: jax.Array
  empty: jax.Array
  key: jax.Array
  x: jax.Array


def _begin(x):
  return _State(jnp.array(0), jnp.zeros((2, 0)), jax.random.key(1), x)


def _advance(state, count):
  return state._replace(weak=state.weak + 1, x=state.x * count)


@pytest.mark.parametrize('vectorize', [False, True])
def test_what_is_compiled_for_the_check_runs(compiled, vectorize):
  run_map = mapping.RunMap(jax.devices()[:2], vectorize)
  x = np.ones((4, 3), np.float32)
  run_map.check_program(
      [], _advance, args=(run_map.abstract(_begin, 4, x), np.int32(2)))
  state = run_map(_begin, donate=False)(x)
  del compiled[:]
  for _ in range(2):
    state = run_map(_advance)(state, np.int32(2))
  assert not compiled
  assert state.weak.tolist() == [2] * 4 and state.x.tolist() == [[4.] * 3] * 4


@pytest.mark.parametrize('is_many', [
    pytest.param(False, id='one'),
    pytest.param(True, id='many', marks=[pytest.mark.slow, pytest.mark.ci])])
def test_a_chunk_is_compiled_once(compiled, monkeypatch, is_many):
  """Also where arguments are placed as in a job of several processes."""
  monkeypatch.setattr(multihost, 'is_many', lambda: is_many)
  loop = device_loop(num_devices=2)
  params = loop.environment.params_from_seeds(range(2))
  state = loop.init(range(2), params)
  state, _ = loop.run(state, loop.trainer.warmup_steps, max_steps=16)
  del compiled[:]
  loop.check_memory(2, params, max_steps=16)
  once = max(compiled)
  del compiled[:]
  state, log = loop.run(state, 16)
  assert log.num_updates.tolist() == [16 // loop.trainer.update_period] * 2
  assert sum(compiled) < once / 4.  # Small programs alone.


class Telling(agents.DQN):
  """Reports a number more of each update."""

  def update(self, learner, batch):
    after, metrics = super().update(learner, batch)
    return after, {**metrics, 'number': learner.steps}


@pytest.mark.parametrize('agent', [agents.DQN, Telling])
def test_the_host_loop_compiles_its_updates_once(compiled, agent):
  config = agents.DQNConfig(**{**SMALL, 'hidden_sizes': (8, 6)})
  loop = HostLoop(agent(SPEC, 3, config), [Game([0])])
  loop.check_memory()
  del compiled[:]
  state = loop.init([0])  # Compiles them.
  state = loop._mapped(host_run.HostRun.clear_log, loop._host_run)(state)
  once = len(compiled)
  loop._mapped._compiled(
      host_run.HostRun.learn, (loop._host_run,), 1, 1, True
  ).lower(state).compile()
  assert len(compiled) == once
  loop.run(host_run.without_metrics(state), 16, np.zeros(1, int))
  once = len(compiled)
  loop.run(loop.last_state, 8, np.zeros(1, int))
  assert len(compiled) == once


def test_counts_what_a_program_needs_besides_its_arguments(monkeypatch):
  """A sum of outer products, which is as large as its last argument says."""
  def outer(scale, x):
    return scale * jnp.sum(jnp.sort(x[:, None] * x, axis=0), axis=0)

  run_map = mapping.RunMap(jax.devices()[:1], vectorize=True)
  args = jnp.ones(2), jnp.ones((2, 2000))
  monkeypatch.setattr(memory, 'limits', lambda *_: [
      memory.Limit('this test', 2 * 10**7)])
  with pytest.raises(MemoryError, match=r'outer\n.*\n.*left by this test'):
    run_map(outer, donate=False)(*args)
  # Nothing was changed, so that it can be tried again.
  monkeypatch.undo()
  monkeypatch.setattr(memory, 'limits', lambda *_: [
      memory.Limit('this test', 10**8)])
  out = run_map(outer, donate=False)(*args)
  np.testing.assert_allclose(out, 2000.)
  with pytest.raises(MemoryError):
    run_map.check_program(
        [memory.Need('state', 10**8, 'x')], outer, args=args, donate=False)


def test_a_run_is_refused_by_its_activations(monkeypatch):
  """Of a batch much larger than the state."""
  loop = device_loop(agent_config=dict(batch_size=100_000, hidden_sizes=(64,),
                                       replay_capacity=100_000))
  params = loop.environment.params_from_seeds([0])
  monkeypatch.setattr(memory, 'limits', lambda *_: [
      memory.Limit('this test', 3 * 10**7)])
  loop.check_memory(1, params)
  with pytest.raises(MemoryError) as error:
    loop.check_memory(1, params, max_steps=16)
  first = str(error.value).splitlines()[1]
  assert first.endswith('results, copies and activations of SeedRun.run_if')
  assert 'lower batch_size' in str(error.value)
