"""Loops that run agents in environments, and the trainers that they run."""

from hyperjax.loops.base import Trainer
from hyperjax.loops.environment_loop import EnvironmentLoop
from hyperjax.loops.environment_loop import EpisodeResult
from hyperjax.loops.host import HostLoop
from hyperjax.loops.on_device import OnDeviceLoop
from hyperjax.loops.processes import own_agents
from hyperjax.loops.stream_trainer import StreamTrainer
from hyperjax.loops.trainer import ReplayTrainer
