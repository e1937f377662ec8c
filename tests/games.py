"""Environments on the host that need no emulator, for the tests of its loop."""

import dm_env
from dm_env import specs as dm_specs
import numpy as np

from hyperjax import specs
from hyperjax.environments import vector

STACK = 2
SPEC = specs.ObservationSpec((STACK, 3, 4), 'uint8')


class Game:
  """N copies of a game, with the interface of `vector.VectorEnvironment`.

  A frame shows one of the actions; choosing it gives a reward of 2. Episodes
  have 5 steps, and a life is lost in the third. All is a function of the seed
  and the step.
  """

  name = 'Match'

  def __init__(self, seeds, num_actions=3, pixel=(1, 1), brightness=1):
    """Begins N games.

    Args:
      seeds: N of them.
      num_actions: at most 4.
      pixel: size of what is one pixel of the frames [3, 4] otherwise.
      brightness: of the pixels that are 1 otherwise.
    """
    self.num_envs = len(seeds)
    self.num_actions = num_actions
    self._seeds = seeds
    self._pixel = np.full((1, *pixel), brightness, np.uint8)
    self._number = 0
    self._step = 0
    self.sent = []

  def observation_spec(self):
    down, across = self._pixel.shape[1:]
    return dm_specs.Array((3 * down, 4 * across), np.uint8)

  def action_spec(self):
    return dm_specs.DiscreteArray(self.num_actions)

  def reset(self):
    self._step = 0
    zeros = np.zeros(self.num_envs, np.float32)
    return self._timestep(dm_env.StepType.FIRST, zeros, zeros)

  def send(self, actions):
    assert actions.min() >= 0 and actions.max() < self.num_actions
    self.sent.append(np.array(actions))

  def recv(self):
    if self._step == 5:
      return self.reset()
    score = 2. * (self.sent[-1] == self._shown)
    self._step += 1
    kind = dm_env.StepType.LAST if self._step == 5 else dm_env.StepType.MID
    discount = np.full(self.num_envs, float(self._step not in (3, 5)))
    return self._timestep(kind, score, discount)

  def _timestep(self, kind, score, discount):
    self._shown = np.array([
        np.random.default_rng((seed, self._number)).integers(self.num_actions)
        for seed in self._seeds])
    self._number += 1
    frames = np.zeros((self.num_envs, 3, 4), np.uint8)
    frames[np.arange(self.num_envs), 0, self._shown] = 1
    frames[:, 2, 0] = self._number % 3  # Frames differ otherwise, too.
    return vector.VectorTimeStep(
        np.full(self.num_envs, int(kind), np.int32),
        np.clip(score, -1, 1).astype(np.float32), discount.astype(np.float32),
        np.kron(frames, self._pixel), score.astype(np.float32))

  def close(self):
    pass
