"""Presets of the agents that HyperAgent is compared with."""

from typing import Any

from hyperjax import acting
from hyperjax import losses
from hyperjax import networks
from hyperjax import schedules
from hyperjax import targets
from hyperjax.agents import dqn
from hyperjax.agents import enn_dqn


def dqn_paper_atari(**overrides: Any) -> dqn.DQNConfig:
  """Returns HyperAgent's published Atari settings without the hypermodel.

  The baseline DDQN(ours) of the HyperAgent paper, whose own settings are not
  published. It has no prior, epsilon-greedy exploration with DQN's epsilon, and
  no L2 penalty, which is on the weights that a hypermodel generates.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return dqn.DQNConfig(**{
      'scale': 0.1,
      'gradient_penalty': 0.01,
      'torso': networks.HyperAgentTorso,
      'hidden_sizes': (256,),
      'n_step': 5,
      'learning_rate': 1e-4,
      'adam_epsilon': 1.5e-4,
      'max_gradient_norm': 10.,
      'target': targets.Periodic(5),
      'batch_size': 32,
      'replay_capacity': 100_000,
      'warmup_steps': 2000,
      **overrides})


def dqn_small_atari(**overrides: Any) -> dqn.DQNConfig:
  """Returns `paper_atari` for a few CPU cores, as HyperAgent's `small_atari`.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return dqn_paper_atari(**{
      'gradient_penalty': 0.,
      'torso': networks.SmallHyperAgentTorso,
      **overrides})


def dqn_minatar(**overrides: Any) -> dqn.DQNConfig:
  """Returns the settings of Young and Tian (2019) for MinAtar.

  kenjyoung/MinAtar, `examples/dqn.py`. They have centred RMSProp with a step
  size of 2.5e-4, here it is Adam with the same.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return dqn.DQNConfig(**{
      'torso': networks.MinAtarTorso,
      'hidden_sizes': (128,),
      'double': False,
      'acting': acting.EpsilonGreedy(
          epsilon=schedules.Linear(1., 0.1, 100_000)),
      'learning_rate': 2.5e-4,
      'target': targets.Periodic(1000),
      'batch_size': 32,
      'replay_capacity': 100_000,
      'warmup_steps': 5000,
      **overrides})


def dqn_random(**overrides: Any) -> dqn.DQNConfig:
  """Returns uniformly random actions, to compare agents with.

  All that learns is made as small as can be.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return dqn.DQNConfig(**{
      'acting': acting.EpsilonGreedy(epsilon=1.),
      'hidden_sizes': (1,),
      'batch_size': 1,
      'replay_capacity': 64,
      'warmup_steps': 1,
      'update_period': 64,
      **overrides})


def enn_dqn_enn_acme_bsuite(**overrides: Any) -> enn_dqn.ENNDQNConfig:
  """Returns the epinet authors' own settings for bsuite.

  google-deepmind/enn_acme at 4680812b, `experiments/bsuite/run.py`: plain
  Q-learning whose indices are shared over the batch and with the target. Here
  the first `warmup_steps` actions are random, and rewards are not clipped to
  [-1, 1], which makes a difference on stochastic DeepSea. The authors divide
  the scale of the prior by the spread of a random linear function of the
  observations, from a file that is not in their repository; here the divisor is
  1.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return enn_dqn.ENNDQNConfig(**{
      'index_dim': 2,
      'pairs': losses.Shared(20),
      'double': False,
      'hidden_sizes': (50, 50),
      'epinet_size': 50,
      'prior_scale': 1.,
      'acting': acting.Thompson(),
      'batch_size': 128,
      'target': targets.Periodic(4),
      'replay_capacity': 10_000,
      'warmup_steps': 128,
      'learning_rate': 1e-3,
      'adam_epsilon': 1e-8,
      'max_gradient_norm': None,
      **overrides})
