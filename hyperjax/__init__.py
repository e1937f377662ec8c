"""hyperjax: agents that explore by posterior sampling, in JAX."""

__version__ = '0.1.0'
