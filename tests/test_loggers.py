"""Loggers, and what chunks report to them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import run_logs
from hyperjax import agents
from hyperjax import loggers
from hyperjax import policy_folder
from hyperjax.adapters import acme
from hyperjax.environments import DeepSea
from hyperjax.loops import EnvironmentLoop
from hyperjax.loops import HostLoop
from hyperjax.loops import OnDeviceLoop
from tests import event_files
from tests import games
from tests import small

# Metrics.


@dataclasses.dataclass(frozen=True)
class Counting(agents.DQN):
  """Reports the number of each update, and things that are no numbers."""

  def update(self, learner, batch):
    after, metrics = super().update(learner, batch)
    return after, {**metrics, 'number': learner.steps.astype(jnp.float32),
                   'count': learner.steps, 'vector': jnp.ones(3)}


def counting(environment, **settings):
  return Counting(
      environment.observation_spec(), environment.action_spec(),
      agents.DQNConfig(**{**small.SMALL, **settings}))


@pytest.mark.ci
@pytest.mark.slow
def test_a_chunk_on_the_device_has_the_mean_of_every_metric():
  environment = DeepSea(4)
  loop = OnDeviceLoop(
      counting(environment, updates_per_period=2), environment,
      devices=jax.devices()[:1])
  state = loop.init([0, 1], environment.params_from_seeds([0, 1]))
  state, log = loop.run(state, 4)
  assert log.metrics == {}  # The warm-up.
  state, log = loop.run(state, 8)
  assert set(log.metrics) == {'number', 'count'}
  # Updates 0 to 15, and then 16 to 31.
  np.testing.assert_allclose(log.metrics['number'], [7.5, 7.5])
  state, log = loop.run(state, 8, np.array([True, False]))
  np.testing.assert_allclose(log.metrics['number'], [23.5, np.nan])
  np.testing.assert_allclose(log.metrics['count'], [23.5, np.nan])
  assert np.isnan(log.loss).tolist() == [False, True]


def test_a_chunk_on_the_host_has_the_mean_of_every_metric():
  environment = games.Game([0])
  loop = HostLoop(
      Counting(environment.observation_spec(), environment.num_actions,
               agents.DQNConfig(**small.SMALL)), [environment])
  state = loop.init([3])
  env_steps = np.zeros(1, int)
  state, log = loop.run(state, 4, env_steps)
  assert np.isnan(log.metrics['number']).all() and log.num_updates == 0
  for first in (0, 6):
    state, log = loop.run(state, 6, env_steps)
    np.testing.assert_allclose(log.metrics['number'], [first + 2.5])
  assert set(log.metrics) == {'number', 'count'}
  loop.close()


def test_an_actor_has_every_metric():
  from bsuite.environments import catch
  environment = catch.Catch()
  actor = acme.Actor(counting(environment, updates_per_period=3))
  EnvironmentLoop(environment, actor).run(2)
  newest = int(actor.state.learner.steps) - 1
  np.testing.assert_array_equal(
      actor.metrics['number'], np.arange(newest - 2, newest + 1))
  assert actor.metrics['loss'].shape == (3,)


# Loggers.


def test_csv_has_a_row_per_number_and_goes_on(tmp_path):
  path = tmp_path / 'new' / 'log.csv'
  for step in (0, 10):
    logger = loggers.CSV(path)
    logger.write(step, {'loss': np.float32(0.5), 'updates': jnp.int32(3)})
    logger.close()
  assert path.read_text().splitlines() == [
      'step,name,value', '0,loss,0.5', '0,updates,3.0', '10,loss,0.5',
      '10,updates,3.0']


@pytest.mark.parametrize('step, values, words', [
    (-1, {}, 'step must be at least 0, got -1'),
    (1.5, {}, 'step must be an integer, got 1.5'),
    (0, {'loss': np.zeros(2)}, 'loss must be a number, got array'),
    (0, {'loss': 'low'}, "loss must be a number, got 'low'"),
    (0, {'loss': None}, 'loss must be a number, got None')])
@pytest.mark.usefixtures('unchecked')
def test_a_logger_refuses_what_is_no_number(step, values, words, tmp_path):
  logger = loggers.CSV(tmp_path / 'log.csv')
  with pytest.raises(ValueError, match=words):
    logger.write(step, values)
  logger.close()
  assert (tmp_path / 'log.csv').read_text() == 'step,name,value\n'


def test_tensorboard(tmp_path):
  pytest.importorskip('tensorboardX')
  logger = loggers.TensorBoard(tmp_path)
  logger.write(5, {'loss': 0.5, 'return': jnp.float32(2.)})
  logger.write(7, {'loss': 0.25})
  logger.close()
  assert event_files.scalars(tmp_path) == [
      (5, 'loss', 0.5), (5, 'return', 2.), (7, 'loss', 0.25)]
  assert isinstance(logger, loggers.Logger)


def test_wandb_offline(tmp_path, monkeypatch):
  wandb = pytest.importorskip('wandb')
  monkeypatch.setenv('WANDB_MODE', 'offline')
  silent = wandb.Settings(silent=True, console='off')
  # Two of one process, neither of which counts steps for the other.
  both = [loggers.WandB(project='test', dir=tmp_path, settings=silent)
          for _ in range(2)]
  for step in (5, 3):
    for number, logger in enumerate(both):
      logger.write(step, {'loss': number + 0.5})
  # The newest numbers, whatever their step.
  assert [logger._run.summary['loss'] for logger in both] == [0.5, 1.5]
  assert [logger._run.summary['step'] for logger in both] == [3, 3]
  for logger in both:
    logger.close()
  assert len(list(tmp_path.glob('wandb/offline-run-*/*.wandb'))) == 2


@pytest.mark.parametrize('make, words', [
    (lambda folder: loggers.TensorBoard(folder), r'hyperjax\[tensorboard\]'),
    (lambda folder: loggers.WandB(), r'hyperjax\[wandb\]')])
def test_a_missing_package_is_named_with_its_extra(
    make, words, tmp_path, monkeypatch):
  for package in ('tensorboardX', 'wandb'):
    monkeypatch.setitem(__import__('sys').modules, package, None)
  with pytest.raises(ImportError, match=words):
    make(tmp_path)
  for name in ('tensorboard', 'wandb'):
    with pytest.raises(ValueError, match=rf'{name}.*hyperjax\[{name}\]'):
      run_logs.parse(f'csv,{name}')


def test_names_of_loggers():
  assert run_logs.parse('csv') == []
  for wrong, words in (
      ('tensorbord', "logger 'tensorbord'; did you mean tensorboard.*csv, t"),
      ('', "logger ''.*known: csv, tensorboard, wandb"),
      ('csv,', "logger ''")):
    with pytest.raises(ValueError, match=words):
      run_logs.parse(wrong)


def test_what_no_checkpoint_has_is_not_written(tmp_path):
  pytest.importorskip('tensorboardX')
  runs = [policy_folder.Run(3, 'catch/0'), policy_folder.Run(4, 'catch/0')]
  make = lambda: run_logs.RunLogs('csv,tensorboard', tmp_path, runs, {})
  first = make()
  first.write(0, 10, {'loss': 0.5, 'return': np.nan})
  first.write(1, 10, {'loss': 0.25})
  first.flush()
  first.write(0, 20, {'loss': 9.})  # The process is killed here.
  first.close()
  resumed = make()
  resumed.write(0, 20, {'loss': 0.125})
  resumed.flush()
  resumed.close()
  folder = tmp_path / 'tensorboard'
  assert event_files.scalars(folder / 'catch-0_seed_3') == [
      (10, 'loss', 0.5), (20, 'loss', 0.125)]
  assert event_files.scalars(folder / 'catch-0_seed_4') == [(10, 'loss', 0.25)]
  quiet = run_logs.RunLogs('csv', tmp_path / 'none', runs, {})
  quiet.write(0, 1, {'loss': 1.})
  quiet.flush()
  assert not (tmp_path / 'none').exists()


