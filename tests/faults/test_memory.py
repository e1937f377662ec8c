"""Runs that do not fit into memory: refused in seconds, with what is needed."""


import pytest

from experiments.atari import run as atari
from experiments.deep_sea import run as deep_sea
from experiments.deep_sea import sweep
from tests.faults import commands
from tests.faults.inside import call  # noqa: F401
from tests.faults.inside import keep_devices  # noqa: F401

slow = pytest.mark.slow

DEEP_SEA = [
    ('--hidden-sizes', '200000', '200000'),
    ('--hidden-sizes', '1000000000'),
    ('--num-seeds', '20000', '--hidden-sizes', '512', '512'),
    ('--num-seeds', '1000000'),
    ('--size', '46340', '--num-episodes', '10', '--evaluate-every', '1'),
    ('--replay-capacity', str(10**9), '--num-episodes', str(10**9)),
    ('--replay-capacity', str(2**31 - 1), '--num-episodes', str(10**12)),
    ('--index-dim', '100000000'),
    ('--agent', 'boot_dqn', '--preset', 'default', '--hidden-sizes', '100000',
     '100000'),
    ('--agent', 'enn_dqn', '--preset', 'default', '--hidden-sizes', '100000',
     '100000'),
    ('--agent', 'dqn', '--preset', 'default', '--batch-size', '1000000000',
     '--replay-capacity', '1000000000', '--num-episodes', '1000000000',
     '--warmup-steps', '1000'),
]


def check(result):
  assert result.status == 1, (result.status, result.err)
  text = '\n'.join(result.err)
  assert text.startswith('error: not enough memory:'), text
  assert 'GB' in text and 'left by' in text and 'lower ' in text
  assert 'Traceback' not in text


@pytest.mark.parametrize('arguments', [
    pytest.param(x, id=' '.join(x), marks=slow if i % 2 else ())
    for i, x in enumerate(DEEP_SEA)])
def test_deep_sea(arguments, tmp_path, call):  # noqa: F811
  check(call(deep_sea.main, [
      *commands.DEEP_SEA[1:], '--output', str(tmp_path / 'new'), *arguments]))
  assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('arguments', [
    ('--replay-capacity', '10000000', '--num-steps', '20000000'),
    ('--hidden-sizes', '200000', '200000'),
    ('--num-seeds', '30', '--replay-capacity', '1000000', '--num-steps',
     '2000000'),
], ids=' '.join)
def test_atari(arguments, tmp_path, call):  # noqa: F811
  check(call(atari.main, [
      *commands.ATARI[1:], '--output', str(tmp_path / 'new'), '--games',
      'Pong', *arguments]))
  assert not (tmp_path / 'new').exists()


def test_a_sweep_refuses_a_large_point_before_a_small_one(tmp_path, call):  # noqa: F811
  check(call(sweep.main, [
      '--agents', 'dqn', '--sizes', '4,40000', '--num-episodes', '1000',
      '--output', str(tmp_path / 'new')]))
  assert not (tmp_path / 'new').exists()


@slow
@pytest.mark.parametrize('kind, gigabytes', [
    ('v', 8), ('v', 4), ('d', 4)])
def test_a_limit_of_the_shell(kind, gigabytes, tmp_path, cache):
  folder = tmp_path / 'new'
  result = commands.run(
      [*commands.ATARI, '--games', 'Pong', '--output', str(folder),
       '--replay-capacity', '1000000', '--num-steps', '2000000'], cache,
      shell=f'ulimit -{kind} {gigabytes * 10**6}; exec COMMAND')
  assert result.status == 1
  assert f'ulimit -{kind}' in '\n'.join(result.err), result.err
  assert not folder.exists()
