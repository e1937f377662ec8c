"""The settings of `experiments.atari.run`, its command line."""

import dataclasses

from ..common import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class GameSettings(settings_lib.RunSettings[settings_lib.Config]):
  """Runs an agent on Atari, in one process.

  Attributes:
    games: names as envpool has them, with commas between them.
    suite: or one of atari26, atari8-hard.
    num_steps: of each agent, of four frames each.
    num_envs: environments that each agent acts in.
    sticky_actions: probability that an action is repeated instead, at each
      frame; 0 as published, 0.25 in the later protocol.
    max_frames: after which a game is cut short.
    backend: of the environments, envpool or ale.
    evaluate_every: steps between evaluations.
    eval_episodes: games in an evaluation.
    final_episodes: games in the last evaluations.
    save_replay: whether checkpoints hold the replay. If not, a resumed run
      fills it anew before it learns on.
  """

  preset: str = 'paper_atari'
  games: str | None = None
  suite: str | None = None
  num_steps: int = 2_000_000
  num_envs: int = 1
  sticky_actions: float = 0.
  max_frames: int = 108_000
  backend: str = 'envpool'
  evaluate_every: int = 20_000
  eval_episodes: int = 10
  final_episodes: int = 200
  checkpoint_seconds: float = 600.
  save_replay: bool = True

  def __post_init__(self):
    super().__post_init__()
    self.check_at_least_one('num_steps', 'num_envs', 'evaluate_every',
                            'eval_episodes', 'final_episodes')
    if not 0 <= self.seed <= 2**31 - self.num_seeds:
      raise ValueError(
          f'seed must be between 0 and 2**31 - num_seeds, got {self.seed}')
    for name in ('num_steps', 'evaluate_every'):
      if getattr(self, name) % self.num_envs:
        raise ValueError(
            f'{name} must be a multiple of the {self.num_envs} environments, '
            f'got {getattr(self, name)}')


@dataclasses.dataclass(frozen=True)
class Settings(GameSettings[settings_lib.Config],
               settings_lib.DistributedSettings[settings_lib.Config]):
  """Runs an agent on Atari."""
