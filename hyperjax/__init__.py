"""hyperjax: agents that explore by posterior sampling, in JAX.

Start at `hyperjax.agents` for the algorithms, `hyperjax.loops` to run them and
`hyperjax.adapters` for loops written elsewhere. `save` keeps a trained agent,
and `load` returns it as a `Policy`.
"""

__version__ = '0.1.0'

from hyperjax.policy import Policy
from hyperjax.policy_folder import load
from hyperjax.policy_folder import save
from hyperjax.types import ActorState
from hyperjax.types import Agent
from hyperjax.types import Batch
from hyperjax.types import LearnerState
from hyperjax.types import TimeStep
from hyperjax.types import Transition
