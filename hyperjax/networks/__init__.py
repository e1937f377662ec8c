"""Flax Linen modules: torsos, heads, priors, and value functions made of them.

Modules work on one observation and one index; callers map them with `vmap`. A
value function is a module with two methods: calling it encodes one observation,
and `value` maps the encoding and an index [M] to values [A].
"""

from hyperjax.networks import initializers
from hyperjax.networks.affine import AffineValue
from hyperjax.networks.categorical import NoisyDuelingValue
from hyperjax.networks.categorical import Support
from hyperjax.networks.categorical import mean_of
from hyperjax.networks.convolutions import Conv
from hyperjax.networks.convolutions import ConvTorso
from hyperjax.networks.convolutions import DataEfficientTorso
from hyperjax.networks.convolutions import HyperAgentTorso
from hyperjax.networks.convolutions import ImageTorso
from hyperjax.networks.convolutions import MinAtarTorso
from hyperjax.networks.convolutions import NatureTorso
from hyperjax.networks.convolutions import SmallHyperAgentTorso
from hyperjax.networks.epinet import EpinetValue
from hyperjax.networks.heads import EnsembleHead
from hyperjax.networks.heads import HypermodelHead
from hyperjax.networks.heads import LinearHead
from hyperjax.networks.heads import SeparateNetworks
from hyperjax.networks.impala import ImpalaTorso
from hyperjax.networks.impala import MinAtarImpalaTorso
from hyperjax.networks.impala import WideImpalaTorso
from hyperjax.networks.noisy import NoisyValue
from hyperjax.networks.noisy import StateAwareNoisyValue
from hyperjax.networks.parameters import num_parameters
from hyperjax.networks.priors import FeaturePrior
from hyperjax.networks.priors import FixedPrior
from hyperjax.networks.priors import PriorCorrection
from hyperjax.networks.priors import PriorFeatures
from hyperjax.networks.priors import UniformPrior
from hyperjax.networks.self_predictive import SelfPredictiveValue
from hyperjax.networks.self_predictive import TransitionModel
from hyperjax.networks.tables import Table
from hyperjax.networks.tables import table
from hyperjax.networks.tables import unbox
from hyperjax.networks.torsos import Dense
from hyperjax.networks.torsos import InputLayer
from hyperjax.networks.torsos import LayerNormTorso
from hyperjax.networks.torsos import MLPTorso
from hyperjax.networks.torsos import normalized_relu
from hyperjax.networks.values import legal_actions
from hyperjax.networks.values import mask_illegal
from hyperjax.networks.values import value
from hyperjax.networks.values import with_legal_actions
