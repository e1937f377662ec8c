"""Components of configs on the command line, as presets name them."""

import dataclasses
from pathlib import Path

import pytest

from experiments.common import cli
from experiments.deep_sea import settings as settings_lib
from hyperjax import schedules
from hyperjax.agents import presets


def _config(agent, preset, *more):
  return cli.parse(settings_lib.Settings, [
      '--agent', agent, '--preset', preset, '--output', str(Path('runs')),
      *more]).config


@pytest.mark.parametrize(('agent', 'preset'), [
    ('bbf', 'default'), ('bbf', 'paper_atari'), ('bbf', 'sr_spr_atari'),
    ('dqn', 'minatar'), ('rainbow', 'paper_atari')])
def test_without_options_it_is_the_preset(agent, preset):
  """Schedules within components and without among it."""
  found, expected = _config(agent, preset), presets.make(agent, preset)
  assert found == expected and hash(found) == hash(expected)
  assert type(found) is type(expected)
  for field in dataclasses.fields(found):
    assert type(getattr(found, field.name)) is type(
        getattr(expected, field.name))


def test_numbers_of_schedules_and_resets_are_options():
  config = _config(
      'bbf', 'minatar', '--n-step.start', '4', '--discount.end', '0.9',
      '--acting.epsilon.num-steps', '7', '--resets.period', '10',
      '--resets.first', 'None', '--resets.keep-of', 'torso', '0.1')
  assert config.n_step == schedules.Geometric(4., 3., 10_000)
  assert config.discount.end == 0.9
  assert config.acting.epsilon == schedules.Delayed(
      schedules.Linear(1., 0., 2001), 7)
  assert config.resets.period == 10 and config.resets.first is None
  assert config.resets.keep_of == (('torso', 0.1),)


def test_what_a_reset_cannot_meet_is_refused(capsys):
  with pytest.raises(SystemExit) as error:
    _config('bbf', 'minatar', '--resets.period', '9')
  assert error.value.code == 2
  said = capsys.readouterr().err
  assert 'period of resets must be a multiple of updates_per_period' in said
