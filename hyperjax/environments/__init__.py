"""Environments in pure JAX, for `hyperjax.loops.on_device`."""

from hyperjax.environments.base import Environment
from hyperjax.environments.deep_sea import DeepSea
