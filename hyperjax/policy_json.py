"""What makes an agent, as plain data, and back.

The file policy.json of a folder of policies (`hyperjax.policy_folder`).
"""

import json
from pathlib import Path
from typing import Any

import hyperjax
from hyperjax import agents
from hyperjax import checks
from hyperjax import configs
from hyperjax import specs
from hyperjax import types

FORMAT = 1
FILE = 'policy.json'


def describe(agent: types.Agent) -> dict[str, Any]:
  """Returns what makes an agent as plain data, after a check that it does.

  Raises:
    ValueError: if JSON cannot hold it, or the agent made of it is another one.
  """
  checks.component(types.Agent, 'an agent')('agent', agent)
  contents = {
      'format': FORMAT,
      'hyperjax': hyperjax.__version__,
      'agent': configs.name_of(type(agent)),
      'observation_spec': {**agent.observation_spec._asdict()},
      'num_actions': agent.num_actions,
      'config_class': configs.name_of(type(agent.config)),
      'config': configs.to_json(agent.config)}
  try:
    contents = json.loads(json.dumps(contents))
  except (TypeError, ValueError) as error:
    raise ValueError(
        f'the config of {type(agent).__name__} must be what JSON can hold: '
        f'{error}') from error
  if agent_of(contents) != agent:
    raise ValueError(
        f'{agent} is not what comes of its specs and config as JSON; expected '
        f'classes and functions with a name in a module, and no other fields')
  return contents


def agent_of(contents: dict[str, Any]) -> types.Agent:
  """Returns the agent of a description.

  Raises:
    ValueError: if there is no such agent.
  """
  kind = configs.dataclass_of(contents['agent'], 'agent', agents)
  config = configs.from_json(
      configs.dataclass_of(contents['config_class'], 'config_class', agents),
      contents['config'])
  fields: dict[str, Any] = {
      name: tuple(x) if isinstance(x, list) else x
      for name, x in contents['observation_spec'].items()}
  spec = specs.check_spec('observation_spec', specs.ObservationSpec(**fields))
  try:
    agent = kind(spec, contents['num_actions'], config)
  except TypeError as error:
    raise ValueError(
        f'agent must be made of observation_spec, num_actions and config, got '
        f'{contents["agent"]!r}: {error}') from error
  return checks.component(types.Agent, 'an agent')('agent', agent)


def read(folder: Path) -> dict[str, Any]:
  """Returns the contents of the policy.json in a folder.

  Raises:
    ValueError: if it is not what `policy_folder` writes, or newer.
  """
  path = folder / FILE
  try:
    contents = json.loads(path.read_text(encoding='utf-8'))
    number = contents['format']
    if isinstance(number, int) and number > FORMAT:
      raise ValueError(
          f'it has format {number}, of a newer version than hyperjax '
          f'{hyperjax.__version__}; expected at most {FORMAT}')
    for name in ('agent', 'observation_spec', 'num_actions', 'config_class',
                 'config'):
      contents[name]
    checks.instance(dict)('observation_spec', contents['observation_spec'])
    for run in contents['runs']:
      for name in ('seed', 'task', 'updates', 'legal_actions'):
        run[name]
      legal = run['legal_actions']
      if legal is not None and not (
          legal and set(legal) <= set(range(contents['num_actions']))):
        raise ValueError(
            f'legal_actions must be some of 0..{contents["num_actions"] - 1}, '
            f'got {legal}')
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise ValueError(
        f'{path} is not what hyperjax.save writes: '
        f'{f"no {error}" if isinstance(error, KeyError) else error}') from error
  return contents
