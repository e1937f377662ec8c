"""Trainer of an agent with a replay of streams of time steps."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from hyperjax import checks
from hyperjax import replay as replay_lib
from hyperjax import specs
from hyperjax import types
from hyperjax.environments import vector
from hyperjax.loops import trainer


@dataclasses.dataclass(frozen=True)
class StreamTrainer(trainer.ReplayTrainer):
  """One agent with a replay of streams, for `hyperjax.loops.HostLoop`.

  In that loop a time step may begin an episode without an action before it, so
  the replay stores time steps. If the agent observes stacks of frames, the time
  steps have single frames.

  Attributes:
    stacked: whether time steps have single frames of the agent's stacks.
  """

  stacked: bool = False

  def __post_init__(self):
    checks.fields(self, stacked=checks.flag)
    super().__post_init__()

  @property
  def replay(self) -> replay_lib.StreamReplay:
    """Replay of the agent."""
    return replay_lib.StreamReplay(
        spec=self.observation_spec,
        capacity=self.capacity,
        batch_size=self.config.batch_size,
        discount=self.config.discount,
        n_step=self.config.n_step,
        num_envs=self.num_envs,
        sampler=self.config.sampler,
        stacked=self.stacked,
        sequence_length=getattr(self.config, 'sequence_length', 0))

  def init_observation(self, num_envs: int) -> Array:
    """Returns observations before the first time step, [num_envs, ...]."""
    spec = self.observation_spec
    return jnp.zeros((num_envs, *spec.shape), spec.dtype)

  def next_observation(
      self, observation: Array, timestep: vector.VectorTimeStep) -> Array:
    """Returns the agent's observation at a time step, [N, ...].

    Args:
      observation: agent's observation before the time step, [N, ...].
      timestep: time steps, each field [N, ...].
    """
    arrays = _on_device(timestep)
    if not self.stacked:
      return arrays.observation
    return jax.vmap(replay_lib.push)(
        observation, arrays.observation, arrays.first())

  def observe(
      self, state: trainer.TrainState, observation: Array,
      action: Int[Array, ' N'], timestep: vector.VectorTimeStep,
  ) -> trainer.TrainState:
    """Stores time steps with the actions that led to them."""
    del observation  # It was stored when it arrived.
    arrays = _on_device(timestep)
    replay = self.replay.add(state.replay, replay_lib.Entry(
        observation=arrays.observation, action=action,
        reward=arrays.reward, discount=arrays.discount,
        is_first=arrays.first(), uid=self._next_uids(state)))
    return self._observed(state, replay, arrays)


def _on_device(timestep: vector.VectorTimeStep) -> Any:
  """Returns a time step as JAX arrays; on the host its fields are NumPy's."""
  return jax.tree.map(jnp.asarray, timestep)


def is_stacked(
    agent: types.Agent, environment_spec: specs.ObservationSpec) -> bool:
  """Returns whether the agent observes stacks of what environments show.

  Raises:
    ValueError: if the agent does not fit the environments.
  """
  expected, got = agent.observation_spec, environment_spec
  if expected.num_values == got.num_values and expected.dtype == got.dtype:
    if expected.shape == got.shape:
      return False
    if len(expected.shape) == 3 and expected.shape[1:] == got.shape:
      return True
  raise ValueError(
      f'the agent expects observations of shape {expected.shape} and type '
      f'{expected.dtype}, or frames to stack for it; the environments show '
      f'{got.shape} of {got.dtype}')
