"""The algorithms, each in one short file over the learner in `td`."""

from hyperjax.agents.bbf import BBF
from hyperjax.agents.bbf import BBFConfig
from hyperjax.agents.boot_dqn import BootDQN
from hyperjax.agents.boot_dqn import BootDQNConfig
from hyperjax.agents.boot_dqn import EnsemblePlus
from hyperjax.agents.boot_dqn import EnsemblePlusConfig
from hyperjax.agents.config import TDConfig
from hyperjax.agents.dqn import DQN
from hyperjax.agents.dqn import DQNConfig
from hyperjax.agents.enn_dqn import ENNDQN
from hyperjax.agents.enn_dqn import ENNDQNConfig
from hyperjax.agents.hyperagent import HyperAgent
from hyperjax.agents.hyperagent import HyperAgentConfig
from hyperjax.agents.hyperdqn import HyperDQN
from hyperjax.agents.hyperdqn import HyperDQNConfig
from hyperjax.agents.langevin import AdamLMCDQN
from hyperjax.agents.langevin import AdamLMCDQNConfig
from hyperjax.agents.langevin import LangevinAdam
from hyperjax.agents.langevin import LangevinAdamConfig
from hyperjax.agents.noisy_dqn import NoisyDQN
from hyperjax.agents.noisy_dqn import NoisyDQNConfig
from hyperjax.agents.rainbow import Rainbow
from hyperjax.agents.rainbow import RainbowConfig
from hyperjax.agents.sane import SANE
from hyperjax.agents.sane import SANEConfig
from hyperjax.agents.td import TDAgent
