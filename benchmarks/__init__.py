"""Benchmarks of speed, and of the fraction of the machine that is used."""

import experiments
