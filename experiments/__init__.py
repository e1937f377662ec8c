"""The published figures and tables, one command each.

Where hyperjax is installed, this package is called `hyperjax_experiments`, so
that it is not in the way of a user's own `experiments`; hence the relative
imports within.
"""

import os
import sys

from . import process

# Python is loading one of the commands, or the program `hyperjax` is.
if sys.argv[:1] == ['-m'] or (
    __name__ == 'hyperjax_experiments'
    and os.path.basename(sys.argv[0]).startswith('hyperjax')):
  process.prepare()
