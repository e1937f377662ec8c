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


def _presets(
    config: type[agents.TDConfig], *more_sizes: int, **on_frames: Any,
) -> dict[str, Callable[[], Any]]:
  """An agent's own settings, and the same on frames: Nature's torso, 512 units.

  Args:
    config: the agent's.
    *more_sizes: of layers behind the torso's.
    **on_frames: what else is otherwise there.
  """
  return {
      'default': config,
      'nature': functools.partial(
          config, torso=networks.NatureTorso, hidden_sizes=(512, *more_sizes),
          **on_frames)}


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
        **_presets(agents.DQNConfig),
        'paper_atari': agents.DQNConfig.like_hyperagent_atari,
        'atari_cpu': agents.DQNConfig.atari_cpu,
    }),
    'boot_dqn': Entry(agents.BootDQN, _presets(agents.BootDQNConfig)),
    'ensemble_plus': Entry(
        agents.EnsemblePlus, _presets(agents.EnsemblePlusConfig)),
    # On Atari its authors' batch there, for the 2,560 of DeepSea.
    'hyperdqn': Entry(
        agents.HyperDQN, _presets(agents.HyperDQNConfig, batch_size=320)),
    'enn_dqn': Entry(agents.ENNDQN, {
        **_presets(agents.ENNDQNConfig),
        'enn_acme': agents.ENNDQNConfig.enn_acme,
    }),
    'adam_lmcdqn': Entry(agents.AdamLMCDQN, _presets(agents.AdamLMCDQNConfig)),
    # Of both the last layers are noisy: one before the values'.
    'noisy_dqn': Entry(agents.NoisyDQN, _presets(agents.NoisyDQNConfig, 512)),
    'sane': Entry(agents.SANE, _presets(agents.SANEConfig, 512)),
    'langevin_adam': Entry(
        agents.LangevinAdam, _presets(agents.LangevinAdamConfig)),
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
