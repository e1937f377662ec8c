"""An agent from outside hyperjax, in the commands."""

import pytest

from experiments.common import cli
from experiments.common import registry
from experiments.common import run as run_lib
from experiments.deep_sea import run as deep_sea_lib
from experiments.deep_sea import settings as settings_lib
import hyperjax
from hyperjax import networks
from hyperjax.agents import presets
from tests import csv_files

SOURCE = '''
import dataclasses
from hyperjax import agents

@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(agents.DQNConfig):
  temperature: float = 0.5

@dataclasses.dataclass(frozen=True)
class Agent(agents.DQN):
  config: Config = Config(hidden_sizes=(8,), batch_size=4, warmup_steps=4)

@dataclasses.dataclass(frozen=True)
class NoDefault(agents.TDAgent):
  config: Config
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
  (tmp_path / 'an_own_agent.py').write_text(SOURCE)
  monkeypatch.syspath_prepend(tmp_path)
  return 'an_own_agent'


@pytest.mark.slow
@pytest.mark.ci
def test_it_trains_by_a_command_and_its_policy_is_loaded(module, tmp_path):
  folder = tmp_path / 'run'
  run_lib.run(deep_sea_lib.DeepSeaTask(cli.parse(settings_lib.Settings, [
      '--agent', f'{module}:Agent', '--temperature', '0.7', '--size', '3',
      '--num-seeds', '1', '--num-episodes', '8', '--output', str(folder)])))
  (row,) = csv_files.rows(folder / 'summary.csv')
  assert row['agent'] == f'{module}:Agent'
  policy = hyperjax.load(folder)
  assert type(policy.agent).__name__ == 'Agent'
  assert policy.agent.config.temperature == 0.7


def test_it_has_a_preset_for_frames(module):
  assert presets.names(f'{module}:Agent') == [
      'default', 'nature_atari', 'minatar']
  config = presets.make(f'{module}:Agent', 'nature_atari', batch_size=8)
  assert config.torso is networks.NatureTorso
  assert config.hidden_sizes == (512,)
  assert (config.batch_size, config.warmup_steps) == (8, 4)


@pytest.mark.parametrize(('name', 'expected'), [
    ('nowhere:Agent', "'nowhere:Agent' cannot be imported"),
    ('an_own_agent:Config', 'a subclass of hyperjax.agents.TDAgent'),
    ('an_own_agent:Missing', "has no attribute 'Missing'"),
    ('an_own_agent:NoDefault', 'field config has a default'),
    ('json:dumps', "a subclass of hyperjax.agents.TDAgent, got 'json:dumps'"),
])
def test_what_is_no_agent_is_refused(module, tmp_path, capsys, name, expected):
  del module
  with pytest.raises(SystemExit) as caught:
    cli.parse(settings_lib.Settings, [
        '--agent', name, '--output', str(tmp_path / 'run')])
  assert caught.value.code == 2
  assert expected in capsys.readouterr().err


def test_help_lists_the_presets_of_the_agent(capsys):
  with pytest.raises(SystemExit):
    cli.parse(settings_lib.Settings, ['--agent', 'enn_dqn', '--help'])
  said = capsys.readouterr().out
  assert 'default, nature_atari, minatar, enn_acme_bsuite' in said


@pytest.mark.parametrize(('text', 'agent', 'preset'), [
    ('dqn', 'dqn', 'default'),
    ('dqn:paper_atari', 'dqn', 'paper_atari'),
    ('my.module:Agent', 'my.module:Agent', 'default'),
    ('my.module:Agent:nature_atari', 'my.module:Agent', 'nature_atari'),
])
def test_names_of_agents_and_presets(text, agent, preset):
  assert registry.agent_and_preset(text) == (agent, preset)
