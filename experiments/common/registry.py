"""Names of components on the command line, and of runs in tables."""

import functools
import json
from pathlib import Path
from typing import Any

from hyperjax import index as index_lib
from hyperjax import networks
from hyperjax.agents import presets

from . import provenance

# Index distributions and torsos by the names that the command line uses.
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
    'layer_norm': networks.LayerNormTorso,
    'nature': networks.NatureTorso,
    'impala': networks.ImpalaTorso,
    'wide_impala': networks.WideImpalaTorso,
    'minatar_impala': networks.MinAtarImpalaTorso,
    'minatar': networks.MinAtarTorso,
    'data_efficient': networks.DataEfficientTorso,
    'hyperagent': networks.HyperAgentTorso,
    'small_hyperagent': networks.SmallHyperAgentTorso,
}

# What presets were called before config.json had a format number.
FORMER_NAMES = {
    ('hyperagent', 'default'): 'optimistic',
    ('hyperagent', 'thompson'): 'thompson_deep_sea',
    ('hyperagent', 'paper'): 'paper_deep_sea',
    ('hyperagent', 'paper_optimistic'): 'paper_deep_sea_optimistic',
    ('hyperagent', 'paper_one_hot'): 'paper_deep_sea_one_hot',
    ('hyperagent', 'atari_cpu'): 'small_atari',
    ('dqn', 'atari_cpu'): 'small_atari',
    ('enn_dqn', 'enn_acme'): 'enn_acme_bsuite',
}


def agent_and_preset(text: str) -> tuple[str, str]:
  """Returns the names in agent:preset; without one the preset is default.

  Args:
    text: such as dqn, dqn:paper_atari, my_module:MyAgent or
      my_module:MyAgent:nature_atari.
  """
  first, _, rest = text.partition(':')
  if rest and first not in presets.AGENTS:  # A module.
    name, _, preset = rest.partition(':')
    return f'{first}:{name}', preset or 'default'
  return first, rest or 'default'


@functools.cache
def _former_presets() -> dict[str, dict[str, dict[str, Any]]]:
  """Returns the settings of former presets, by their former names."""
  path = Path(__file__).with_name('former_presets.json')
  return json.loads(path.read_text(encoding='utf-8'))


def preset_of(config: dict[str, Any]) -> str:
  """Returns today's name of the preset of a run.

  Args:
    config: what its config.json holds.
  """
  settings = config['settings']
  if 'format' in config:
    return settings['preset']
  return FORMER_NAMES.get(
      (settings['agent'], settings['preset']), settings['preset'])


def settings_in_words(config: dict[str, Any]) -> str:
  """Returns the preset of a run, and what was set otherwise.

  Args:
    config: what its config.json holds.
  """
  settings = config['settings']
  if 'format' in config:
    defaults = provenance.settings_as_json(
        presets.make(settings['agent'], settings['preset']))
  else:
    defaults = _former_presets()[settings['agent']][settings['preset']]
  # Runs from before there was the option have no word of it.
  noise = ['stochastic'] if settings.get('stochastic') else []
  return ', '.join([preset_of(config), *noise, *[
      f'{name} {_in_words(value)}'
      for name, value in settings['config'].items()
      if value != defaults.get(name)]])


def _in_words(value: Any) -> str:
  """A component as its class and numbers, anything else as it is."""
  if not isinstance(value, dict):
    return str(value)
  numbers = ', '.join(
      f'{name}={_in_words(x)}' for name, x in value.items() if name != 'class')
  return f'{value["class"]}({numbers})'
