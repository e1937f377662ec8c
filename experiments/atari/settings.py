"""The settings of `experiments.atari.run`, its command line."""

import dataclasses
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import tyro

from experiments.common import run_folder
from hyperjax.agents import presets

Config = TypeVar('Config')


@dataclasses.dataclass(frozen=True)
class Settings(Generic[Config]):
  """Runs an agent on Atari.

  Attributes:
    output: folder to write to; resumed if it holds the same run.
    config: the agent's settings.
    agent: name of the agent.
    preset: name of the agent's settings before the options given here.
    games: names as envpool has them, with commas between them.
    suite: or one of atari26, atari8-hard.
    num_seeds: independent runs of each game, of the seeds seed, seed + 1, ...
    seed: the first one.
    num_steps: of each agent, of four frames each.
    num_envs: environments that each agent acts in.
    sticky_actions: probability that an action is repeated instead, at each
      frame; 0 as published, 0.25 in the later protocol.
    max_frames: after which a game is cut short.
    backend: of the environments, envpool or ale.
    evaluate_every: steps between evaluations.
    eval_episodes: games in an evaluation.
    final_episodes: games in the last evaluations.
    checkpoint_seconds: time between checkpoints.
    restart: whether to begin anew. What the folder held moves aside in it. A
      command that is to be resumed must not have it.
    save_replay: whether checkpoints hold the replay. If not, a resumed run
      fills it anew before it learns on. To read one with it takes twice its
      memory.
  """

  output: Path
  config: Annotated[Config, tyro.conf.arg(name='')]
  agent: Annotated[str, tyro.conf.arg(
      metavar='{' + ','.join(presets.AGENTS) + '}')] = 'hyperagent'
  preset: str = 'paper_atari'
  games: str | None = None
  suite: str | None = None
  num_seeds: int = 1
  seed: int = 0
  num_steps: int = 2_000_000
  num_envs: int = 1
  sticky_actions: float = 0.
  max_frames: int = 108_000
  backend: str = 'envpool'
  evaluate_every: int = 20_000
  eval_episodes: int = 10
  final_episodes: int = 200
  checkpoint_seconds: float = 600.
  restart: bool = False
  save_replay: bool = True

  def __post_init__(self):
    for name in ('num_seeds', 'num_steps', 'num_envs', 'evaluate_every',
                 'eval_episodes', 'final_episodes'):
      if getattr(self, name) < 1:
        raise ValueError(
            f'{name} must be at least 1, got {getattr(self, name)}')
    run_folder.check_settings(self)
    if not 0 <= self.seed < 2**31 - self.num_seeds:
      raise ValueError(f'seed must have 31 bits, got {self.seed}')
    for name in ('num_steps', 'evaluate_every'):
      if getattr(self, name) % self.num_envs:
        raise ValueError(
            f'{name} must be a multiple of the {self.num_envs} environments, '
            f'got {getattr(self, name)}')
