"""Settings by name: source_domain, the same words everywhere.

`PRESETS[agent][name]()` is a config. Library, command line (`--agent`,
`--preset`) and `config.json` use the same words. Every agent has `default`, its
config as it is, and `nature_atari`, the same on stacks of frames with the torso
of DQN's publication. What else there is, is a function below.
"""

from collections.abc import Callable
import difflib
import functools
from typing import Any

from hyperjax import acting
from hyperjax import agents
from hyperjax import data_noise
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import replay
from hyperjax import targets
from hyperjax.agents import priors


def hyperagent_optimistic(**overrides: Any) -> agents.HyperAgentConfig:
  """Returns HyperAgent's optimist, tuned on DeepSea.

  It is no posterior sampling: it draws no index, but takes the mean of Q over
  z plus a number of standard deviations, both in closed form, in acting (2)
  and in the target (1). Beyond that it has larger batches, of which a part is
  recent and a part what was least well learned, four updates for each step, a
  shorter horizon, a smaller epsilon of Adam, lazy updates of the first layer,
  and no perturbation. `experiments/deep_sea/ABLATIONS.md` has what each of
  these is worth on DeepSea.

  Args:
    **overrides: fields to set otherwise, here as in every preset.
  """
  return agents.HyperAgentConfig(**{
      'mean_std': 1.,
      'prior': priors.Uniform(scale=0.3),
      'noise': data_noise.Perturbation(scale=0.),
      'acting': acting.UCB(scale=2.),
      'target_optimism': acting.UCB(scale=1.),
      'discount': 0.98,
      'adam_epsilon': 4e-5,
      'batch_size': 256,
      'updates_per_period': 4,
      'sampler': replay.Mixed(),
      'lazy_adam': True,
      **overrides})


def hyperagent_paper_deep_sea(**overrides: Any) -> agents.HyperAgentConfig:
  """Returns the settings of the authors' released code for DeepSea.

  szrlee/HyperAgent at 014902c,
  `hyperagent/scripts/hyperagent/run_deepsea.py`, where it differs from table 2
  of the paper: the index is on the unit sphere, sigma is 0, and the acting
  index is drawn again with probability 1 - gamma at each step. The published
  curves are of an earlier version, with a Gaussian index and sigma 1e-4.

  Args:
    **overrides: fields to set otherwise.
  """
  return agents.HyperAgentConfig(**{
      'index_dim': 4,
      'index': index_lib.Sphere,
      'num_index_samples': 20,
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
      'batch_size': 128,
      'replay_capacity': 1_000_000,
      'sampler': replay.Uniform(),
      'warmup_steps': 128,
      'update_period': 1,
      'updates_per_period': 1,
      'lazy_adam': False,
      **overrides})


def hyperagent_thompson_deep_sea(**overrides: Any) -> agents.HyperAgentConfig:
  """Returns `paper_deep_sea` with four differences.

  The expectation over the index is exact; there are four updates for each
  step; the index is Gaussian, which explores more than one on the unit sphere;
  and an acting index lives for a whole episode.

  Args:
    **overrides: fields to set otherwise.
  """
  return hyperagent_paper_deep_sea(**{
      'index': index_lib.Gaussian,
      'num_index_samples': None,
      'acting': acting.Thompson(),
      'updates_per_period': 4,
      **overrides})


def hyperagent_paper_deep_sea_optimistic(
    **overrides: Any) -> agents.HyperAgentConfig:
  """Returns the published variant OIS: `paper_deep_sea` with 5 indices each.

  In acting and in the target. The authors' evaluation is optimistic too; here
  it is greedy for one index, as for every agent.

  Args:
    **overrides: fields to set otherwise.
  """
  return hyperagent_paper_deep_sea(**{
      'acting': acting.SampledOptimism(
          resample_probability=0.01, num_draws=5, quantile=0.8),
      'target_optimism': acting.SampledOptimism(num_draws=5, quantile=0.8),
      **overrides})


def hyperagent_paper_deep_sea_one_hot(
    **overrides: Any) -> agents.HyperAgentConfig:
  """Returns the published variant OH, one-hot indices, with M = 16.

  In the paper's figure 9; with M = 4 it mostly fails there. Every transition
  trains all M members, as in an ensemble: the expectation is exact.

  Args:
    **overrides: fields to set otherwise.
  """
  return hyperagent_paper_deep_sea(**{
      'index': index_lib.OneHot,
      'index_dim': 16,
      'num_index_samples': None,
      **overrides})


def hyperagent_paper_atari(**overrides: Any) -> agents.HyperAgentConfig:
  """Returns the settings behind the published Atari results.

  Those of the authors' released code (szrlee/HyperAgent at 014902c,
  `hyperagent/scripts/hyperagent/run_atari.py`), where it differs from table 2
  of the paper: learning rate 1e-4 and a replay of 100,000. What is otherwise
  here: the two regularisers have the exact expectation over the index; a lost
  life only ends the return (`hyperjax.environments.envpool`); and in
  `hyperjax.loops.host` what acts is one update behind, and where games of
  other actions share a program, first weights and the head's regularisation
  are those of an agent with all of them: beside a game of 18, one of 3 begins
  with a quarter less spread over the index.

  Args:
    **overrides: fields to set otherwise.
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


def hyperagent_small_atari(**overrides: Any) -> agents.HyperAgentConfig:
  """Returns `paper_atari` for a few CPU cores.

  With the small torso, the exact expectation, and without the two
  regularisers.

  Args:
    **overrides: fields to set otherwise.
  """
  return hyperagent_paper_atari(**{
      'num_index_samples': None,
      'gradient_penalty': 0.,
      'head_l2': 0.,
      'torso': networks.SmallHyperAgentTorso,
      **overrides})


def dqn_paper_atari(**overrides: Any) -> agents.DQNConfig:
  """Returns HyperAgent's published Atari settings without the hypermodel.

  The comparison DDQN(ours) of the HyperAgent paper, whose own settings are not
  published. No prior, epsilon-greedy exploration with DQN's epsilon, and no L2
  penalty, which is on the weights that a hypermodel generates.

  Args:
    **overrides: fields to set otherwise.
  """
  return agents.DQNConfig(**{
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


def dqn_small_atari(**overrides: Any) -> agents.DQNConfig:
  """Returns `paper_atari` for a few CPU cores, as HyperAgent's `small_atari`.

  Args:
    **overrides: fields to set otherwise.
  """
  return dqn_paper_atari(**{
      'gradient_penalty': 0.,
      'torso': networks.SmallHyperAgentTorso,
      **overrides})


def enn_dqn_enn_acme_bsuite(**overrides: Any) -> agents.ENNDQNConfig:
  """Returns the epinet authors' own settings for bsuite.

  google-deepmind/enn_acme at 4680812b, `experiments/bsuite/run.py`: plain
  Q-learning whose indices are shared over the batch and with the target. Here
  the first `warmup_steps` actions are random, and rewards are not clipped to
  [-1, 1], which makes a difference where DeepSea is stochastic. They divide the
  prior's scale by the spread of a random linear function of the observations,
  from a file that is not in their repository; here it is 1.

  Args:
    **overrides: fields to set otherwise.
  """
  return agents.ENNDQNConfig(**{
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


AGENTS: dict[str, type[agents.TDAgent]] = {
    'hyperagent': agents.HyperAgent,
    'dqn': agents.DQN,
    'boot_dqn': agents.BootDQN,
    'ensemble_plus': agents.EnsemblePlus,
    'hyperdqn': agents.HyperDQN,
    'enn_dqn': agents.ENNDQN,
    'adam_lmcdqn': agents.AdamLMCDQN,
    'noisy_dqn': agents.NoisyDQN,
    'sane': agents.SANE,
    'langevin_adam': agents.LangevinAdam,
}


def _own(
    config: type[agents.TDConfig], *more_sizes: int, **on_frames: Any,
) -> dict[str, Callable[..., Any]]:
  """An agent's own settings, and the same on frames.

  Args:
    config: the agent's.
    *more_sizes: of layers after the torso's 512.
    **on_frames: what else is otherwise there.
  """
  return {
      'default': config,
      'nature_atari': functools.partial(
          config, torso=networks.NatureTorso, hidden_sizes=(512, *more_sizes),
          **on_frames)}


PRESETS: dict[str, dict[str, Callable[..., agents.TDConfig]]] = {
    'hyperagent': {
        **_own(agents.HyperAgentConfig),
        'optimistic': hyperagent_optimistic,
        'thompson_deep_sea': hyperagent_thompson_deep_sea,
        'paper_deep_sea': hyperagent_paper_deep_sea,
        'paper_deep_sea_optimistic': hyperagent_paper_deep_sea_optimistic,
        'paper_deep_sea_one_hot': hyperagent_paper_deep_sea_one_hot,
        'paper_atari': hyperagent_paper_atari,
        'small_atari': hyperagent_small_atari,
    },
    'dqn': {
        **_own(agents.DQNConfig),
        'paper_atari': dqn_paper_atari,
        'small_atari': dqn_small_atari,
    },
    'boot_dqn': _own(agents.BootDQNConfig),
    'ensemble_plus': _own(agents.EnsemblePlusConfig),
    # On Atari its authors' batch there, instead of the 2,560 of DeepSea.
    'hyperdqn': _own(agents.HyperDQNConfig, batch_size=320),
    'enn_dqn': {
        **_own(agents.ENNDQNConfig),
        'enn_acme_bsuite': enn_dqn_enn_acme_bsuite,
    },
    'adam_lmcdqn': _own(agents.AdamLMCDQNConfig),
    # Of both the last layers are noisy: one before the values'.
    'noisy_dqn': _own(agents.NoisyDQNConfig, 512),
    'sane': _own(agents.SANEConfig, 512),
    'langevin_adam': _own(agents.LangevinAdamConfig),
}


def make(agent: str, preset: str = 'default', **overrides: Any) -> Any:
  """Returns the config of a preset.

  Args:
    agent: name of the agent, a key of `AGENTS`.
    preset: name of the preset, a key of `PRESETS[agent]`.
    **overrides: fields to set otherwise.

  Raises:
    ValueError: for an unknown name, with near matches and the known ones.
  """
  _check_known('agent', agent, AGENTS)
  _check_known(f'preset of {agent}', preset, PRESETS[agent])
  return PRESETS[agent][preset](**overrides)


def _check_known(what: str, name: str, known):
  if name in known:
    return
  near = difflib.get_close_matches(name, known)
  did_you_mean = f'did you mean {" or ".join(near)}? ' if near else ''
  raise ValueError(
      f'unknown {what} {name!r}; {did_you_mean}known: {", ".join(known)}')
