"""Wrong usage: named in words, status 2, before anything is made."""

import sys

import pytest

from experiments.atari import run as atari
from experiments.bsuite import run as bsuite
from experiments.deep_sea import run as deep_sea
from experiments.deep_sea import sweep
from tests.faults import commands
from tests.faults.inside import call  # noqa: F401
from tests.faults.inside import keep_devices  # noqa: F401

NUMBERS = ('nan', 'inf', '-inf', '-1', 'x', '')

DEEP_SEA = [
    *[(f'--{name}', value) for value in NUMBERS for name in (
        'learning-rate', 'adam-epsilon', 'discount', 'checkpoint-seconds',
        'stop-margin', 'size', 'num-seeds', 'num-episodes', 'eval-episodes',
        'evaluate-every', 'batch-size', 'warmup-steps', 'n-step',
        'hidden-sizes', 'index-dim', 'prior.scale')],
    *[(f'--{name}', '0') for name in (
        'learning-rate', 'adam-epsilon', 'size', 'num-seeds', 'num-episodes',
        'eval-episodes', 'evaluate-every', 'batch-size', 'warmup-steps',
        'n-step', 'hidden-sizes', 'index-dim', 'replay-capacity',
        'update-period', 'updates-per-period')],
    ('--size', '1'), ('--size', '2.5'),
    ('--size', '100000', '--num-episodes', '10', '--evaluate-every', '1'),
    ('--discount', '1.5'),
    ('--seed', str(2**32)), ('--seed', '-1'), ('--agent', 'ppo'),
    ('--agent', ''), ('--preset', 'papre_deep_sea'), ('--torso', 'resnet'),
    ('--index', 'torus'), ('--unknown', '1'), ('--stochastic', 'maybe'),
    ('--num-episodes', '3', '--warmup-steps', '1000'),
    ('--num-episodes', '10', '--warmup-steps', '40'),
    ('--batch-size', '100', '--replay-capacity', '99'),
    ('--evaluate-every', '251'), ('--num-episodes', '1e3'),
    ('--output', ''), ('--output', '   '), ('--output',), ('extra',),
]


def check(result, *, status=2):
  assert result.status == status, (result.status, result.err)
  text = ' '.join(result.err)
  assert text and 'Traceback' not in text


def some(cases):
  """Every eighth one; the others are slow tests, being many."""
  return [pytest.param(case, marks=() if i % 8 == 0 else pytest.mark.slow,
                       id=' '.join(case)) for i, case in enumerate(cases)]


@pytest.mark.parametrize('arguments', some(DEEP_SEA))
def test_deep_sea(arguments, tmp_path, call):  # noqa: F811
  folder = tmp_path / 'new'
  check(call(deep_sea.main, [
      *commands.OPTIMIST[1:], '--output', str(folder), *arguments]))
  assert not folder.exists()


ATARI = [
    *[(f'--{name}', value) for value in ('nan', '-1', 'x') for name in (
        'sticky-actions', 'checkpoint-seconds', 'num-steps', 'num-envs',
        'max-frames', 'evaluate-every', 'eval-episodes', 'final-episodes',
        'num-seeds', 'seed')],
    *[(f'--{name}', '0') for name in (
        'num-steps', 'num-envs', 'evaluate-every', 'eval-episodes',
        'final-episodes', 'num-seeds')],
    ('--games', 'Pnog'), ('--games', ''), ('--games', 'Pong,,Breakout'),
    ('--games', 'Pong,Pong'), ('--suite', 'atari27'), ('--suite', 'atari26'),
    ('--sticky-actions', '2'), ('--backend', 'gym'), ('--num-envs', '7'),
    ('--num-steps', '50'), ('--num-steps', '100'), ('--seed', str(2**31)),
    ('--preset', 'default_atari'), ('--checkpoint-seconds', 'inf'),
    ('--output', ''),
]


@pytest.mark.parametrize('arguments', some(ATARI))
def test_atari(arguments, tmp_path, call):  # noqa: F811
  folder = tmp_path / 'new'
  check(call(atari.main, [
      *commands.ATARI[1:], '--output', str(folder), *arguments]))
  assert not folder.exists()


SWEEP = [
    ('--agents', 'ppo'), ('--agents', ''), ('--agents', 'hyperagent:x'),
    ('--agents', 'dqn,ppo'), ('--sizes', ''), ('--sizes', 'ten'),
    ('--sizes', '4,1'), ('--sizes', '4,,5'), ('--sizes', '-3'),
    ('--num-seeds', '0'), ('--num-episodes', '0'), ('--seed', '-1'),
    ('--evaluate-every', '0'), ('--eval-episodes', '0'), ('--output', ''),
    # The second point alone: it is checked before the first begins.
    ('--sizes', '4,10', '--evaluate-every', '101'),
    ('--agents', 'hyperagent:optimistic,dqn', '--num-episodes', '30'),
]


@pytest.mark.parametrize('arguments', SWEEP, ids=' '.join)
def test_sweep(arguments, tmp_path, call):  # noqa: F811
  folder = tmp_path / 'new'
  check(call(sweep.main, [
      '--agents', 'hyperagent:optimistic', '--sizes', '4', '--num-seeds', '1',
      '--num-episodes', '200', '--output', str(folder), *arguments]))
  assert not folder.exists()


ENVIRONMENTS = [
    {'JAX_PLATFORMS': 'cuda'}, {'JAX_PLATFORMS': 'tpu'},
    {'JAX_PLATFORMS': 'quantum'},
    {'XLA_FLAGS': '--xla_force_host_platform_device_count=7'},
    {'XLA_FLAGS': '--xla_no_such_flag=1'},
]


@pytest.mark.slow
@pytest.mark.parametrize(
    'environment', ENVIRONMENTS, ids=lambda x: '='.join(*x.items()))
def test_an_environment_that_contradicts_the_command(
    environment, tmp_path, cache):
  result = commands.run(
      [*commands.DEEP_SEA, '--output', str(tmp_path / 'new')], cache,
      environment=environment)
  assert result.status in (1, 2), result
  assert len(result.err) == 1, result.err
  assert not (tmp_path / 'new').exists()


def test_a_home_folder_is_expanded(tmp_path, call, monkeypatch):  # noqa: F811
  monkeypatch.setenv('HOME', str(tmp_path))
  (tmp_path / 'run').mkdir()
  (tmp_path / 'run' / 'mine').touch()
  result = call(deep_sea.main, [*commands.DEEP_SEA[1:], '--output', '~/run'])
  assert result.status == 1
  assert f'{tmp_path}/run has no config.json' in result.err[0]


def test_a_package_that_is_not_there_is_named(call, tmp_path, monkeypatch):  # noqa: F811
  monkeypatch.setitem(sys.modules, 'bsuite', None)
  result = call(bsuite.main, [
      '--agent', 'dqn', '--bsuite-id', 'catch/0', '--output',
      str(tmp_path / 'new')])
  check(result)
  assert 'pip install bsuite' in result.err[-1]
