"""The settings of `experiments.minatar.run`, its command line."""

import dataclasses

from ..common import settings as settings_lib

GAMES = ('Asterix', 'Breakout', 'Freeway', 'Seaquest', 'SpaceInvaders')


@dataclasses.dataclass(frozen=True)
class Settings(settings_lib.DistributedSettings[settings_lib.Config]):
  """Runs an agent on a game of MinAtar, in the version of gymnax.

  Attributes:
    game: one of Asterix, Breakout, Freeway, Seaquest, SpaceInvaders.
    num_steps: of each seed.
    num_envs: environments that each seed acts in.
    devices_per_seed: devices that each seed is spread over, with its
      environments, its replay and its batches.
    evaluate_every: steps between evaluations.
    eval_episodes: in an evaluation.
  """

  game: str = 'Breakout'
  num_steps: int = 1_000_000
  num_envs: int = 1
  devices_per_seed: int = 1
  num_seeds: int = 3
  evaluate_every: int = 50_000
  eval_episodes: int = 20

  def __post_init__(self):
    super().__post_init__()
    self.check_at_least_one(
        'num_steps', 'num_envs', 'devices_per_seed', 'evaluate_every',
        'eval_episodes')
    for name in ('num_steps', 'evaluate_every'):
      if getattr(self, name) % self.num_envs:
        raise ValueError(
            f'{name} must be a multiple of the {self.num_envs} environments, '
            f'got {getattr(self, name)}')
    if not 0 <= self.seed <= 2**32 - self.num_seeds:
      raise ValueError(
          f'seed must be between 0 and 2**32 - num_seeds, got {self.seed}')
