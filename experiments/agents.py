"""The agents that experiments know by name, with their presets."""

from collections.abc import Callable
import functools
from typing import Any, NamedTuple

from experiments import records
from hyperjax import agents
from hyperjax import index as index_lib
from hyperjax import networks

# Index distributions by the names that the command line and config.json use.
INDICES = {
    'gaussian': index_lib.Gaussian,
    'sphere': index_lib.Sphere,
    'cube': index_lib.Cube,
    'coordinate': index_lib.Coordinate,
    'sparse': index_lib.Sparse,
    'one_hot': index_lib.OneHot,
}

TORSOS = {
    'mlp': networks.MLPTorso,
    'nature': networks.NatureTorso,
    'data_efficient': networks.DataEfficientTorso,
    'hyperagent': networks.HyperAgentTorso,
    'small_hyperagent': networks.SmallHyperAgentTorso,
}


def _nature(config: type[agents.TDConfig], *more_sizes: int, **settings: Any):
  """A default for frames: with the Nature torso and its 512 units."""
  return functools.partial(
      config, torso=networks.NatureTorso, hidden_sizes=(512, *more_sizes),
      **settings)


class Entry(NamedTuple):
  """An agent's class and its presets: functions that make a config."""

  agent: type[agents.TDAgent]
  presets: dict[str, Callable[[], Any]]


AGENTS = {
    'hyperagent': Entry(agents.HyperAgent, {
        'default': agents.HyperAgentConfig,
        'thompson': agents.HyperAgentConfig.thompson,
        'paper': agents.HyperAgentConfig.paper_deep_sea,
        'paper_optimistic': agents.HyperAgentConfig.paper_deep_sea_optimistic,
        'paper_one_hot': agents.HyperAgentConfig.paper_deep_sea_one_hot,
        'paper_atari': agents.HyperAgentConfig.paper_atari,
        'atari_cpu': agents.HyperAgentConfig.atari_cpu,
    }),
    'dqn': Entry(agents.DQN, {
        'default': agents.DQNConfig,
        'paper_atari': agents.DQNConfig.like_hyperagent_atari,
        'atari_cpu': agents.DQNConfig.atari_cpu,
    }),
    'boot_dqn': Entry(agents.BootDQN, {
        'default': agents.BootDQNConfig,
        'nature': _nature(agents.BootDQNConfig),
    }),
    'ensemble_plus': Entry(agents.EnsemblePlus, {
        'default': agents.EnsemblePlusConfig,
        'nature': _nature(agents.EnsemblePlusConfig),
    }),
    'hyperdqn': Entry(agents.HyperDQN, {
        'default': agents.HyperDQNConfig,
        # Its authors' batch on Atari, for the 2,560 of DeepSea.
        'nature': _nature(agents.HyperDQNConfig, batch_size=320),
    }),
    'enn_dqn': Entry(agents.ENNDQN, {
        'default': agents.ENNDQNConfig,
        'enn_acme': agents.ENNDQNConfig.enn_acme,
        'nature': _nature(agents.ENNDQNConfig),
    }),
    'adam_lmcdqn': Entry(agents.AdamLMCDQN, {
        'default': agents.AdamLMCDQNConfig,
        'nature': _nature(agents.AdamLMCDQNConfig),
    }),
    'noisy_dqn': Entry(agents.NoisyDQN, {
        'default': agents.NoisyDQNConfig,
        'nature': _nature(agents.NoisyDQNConfig, 512),  # The last is noisy.
    }),
    'sane': Entry(agents.SANE, {
        'default': agents.SANEConfig,
        'nature': _nature(agents.SANEConfig, 512),
    }),
    'langevin_adam': Entry(agents.LangevinAdam, {
        'default': agents.LangevinAdamConfig,
        'nature': _nature(agents.LangevinAdamConfig),
    }),
}


def preset(agent: str, name: str) -> Any:
  """The config of a preset.

  Raises:
    ValueError: for an unknown name, with the known ones.
  """
  if agent not in AGENTS:
    raise ValueError(f'unknown agent {agent!r}; known: {", ".join(AGENTS)}')
  presets = AGENTS[agent].presets
  if name not in presets:
    raise ValueError(
        f'unknown preset {name!r} of {agent}; known: {", ".join(presets)}')
  return presets[name]()


def settings_in_words(settings: dict[str, Any]) -> str:
  """The preset, and what was set otherwise."""
  defaults = records.settings_as_json(
      preset(settings['agent'], settings['preset']))
  # Runs from before there was the option have no word of it.
  noise = ['stochastic'] if settings.get('stochastic') else []
  return ', '.join([settings['preset'], *noise, *[
      f'{name} {value}' for name, value in settings['config'].items()
      if value != defaults.get(name)]])
