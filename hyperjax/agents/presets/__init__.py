"""Settings by name, in the form source_domain.

`PRESETS[agent][name]()` is a config. The library, the command line (`--agent`,
`--preset`) and `config.json` use the same names. Every agent has the presets
`default`, its config without changes; `nature_atari`, the same for stacks of
frames with the torso of Mnih et al. (2015); and `minatar`, the same for MinAtar
with the torso, batch and replay of Young and Tian (2019). The functions here
are the others. An agent from outside hyperjax is named by its import path,
'my_module:MyAgent', and has these three presets.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

from hyperjax import agents
from hyperjax import checks
from hyperjax import configs
from hyperjax import networks
from hyperjax.agents.presets.hyperagent import hyperagent_optimistic
from hyperjax.agents.presets.hyperagent import hyperagent_paper_atari
from hyperjax.agents.presets.hyperagent import hyperagent_paper_deep_sea
from hyperjax.agents.presets.hyperagent import hyperagent_paper_deep_sea_one_hot
from hyperjax.agents.presets.hyperagent import (
  hyperagent_paper_deep_sea_optimistic,
)
from hyperjax.agents.presets.hyperagent import hyperagent_small_atari
from hyperjax.agents.presets.hyperagent import hyperagent_thompson_deep_sea
from hyperjax.agents.presets.others import dqn_minatar
from hyperjax.agents.presets.others import dqn_paper_atari
from hyperjax.agents.presets.others import dqn_random
from hyperjax.agents.presets.others import dqn_small_atari
from hyperjax.agents.presets.others import enn_dqn_enn_acme_bsuite
from hyperjax.agents.presets.others import rainbow_der_atari
from hyperjax.agents.presets.others import rainbow_paper_atari
from hyperjax.agents.presets.self_predictive import bbf_minatar
from hyperjax.agents.presets.self_predictive import bbf_paper_atari
from hyperjax.agents.presets.self_predictive import bbf_paper_atari_ratio_2
from hyperjax.agents.presets.self_predictive import bbf_small_atari
from hyperjax.agents.presets.self_predictive import bbf_sr_spr_atari

AGENTS: dict[str, type[agents.TDAgent]] = {
    'hyperagent': agents.HyperAgent,
    'dqn': agents.DQN,
    'boot_dqn': agents.BootDQN,
    'ensemble_plus': agents.EnsemblePlus,
    'hyperdqn': agents.HyperDQN,
    'enn_dqn': agents.ENNDQN,
    'adam_lmcdqn': agents.AdamLMCDQN,
    'noisy_dqn': agents.NoisyDQN,
    'rainbow': agents.Rainbow,
    'bbf': agents.BBF,
    'sane': agents.SANE,
    'langevin_adam': agents.LangevinAdam,
}


def _own(
    config: Callable[..., agents.TDConfig], *more_sizes: int, **on_frames: Any,
) -> dict[str, Callable[..., Any]]:
  """Returns the presets that every agent has.

  Args:
    config: what makes the agent's config.
    *more_sizes: widths of further layers in `nature_atari`.
    **on_frames: fields of the config in `nature_atari`.
  """
  return {
      'default': config,
      'nature_atari': functools.partial(
          config, torso=networks.NatureTorso, hidden_sizes=(512, *more_sizes),
          **on_frames),
      'minatar': functools.partial(
          config, torso=networks.MinAtarTorso,
          hidden_sizes=(128,) * (1 + len(more_sizes)), batch_size=32,
          replay_capacity=100_000, warmup_steps=5000)}


PRESETS: dict[str, dict[str, Callable[..., agents.TDConfig]]] = {
    'hyperagent': {
        **_own(agents.HyperAgentConfig),
        'optimistic': hyperagent_optimistic,
        'thompson_deep_sea': hyperagent_thompson_deep_sea,
        'paper_deep_sea': hyperagent_paper_deep_sea,
        'paper_deep_sea_optimistic': hyperagent_paper_deep_sea_optimistic,
        'paper_deep_sea_one_hot': hyperagent_paper_deep_sea_one_hot,
        'paper_atari': hyperagent_paper_atari,
        'small_atari': hyperagent_small_atari,
    },
    'dqn': {
        **_own(agents.DQNConfig),
        'minatar': dqn_minatar,
        'paper_atari': dqn_paper_atari,
        'small_atari': dqn_small_atari,
        'random': dqn_random,
    },
    'boot_dqn': _own(agents.BootDQNConfig),
    'ensemble_plus': _own(agents.EnsemblePlusConfig),
    # The authors' batch size on Atari, instead of the 2,560 of DeepSea.
    'hyperdqn': _own(agents.HyperDQNConfig, batch_size=320),
    'enn_dqn': {
        **_own(agents.ENNDQNConfig),
        'enn_acme_bsuite': enn_dqn_enn_acme_bsuite,
    },
    'adam_lmcdqn': _own(agents.AdamLMCDQNConfig),
    # The last two layers are noisy: one hidden layer and the output.
    'noisy_dqn': _own(agents.NoisyDQNConfig, 512),
    'rainbow': {
        **_own(agents.RainbowConfig),  # Of one layer, which is noisy.
        'paper_atari': rainbow_paper_atari,
        'der_atari': rainbow_der_atari,
    },
    'bbf': {
        **_own(agents.BBFConfig),
        'minatar': bbf_minatar,
        'paper_atari': bbf_paper_atari,
        'paper_atari_ratio_2': bbf_paper_atari_ratio_2,
        'sr_spr_atari': bbf_sr_spr_atari,
        'small_atari': bbf_small_atari,
    },
    'sane': _own(agents.SANEConfig, 512),
    'langevin_adam': _own(agents.LangevinAdamConfig),
}


def agent_class(agent: str) -> type[agents.TDAgent]:
  """Returns the class of an agent.

  Args:
    agent: its name, a key of `AGENTS`, or 'my_module:MyAgent'.

  Raises:
    ValueError: if the name is unknown, with near matches, or names no agent.
  """
  if ':' not in agent:
    checks.known('agent', agent, AGENTS)
    return AGENTS[agent]
  found = configs.find(agent, 'agent')
  if not (isinstance(found, type) and issubclass(found, agents.TDAgent)):
    raise ValueError(
        f'agent must be a subclass of hyperjax.agents.TDAgent, got {agent!r}')
  if not hasattr(found, 'config'):
    raise ValueError(
        f'agent {agent} must be a dataclass whose field config has a default')
  return found


def names(agent: str) -> list[str]:
  """Returns the names of an agent's presets; see `agent_class`."""
  return list(_presets(agent))


def _presets(agent: str) -> dict[str, Callable[..., Any]]:
  default = agent_class(agent).config
  return PRESETS.get(agent) or _own(
      functools.partial(dataclasses.replace, default))


def make(agent: str, preset: str = 'default', **overrides: Any) -> Any:
  """Returns the config of a preset.

  Args:
    agent: name of the agent, a key of `AGENTS`, or 'my_module:MyAgent'.
    preset: name of the preset, one of `names(agent)`.
    **overrides: fields of the config that replace the preset's.

  Raises:
    ValueError: if a name is unknown; the message has near matches.
  """
  known = _presets(agent)
  checks.known(f'preset of {agent}', preset, known)
  return known[preset](**overrides)
