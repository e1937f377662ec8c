"""Flax Linen modules: torsos, heads and the value functions made of them.

Modules work on one observation and one index; callers lift them with `vmap`.
"""

from hyperjax.networks.affine import AffineValue
from hyperjax.networks.affine import FixedPrior
from hyperjax.networks.epinet import EpinetValue
from hyperjax.networks.heads import EnsembleHead
from hyperjax.networks.heads import HypermodelHead
from hyperjax.networks.heads import LinearHead
from hyperjax.networks.heads import SeparateNetworks
from hyperjax.networks.heads import factor_sphere_init
from hyperjax.networks.heads import factor_xavier_init
from hyperjax.networks.heads import normal_init
from hyperjax.networks.heads import sphere_init
from hyperjax.networks.noisy import NoisyValue
from hyperjax.networks.noisy import StateAwareNoisyValue
from hyperjax.networks.torsos import InputLayer
from hyperjax.networks.torsos import MLPTorso
