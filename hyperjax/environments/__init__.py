"""Environments in pure JAX, and wrappers of those of other packages."""

from hyperjax.environments.base import Environment
from hyperjax.environments.deep_sea import DeepSea
from hyperjax.environments.flat_observation import FlatObservation
