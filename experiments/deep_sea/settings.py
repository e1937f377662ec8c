"""The settings of `experiments.deep_sea.run`, its command line."""

import dataclasses

from ..common import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class Settings(settings_lib.DistributedSettings[settings_lib.Config]):
  """Runs an agent on DeepSea.

  Attributes:
    size: N of the N x N grid.
    stochastic: whether, while learning, right fails once in N steps and the end
      cells give noise.
    num_seeds: independent runs, of the seeds seed, seed + 1, ...; a seed is
      that of the action mapping too.
    num_episodes: of each seed.
    evaluate_every: episodes between evaluations; max(1, 1000 // size) if None.
    eval_episodes: in an evaluation.
    stop_when_solved: whether a seed ends when it has solved the task.
    stop_margin: how much longer it then goes on, as a part of the episodes that
      it took. (bsuite's criterion is met after a ninth more.)
  """

  size: int = 20
  stochastic: bool = False
  num_seeds: int = 10
  num_episodes: int = 1000
  evaluate_every: int | None = None
  eval_episodes: int = 100
  stop_when_solved: bool = False
  stop_margin: float = 0.25

  def __post_init__(self):
    super().__post_init__()
    self.check_at_least_one('num_episodes', 'eval_episodes')
    if not 0. <= self.stop_margin < float('inf'):
      raise ValueError(
          f'stop_margin must be at least 0 and finite, got {self.stop_margin}')
    if not 0 <= self.seed <= 2**32 - self.num_seeds:
      raise ValueError(
          f'seed must be between 0 and 2**32 - num_seeds, got {self.seed}')
    if self.evaluate_every is not None and not (
        1 <= self.evaluate_every <= self.coarsest_evaluation):
      raise ValueError(
          f'evaluate_every must be between 1 and {self.coarsest_evaluation} '
          f'at size {self.size}, got {self.evaluate_every}')

  @property
  def coarsest_evaluation(self) -> int:
    """Episodes between evaluations as published: 1000 steps, or less."""
    return max(1, 1000 // max(1, self.size))
