"""The command for an accelerator, and what it is made of."""

import re
import sys
import tarfile
import time

import pytest

from benchmarks import bsuite
from benchmarks import gpu
from benchmarks import trace
from tests import csv_files


def test_a_part_that_fails_or_hangs_leaves_the_others(
    tmp_path, monkeypatch, capsys):
  programs = {
      'learner': 'print("a rate"); raise SystemExit(3)',
      'atari': 'import time; time.sleep(60)',
      'trace': 'print("the last")'}
  monkeypatch.setattr(gpu, 'command', lambda settings, part, seconds: [
      sys.executable, '-c', programs[part]])
  monkeypatch.setattr(gpu, 'SHARES', {
      'learner': 1., 'atari': 1., 'trace': 1.})
  monkeypatch.setattr(gpu, 'GRACE', 0.5)
  archive = tmp_path / 'all.tar.gz'
  began = time.monotonic()
  gpu.main(['--output', str(tmp_path / 'gpu'), '--minutes', '0.2',
            '--parts', *programs, '--archive', str(archive)])
  assert time.monotonic() - began < 30.
  rows = csv_files.rows(tmp_path / 'gpu' / 'summary.csv')
  assert [(row['part'], row['status']) for row in rows] == [
      ('learner', '3'), ('atari', 'out of time'), ('trace', '0')]
  out = capsys.readouterr().out
  assert 'a rate' in out and 'the last' in out
  with tarfile.open(archive) as packed:
    assert 'gpu/trace.log' in packed.getnames()


def test_games_fit_what_was_measured(tmp_path):
  settings = gpu.Settings(tmp_path)
  assert gpu.games_steps(settings, 160.) == 6_000  # At a guess.
  (tmp_path / 'atari').mkdir()
  (tmp_path / 'atari' / 'atari_loop.csv').write_text(
      'preset,num_agents,loop\npaper_atari,8,1\npaper_atari,26,5200\n'
      'bbf:paper_atari_ratio_2,26,1\n')
  assert gpu.games_steps(settings, 160.) == 12_000
  assert gpu.games_steps(settings, 10.) == 1_000


@pytest.mark.parametrize('main, options, message', [
    (gpu.main, ['--parts', 'smok'], "must be one of smoke, .*got 'smok'"),
    (gpu.main, ['--minutes', '0'], 'minutes must be positive, got 0'),
    (bsuite.main, ['--ids', 'cacth/0'], 'did you mean catch/0'),
    (bsuite.main, ['--agents', 'dqn:nothing'], 'nothing'),
    (trace.main, ['--what', 'x'], "must be learner or atari, got 'x'"),
])
def test_refuses(main, options, message, tmp_path, capsys):
  with pytest.raises(SystemExit) as error:
    main(['--output', str(tmp_path), *options])
  assert error.value.code not in (0, None)
  err = ' '.join(capsys.readouterr().err.replace('│', ' ').split())
  assert re.search(message, err), err
  assert not list(tmp_path.iterdir())


def test_kernels_are_those_of_the_streams():
  name = lambda kind, pid, tid, text: {
      'ph': 'M', 'name': kind, 'pid': pid, 'tid': tid, 'args': {'name': text}}
  ran = lambda tid, text, dur, **args: {
      'ph': 'X', 'name': text, 'pid': 1, 'tid': tid, 'dur': dur, 'args': args}
  events = [
      name('process_name', 1, 0, '/device:GPU:0'),
      name('thread_name', 1, 7, 'Stream #7(Compute)'),
      name('thread_name', 1, 8, 'XLA Modules'),
      ran(7, 'gemm', 2.), ran(7, 'gemm', 3.), ran(7, 'copy', 1.),
      ran(8, 'module', 9., hlo_op='x')]
  assert trace.kernels(events) == {'gemm': (2, 5.), 'copy': (1, 1.)}
  # CPUs have no streams; what only holds other operations does not count.
  assert trace.kernels([
      ran(1, 'dot.1', 4., hlo_op='dot.1'), ran(1, 'python', 5.),
      ran(1, 'while.2', 6., hlo_op='while.2')]) == {'dot.1': (1, 4.)}
