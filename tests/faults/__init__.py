"""Real commands that are hurt: signals, cut files, full disks, closed streams.

  python -m pytest tests/faults              a few of each kind
  python -m pytest -m 'slow or not slow' tests/faults      all of them

ends with a table of the cases, by what was done to the command.
"""
