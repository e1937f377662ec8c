"""hyperjax: agents that explore by posterior sampling, in JAX.

Start at `hyperjax.agents` for the algorithms, `hyperjax.loops` to run them and
`hyperjax.adapters` for loops written elsewhere.
"""

from hyperjax.types import ActorState
from hyperjax.types import Agent
from hyperjax.types import Batch
from hyperjax.types import LearnerState
from hyperjax.types import TimeStep
from hyperjax.types import Transition

__version__ = '0.1.0'
