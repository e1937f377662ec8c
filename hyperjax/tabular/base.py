"""The interface of tabular agents, what they count, and their regret."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hyperjax import checks
from hyperjax.tabular import mdp as mdp_lib

AgentState = Any


@runtime_checkable
class Agent(Protocol):
  """A tabular agent, which plans once per episode.

  All methods are pure functions; implementations are frozen and hashable.
  Rewards may be known from the start, as the theorems have it.
  """

  @property
  def sizes(self) -> mdp_lib.Sizes:
    """Sizes of the MDPs that the agent is for."""
    ...

  def init(
      self, key: chex.PRNGKey, rewards: Float[Array, 'H S A'] | None = None
  ) -> AgentState:
    """Returns the state before the first episode.

    Args:
      key: PRNG key of all that `update` draws.
      rewards: known rewards, [H, S, A]; None if they are to be learned.
    """
    ...

  def plan(
      self, state: AgentState, key: chex.PRNGKey) -> Int[Array, 'H S']:
    """Returns the policy of the next episode, int32 [H, S].

    Args:
      state: state after the last episode, which is only read.
      key: PRNG key of the episode's plan.
    """
    ...

  def update(
      self, state: AgentState, episode: mdp_lib.Episode) -> AgentState:
    """Returns the state after an episode."""
    ...


class Statistics(NamedTuple):
  """Counts of what was seen, each stage by itself or all together.

  Attributes:
    counts: number of transitions, float32 [stages, S, A, S].
    reward_sums: sum of rewards, float32 [stages, S, A].
    known: known rewards, float32 [H, S, A], or None.
  """

  counts: Float[Array, 'stages S A S']
  reward_sums: Float[Array, 'stages S A']
  known: Float[Array, 'H S A'] | None

  @property
  def visits(self) -> Float[Array, 'stages S A']:
    """N, number of visits of each state and action."""
    return jnp.sum(self.counts, axis=-1)

  @property
  def rewards(self) -> Float[Array, '... S A']:
    """Known rewards [H, S, A], or mean rewards [stages, S, A]; 0 if unseen."""
    if self.known is not None:
      return self.known
    return self.reward_sums / jnp.maximum(self.visits, 1.)


def no_statistics(
    sizes: mdp_lib.Sizes, rewards: Float[Array, 'H S A'] | None = None
) -> Statistics:
  """Returns statistics without an episode.

  Args:
    sizes: sizes of the MDP.
    rewards: known rewards, [H, S, A], or None.

  Raises:
    ValueError: if the rewards have another shape.
  """
  shape = (sizes.horizon, sizes.num_states, sizes.num_actions)
  if rewards is not None and jnp.shape(rewards) != shape:
    raise ValueError(
        f'expected known rewards of shape {shape}, got {jnp.shape(rewards)}')
  pairs = (sizes.stages, sizes.num_states, sizes.num_actions)
  return Statistics(
      jnp.zeros((*pairs, sizes.num_states)), jnp.zeros(pairs), rewards)


def every_stage(
    sizes: mdp_lib.Sizes, x: Float[Array, '... S A']
) -> Float[Array, 'H S A']:
  """Returns x for every stage, [H, S, A], of x [H, S, A] or [stages, S, A]."""
  return jnp.broadcast_to(
      x, (sizes.horizon, sizes.num_states, sizes.num_actions))


def stages_of(sizes: mdp_lib.Sizes) -> Int[Array, ' H']:
  """Returns where each step of an episode is counted, int32 [H]."""
  return jnp.arange(sizes.horizon) % sizes.stages


def count(
    sizes: mdp_lib.Sizes, statistics: Statistics, episode: mdp_lib.Episode
) -> Statistics:
  """Returns the statistics with one more episode."""
  h, s, a = stages_of(sizes), episode.states[:-1], episode.actions
  return statistics._replace(
      counts=statistics.counts.at[h, s, a, episode.states[1:]].add(1.),
      reward_sums=statistics.reward_sums.at[h, s, a].add(episode.rewards))


class Counting:
  """`init` and `update` of agents whose state is `Statistics` and no more.

  Such an agent plans from what was seen so far, so that nothing is left to do
  after an episode but to count it.
  """

  sizes: mdp_lib.Sizes

  def init(
      self, key: chex.PRNGKey, rewards: Float[Array, 'H S A'] | None = None
  ) -> Statistics:
    """See `Agent`."""
    del key
    return no_statistics(self.sizes, rewards)

  def update(
      self, state: Statistics, episode: mdp_lib.Episode) -> Statistics:
    """See `Agent`."""
    return count(self.sizes, state, episode)


def run(
    agent: Agent, mdp: mdp_lib.MDP, key: chex.PRNGKey, num_episodes: int,
    rewards: Float[Array, 'H S A'] | None = None,
) -> tuple[AgentState, Float[Array, ' E']]:
  """Runs an agent, and returns its exact regret in every episode.

  The regret of an episode is V*_0 - V^pi_0 of the policy that is played, at the
  start. What is random in episode k is a function of (key, k), so that more
  episodes begin with the same ones. Map it over keys and MDPs with `vmap`.

  Args:
    agent: the agent.
    mdp: the MDP.
    key: PRNG key of the run.
    num_episodes: E, number of episodes.
    rewards: the rewards if the agent knows them, [H, S, A].

  Returns:
    The agent's last state, and the regrets, float32 [E].

  Raises:
    ValueError: if the agent is for MDPs of other sizes, or the number of
      episodes is negative.
  """
  checks.integer(0)('num_episodes', num_episodes)
  sizes = agent.sizes
  expected = (sizes.horizon, sizes.num_states, sizes.num_actions)
  if mdp.rewards.shape != expected:
    raise ValueError(
        f'expected an MDP of the sizes (H, S, A) of the agent, {expected}, got '
        f'{mdp.rewards.shape}')
  best = mdp_lib.optimal_value(mdp)
  key_init, key_episodes = jax.random.split(key)

  def episode(state, k):
    key_plan, key_play = jax.random.split(jax.random.fold_in(key_episodes, k))
    policy = agent.plan(state, key_plan)
    regret = best - mdp_lib.policy_value(mdp, policy)
    return agent.update(state, mdp_lib.play(mdp, policy, key_play)), regret

  return jax.lax.scan(
      episode, agent.init(key_init, rewards), jnp.arange(num_episodes))


def check_theorem(num_episodes: int, failure: float = 1.):
  """Checks what constants of a theorem depend on.

  Args:
    num_episodes: K, at least 1.
    failure: delta, above 0 and at most 1.

  Raises:
    ValueError: if one is out of range.
  """
  checks.positive('failure', failure)
  checks.FRACTION('failure', failure)
  checks.COUNT('num_episodes', num_episodes)
