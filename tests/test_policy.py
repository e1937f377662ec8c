"""Saving agents, loading them as policies, and what policies do."""

import copy
import dataclasses
import json
from pathlib import Path
import pickle
import sys
import textwrap

from bsuite.environments import catch
from bsuite.environments import deep_sea
import dm_env
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hyperjax
from hyperjax import acting
from hyperjax import agents
from hyperjax import configs
from hyperjax import data_noise
from hyperjax import index as index_lib
from hyperjax import networks
from hyperjax import policy_folder
from hyperjax import replay
from hyperjax import schedules
from hyperjax import specs
from hyperjax import targets
from hyperjax.agents import presets
from hyperjax.agents import priors
from hyperjax.environments import envpool
from hyperjax.loops import EnvironmentLoop
from hyperjax.replay import samplers
from tests import small

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / 'experiments' / 'results'
SPEC = specs.ObservationSpec((3,), 'float32')
HYPER = agents.HyperAgent(SPEC, 4, agents.HyperAgentConfig(
    **small.SMALL, prior=priors.Uniform(scale=3.)))
NOISY = agents.NoisyDQN(SPEC, 2, agents.NoisyDQNConfig(
    **{**small.SMALL, 'hidden_sizes': (4, 4)}))
OBSERVATIONS = np.linspace(-1., 1., 30, dtype=np.float32).reshape(10, 3)


def policy_of(agent, updates=0, seed=0):
  params = agent.acting_params(small.start(agent))
  return hyperjax.Policy(agent, params, updates, seed)


def refusal(function, *args, **options):
  """The error of a call, which is one line."""
  with pytest.raises(ValueError) as caught:
    function(*args, **options)
  text = str(caught.value)
  assert '\n' not in text
  return text


@pytest.fixture
def saved(tmp_path):
  hyperjax.save(tmp_path / 'policy', HYPER, small.start(HYPER))
  return tmp_path / 'policy'


def edit(folder, **changes):
  path = folder / 'policy.json'
  path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# Configs.


@pytest.mark.parametrize('agent', presets.AGENTS)
def test_a_config_survives_json(agent):
  for name in presets.PRESETS[agent]:
    config = presets.make(agent, name)
    text = json.dumps(configs.to_json(config))
    assert configs.from_json(type(config), json.loads(text)) == config


def test_components_of_one_name_are_told_apart():
  config = agents.HyperAgentConfig(
      prior=priors.Uniform(2.), sampler=samplers.Uniform(),
      noise=data_noise.Perturbation(0.5, index_lib.Cube),
      acting=acting.EpsilonGreedy(schedules.Linear(1., 0., 9)))
  data = configs.to_json(config)
  assert data['prior'] == {'class': 'Uniform', 'scale': 2.}
  assert data['sampler'] == {'class': 'Uniform'}
  assert configs.from_json(agents.HyperAgentConfig, data) == config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own(agents.DQNConfig):
  """A config whose component is of one class."""

  target: targets.Periodic = targets.Periodic(4)


def test_a_component_of_one_class_is_found_where_the_class_is():
  config = Own(target=targets.Periodic(100))
  assert configs.from_json(Own, configs.to_json(config)) == config


def test_committed_configs_are_read():
  count = 0
  for path in sorted(RESULTS.glob('*/*/**/config.json')):
    contents = json.loads(path.read_text())
    if 'format' not in contents:  # With former names, see `registry`.
      continue
    settings = contents['settings']
    if 'config' not in settings:  # Of tables and bandits, say.
      continue
    kind = type(presets.make(settings['agent']))
    config = configs.from_json(kind, settings['config'])
    # Fields that came later have their defaults.
    written = json.loads(json.dumps(configs.to_json(config)))
    assert {**written, **settings['config']} == written, path
    count += 1
  assert count > 5


@pytest.mark.parametrize('change, words', [
    ({'batch_sizes': 3}, "'batch_sizes'; did you mean batch_size.*DQNConfig"),
    ({'batch_size': 0}, 'batch_size must be at least 1, got 0'),
    ({'acting': {'class': 'Thomson'}}, "'Thomson'; did you mean Thompson"),
    ({'acting': {'class': 'Thompson', 'seed': 3}}, "config.acting 'seed'"),
    ({'acting': {'class': 'Gaussian', 'dim': 3}}, 'acting must be a policy'),
    ({'acting': {'class': 'Linear'}}, 'config.acting is no Linear: .*start'),
    ({'acting': {'class': 3}}, 'the name of a class, got 3'),
    ({'acting': {'class': 'os:system'}}, "a dataclass, got 'os:system'"),
    ({'acting': {'class': 'no_such:A'}}, "'no_such:A' cannot be imported"),
    ({'torso': 'MLPTorsi'}, "'MLPTorsi'; did you mean MLPTorso"),
])
@pytest.mark.usefixtures('unchecked')
def test_a_config_of_another_version_is_refused(change, words):
  text = refusal(configs.from_json, agents.DQNConfig, change)
  with pytest.raises(ValueError, match=words):
    raise ValueError(text)


# Saving and loading.


@pytest.mark.parametrize('agent', [HYPER, NOISY, small.CELLS])
def test_a_loaded_policy_is_the_agent(agent, tmp_path):
  learner = small.start(agent)
  hyperjax.save(str(tmp_path / 'policy'), agent, learner)
  loaded = hyperjax.load(str(tmp_path / 'policy'))
  assert loaded.agent == agent
  jax.tree.map(np.testing.assert_array_equal, loaded.params,
               dict(agent.acting_params(learner)))
  stored = sum(p.stat().st_size for p in tmp_path.rglob('*') if p.is_file())
  # Neither the target network nor the optimiser.
  assert stored < 60_000
  assert not list(tmp_path.glob('*.*'))


def test_nothing_says_where_it_was_saved(saved, tmp_path):
  files = [p for p in saved.rglob('*') if p.is_file()]
  assert any(p.name == 'commit_success.txt' for p in files)
  for path in files:
    assert str(tmp_path).encode() not in path.read_bytes(), path


def test_saving_again_replaces(saved):
  learner = small.start(HYPER)
  params = jax.tree.map(lambda x: x + 1., learner.params)
  hyperjax.save(saved, HYPER, learner._replace(
      params=params, steps=jnp.int32(7)))
  loaded = hyperjax.load(saved)
  jax.tree.map(np.testing.assert_array_equal, loaded.params, params)
  assert loaded.updates == 7


def test_what_is_broken_off_leaves_what_was_there(
    saved, tmp_path, monkeypatch):
  before = hyperjax.load(saved).params

  def fail(*unused, **unused_too):
    raise KeyboardInterrupt

  other = small.start(HYPER)._replace(
      params=jax.tree.map(jnp.zeros_like, small.start(HYPER).params))
  with monkeypatch.context() as patch:
    patch.setattr(policy_folder.json, 'dump', fail)
    with pytest.raises(KeyboardInterrupt):
      hyperjax.save(saved, HYPER, other)
  jax.tree.map(
      np.testing.assert_array_equal, hyperjax.load(saved).params, before)
  # What was broken off is no policy, and in nobody's way.
  (tmp_path / 'policy.tmp').rename(tmp_path / 'new.tmp')
  assert 'has no policy.json' in refusal(hyperjax.load, tmp_path / 'new')
  hyperjax.save(tmp_path / 'new', HYPER, other)
  assert sorted(p.name for p in tmp_path.iterdir()) == ['new', 'policy']


def test_between_two_renames_the_old_one_is_found(saved):
  saved.rename(saved.with_name('policy.replaced'))
  assert hyperjax.load(saved).agent == HYPER
  hyperjax.save(saved, HYPER, small.start(HYPER)._replace(steps=jnp.int32(3)))
  assert hyperjax.load(saved).updates == 3


@pytest.mark.parametrize('place', ['policies', 'programs/a/policies'])
def test_between_two_renames_that_of_a_run_is_found(saved, place):
  run = saved.parent / 'run'
  folder = run / f'{place}.replaced'
  folder.parent.mkdir(parents=True)
  saved.rename(folder)
  assert hyperjax.load(run).agent == HYPER
  folder.rename(run / place)
  assert hyperjax.load(run).agent == HYPER


def test_a_folder_of_something_else_is_left_alone(tmp_path):
  (tmp_path / 'thesis.tex').write_text('x')
  assert 'something else' in refusal(
      hyperjax.save, tmp_path, HYPER, small.start(HYPER))
  assert [p.name for p in tmp_path.iterdir()] == ['thesis.tex']
  assert 'has no policy.json' in refusal(hyperjax.load, tmp_path)


@pytest.mark.parametrize('mine', [
    'policy/my_notes.txt', 'policy/checkpoints/x', 'policy/weights/notes.txt',
    'policy/.git/HEAD', 'policy/.env', 'policy/weights/0/notes.txt',
    'policy.tmp/mine.txt', 'policy.replaced/mine.txt', 'policy.tmp'])
def test_saving_again_removes_nothing_of_the_users(saved, mine):
  path = saved.parent / mine
  path.parent.mkdir(exist_ok=True)
  path.write_text('x')
  text = refusal(hyperjax.save, saved, HYPER, small.start(HYPER))
  assert 'something else' in text and 'expected policy.json and weights' in text
  assert path.read_text() == 'x'
  assert hyperjax.load(saved).agent == HYPER


def test_a_folder_of_hidden_files_is_not_replaced(tmp_path):
  (tmp_path / '.env').write_text('x')
  assert 'got .env' in refusal(
      hyperjax.save, tmp_path, HYPER, small.start(HYPER))


@pytest.mark.parametrize('exists', [False, True])
def test_what_a_link_points_to_is_replaced(exists, tmp_path):
  folder, link = tmp_path / 'folder', tmp_path / 'link'
  if exists:
    folder.mkdir()
  link.symlink_to(folder)
  for _ in range(2):
    hyperjax.save(link, HYPER, small.start(HYPER))
    assert link.is_symlink() and hyperjax.load(folder).agent == HYPER
  assert {x.name for x in tmp_path.iterdir()} == {'folder', 'link'}


def test_a_folder_without_a_name_for_orbax_is_refused_at_once(tmp_path):
  path = tmp_path / 'rate=[0.1]'
  with pytest.raises(ValueError, match=r'without a bracket.*rate=\[0.1\]'):
    hyperjax.save(path, HYPER, small.start(HYPER))
  assert not list(tmp_path.iterdir())


def test_a_folder_of_weights_alone_is_not_replaced(saved):
  """Such as one of a checkpointer."""
  (saved / 'policy.json').unlink()
  text = refusal(hyperjax.save, saved, HYPER, small.start(HYPER))
  assert 'something else' in text and 'got weights, weights/0' in text
  assert (saved / 'weights' / '0' / 'metadata.json').exists()


def test_what_killed_saves_left_is_removed(saved):
  (saved.parent / 'policy.tmp' / 'weights' / '0.tmp' / 'arrays').mkdir(
      parents=True)
  (saved.parent / 'policy.replaced' / 'weights').mkdir(parents=True)
  (saved / '.DS_Store').touch()  # A file manager's.
  hyperjax.save(saved, HYPER, small.start(HYPER))
  assert [p.name for p in saved.parent.iterdir()] == ['policy']


@pytest.mark.parametrize('changes, words', [
    ({'agent': 'HyperAgnt'}, "'HyperAgnt'; did you mean HyperAgent"),
    ({'agent': 'my_agents:Mine'}, "'my_agents:Mine' cannot be imported"),
    ({'agent': 'DQN'}, 'config of DQN must be a DQNConfig, got HyperAgentConf'),
    ({'config': {'hiden_sizes': [4]}}, "'hiden_sizes'; did you mean hidden_s"),
    ({'config': 3}, 'config must be a JSON object'),
    ({'num_actions': 5}, 'another structure .*stored float32.*expected'),
    ({'num_actions': 'two'}, "number of actions, got 'two'"),
    ({'observation_spec': {'shape': [3]}}, 'dtype'),
    ({'format': 99}, 'format 99, of a newer version .*at most 1'),
    ({'observation_spec': 3}, 'observation_spec must be a dict'),
    ({'observation_spec': {'shape': [3], 'dtype': None}}, 'dtype'),
    ({'runs': 3}, 'is not what hyperjax.save writes'),
    *(({'runs': [{'seed': None, 'task': None, 'updates': 0,
                  'legal_actions': legal}]}, 'some of 0..3, got')
      for legal in ([], [4], [-1], [10**30])),
])
@pytest.mark.usefixtures('unchecked')
def test_what_does_not_fit_is_named(changes, words, saved):
  edit(saved, **changes)
  text = refusal(hyperjax.load, saved)
  with pytest.raises(ValueError, match=words):
    raise ValueError(text)
  assert str(saved) in text


def test_damage_is_named(saved):
  path = saved / 'policy.json'
  whole = path.read_text()
  path.write_text(whole[:200])
  assert f'{path} is not what' in refusal(hyperjax.load, saved)
  path.write_text(whole)
  for file in saved.glob('weights/0/arrays/**/d/*'):
    file.write_bytes(b'')
  with pytest.warns(UserWarning, match='damaged'):
    assert 'missing or damaged' in refusal(hyperjax.load, saved)


def test_the_state_of_another_agent_is_refused(tmp_path):
  with pytest.raises(ValueError, match='params'):
    hyperjax.save(tmp_path / 'policy', HYPER, small.start(NOISY))
  with pytest.raises(ValueError, match='params'):
    hyperjax.Policy(HYPER, small.start(NOISY).params)
  assert not list(tmp_path.iterdir())


def test_several_runs_are_chosen_by_seed_and_task(tmp_path):
  learner = jax.tree.map(
      lambda x: jnp.stack([x] * 3), small.start(small.VECTORS))
  learner = learner._replace(
      steps=jnp.arange(3, dtype=jnp.int32),
      params=jax.vmap(networks.with_legal_actions)(
          learner.params, jnp.array([[1, 1], [1, 1], [0, 1]], bool)))
  runs = [policy_folder.Run(0, 'Pong'), policy_folder.Run(1, 'Pong'),
          policy_folder.Run(1, 'Freeway')]
  folder = tmp_path / 'run' / 'policies'
  folder.parent.mkdir()
  policy_folder.save_runs(folder, small.VECTORS, learner, runs)
  load = lambda **x: hyperjax.load(folder.parent, **x)
  assert load(seed=0).updates == 0
  assert load(seed=1, task='Pong').updates == 1
  freeway = load(task='Freeway')
  assert freeway.updates == 2
  # An illegal action is never taken, and has no value.
  assert freeway.values(OBSERVATIONS[0])[0][0] == -np.inf
  assert freeway.values(OBSERVATIONS[0])[1][0] == 0.
  for way in (freeway, freeway.greedy(), freeway.as_trained()):
    assert set(way.select_action(OBSERVATIONS)) == {1}
  for wrong in ({}, {'seed': 1}, {'seed': 2}, {'task': 'pong', 'seed': 0}):
    text = refusal(load, **wrong)
    assert "task 'Freeway', seed 1" in text and f'seed={wrong.get("seed")}' in (
        text)


# Agents of one's own.

MODULE = '''
    import dataclasses
    from hyperjax import agents
    from hyperjax.acting import Acting, Thompson

    @dataclasses.dataclass(frozen=True)
    class Greedy(Thompson):
      bonus: tuple[float, ...] = ()

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class MyConfig(agents.DQNConfig):
      mine: int = 1
      acting: Acting = Greedy()

    @dataclasses.dataclass(frozen=True)
    class MyAgent(agents.DQN):
      config: MyConfig = MyConfig()
'''


def test_an_agent_of_ones_own_is_loaded_by_its_import_path(
    tmp_path, monkeypatch):
  (tmp_path / 'my_module.py').write_text(textwrap.dedent(MODULE))
  monkeypatch.syspath_prepend(tmp_path)
  import my_module  # pyright: ignore[reportMissingImports]
  agent = my_module.MyAgent(SPEC, 2, my_module.MyConfig(
      **small.SMALL, mine=5, acting=my_module.Greedy(bonus=(1., 2.))))
  hyperjax.save(tmp_path / 'policy', agent, small.start(agent))
  contents = json.loads((tmp_path / 'policy' / 'policy.json').read_text())
  assert contents['agent'] == 'my_module:MyAgent'
  assert contents['config']['acting'] == {
      'class': 'my_module:Greedy', 'resample_probability': 0.,
      'bonus': [1., 2.]}
  assert hyperjax.load(tmp_path / 'policy').agent == agent
  monkeypatch.delitem(sys.modules, 'my_module')
  (tmp_path / 'my_module.py').unlink()
  monkeypatch.setattr(sys, 'path', sys.path[1:])
  text = refusal(hyperjax.load, tmp_path / 'policy')
  assert "'my_module:MyAgent' cannot be imported (No module named" in text


def test_what_json_cannot_say_is_refused_before_anything_is_written(tmp_path):
  torso = lambda *args, **options: networks.MLPTorso(*args, **options)
  agent = agents.DQN(SPEC, 2, agents.DQNConfig(**small.SMALL, torso=torso))
  text = refusal(hyperjax.save, tmp_path / 'x', agent, small.start(agent))
  assert '<lambda>' in text and 'cannot be imported' in text
  assert not list(tmp_path.iterdir())


# Acting.


_q_values = jax.jit(
    lambda agent, *args: agent.q_values(*args), static_argnums=0)


def values_of(agent, observations, index):
  params = agent.acting_params(small.start(agent))
  return np.asarray(_q_values(
      agent, params, jnp.asarray(observations), jnp.broadcast_to(
          index, (len(observations), agent.index.dim))))


@pytest.mark.parametrize('agent', [HYPER, NOISY, small.VECTORS])
def test_values_are_the_moments_over_the_index(agent):
  mean, std = policy_of(agent).values(OBSERVATIONS)
  draws = agent.index.sample(jax.random.key(5), (4000,))
  found = np.asarray(jax.lax.map(lambda z: agent.q_values(
      small.start(agent).params, jnp.asarray(OBSERVATIONS), jnp.broadcast_to(
          z, (10, agent.index.dim))), draws))
  scale = max(found.std(), 1e-3)
  np.testing.assert_allclose(mean, found.mean(axis=0), atol=0.15 * scale)
  np.testing.assert_allclose(std, found.std(axis=0), atol=0.15 * scale)
  one = policy_of(agent).values(OBSERVATIONS[3])
  assert one[0].shape == one[1].shape == (agent.num_actions,)
  np.testing.assert_allclose(one[0], mean[3], rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(one[1], std[3], rtol=1e-5, atol=1e-6)


def test_one_index_for_an_episode():
  policy = policy_of(HYPER)
  seen = set()
  for episode in range(15):
    policy.reset(seed=100) if not episode else policy.observe_first(
        dm_env.restart(OBSERVATIONS[0]))
    actions = tuple(policy.select_action(x) for x in OBSERVATIONS)
    assert all(type(x) is int for x in actions)
    # Some index explains the actions of the whole episode.
    index = policy._actor.index[0]
    np.testing.assert_array_equal(
        actions, values_of(HYPER, OBSERVATIONS, index).argmax(axis=1))
    seen.add(actions)
  assert len(seen) > 5


def test_a_batch_is_of_environments_with_an_index_each():
  policy = policy_of(HYPER)
  same = np.repeat(OBSERVATIONS[:1], 50, axis=0)
  first = policy.select_action(same)
  assert first.shape == (50,) and first.dtype == np.int32
  assert len(set(first)) > 1
  np.testing.assert_array_equal(policy.select_action(same), first)
  begins = np.arange(50) < 25
  second = policy.select_action(same, begins)
  assert (second[25:] == first[25:]).all() and (second != first)[:25].any()
  assert 'is_first must be bool [50]' in refusal(
      policy.select_action, same, begins[:3])
  assert policy.select_action(same[:3]).shape == (3,)
  assert 'at least one' in refusal(policy.select_action, same[:0])


def test_actions_are_a_function_of_the_seed():
  play = lambda policy: [policy.select_action(x) for x in OBSERVATIONS] + (
      policy.reset() or [policy.select_action(x) for x in OBSERVATIONS])
  runs = []
  for seed in (3, 4, 3):
    policy = policy_of(HYPER, seed=8)
    policy.select_action(OBSERVATIONS[0])
    policy.reset(seed)
    runs.append(play(policy))
  assert runs[0] == runs[2] != runs[1]
  assert runs[0] == play(policy_of(HYPER, seed=3))
  assert 'seed' in refusal(policy.reset, -1)


def test_greedy_for_the_mean():
  policy = policy_of(HYPER).greedy()
  mean, _ = policy.values(OBSERVATIONS)
  for _ in range(3):
    np.testing.assert_array_equal(
        policy.select_action(OBSERVATIONS), mean.argmax(axis=1))
    policy.reset()


def test_as_trained_explores_as_after_the_training():
  epsilon = schedules.Linear(1., 0., 1000)
  agent = agents.DQN(SPEC, 2, agents.DQNConfig(
      **small.SMALL, acting=acting.EpsilonGreedy(epsilon)))
  same = np.repeat(OBSERVATIONS[:1], 400, axis=0)
  share = lambda updates: np.mean(
      policy_of(agent, updates).as_trained().select_action(same) == policy_of(
          agent).greedy().select_action(OBSERVATIONS[0]))
  # With epsilon 1/2 three quarters are greedy.
  assert 0.4 < share(0) < 0.6 and 0.65 < share(500) < 0.85
  assert share(2000) == 1.


def test_a_policy_is_pickled_and_copied_with_its_episode():
  policy = policy_of(HYPER).as_trained()
  policy.select_action(OBSERVATIONS[0])
  twins = [pickle.loads(pickle.dumps(policy)), copy.deepcopy(policy)]
  expected = [policy.select_action(x) for x in OBSERVATIONS]
  policy.reset()
  expected += [policy.select_action(x) for x in OBSERVATIONS]
  for twin in twins:
    found = [twin.select_action(x) for x in OBSERVATIONS]
    twin.reset()
    assert found + [twin.select_action(x) for x in OBSERVATIONS] == expected


@pytest.mark.usefixtures('unchecked')
def test_observations_are_checked():
  policy = policy_of(HYPER)
  assert 'shape (3,)' in refusal(policy.select_action, np.zeros(4, np.float32))
  assert 'finite' in refusal(
      policy.select_action, np.array([0., np.nan, 0.], np.float32))
  assert 'type float32' in refusal(policy.values, np.zeros(3, int))
  cells = policy_of(small.CELLS)
  assert cells.select_action(3) in (0, 1)
  assert cells.select_action(np.arange(4)).shape == (4,)


def test_an_agent_without_values_acts_but_has_none(unchecked):

  @dataclasses.dataclass(frozen=True)
  class Wrapped:
    agent: agents.TDAgent = small.VECTORS

    def __getattr__(self, name):
      return getattr(object.__getattribute__(self, 'agent'), name)

  policy = hyperjax.Policy(Wrapped(), small.start(small.VECTORS).params)
  assert policy.select_action(OBSERVATIONS[0]) in (0, 1)
  assert 'Wrapped' in refusal(policy.values, OBSERVATIONS[0])
  assert 'Wrapped' in refusal(policy.greedy)


# Trained ones.


@pytest.mark.parametrize('name, most_bytes', [
    ('deep_sea_10', 300_000), ('catch_0', 300_000),
    ('road_runner', 2_000_000)])
def test_committed_policies_are_small_and_of_one_run(name, most_bytes):
  folder = RESULTS / 'policies' / name
  assert sum(p.stat().st_size for p in folder.rglob('*') if p.is_file()) < (
      most_bytes)
  assert hyperjax.load(folder, seed=2000).updates > 1000


def test_the_committed_policy_catches():
  environment = catch.Catch(seed=0)
  policy = hyperjax.load(RESULTS / 'policies' / 'catch_0')
  for way in (policy, policy.greedy()):
    results = EnvironmentLoop(environment, way).run(40)
    assert np.mean([x.episode_return for x in results]) > 0.95


def test_the_committed_policy_finds_the_treasure():
  environment = deep_sea.DeepSea(10, mapping_seed=2000)
  policy = hyperjax.load(RESULTS / 'policies' / 'deep_sea_10')
  for way in (policy, policy.greedy()):
    for _ in range(5):
      timestep = environment.reset()
      way.reset()
      while not timestep.last():
        # The command shows the number of the cell, not a one-hot grid.
        timestep = environment.step(
            way.select_action(timestep.observation.argmax()))
      assert timestep.reward > 0.9


def test_the_committed_policy_runs_the_road():
  pytest.importorskip('envpool')
  game = envpool.Atari('RoadRunner', seeds=[0, 1], life_ends_return=False)
  policy = hyperjax.load(RESULTS / 'policies' / 'road_runner')
  push = jax.jit(jax.vmap(replay.push))
  timestep, frames = game.reset(), np.zeros((2, 4, 84, 84), np.uint8)
  score = np.zeros(2)
  for _ in range(600):
    frames = push(frames, timestep.observation, timestep.first())
    timestep = game.step(policy.select_action(frames))
    score += timestep.score
  game.close()
  # At random 12 in a whole game.
  assert (score > 500.).all(), score
