"""All that waits for an accelerator, within a given time.

  python -m benchmarks.gpu --minutes 10 --output runs/gpu

Parts run one after another, each in processes of its own, ended when its time
is over; one that fails leaves the others:

  smoke     the tests that carry the marker `gpu`, in full precision
  learner   updates per second of HyperAgent on DeepSea, by number of seeds
  bsuite    steps per second of bsuite's programs, each with all its ids
  atari     steps and updates per second of `paper_atari`, by number of agents
  baselines the same of DER, Rainbow and BBF
  trace     the kernels that take the time of both
  games     the 26 games together, for as many steps as fit, evaluated

Each has a folder of its own in the output, with its log; summary.csv says how
each ended, and `--archive` names one file that all of it is packed into after
every part. Parts for which there is no time left are not begun.
"""

from collections.abc import Sequence
import contextlib
import csv
import dataclasses
import os
from pathlib import Path
import shlex
import signal
import subprocess
import sys
import tarfile
import time

from experiments.common import files
from experiments.common import folder as folder_lib
from experiments.common import study

FIELDS = ('part', 'status', 'seconds', 'command')
GRACE = 15.  # Seconds from the request to stop to the kill.
GAMES_BEGIN = 60.  # Seconds to compile and evaluate, at least.


@dataclasses.dataclass(frozen=True)
class Settings:
  """Measures an accelerator.

  Attributes:
    output: folder to write to; earlier results in it are replaced.
    minutes: time for all parts.
    parts: parts that are run, in this order.
    small: whether points are so small that the command itself can be tried on
      a CPU.
    archive: file that the folder is packed into, ending in .tar.gz.
  """

  output: Path
  minutes: float = 10.
  parts: tuple[str, ...] = (
      'smoke', 'learner', 'atari', 'baselines', 'bsuite', 'trace', 'games')
  small: bool = False
  archive: Path | None = None

  def __post_init__(self):
    if not 0. < self.minutes < 10_000.:
      raise ValueError(f'minutes must be positive, got {self.minutes}')
    if not self.parts:
      raise ValueError('parts must name at least one')
    for part in self.parts:
      if part not in SHARES:
        raise ValueError(
            f'a part must be one of {", ".join(SHARES)}, got {part!r}')


# How the time is divided among the parts that are run; what one leaves over is
# for the last.
SHARES = {'smoke': 18, 'learner': 20, 'atari': 14, 'baselines': 12,
          'bsuite': 13, 'trace': 10, 'games': 13}

MODULES = {
    'smoke': 'pytest',
    'learner': 'benchmarks.learner',
    'atari': 'benchmarks.atari',
    'baselines': 'benchmarks.atari',
    'bsuite': 'benchmarks.bsuite',
    'trace': 'benchmarks.trace',
    'games': 'experiments.atari.run',
}
# Compiling is most of the tests: several processes, each on a few cores.
OPTIONS = {
    'smoke': '-v -m gpu -n 8 --durations 10 tests/test_accelerator.py '
             'tests/test_golden.py',
    'learner': '--losses default optimistic --sizes 20 50 100 '
               '--num-seeds 1 16 256 1024 --repeats 1 --minutes {minutes:.2f}',
    'atari': '--presets paper_atari --no-updates --num-agents 1 8 26 64 '
             '--seconds 1.5 --repeats 2 --minutes {minutes:.2f}',
    'baselines': '--presets rainbow:der_atari rainbow:paper_atari '
                 'bbf:paper_atari_ratio_2 --no-updates --num-agents 1 8 26 '
                 '--seconds 1 --repeats 2 --minutes {minutes:.2f}',
    'bsuite': '--ids bandit catch cartpole umbrella_length memory_len '
              'mountain_car deep_sea/0 --agents hyperagent dqn --num-seeds 3 '
              '--seconds 2 --repeats 1 --minutes {minutes:.2f}',
    'trace': '--num-steps 40',
    'games': '--suite atari26 --preset paper_atari --num-steps {num_steps} '
             '--evaluate-every {evaluate_every} --eval-episodes 1 '
             '--final-episodes 2 --max-frames 10000 --no-save-replay',
}
SMALL_OPTIONS = {
    'smoke': '-v -m "gpu and not slow" tests/test_accelerator.py '
             'tests/test_golden.py',
    'learner': '--losses default --sizes 5 --num-seeds 1 --seconds 0.2 '
               '--repeats 1',
    'atari': '--presets paper_atari --no-updates --num-agents 1 '
             '--seconds 0.2 --repeats 1',
    'baselines': '--presets rainbow:der_atari --no-updates --num-agents 1 '
                 '--chunk-steps 4 --seconds 0.2 --repeats 1',
    'bsuite': '--ids bandit/0 --agents dqn --num-seeds 2 --seconds 0.2 '
              '--repeats 1',
    'trace': '--size 5 --num-seeds 2 --num-agents 1 --num-steps 4',
    'games': '--games Pong --preset small_atari --num-steps 2400 '
             '--evaluate-every 1200 --eval-episodes 1 --final-episodes 1 '
             '--max-frames 400 --batch-size 4',
}


def command(settings: Settings, part: str, seconds: float) -> list[str]:
  """Returns the command of a part that has some seconds."""
  num_steps = games_steps(settings, seconds)
  options = (SMALL_OPTIONS if settings.small else OPTIONS)[part].format(
      minutes=seconds / 60., num_steps=num_steps,
      evaluate_every=num_steps // 2)
  line = [sys.executable, '-m', MODULES[part], *shlex.split(options)]
  return line if part == 'smoke' else [
      *line, '--output', str(settings.output / part)]


def games_steps(settings: Settings, seconds: float) -> int:
  """Returns steps of each game that fit, by what `atari` measured."""
  try:
    with open(settings.output / 'atari' / 'atari_loop.csv',
              encoding='utf-8') as f:
      rows = {int(row['num_agents']): row for row in csv.DictReader(f)
              if row['preset'] == 'paper_atari'}
    rate = float(rows[26]['loop']) / 26
  except (OSError, KeyError, ValueError):
    rate = 100.
  return max(1000, int(rate * (seconds - GAMES_BEGIN) * 0.6) // 1000 * 1000)


def environment(part: str) -> dict[str, str]:
  """Returns the environment of a part's processes."""
  if part != 'smoke':
    return dict(os.environ)
  # Several processes share the device; the numbers that they are compared with
  # are in full float32, which some products are not by default.
  return {**os.environ, 'XLA_PYTHON_CLIENT_PREALLOCATE': 'false',
          'JAX_DEFAULT_MATMUL_PRECISION': 'highest'}


def run_part(settings: Settings, part: str, seconds: float) -> tuple:
  """Runs a part; returns the values of `FIELDS`."""
  folder = settings.output / part
  folder.mkdir(parents=True, exist_ok=True)
  line = command(settings, part, seconds)
  print(f'{part}: {seconds:.0f} s, {shlex.join(line)}', flush=True)
  began = time.perf_counter()
  with open(settings.output / f'{part}.log', 'w', encoding='utf-8') as log:
    process = subprocess.Popen(
        line, stdout=log, stderr=subprocess.STDOUT, env=environment(part),
        start_new_session=True)
    try:
      status = str(process.wait(seconds))
    except subprocess.TimeoutExpired:
      status = 'out of time'
      process.terminate()
      with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    finally:
      if process.poll() is None:  # Out of grace, or the command is stopped.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
  return part, status, f'{time.perf_counter() - began:.1f}', shlex.join(line)


def benchmark(settings: Settings):
  """Runs all parts and prints the ends of their logs."""
  end = time.monotonic() + 60. * settings.minutes
  folder_lib.make(settings.output)
  rows = []
  for part in settings.parts:
    left = end - time.monotonic() - GRACE
    if left < 5.:
      print(f'{part}: not begun, no time is left')
      continue
    share = SHARES[part] / sum(SHARES[x] for x in settings.parts)
    is_last = part == settings.parts[-1]
    rows.append(run_part(settings, part, left if is_last else min(
        left, 60. * settings.minutes * share)))
    files.write_csv(settings.output / 'summary.csv', FIELDS, rows)
    lines = (settings.output / f'{part}.log').read_text(
        encoding='utf-8', errors='replace').splitlines()
    print('\n'.join(f'  {x[:200]}' for x in lines[-30:]))
    print(f'{part}: {rows[-1][1]}, {rows[-1][2]} s', flush=True)
    if settings.archive is not None:
      with tarfile.open(f'{settings.archive}.tmp', 'w:gz') as packed:
        packed.add(settings.output, settings.output.name, filter=_small)
      os.replace(f'{settings.archive}.tmp', settings.archive)
  for row in rows:
    print(f'{row[0]:10} {row[1]:12} {row[2]:>8} s')


def _small(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
  """Leaves checkpoints out of the archive."""
  return None if 'checkpoints' in Path(info.name).parts else info


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(benchmark, __spec__.name, argv, Settings)


if __name__ == '__main__':
  main()
