"""Short runs of every agent, compared with numbers that were stored before.

What a change of names or of structure must not change. Tolerances are those of
another machine; on one machine the bits can be compared too:

  python -m tests.test_golden          # The runs whose bits have changed.
  python -m tests.test_golden --write  # Stores those of today.

Bits are of programs as users run them: this module imports no conftest. They
may depend on how many cores a process may use (the stored ones had two).
"""

import argparse
from collections.abc import Callable
import csv
import dataclasses
import hashlib
from pathlib import Path
import sys
from typing import Any, NamedTuple

import chex
import jax
import numpy as np
import pytest

from hyperjax import networks
from hyperjax import specs
from hyperjax.agents import presets
from hyperjax.environments import DeepSea
from hyperjax.loops import OnDeviceLoop
from hyperjax.loops import host
from tests import csv_files
from tests import states
from tests.games import Game

SEED = 2000
NUM_UPDATES = 48
PATH = Path(__file__).with_name('golden.csv')


# From here to the end of `CASES` is all that knows how agents and loops are
# made, and where their states have what is compared.
SMALL = {'hidden_sizes': (16, 16), 'batch_size': 16, 'warmup_steps': 16,
         'replay_capacity': 200}
SMALL_TORSO = {'torso': networks.DataEfficientTorso}


class Outcome(NamedTuple):
  """What is compared of a run, in NumPy arrays.

  Attributes:
    before: the trained parameters at first.
    after: and at last.
    uid: of what the replay holds.
    action: of the same.
    num_updates: how many there were.
  """

  before: chex.ArrayTree
  after: chex.ArrayTree
  uid: np.ndarray
  action: np.ndarray
  num_updates: int


def config_of(agent: str, preset: str, **overrides: Any) -> Any:
  """The settings of a preset, but for those that make it quick."""
  return dataclasses.replace(
      presets.make(agent, preset), **SMALL, **overrides)


def num_steps(loop: Any) -> int:
  """Steps of an environment until there were `NUM_UPDATES`."""
  trainer = loop.trainer
  learns, rest = divmod(NUM_UPDATES, trainer.config.updates_per_period)
  assert not rest
  return trainer.warmup_steps + learns * trainer.update_period


def trained(state: Any) -> chex.ArrayTree:
  return states.plain(state.learner.params['params'])


def on_device(agent: str, config: Any) -> Outcome:
  """A run on DeepSea in the compiled loop."""
  environment = DeepSea(5)
  loop = OnDeviceLoop(
      presets.AGENTS[agent](
          environment.observation_spec(), environment.action_spec(), config),
      environment)
  state = loop.init([SEED], environment.params_from_seeds([SEED]))
  before = trained(state.train)
  state, log = loop.run(state, num_steps(loop))
  experience = states.plain(state.train.replay.ring.experience.transition)
  return Outcome(before, trained(state.train), experience.uid,
                 experience.action, int(log.num_updates[0]))


def on_host(agent: str, config: Any) -> Outcome:
  """A run on frames, of the smallest size that Nature's torso takes."""
  spec = specs.ObservationSpec((2, 36, 36), 'uint8')
  loop = host.HostLoop(
      presets.AGENTS[agent](spec, 3, config),
      [Game([SEED], pixel=(12, 9), brightness=100)])
  state = loop.init([SEED])
  before = trained(state.train)
  state, log = loop.run(state, num_steps(loop), np.zeros(1, int))
  experience = states.plain(state.train.replay.ring.experience)
  return Outcome(before, trained(state.train), experience.uid,
                 experience.action, log.num_updates)


class Case(NamedTuple):
  """A run: an agent, one of its presets, and what is set otherwise.

  Where `exact_only`, rounding decides actions or targets, so that programs that
  are compiled otherwise run differently: the script compares such runs alone.
  """

  agent: str
  preset: str
  loop: str
  overrides: dict[str, Any] = {}
  exact_only: bool = False

  @property
  def key(self) -> tuple[str, str, str]:
    return self.agent, self.preset, self.loop

  @property
  def name(self) -> str:
    return '-'.join(self.key)

  @property
  def slow(self) -> bool:
    return self.preset not in QUICK.get(self.agent, ('default',))


LOOPS: dict[str, Callable[[str, Any], Outcome]] = {
    'on_device': on_device, 'host': on_host}

# The presets whose runs are not slow tests: of most agents the default. What is
# left out has its parts in others.
QUICK = {
    'dqn': ('default',),
    **dict.fromkeys(
        ('boot_dqn', 'ensemble_plus', 'hyperdqn', 'enn_dqn', 'adam_lmcdqn',
         'langevin_adam', 'noisy_dqn', 'rainbow', 'bbf', 'sane'), ()),
}

CASES = [
    *(Case(agent, 'default', 'on_device') for agent in presets.AGENTS),
    *(Case('hyperagent', preset, 'on_device') for preset in (
        'optimistic', 'thompson_deep_sea', 'paper_deep_sea',
        'paper_deep_sea_optimistic', 'paper_deep_sea_one_hot')),
    Case('hyperagent', 'paper_atari', 'host', {'num_index_samples': 4},
         exact_only=True),
    Case('hyperagent', 'small_atari', 'host', exact_only=True),
    Case('dqn', 'paper_atari', 'host'),
    Case('dqn', 'small_atari', 'host'),
    *(Case(agent, 'nature_atari', 'host', SMALL_TORSO,
           exact_only=agent in ('noisy_dqn', 'sane'))
      for agent in presets.AGENTS if agent not in ('hyperagent', 'dqn')),
]


def outcome_of(case: Case) -> Outcome:
  return LOOPS[case.loop](
      case.agent, config_of(case.agent, case.preset, **case.overrides))


def fingerprint(outcome: Outcome) -> dict[str, float]:
  """Numbers that tell one run from another.

  The parameters' names and order do not matter to them. All are sums of terms
  that are not negative, so that relative differences are of rounding alone.

  Args:
    outcome: of the run.

  Returns:
    weights: of the parameters at last, weighted at random.
    increase: of the parameters from first to last, where they increased,
      weighted at random. Learning changes parameters by little: what changes
      learning hardly shows in `weights`.
    decrease: where they decreased.
    actions: that the replay holds, weighted at random by their uids.
  """
  numbers = {'weights': 0., 'increase': 0., 'decrease': 0.}
  for before, after in zip(jax.tree.leaves(outcome.before),
                           jax.tree.leaves(outcome.after), strict=True):
    # The weights of a leaf depend on its shape, not on its place.
    factor = np.random.default_rng(after.shape).uniform(0.5, 1.5, after.shape)
    change = after.astype(np.float64) - before
    for name, x in (('weights', np.abs(after)),
                    ('increase', np.maximum(change, 0.)),
                    ('decrease', np.maximum(-change, 0.))):
      numbers[name] += float(np.mean(factor * x))
  factor = np.random.default_rng(0).uniform(0.5, 1.5, outcome.uid.max() + 1)
  numbers['actions'] = float(np.sum(factor[outcome.uid] * outcome.action))
  return numbers


def exact_hash(state: chex.ArrayTree, by_path: bool = True) -> str:
  """The SHA-256 of the bits of a state.

  Args:
    state: any tree of arrays, keys among them.
    by_path: whether its leaves are taken by their paths. If not, then by their
      bits, and the hash of a state is the same after its leaves were renamed.
  """
  leaves = [
      (jax.tree_util.keystr(path), hashlib.sha256(leaf.tobytes()).digest())
      for path, leaf in jax.tree_util.tree_leaves_with_path(
          states.plain(state))]
  digests = ([digest for _, digest in sorted(leaves)] if by_path
             else sorted(digest for _, digest in leaves))
  return hashlib.sha256(b''.join(digests)).hexdigest()


def row_of(case: Case) -> dict[str, str]:
  """A run's line of the CSV."""
  outcome = outcome_of(case)
  compared = {'action': outcome.action, 'params': outcome.after,
              'uid': outcome.uid}
  return {
      'agent': case.agent, 'preset': case.preset, 'loop': case.loop,
      'num_updates': str(outcome.num_updates),
      **{name: repr(x) for name, x in fingerprint(outcome).items()},
      'sha256': exact_hash(compared),
      'sha256_any_order': exact_hash(compared, by_path=False)}


def stored_rows() -> dict[tuple[str, str, str], dict[str, str]]:
  """The lines of the CSV by agent, preset and loop."""
  return {(row['agent'], row['preset'], row['loop']): row
          for row in csv_files.rows(PATH)}


def numbers_of(row: dict[str, str]) -> list[float]:
  return [float(row[name]) for name in (
      'num_updates', 'weights', 'increase', 'decrease', 'actions')]


@pytest.mark.gpu
@pytest.mark.parametrize('case', [
    pytest.param(case, id=case.name,
                 marks=[pytest.mark.slow, pytest.mark.ci] if case.slow else [])
    for case in CASES if not case.exact_only])
def test_a_run_is_what_it_was(case):
  row = row_of(case)
  assert int(row['num_updates']) == NUM_UPDATES
  np.testing.assert_allclose(
      numbers_of(row), numbers_of(stored_rows()[case.key]), rtol=1e-3)


def test_every_stored_run_is_of_a_case():
  assert set(stored_rows()) == {case.key for case in CASES}


def test_a_hash_knows_a_change_from_another_name():
  state = {'a': np.arange(3.), 'b': np.ones(2), 'key': jax.random.key(0)}
  renamed = {'c': state['a'], 'b': state['b'], 'key': state['key']}
  changed = {**state, 'a': np.nextafter(state['a'], 9.)}
  for by_path in (True, False):
    assert exact_hash(state, by_path) == exact_hash({**state}, by_path)
    assert exact_hash(state, by_path) != exact_hash(changed, by_path)
  assert exact_hash(state) != exact_hash(renamed)
  assert exact_hash(state, False) == exact_hash(renamed, False)


def write():
  """Stores today's runs."""
  rows = [row_of(case) for case in CASES]
  with open(PATH, 'w', newline='', encoding='utf-8') as f:
    writer = csv.DictWriter(f, rows[0], lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
  print(f'{PATH}: {len(rows)} runs')


def compare() -> int:
  """Prints the runs whose bits differ from the stored ones; how many."""
  stored = stored_rows()
  differing = 0
  for case in CASES:
    row, old = row_of(case), stored.get(case.key)
    if old is None:
      difference = 'not stored'
    elif row['sha256'] == old['sha256']:
      continue
    elif row['sha256_any_order'] == old['sha256_any_order']:
      difference = 'the same bits, in leaves of another order'
    else:
      error = np.max(np.abs(
          np.array(numbers_of(row)) / np.array(numbers_of(old)) - 1.))
      difference = f'numbers differ by up to {error:.1e}'
    differing += 1
    print(f'{case.name}: {row["sha256"]}, {difference}', flush=True)
  print(f'{len(CASES) - differing} of {len(CASES)} runs have the stored bits')
  return differing


def main():
  parser = argparse.ArgumentParser(
      description=__doc__.split('\n', 1)[0],
      epilog='Exits with 1 if the bits of a run are not the stored ones.')
  parser.add_argument('--write', action='store_true',
                      help=f'store the runs of today in {PATH.name}')
  if parser.parse_args().write:
    write()
  elif compare():
    sys.exit(1)


if __name__ == '__main__':
  main()
