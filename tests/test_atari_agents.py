"""The published Atari settings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperjax import agents
from hyperjax import losses
from hyperjax import networks
from hyperjax import regularizers
from hyperjax import specs
from hyperjax import types
from hyperjax.agents import presets

SPEC = specs.ObservationSpec((4, 84, 84), 'uint8', None)


def num_parameters(agent):
  return networks.num_parameters(
      jax.eval_shape(agent.init, jax.random.key(0)).params)


@pytest.mark.parametrize('agent, published', [
    (lambda: agents.HyperAgent(
        SPEC, 6, presets.hyperagent_paper_atari()), 888_736),
    (lambda: agents.DQN(SPEC, 6, agents.DQNConfig(
        torso=networks.NatureTorso, hidden_sizes=(512,))), 1_687_206),
    (lambda: agents.HyperDQN(SPEC, 6, agents.HyperDQNConfig(
        torso=networks.NatureTorso, hidden_sizes=(512,), index_dim=32)),
     1_785_702),
], ids=['hyperagent', 'dqn', 'hyperdqn'])
def test_trainable_parameters_are_as_many_as_published(agent, published):
  assert num_parameters(agent()) == published


def test_ddqn_is_hyperagent_without_the_hypermodel():
  """The same torso; one output instead of M + 1, and a bias."""
  hyperagent = presets.hyperagent_paper_atari()
  dqn = presets.dqn_paper_atari()
  for name in ('torso', 'hidden_sizes', 'n_step', 'learning_rate', 'scale',
               'adam_epsilon', 'max_gradient_norm', 'batch_size', 'discount',
               'target', 'gradient_penalty', 'replay_capacity', 'sampler',
               'warmup_steps', 'double', 'update_period',
               'updates_per_period'):
    assert getattr(dqn, name) == getattr(hyperagent, name), name
  assert num_parameters(agents.DQN(SPEC, 6, dqn)) == 888_736 - 256 * 6 * 4 + 6


def batch(size, num_actions=3, shape=SPEC.shape):
  rng = np.random.default_rng(0)
  frames = lambda: rng.integers(256, size=(size, *shape), dtype=np.uint8)
  return jax.tree.map(jnp.asarray, types.Transition(
      frames(), rng.integers(num_actions, size=size, dtype=np.int32),
      rng.normal(size=size).astype(np.float32),
      np.full(size, 0.95, np.float32), frames(),
      np.arange(size, dtype=np.int32)))


def update_once(agent):
  """The learner after an update, which moves all weights but the prior's."""
  learner = jax.jit(agent.init)(jax.random.key(0))
  after, metrics = jax.jit(agent.update)(
      learner, batch(4, shape=agent.observation_spec.shape))
  assert np.isfinite(metrics['loss'])
  moved = jax.tree.map(lambda a, b: (a != b).any(),
                       learner.params['params'], after.params['params'])
  assert all(jax.tree.leaves(moved))
  same = jax.tree.map(lambda a, b: (a == b).all(),
                      learner.params['prior'], after.params['prior'])
  assert all(jax.tree.leaves(same))
  return after, metrics


@pytest.mark.slow
def test_the_published_update_is_finite_and_moves_all_weights():
  config = presets.hyperagent_paper_atari(num_index_samples=3)
  _, metrics = update_once(agents.HyperAgent(SPEC, 3, config))
  assert metrics['gradient_penalty'] > 0.


@pytest.mark.slow
def test_an_epinet_on_frames_sees_the_features_alone():
  spec = specs.ObservationSpec((4, 30, 30), 'uint8', None)
  agent = agents.ENNDQN(spec, 3, agents.ENNDQNConfig(
      torso=networks.SmallHyperAgentTorso, hidden_sizes=(32,), epinet_size=8,
      index_dim=2, pairs=losses.Independent(3)))
  learner, _ = update_once(agent)
  torso = num_parameters(agents.DQN(spec, 3, agents.DQNConfig(
      torso=networks.SmallHyperAgentTorso, hidden_sizes=(32,)))) - (32 + 1) * 3
  base, epinet = 32 * 3, (32 + 2) * 8 + 8 * 2 * 3
  assert num_parameters(agent) == torso + base + epinet
  frames = batch(1, shape=spec.shape).observation.repeat(2, axis=0)
  values = jax.jit(agent.q_values)(learner.params, frames, jnp.eye(2))
  assert (values[0] != values[1]).all()


def test_head_l2_is_the_gradient_of_the_mean_square_of_the_weights():
  """By autodiff of an average over the corners that z can be at."""
  rng = np.random.default_rng(0)
  params = {'torso': {'kernel': rng.normal(size=(4, 5))},
            'head': {'mean': rng.normal(size=(5, 2)),
                     'factors': rng.normal(size=(3, 5, 2))},
            'correction': networks.PriorCorrection(2, 3).init(
                jax.random.key(0), jnp.zeros(5))['params']}
  params = jax.tree.map(lambda x: x + 1., params)
  params = jax.tree.map(jnp.float32, params)
  corners = np.stack(np.meshgrid(*[[-1., 1.]] * 3), -1).reshape(-1, 3)

  def penalty(params, num_data):
    head = params['head']
    weights = head['mean'] + jnp.einsum(
        'zm,mfa->zfa', jnp.float32(corners), head['factors'])
    return 0.7 / num_data * jnp.mean(jnp.square(weights))

  head_l2 = regularizers.head_l2(0.7, 1., 5 * 2, 10, 2.5, 13)
  state, zeros = head_l2.init(params), jax.tree.map(jnp.zeros_like, params)
  for num_data in (10, 12.5, 13, 13):
    found, state = head_l2.update(zeros, state, params, key=None)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
                 found, jax.grad(penalty)(params, num_data))


@pytest.mark.parametrize('name', [
    name for name in presets.AGENTS if name != 'hyperagent'])
@pytest.mark.slow
def test_other_agents_learn_from_frames_too(name):
  agent = presets.AGENTS[name](
      SPEC, 3, presets.make(name, 'nature_atari'))
  learner = jax.eval_shape(agent.init, jax.random.key(0))
  convolutions = [
      path for path, _ in jax.tree_util.tree_leaves_with_path(
          learner.params['params']) if 'Conv_' in jax.tree_util.keystr(path)]
  assert len(convolutions) >= 6
  after, metrics = jax.eval_shape(agent.update, learner, batch(4))
  assert after == learner and metrics['loss'].shape == ()
