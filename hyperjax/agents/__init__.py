"""The algorithms, each one short file over the learner in `td`."""

from hyperjax.agents.dqn import DQN
from hyperjax.agents.dqn import DQNConfig
from hyperjax.agents.hyperagent import HyperAgent
from hyperjax.agents.hyperagent import HyperAgentConfig
from hyperjax.agents.td import TDAgent
from hyperjax.agents.td import TDConfig
