"""Output that cannot be written: closed streams, full disks, too many files."""

import pytest

from tests.faults import commands

slow = pytest.mark.slow


@pytest.fixture(scope='session')
def whole(tmp_path_factory, cache):
  folder = tmp_path_factory.mktemp('output') / 'whole'
  assert not commands.run(
      [*commands.DEEP_SEA, '--output', str(folder)], cache).status
  return commands.results(folder)


@pytest.mark.parametrize('shell', [
    pytest.param('exec COMMAND >&- 2>&-', marks=slow),
    pytest.param('exec COMMAND 2>&-', marks=slow),
    pytest.param('exec COMMAND >&-', marks=slow),
    pytest.param('exec COMMAND <&-', marks=slow),
    pytest.param('exec COMMAND <&- >&- 2>&-', marks=slow),
    pytest.param('exec COMMAND >/dev/full', marks=slow),
    pytest.param('exec COMMAND 2>/dev/full', marks=slow),
    pytest.param('exec COMMAND >/dev/full 2>&1', marks=slow),
    pytest.param('set -o pipefail; COMMAND | head -1', marks=slow),
    pytest.param('set -o pipefail; COMMAND 2>&1 | head -1', marks=slow),
    pytest.param('set -o pipefail; COMMAND | true', marks=slow),
    pytest.param('set -o pipefail; COMMAND 2>&1 | true', marks=slow),
    pytest.param('set -o pipefail; COMMAND 2> >(true)', marks=slow),
    pytest.param('set -o pipefail; COMMAND 2> >(head -2) | true', marks=slow),
])
def test_a_stream_that_is_lost_costs_only_its_text(
    shell, tmp_path, cache, whole):
  folder = tmp_path / 'run'
  result = commands.run(
      [*commands.DEEP_SEA, '--output', str(folder)], cache, shell=shell)
  assert result.status == 0, result
  assert not any('Traceback' in line or 'Exception' in line
                 for line in result.err)
  assert commands.results(folder) == whole
  # Nothing was written into a file that took a closed stream's number.
  for path in folder.glob('*.json'):
    assert path.read_text().startswith('{')


@slow
@pytest.mark.parametrize('kibibytes', [1, 2, 3, 4, 6, 8, 12, 16, 24, 48])
def test_a_full_disk_keeps_the_last_checkpoint(
    kibibytes, tmp_path, cache, whole):
  folder = tmp_path / 'run'
  command = [*commands.DEEP_SEA, *commands.ALL_CHECKPOINTS,
             '--output', str(folder)]
  # No file may be larger; bash counts in kibibytes.
  result = commands.run(command, cache, shell=(
      f"trap '' XFSZ; ulimit -f {kibibytes}; exec COMMAND"))
  if result.status:
    assert result.status == 1
    assert len(result.err) == 1, result.err
    assert result.err[0].startswith('error: ')
  else:  # Only a picture was too large.
    assert all('is not drawn' in line for line in result.err)
  result = commands.run(command, cache)
  assert result.status == 0, result.err
  assert commands.results(folder) == whole


@slow
@pytest.mark.parametrize('number', [24, 32, 48, 64])
def test_too_many_open_files(number, tmp_path, cache, whole):
  folder = tmp_path / 'run'
  command = [*commands.DEEP_SEA, *commands.ALL_CHECKPOINTS,
             '--output', str(folder)]
  result = commands.run(
      command, cache, shell=f'ulimit -n {number}; exec COMMAND')
  assert result.status in (0, 1)
  if result.status:
    assert len(result.err) <= 3, result.err
  result = commands.run(command, cache)
  assert result.status == 0, result.err
  assert commands.results(folder) == whole


@slow
@pytest.mark.parametrize('where', ['/proc/run', '/dev/null/run', '/sys/run'])
def test_a_place_where_nothing_can_be_written(where, cache):
  result = commands.run([*commands.DEEP_SEA, '--output', where], cache)
  assert result.status == 1
  assert commands.is_one_line(result), result.err
  assert 'cannot be written' in result.err[0]
