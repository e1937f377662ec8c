"""The published figures and tables, one command each."""

import sys

from experiments import process

if sys.argv[:1] == ['-m']:  # Python is loading one of the commands.
  process.prepare()
