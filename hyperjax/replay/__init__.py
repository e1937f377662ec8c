"""Replay: storage x sampler.

A storage says what is kept: `TransitionReplay` a ring of transitions,
`StreamReplay` streams of time steps, each observation or frame once. Both give
n-step returns. A sampler (`hyperjax.replay.samplers`) says what is drawn. A
replay is a frozen object of pure functions over its state.
"""

from hyperjax.replay.memory import available_bytes
from hyperjax.replay.memory import check_fits
from hyperjax.replay.samplers import Mixed
from hyperjax.replay.samplers import Prioritized
from hyperjax.replay.samplers import Sampler
from hyperjax.replay.samplers import Uniform
from hyperjax.replay.storage import ReplayState
from hyperjax.replay.streams import Entry
from hyperjax.replay.streams import StreamReplay
from hyperjax.replay.streams import push
from hyperjax.replay.transitions import TransitionReplay
