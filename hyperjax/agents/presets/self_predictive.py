"""Presets of BBF and of agents that are BBF with other settings."""

from typing import Any

from hyperjax import acting
from hyperjax import augment
from hyperjax import networks
from hyperjax import resets
from hyperjax import schedules
from hyperjax.agents import bbf


def bbf_paper_atari(**overrides: Any) -> bbf.BBFConfig:
  """Returns BBF's published settings (Schwarzer et al., 2023), ratio 8.

  They are for 100,000 steps. Resets are after 5,000, 10,000, ..., 95,000 of
  them: 8 updates for each step begin after 2,000 steps.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return bbf.BBFConfig(**{
      'torso': networks.WideImpalaTorso,
      'hidden_sizes': (2048,),
      'augmentation': augment.ShiftAndIntensity(pad=4, intensity=0.05),
      'acting': acting.EpsilonGreedy(epsilon=schedules.Delayed(
          schedules.Linear(1., 0., 2001), 2000)),
      'warmup_steps': 2000,
      'updates_per_period': 8,
      'resets': _resets(0.5, first=24_000, last=744_000),
      **overrides})


def bbf_paper_atari_ratio_2(**overrides: Any) -> bbf.BBFConfig:
  """Returns `paper_atari` with 2 updates for each step.

  Resets are after 20,000, 40,000, 60,000 and 80,000 steps.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return bbf_paper_atari(**{
      'updates_per_period': 2,
      'resets': _resets(0.5, first=36_000, last=156_000),
      **overrides})


def bbf_sr_spr_atari(**overrides: Any) -> bbf.BBFConfig:
  """Returns SR-SPR (D'Oro et al., 2023), as far as settings make it of BBF.

  Nature's convolutions, n = 10, gamma = 0.99, no weight decay, and softer
  resets; 8 updates for each step. The hidden layer is BBF's, shared by both
  streams, with 512 units; the initial weights, and the moving average of 0.005,
  are BBF's too.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return bbf_paper_atari(**{
      'torso': networks.NatureTorso,
      'hidden_sizes': (512,),
      'n_step': 10,
      'discount': 0.99,
      'weight_decay': 0.,
      'resets': _resets(0.8, first=24_000, last=744_000),
      **overrides})


def bbf_small_atari(**overrides: Any) -> bbf.BBFConfig:
  """Returns `paper_atari_ratio_2` with a quarter of the widths.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return bbf_paper_atari_ratio_2(**{
      'torso': networks.ImpalaTorso,
      'hidden_sizes': (512,),
      **overrides})


def bbf_minatar(**overrides: Any) -> bbf.BBFConfig:
  """Returns a small BBF for 100,000 steps of MinAtar.

  IMPALA's widths for images of 10 x 10, a projection to 256 features, 2 updates
  for each step, and no augmentation: a shift moves a pixel that is a thing of
  its own.

  Args:
    **overrides: fields of the config that replace the preset's.
  """
  return bbf_small_atari(**{
      'torso': networks.MinAtarImpalaTorso,
      'hidden_sizes': (256,),
      'augmentation': None,
      'replay_capacity': 100_000,
      **overrides})


def _resets(keep: float, first: int, last: int) -> resets.Periodic:
  """Resets after each 40,000 updates, of which some keep parts of weights."""
  return resets.Periodic(
      40_000, keep_of=tuple((part, keep) for part in bbf.ENCODER),
      first=first, last=last)
