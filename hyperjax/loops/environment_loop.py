"""The classic loop of one agent and one environment, on the host."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import dm_env

from hyperjax import checks
from hyperjax import step_checks


@runtime_checkable
class Actor(Protocol):
  """The interface of acme's actors, see `hyperjax.adapters.acme.Actor`."""

  def select_action(self, observation: Any) -> Any:
    """Returns the action at one observation."""
    ...

  def observe_first(self, timestep: dm_env.TimeStep) -> None:
    """Begins an episode with its first time step."""
    ...

  def observe(self, action: Any, next_timestep: dm_env.TimeStep) -> None:
    """Observes an action and the time step after it."""
    ...

  def update(self, wait: bool = False) -> None:
    """Learns, if the actor does.

    Args:
      wait: whether to return only when the learning is done.
    """
    ...


class EpisodeResult(NamedTuple):
  """Result of an episode.

  Attributes:
    episode: number of the episode, from 1.
    env_steps: number of steps in all episodes up to this one.
    episode_length: number of steps in this episode.
    episode_return: undiscounted sum of rewards.
  """

  episode: int
  env_steps: int
  episode_length: int
  episode_return: float


class EnvironmentLoop:
  """Runs an actor in a dm_env environment, one episode after another.

  The loop calls `update` of the actor after every step; learning is up to the
  actor.
  """

  def __init__(self, environment: dm_env.Environment, actor: Actor):
    """Makes a loop.

    Raises:
      ValueError: if the actor lacks a method of `Actor`.
    """
    checks.instance(Actor, 'an actor')('actor', actor)
    self._environment = environment
    self._actor = actor
    self._episodes = 0
    self._env_steps = 0

  def run_episode(self) -> EpisodeResult:
    """Runs one episode to its end.

    Raises:
      ValueError: if the environment is none of dm_env, a reward is no finite
        number, or the actor raises it.
    """
    timestep = self._environment.reset()
    if not hasattr(timestep, 'last'):
      raise ValueError(
          f'expected an environment of dm_env, whose reset returns a TimeStep, '
          f'got {self._environment!r} with {type(timestep).__name__}; '
          f'gymnasium.DmEnv of hyperjax.environments wraps a gymnasium.Env')
    self._actor.observe_first(timestep)
    length, episode_return = 0, 0.
    while not timestep.last():
      action = self._actor.select_action(timestep.observation)
      timestep = self._environment.step(action)
      self._actor.observe(action, timestep)
      self._actor.update()
      length += 1
      episode_return += step_checks.check_reward(timestep.reward)
    self._episodes += 1
    self._env_steps += length
    return EpisodeResult(
        self._episodes, self._env_steps, length, episode_return)

  def episodes(self, num_episodes: int) -> Iterator[EpisodeResult]:
    """Runs episodes one at a time, as the caller asks for them.

    Raises:
      ValueError: if `num_episodes` is below 1.
    """
    checks.COUNT('num_episodes', num_episodes)
    return (self.run_episode() for _ in range(num_episodes))

  def run(self, num_episodes: int) -> list[EpisodeResult]:
    """Runs episodes and returns their results."""
    return list(self.episodes(num_episodes))
