"""Posteriors against the closed form of linear-Gaussian regression."""

import numpy as np
import pytest

from experiments import regression
from tests import csv_files

# What trains, which the first test does not.
optimized = pytest.mark.usefixtures('optimized')


def mean_errors(name, seeds=(100, 101, 102)):
  method = regression.methods()[name]
  return np.mean([regression.errors(method, seed) for seed in seeds], axis=0)


def test_data_and_posterior():
  """The closed form, against Bayesian updates one example at a time."""
  data = regression.make_data(100)
  mean, covariance = np.zeros(regression.DIM), np.eye(regression.DIM)
  for x, y in zip(data.batch.observation, data.batch.reward, strict=True):
    gain = covariance @ x / (x @ covariance @ x + regression.NOISE**2)
    mean = mean + gain * (y - x @ mean)
    covariance = covariance - np.outer(gain, x @ covariance)
  np.testing.assert_allclose(data.tests @ mean, data.mean, atol=1e-4)
  np.testing.assert_allclose(
      np.einsum('td,de,te->t', data.tests, covariance, data.tests),
      data.variance, rtol=1e-3)


@pytest.mark.slow
@optimized
def test_a_wide_hypermodel_is_the_posterior():
  mean_error, std_ratio = mean_errors('hypermodel exact M=256')
  assert mean_error < 0.05
  assert std_ratio == pytest.approx(1., abs=0.07)


@pytest.mark.slow
@optimized
def test_without_a_ridge_the_mean_is_least_squares():
  """What the agents leave out on DeepSea: the pull towards the prior."""
  method = regression.methods()['hypermodel exact M=16, no ridge']
  with_ridge = regression.methods()['hypermodel exact M=16']
  seeds = (100, 101, 102)
  assert np.mean([regression.errors(method, s)[0] for s in seeds]) > 2 * (
      np.mean([regression.errors(with_ridge, s)[0] for s in seeds]))


@pytest.mark.slow
@optimized
def test_sampled_and_exact_expectation_agree():
  sampled = mean_errors('hypermodel 20 samples M=16')
  exact = mean_errors('hypermodel exact M=16')
  np.testing.assert_allclose(sampled, exact, atol=0.06)


@pytest.mark.slow
@optimized
def test_a_large_ensemble_is_near_the_posterior():
  mean_error, std_ratio = mean_errors('ensemble with noise K=64')
  assert mean_error < 0.3
  assert std_ratio == pytest.approx(1., abs=0.15)


@pytest.mark.slow
@optimized
def test_langevin_is_near_and_its_adaptive_drift_is_not():
  mean_error, std_ratio = mean_errors('Langevin')
  assert mean_error < 0.35
  assert std_ratio == pytest.approx(1., abs=0.15)
  assert mean_errors('Adam LMC, a=1')[1] < 0.7


@pytest.mark.slow
@optimized
def test_noise_that_is_trained_away_is_no_posterior():
  """NoisyNet's loss has no term that keeps its noise up."""
  assert mean_errors('NoisyNet (ReLU network)', (100,))[1] < 0.3


@pytest.mark.slow
@optimized
def test_command_writes_the_table(tmp_path, capsys):
  regression.compare(tmp_path / 'out')
  rows = csv_files.rows(tmp_path / 'out' / 'errors.csv')
  assert len(rows) == len(regression.methods()) * len(regression.SEEDS)
  assert all(float(row['std_ratio']) >= 0. for row in rows)
  assert 'hypermodel exact M=4' in capsys.readouterr().out
