"""Tabular HyperAgent: its sums of vectors, its indices, and the ensemble."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import index as index_lib
from hyperjax import tabular
from hyperjax.tabular import hyperagent
from tests.tabular import small


def test_hyperagents_variance_is_the_length_of_its_vectors():
  agent = tabular.HyperAgent(small.SIZES, small.NOISE)
  state = agent.init(jax.random.key(0))._replace(statistics=small.seen())
  draws = small.draws_at_the_last_stage(agent, state)
  relative = np.asarray(agent.relative_variance(state))[0]
  visits = np.asarray(state.statistics.visits)[0]
  np.testing.assert_allclose(
      draws.std(0), 0.4 * np.sqrt(relative / (visits + 1.)), rtol=0.06)


def _episodes(num):
  """Episodes of nonsense, along a leading axis."""
  rng = np.random.default_rng(0)
  return tabular.Episode(
      jnp.asarray(rng.integers(0, 3, (num, 5)), jnp.int32),
      jnp.asarray(rng.integers(0, 2, (num, 4)), jnp.int32),
      jnp.asarray(rng.random((num, 4)), jnp.float32))


@pytest.mark.parametrize('perturbation', [
    index_lib.Sphere(8), index_lib.Sparse(8),
    *(pytest.param(x, marks=pytest.mark.slow) for x in (
        index_lib.Gaussian(8), index_lib.Cube(8), index_lib.Coordinate(8)))],
                         ids=repr)
def test_the_mean_of_the_relative_variance_is_one(perturbation):
  """Over z, at whatever number of visits: the lemma's interval is around 1."""
  agent = tabular.HyperAgent(
      small.SIZES, small.NOISE, index_lib.Gaussian(8), perturbation)
  episodes = _episodes(8)
  relative = np.asarray(jax.jit(jax.vmap(lambda key: agent.relative_variance(
      agent.batch_state(agent.init(key), episodes))))(small.keys(200)))
  error = 5. * float(relative.std()) / 1200**0.5
  assert relative.mean() == pytest.approx(1., abs=error)


def test_before_any_visit_the_sphere_has_rlsvis_variance_exactly():
  agent = tabular.HyperAgent(small.SIZES, small.NOISE)
  state = agent.init(jax.random.key(7))
  np.testing.assert_allclose(agent.relative_variance(state), 1., rtol=1e-5)


@pytest.mark.parametrize('pooled', [True, False])
def test_the_incremental_and_the_batch_form_agree(pooled):
  agent = tabular.HyperAgent(small.RIVER.sizes(pooled), small.NOISE)
  initial, episodes = agent.init(jax.random.key(2)), _episodes(30)
  step = jax.jit(lambda state, e: (agent.update(state, e), None))
  state, _ = jax.lax.scan(step, initial, episodes)
  batch = jax.jit(agent.batch_state)(initial, episodes)
  np.testing.assert_allclose(state.sums, batch.sums, atol=1e-5)
  np.testing.assert_array_equal(
      state.statistics.counts, batch.statistics.counts)
  np.testing.assert_allclose(
      state.statistics.reward_sums, batch.statistics.reward_sums, atol=1e-5)
  assert state.num_steps == batch.num_steps == 120


def test_an_index_is_shared_as_the_scheme_says():
  sizes, key = small.SIZES, jax.random.key(0)
  per_state = hyperagent.per_state(index_lib.Gaussian(2), key, sizes)
  per_episode = hyperagent.per_episode(index_lib.Gaussian(2), key, sizes)
  assert len(np.unique(np.reshape(per_state, (-1, 2)), axis=0)) == 12
  assert len(np.unique(np.reshape(per_episode, (-1, 2)), axis=0)) == 1


def test_a_member_of_ensemble_plus_has_the_same_noise_again():
  agent = tabular.EnsemblePlus(small.SIZES, small.NOISE, num_members=3)
  state = agent.init(jax.random.key(0))._replace(statistics=small.seen())
  draws = small.draws_at_the_last_stage(agent, state)
  assert len(np.unique(draws.round(5).reshape(4000, -1), axis=0)) == 3
