"""Replay: a storage and a sampler.

`TransitionReplay` stores a ring of transitions; `StreamReplay` stores streams
of time steps, with each observation or frame once. Both return n-step
transitions. The sampler (`hyperjax.replay.samplers`) determines the
distribution of the draws. A replay is a frozen object whose methods are pure
functions of its state.
"""

from hyperjax.replay.prioritized import Prioritized
from hyperjax.replay.samplers import Mixed
from hyperjax.replay.samplers import Sampler
from hyperjax.replay.samplers import Uniform
from hyperjax.replay.storage import ReplayState
from hyperjax.replay.streams import Entry
from hyperjax.replay.streams import StreamReplay
from hyperjax.replay.streams import push
from hyperjax.replay.transitions import TransitionReplay
