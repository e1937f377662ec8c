"""Presets of HyperAgent."""

from typing import Any

from hyperjax import acting
from hyperjax import data_noise
from hyperjax import index as index_lib
from hyperjax import networks
from hyperjax import replay
from hyperjax import targets
from hyperjax.agents import hyperagent
from hyperjax.agents import priors


def hyperagent_optimistic(**overrides: Any) -> hyperagent.HyperAgentConfig:
  """Returns the optimistic variant of HyperAgent, tuned on DeepSea.

  This is not posterior sampling. No index is drawn: acting and the target use
  upper confidence bounds, the mean of Q over z plus 2 (acting) or 1 (target)
  standard deviations, both in closed form. In addition it has larger batches,
  with a part of recent transitions and a part of high-loss ones, four updates
  per step, a lower discount, a smaller epsilon of Adam, lazy updates of the
  first layer, and no perturbation. `experiments/deep_sea/ABLATIONS.md` has the
  effect of each on DeepSea.

  Args:
    **overrides: fields of the config that replace the preset's, as in every
      preset.
  """
  return hyperagent.HyperAgentConfig(**{
      'torso': networks.MLPTorso,
      'num_target_indices': 1,
      'mean_std': 1.,
      'prior': priors.Uniform(scale=0.3),
      'noise': data_noise.Perturbation(scale=0.),
      'acting': acting.UCB(scale=2.),
      'target_optimism': acting.UCB(scale=1.),
      'discount': 0.98,
      'adam_epsilon': 4e-5,
      'target': targets.Periodic(4),
      'reward_scaling': False,
      'batch_size': 256,
      'updates_per_period': 4,
      'sampler': replay.Mixed(),
      'lazy_adam': True,
      **overrides})


def hyperagent_paper_deep_sea(**overrides: Any) -> hyperagent.HyperAgentConfig:
  """Returns the settings of the authors' released code for DeepSea.

  szrlee/HyperAgent at 014902c, `hyperagent/scripts/hyperagent/run_deepsea.py`.
  The code differs from table 2 of the paper: the index is on the unit sphere,
  sigma is 0, and the acting index is drawn again with probability 1 - gamma at
  each step. The published curves are those of an earlier version, with a
  Gaussian index and sigma 1e-4.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return hyperagent.HyperAgentConfig(**{
      'index_dim': 4,
      'index': index_lib.Sphere,
      'num_index_samples': 20,
      'num_target_indices': 1,
      'scale': 1.,
      'mean_std': 1.,
      'random_biases': False,
      'prior': priors.Hypermodel(scale=10., std=1., mean_std=1.),
      'noise': data_noise.Perturbation(scale=0.),
      'acting': acting.Thompson(resample_probability=0.01),
      'target_optimism': None,
      'gradient_penalty': 0.,
      'head_l2': 0.,
      'torso': networks.MLPTorso,
      'hidden_sizes': (64, 64),
      'n_step': 1,
      'discount': 0.99,
      'double': True,
      'learning_rate': 1e-3,
      'adam_epsilon': 1.5e-4,
      'max_gradient_norm': 10.,
      'target': targets.Periodic(4),
      'reward_scaling': False,
      'batch_size': 128,
      'replay_capacity': 1_000_000,
      'sampler': replay.Uniform(),
      'warmup_steps': 128,
      'update_period': 1,
      'updates_per_period': 1,
      'lazy_adam': False,
      'sequence_length': 0,
      'augmentation': None,
      'resets': None,
      **overrides})


def hyperagent_thompson_deep_sea(
    **overrides: Any) -> hyperagent.HyperAgentConfig:
  """Returns `paper_deep_sea` with four differences.

  The expectation over the index is exact; there are four updates per step; the
  index is Gaussian, which explores more than one on the unit sphere; and the
  actor keeps an index for a whole episode.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return hyperagent_paper_deep_sea(**{
      'index': index_lib.Gaussian,
      'num_index_samples': None,
      'acting': acting.Thompson(),
      'updates_per_period': 4,
      **overrides})


def hyperagent_paper_deep_sea_optimistic(
    **overrides: Any) -> hyperagent.HyperAgentConfig:
  """Returns the published variant OIS: `paper_deep_sea` with 5 indices each.

  Both acting and the target use 5 indices. The authors' evaluation is
  optimistic too; here it is greedy for one index, as for every agent.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return hyperagent_paper_deep_sea(**{
      'acting': acting.SampledOptimism(
          resample_probability=0.01, num_draws=5, quantile=0.8),
      'target_optimism': acting.SampledOptimism(num_draws=5, quantile=0.8),
      **overrides})


def hyperagent_paper_deep_sea_one_hot(
    **overrides: Any) -> hyperagent.HyperAgentConfig:
  """Returns the published variant OH, one-hot indices, with M = 16.

  The value of M is from the paper's figure 9, where M = 4 mostly fails. Every
  transition trains all M members, as in an ensemble: the expectation is exact.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return hyperagent_paper_deep_sea(**{
      'index': index_lib.OneHot,
      'index_dim': 16,
      'num_index_samples': None,
      **overrides})


def hyperagent_paper_atari(**overrides: Any) -> hyperagent.HyperAgentConfig:
  """Returns the settings of the published Atari results.

  They are those of the authors' released code (szrlee/HyperAgent at 014902c,
  `hyperagent/scripts/hyperagent/run_atari.py`), which differ from table 2 of
  the paper: learning rate 1e-4 and a replay of 100,000. This implementation
  differs from the code as follows. The two regularisers have the exact
  expectation over the index. A lost life only ends the return
  (`hyperjax.environments.envpool`). In `hyperjax.loops.host` the acting weights
  are one update old. If games of different actions share a program, the initial
  weights and the head's regularisation are those of an agent with the largest
  number of actions: beside a game of 18 actions, one of 3 begins with a quarter
  less spread over the index.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return hyperagent_paper_deep_sea(**{
      'scale': 0.1,
      'mean_std': None,
      'prior': priors.Hypermodel(scale=0.1, std=0.1, mean_std=None),
      'noise': data_noise.RawPerturbation(scale=0.01),
      'gradient_penalty': 0.01,
      'head_l2': 0.01,
      'torso': networks.HyperAgentTorso,
      'hidden_sizes': (256,),
      'n_step': 5,
      'learning_rate': 1e-4,
      'batch_size': 32,
      'target': targets.Periodic(5),
      'replay_capacity': 100_000,
      'warmup_steps': 2000,
      **overrides})


def hyperagent_small_atari(**overrides: Any) -> hyperagent.HyperAgentConfig:
  """Returns `paper_atari` for a few CPU cores.

  It has the small torso, the exact expectation, and no regularisers.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return hyperagent_paper_atari(**{
      'num_index_samples': None,
      'gradient_penalty': 0.,
      'head_l2': 0.,
      'torso': networks.SmallHyperAgentTorso,
      **overrides})
