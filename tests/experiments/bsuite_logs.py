"""Made-up logs of bsuite, as files and as what `bsuite.analyse` reads."""

import json
from pathlib import Path

import numpy as np

from experiments.bsuite import families
from experiments.bsuite import records

# As bsuite logs, up to 10,000.
EPISODES = sorted(
    int(x * 10**power) for power in range(5)
    for x in (1, 1.2, 1.4, 1.7, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    if x * 10**power % 1 == 0 and x * 10**power <= 10_000)


def columns(
    family: str, rng: np.random.Generator, skill: float,
    last: int | None = None) -> dict[str, np.ndarray]:
  """What an agent of a skill from 0 to 1 leaves, in bsuite's order.

  Args:
    family: of the id.
    rng: which episodes are good.
    skill: how soon they are.
    last: episode that is logged; of a whole run if None.
  """
  whole = families.FAMILIES[family].num_episodes
  last = whole if last is None else last
  # The chance of a good episode rises.
  chance = 1. / (1. + (10.**(4.5 * (1. - skill)) / np.arange(1., last + 1))**2)
  good = rng.random(last) < chance
  at = np.array([e for e in EPISODES if e <= last])

  def total(values):
    return np.cumsum(values)[at - 1]

  if family.startswith(('mountain', 'cartpole')):
    length = np.where(good, 130, 999)
  else:
    length = np.full(last, 10)
  regret = np.where(good, 0, rng.choice([0., 2.], last))
  returns = 1. - regret
  extra = {}
  if family.startswith(('bandit', 'catch', 'mnist', 'umbrella')):
    extra = {'total_regret': total(regret)}
  elif family.startswith('mountain_car'):
    returns = -length.astype(float)
    extra = {'raw_return': total(returns)}
  elif family.startswith('cartpole'):
    returns = np.where(good, 900. * rng.random(last) + 100., 40.)
    extra = {'raw_return': total(returns)}
    if family == 'cartpole_swingup':
      extra['total_upright'] = extra['raw_return']
    extra['best_episode'] = np.maximum.accumulate(returns)[at - 1]
  elif family.startswith('deep_sea'):
    extra = {'total_bad_episodes': total(~good),
             'denoised_return': total(good - 0.005)}
  elif family.startswith('memory'):
    right = good | (rng.random(last) < 0.5)
    returns = np.where(right, 1., -1.)
    extra = {'total_perfect': total(right), 'total_regret': total(2. * ~right)}
  else:
    assert family == 'discounting_chain'
    returns = np.where(good, 1.1, 1.)
  if family.endswith('_noise'):
    returns = returns + rng.normal(size=last)
  return {'steps': total(length), 'episode': at, 'total_return': total(returns),
          'episode_len': length[at - 1], 'episode_return': returns[at - 1],
          **extra}


def write(path: Path, log: dict[str, np.ndarray]):
  """Writes a file as bsuite does."""
  path.parent.mkdir(parents=True, exist_ok=True)
  rows = [','.join(map(str, row)) for row in zip(*log.values(), strict=True)]
  path.write_text('\n'.join([','.join(log), *rows]) + '\n')


def file_of(folder: Path, seed: int, family: str, index: int) -> Path:
  return folder / f'seed_{seed}' / f'{records.PREFIX}{family}-{index}.csv'


def write_config(
    folder: Path, agent: str = 'hyperagent', preset: str = 'default',
    seed: int = 0, num_seeds: int = 1, **more):
  """Writes the config.json of a run."""
  folder.mkdir(parents=True, exist_ok=True)
  settings = {'agent': agent, 'preset': preset, 'seed': seed,
              'num_seeds': num_seeds, **more}
  (folder / 'config.json').write_text(
      json.dumps({'format': 3, 'settings': settings}))
