"""What the commands do to the machine that they run on."""

import platform
import subprocess
import sys

import pytest

# Pages that the second of two equal blocks of 40 MB had to be given.
COUNT = '''
import resource
from experiments.common import machine
{prepare}
size = 40_000_000
b'x' * size
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
b'x' * size
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
'''


def pages(prepare):
  return int(subprocess.check_output(
      [sys.executable, '-c', COUNT.format(prepare=prepare)]))


@pytest.mark.skipif(
    platform.libc_ver()[0] != 'glibc', reason='other C libraries do otherwise')
def test_freed_memory_is_kept():
  assert pages('') > 1000
  assert pages('machine.keep_freed_memory()') < 100
