"""The NumPy loops of the tabular benchmark do what RLSVI does."""

import jax.numpy as jnp
import numpy as np

from benchmarks import tabular as benchmark
from hyperjax.tabular import base
from hyperjax.tabular import environments
from hyperjax.tabular import gaussian


class _Silent:
  """A generator of zeros."""

  def standard_normal(self, shape=()):
    return np.zeros(shape)


def test_without_noise_all_plans_are_those_of_rlsvi(monkeypatch):
  monkeypatch.setattr(benchmark, 'HORIZON', 4)
  mdp = environments.grid_world(2, 4)
  counts = np.random.default_rng(0).integers(
      1, 9, mdp.transitions.shape).astype(np.float32)
  visits = counts.sum(axis=-1)
  sums = np.random.default_rng(1).random(visits.shape) * visits
  noise = gaussian.Noise((0.,) * 4, (0.,) * 4)
  q = gaussian.perturbed_values(
      noise, base.Statistics(
          jnp.asarray(counts), jnp.asarray(sums, jnp.float32), None),
      jnp.zeros((4, 4, 4)))
  expected = np.asarray(q).argmax(axis=-1)
  for plan in (benchmark.plan_by_loops, benchmark.plan_by_arrays):
    np.testing.assert_array_equal(
        plan(counts[0].astype(float), sums[0], _Silent()), expected)
