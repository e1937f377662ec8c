"""UCBVI as released, beside a plain loop over visits and pairs."""

import jax
import numpy as np
import pytest

from experiments.tabular import released
from experiments.tabular import tasks
from hyperjax import tabular
from hyperjax.tabular import base
from hyperjax.tabular import environments
from hyperjax.tabular import ucbvi

HORIZON = 5
MDP = environments.river_swim(num_states=3, horizon=HORIZON)
SIZES = MDP.sizes(pooled=True)


def _bonus(hoeffding, visits, variance, left):
  if hoeffding:
    return min(left, 0.5 * left / visits**0.5)
  return min(left, (variance / visits)**0.5 + left / visits)


def _plain(episodes, hoeffding, all_stages):
  """Returns Q after episodes, [H, S, A]."""
  counts, sums = np.zeros((3, 2, 3)), np.zeros((3, 2))
  left = HORIZON - np.arange(HORIZON)
  bonuses = np.ones((HORIZON, 3, 2)) * left[:, None, None]
  values = np.ones((HORIZON + 1, 3)) * (HORIZON - np.arange(
      HORIZON + 1))[:, None]
  q = np.zeros((HORIZON, 3, 2))
  for states, actions, rewards in episodes:
    for step in range(HORIZON):
      s, a = states[step], actions[step]
      counts[s, a, states[step + 1]] += 1
      sums[s, a] += rewards[step]
      visits = counts[s, a].sum()
      p = counts[s, a] / visits
      for h in range(HORIZON) if all_stages else [step]:
        mean = p @ values[h + 1]
        bonuses[h, s, a] = _bonus(
            hoeffding, visits, max(p @ values[h + 1]**2 - mean**2, 0.),
            left[h])
    values = np.zeros((HORIZON + 1, 3))
    for h in reversed(range(HORIZON)):
      for s in range(3):
        for a in range(2):
          visits = counts[s, a].sum()
          p = counts[s, a] / visits if visits else np.ones(3) / 3.
          q[h, s, a] = (sums[s, a] / max(visits, 1.) + bonuses[h, s, a]
                        + p @ values[h + 1])
        values[h, s] = min(q[h, s].max(), HORIZON)
  return q


@pytest.mark.parametrize('all_stages', [True, False])
@pytest.mark.parametrize('hoeffding', [True, False])
def test_ucbvi_plans_as_a_plain_loop(hoeffding, all_stages):
  agent = released.UCBVI(
      SIZES, ucbvi.Hoeffding() if hoeffding else ucbvi.Bernstein(), all_stages)
  key = jax.random.key(3)
  state, episodes = agent.init(key), []
  step = jax.jit(lambda state, key: (
      found := tabular.play(MDP, agent.plan(state, key), key),
      agent.update(state, found)))
  for k in range(12):
    found, state = step(state, jax.random.fold_in(key, k))
    episodes.append([np.asarray(x) for x in found])
  np.testing.assert_allclose(
      state.q, _plain(episodes, hoeffding, all_stages), rtol=1e-4, atol=1e-4)
  assert np.asarray(state.values).max() == HORIZON


def test_opsrl_draws_from_the_law_of_bayes_ucbvi():
  counts = np.zeros((1, 3, 2, 3))
  counts[0, 0, 0] = 3., 0., 2.
  counts[0, 1, 1] = 0., 4., 0.
  state = base.Statistics(
      np.float32(counts), np.float32(counts.sum(-1) / 2.), None)
  keys = jax.random.split(jax.random.key(0), 4000)
  draws = [np.asarray(jax.jit(jax.vmap(agent.values, in_axes=(None, 0)))(
      state, keys)) for agent in (
          tabular.BayesUCBVI(SIZES, 3, 0.3),
          released.OPSRL(SIZES, 3, 0.3, successors=2))]
  std = draws[0].std(0)
  np.testing.assert_allclose(
      draws[1].mean(0), draws[0].mean(0), atol=5. * std.max() / 2000**0.5)
  np.testing.assert_allclose(draws[1].std(0), std, atol=0.1 * std.max())
  assert std.max() > 0.2


def test_the_released_agents_need_pooled_counts():
  names = {'ucbvi_released', 'ucbvi_hoeffding_one_stage', 'rlsvi_released'}
  assert names <= set(tasks.agents(tasks.TASKS['grid_world_10']))
  assert not names & set(tasks.agents(tasks.TASKS['dirichlet']))
