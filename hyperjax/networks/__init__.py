"""Flax Linen modules: torsos, heads and the value functions made of them.

Modules work on one observation and one index; callers lift them with `vmap`.
"""

from hyperjax.networks.affine import AffineValue
from hyperjax.networks.affine import FixedPrior
from hyperjax.networks.affine import UniformPrior
from hyperjax.networks.convolutions import Conv
from hyperjax.networks.convolutions import ConvTorso
from hyperjax.networks.convolutions import DataEfficientTorso
from hyperjax.networks.convolutions import HyperAgentTorso
from hyperjax.networks.convolutions import NatureTorso
from hyperjax.networks.convolutions import SmallHyperAgentTorso
from hyperjax.networks.epinet import EpinetValue
from hyperjax.networks.heads import EnsembleHead
from hyperjax.networks.heads import HypermodelHead
from hyperjax.networks.heads import LinearHead
from hyperjax.networks.heads import SeparateNetworks
from hyperjax.networks.heads import factor_sphere_init
from hyperjax.networks.heads import factor_xavier_init
from hyperjax.networks.heads import normal_init
from hyperjax.networks.heads import sphere_init
from hyperjax.networks.heads import truncated_init
from hyperjax.networks.heads import xavier_init
from hyperjax.networks.noisy import NoisyValue
from hyperjax.networks.noisy import StateAwareNoisyValue
from hyperjax.networks.parameters import num_parameters
from hyperjax.networks.torsos import InputLayer
from hyperjax.networks.torsos import MLPTorso
from hyperjax.networks.values import mask_illegal
from hyperjax.networks.values import value
from hyperjax.networks.values import with_legal_actions
