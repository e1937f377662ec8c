"""The table of the cases that were tried, by heading."""

import collections

import pytest

_outcomes: dict[str, collections.Counter] = collections.defaultdict(
    collections.Counter)


@pytest.fixture(scope='session')
def cache(tmp_path_factory):
  """A folder of compiled programs that the commands share."""
  return tmp_path_factory.mktemp('cache')


def pytest_runtest_logreport(report):
  name = report.nodeid.partition('::')[0]
  if 'faults' in name and (report.when == 'call' or report.failed):
    heading = name.rpartition('test_')[2].removesuffix('.py')
    _outcomes[heading][report.outcome] += 1


def pytest_terminal_summary(terminalreporter):
  if not _outcomes:
    return
  terminalreporter.section('faults')
  total = collections.Counter()
  for heading, counts in sorted(_outcomes.items()):
    total.update(counts)
    terminalreporter.line(_line(heading, counts))
  terminalreporter.line(_line('all', total))


def _line(heading, counts):
  tried = counts['passed'] + counts['failed']
  return (f'{heading:<12} {tried:4} tried {counts["passed"]:4} well '
          f'{counts["failed"]:4} badly')
