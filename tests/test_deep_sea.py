"""DeepSea against the real bsuite environment."""

from bsuite.environments import deep_sea as bsuite_deep_sea
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax.environments import DeepSea


class _Draws:
  """Stands in for bsuite's generator: gives draws that we know."""

  def __init__(self, right_fails, noise, size):
    self.right_fails, self.noise, self.size = right_fails, noise, size

  def rand(self):
    return 0. if self.right_fails else 1.

  def randn(self):
    return self.noise


@pytest.mark.parametrize('size', [5, 6, 13, 20, 35, 50])
@pytest.mark.parametrize('stochastic', [False, True])
def test_equals_bsuite_step_for_step(size, stochastic):
  seed = size + 7
  theirs = bsuite_deep_sea.DeepSea(
      size, deterministic=not stochastic, mapping_seed=seed)
  grid, cell = (DeepSea(size, stochastic, one_hot) for one_hot in (True, False))
  params = grid.params_from_seed(seed)
  step_grid, step_cell = jax.jit(grid.step_with), jax.jit(cell.step_with)
  rng = np.random.default_rng(seed)
  num_lasts = num_bad = num_found = 0

  for episode in range(6):
    timestep = theirs.reset()
    state, ours = grid.reset(params, jax.random.key(0))
    cell_state, ours_cell = cell.reset(params, jax.random.key(0))
    while True:
      assert int(ours.step_type) == int(timestep.step_type)
      np.testing.assert_allclose(ours.reward, timestep.reward or 0., atol=1e-6)
      np.testing.assert_allclose(
          ours.discount, 1. if timestep.first() else timestep.discount)
      np.testing.assert_array_equal(ours.observation, timestep.observation)
      one_hot = jax.nn.one_hot(ours_cell.observation, size**2)
      np.testing.assert_array_equal(
          one_hot.reshape(size, size), timestep.observation)
      if timestep.last():
        num_lasts += 1
        break
      # Right all the way in two episodes, to meet the treasure.
      action = rng.integers(2)
      if episode < 2:
        action = params.action_mapping[state.row, state.column]
      fails, noise = bool(rng.random() < 0.2), rng.normal()
      theirs._rng = _Draws(fails, noise, size)  # pylint: disable=protected-access
      timestep = theirs.step(int(action))
      draws = (fails, noise) if stochastic else (False, 0.)
      draws = (jnp.bool_(draws[0]), jnp.float32(draws[1]))
      action = jnp.int32(action)
      state, ours = step_grid(params, state, action, *draws)
      cell_state, ours_cell = step_cell(params, cell_state, action, *draws)
    num_bad += int(state.is_bad)
    num_found += int(grid.episode_log(state)['found_treasure'])
    assert theirs.bsuite_info()['total_bad_episodes'] == num_bad
    assert theirs.bsuite_info()['denoised_return'] == num_found
  assert num_lasts == 6


def test_deterministic_step_ignores_the_key_and_finds_the_treasure():
  env = DeepSea(8)
  params = env.params_from_seed(0)
  for key in (0, 1):
    state, _ = env.reset(params, jax.random.key(key))
    total = 0.
    for t in range(8):
      state, timestep = env.step(
          params, state, params.action_mapping[state.row, state.column],
          jax.random.key(10 * key + t))
      total += float(timestep.reward)
    assert timestep.last() and timestep.discount == 0.
    assert total == pytest.approx(0.99, abs=1e-6)


def test_stochastic_right_fails_once_in_n_and_ends_are_noisy():
  size, samples = 4, 20_000
  env = DeepSea(size, stochastic=True)
  params = env.params_from_seed(3)
  start, _ = env.reset(params, jax.random.key(0))
  keys = jax.random.split(jax.random.key(1), samples)
  step = jax.jit(jax.vmap(env.step, in_axes=(None, None, None, 0)))

  state, timestep = step(params, start, params.action_mapping[0, 0], keys)
  failed = np.mean(np.asarray(state.column) == 0)
  assert failed == pytest.approx(1 / size, abs=4 * np.sqrt(.25 * .75 / samples))
  np.testing.assert_allclose(timestep.reward, -0.01 / size, atol=1e-7)

  end = start._replace(row=jnp.int32(size - 1))  # Column 0 of the last row.
  _, timestep = step(params, end, 1 - params.action_mapping[size - 1, 0], keys)
  reward = np.asarray(timestep.reward)
  assert np.mean(reward) == pytest.approx(0., abs=4 / np.sqrt(samples))
  assert np.std(reward) == pytest.approx(1., abs=0.03)


@pytest.mark.parametrize('size', [1, 0, -3])
def test_too_small_a_size_is_refused(size):
  with pytest.raises(ValueError, match=f'at least 2, got {size}'):
    DeepSea(size)
