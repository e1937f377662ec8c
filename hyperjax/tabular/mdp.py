"""Finite-horizon Markov decision processes: planning, values and episodes.

An MDP has S states, A actions and H stages; state s and action a at stage h
lead to s' with probability P_h(s' | s, a) and give the reward r_h(s, a). All
sums are exact: optimal values and the value of a policy come from dynamic
programming, never from sampled returns.

Shapes beyond the legend of `hyperjax.types`: S states, H stages of an episode,
and `stages`, which is H, or 1 for what all stages share.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
import numpy as np

from hyperjax import arrays
from hyperjax import checks

# Of the sums of probabilities, in float32.
_TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Sizes of the MDPs that an agent is for.

  Attributes:
    num_states: S, at least 1.
    num_actions: A, at least 1.
    horizon: H, at least 1.
    pooled: whether the agent takes transitions to be the same at all stages and
      counts them together; the theorems count each stage by itself.
  """

  num_states: int
  num_actions: int
  horizon: int
  pooled: bool = False

  def __post_init__(self):
    checks.fields(
        self, 'an MDP', num_states=checks.COUNT, num_actions=checks.COUNT,
        horizon=checks.COUNT, pooled=checks.flag)

  @property
  def stages(self) -> int:
    """Number of stages that are counted separately: H, or 1 if pooled."""
    return 1 if self.pooled else self.horizon

  @property
  def steps_left(self) -> Float[Array, ' H']:
    """H - h for the stages h = 0..H-1: the largest values there are."""
    return self.horizon - jnp.arange(self.horizon, dtype=jnp.float32)


class MDP(NamedTuple):
  """A finite-horizon MDP; see the module.

  Attributes:
    transitions: P_h(s' | s, a), float32 [stages, S, A, S].
    rewards: r_h(s, a), float32 [H, S, A].
    start: first state of every episode, int32 [].
  """

  transitions: Float[Array, 'stages S A S']
  rewards: Float[Array, 'H S A']
  start: Int[Array, '']

  @property
  def horizon(self) -> int:
    """H, number of steps of an episode."""
    return self.rewards.shape[0]

  def sizes(self, pooled: bool = False) -> Sizes:
    """Returns the sizes for an agent."""
    horizon, num_states, num_actions = self.rewards.shape
    return Sizes(num_states, num_actions, horizon, pooled)


class Episode(NamedTuple):
  """One episode.

  Attributes:
    states: s_0..s_H, int32 [H+1].
    actions: a_0..a_{H-1}, int32 [H].
    rewards: r_0..r_{H-1}, float32 [H].
  """

  states: Int[Array, ' H+1']
  actions: Int[Array, ' H']
  rewards: Float[Array, ' H']


def _first(name: str, values: np.ndarray, wrong: np.ndarray, expected: str):
  """Raises ValueError for the first entry that is wrong, if there is one."""
  if wrong.any():
    entry = tuple(int(i) for i in np.argwhere(wrong)[0])
    raise ValueError(
        f'{name}[{", ".join(map(str, entry))}] must be {expected}, got '
        f'{values[entry]}')


def make_mdp(
    transitions: Any, rewards: Any, start: int = 0, *,
    lowest: float = 0., highest: float = 1.,
) -> MDP:
  """Returns an MDP of NumPy arrays after checking it; on the host.

  Args:
    transitions: P_h(s' | s, a), [H, S, A, S]; [1, S, A, S] if they are the same
      at all stages.
    rewards: r_h(s, a), [H, S, A].
    start: first state of every episode.
    lowest: smallest reward that there may be.
    highest: largest reward that there may be; theorems are for [0, 1].

  Raises:
    ValueError: if the shapes do not fit, a row is no distribution, a reward is
      outside its range or the start is no state, naming the first such entry.
  """
  p, r = np.asarray(transitions, np.float64), np.asarray(rewards, np.float64)
  if r.ndim != 3 or 0 in r.shape:
    raise ValueError(
        f'expected rewards of shape [H, S, A] with H, S and A of at least 1, '
        f'got {r.shape}')
  horizon, num_states, num_actions = r.shape
  row = (num_states, num_actions, num_states)
  if p.shape not in ((1, *row), (horizon, *row)):
    raise ValueError(
        f'expected transitions of shape {(horizon, *row)} or {(1, *row)} for '
        f'rewards of shape {r.shape}, got {p.shape}')
  _first('transitions', p, ~((p >= 0.) & (p <= 1. + _TOLERANCE)),
         'a probability')
  sums = p.sum(axis=-1)
  _first('the sum of transitions', sums, ~(np.abs(sums - 1.) <= _TOLERANCE),
         '1')
  _first('rewards', r, ~((r >= lowest) & (r <= highest)),
         f'between {lowest} and {highest}')
  checks.integer(0, num_states - 1)('the start', start)
  return MDP(
      jnp.asarray(p, jnp.float32), jnp.asarray(r, jnp.float32),
      jnp.int32(start))


def check_policy(policy: Any, sizes: Sizes):
  """Checks a policy on the host.

  Raises:
    ValueError: if the shape is not [H, S], or an entry is no action; the first
      such entry is named.
  """
  _policy_array(policy, sizes.horizon, sizes.num_states)
  values = np.asarray(policy)
  _first('policy', values, (values < 0) | (values >= sizes.num_actions),
         f'an action of 0..{sizes.num_actions - 1}')


def _policy_array(policy: Any, horizon: int, num_states: int) -> jax.Array:
  return arrays.check_array(
      'a policy', policy, (horizon, num_states), jnp.int32)


def at_stage(x: Float[Array, '...'], h: Int[Array, '']) -> Array:
  """Returns x[h], or x[0] where all stages share one entry."""
  return x[0] if x.shape[0] == 1 else x[h]


def backward_induction(
    transitions: Float[Array, 'stages S A S'], rewards: Float[Array, 'H S A'],
    clip: bool = False,
) -> Float[Array, 'H S A']:
  """Returns the optimal values of actions, by dynamic programming.

    Q_h(s, a) = r_h(s, a) + sum_s' P_h(s' | s, a) V_{h+1}(s')
    V_h(s) = max_a Q_h(s, a),  V_H = 0

  Args:
    transitions: P, [stages, S, A, S]; rows may sum to less than one.
    rewards: r, with all that is added to it, [H, S, A].
    clip: whether V_h is clipped to [0, H - h].

  Returns:
    Q, float32 [H, S, A].
  """
  horizon, num_states, _ = rewards.shape

  def step(value, h):
    q = rewards[h] + at_stage(transitions, h) @ value
    value = jnp.max(q, axis=-1)
    if clip:
      value = jnp.clip(value, 0., (horizon - h).astype(jnp.float32))
    return value, q

  _, q = jax.lax.scan(
      step, jnp.zeros(num_states), jnp.arange(horizon), reverse=True)
  return q


def optimal_value(mdp: MDP) -> Float[Array, '']:
  """Returns V*_0 of the start, float32 []."""
  q = backward_induction(mdp.transitions, mdp.rewards)
  return jnp.max(q[0, mdp.start])


def policy_value(mdp: MDP, policy: Int[Array, 'H S']) -> Float[Array, '']:
  """Returns the value of a policy at the start, float32 [].

  Args:
    mdp: the MDP.
    policy: action of each stage and state, int32 [H, S].

  Raises:
    ValueError: if the policy has another shape.
  """
  horizon, num_states, _ = mdp.rewards.shape
  policy = _policy_array(policy, horizon, num_states)
  states = jnp.arange(num_states)

  def step(value, h):
    p = at_stage(mdp.transitions, h)[states, policy[h]]
    return mdp.rewards[h, states, policy[h]] + p @ value, None

  value, _ = jax.lax.scan(
      step, jnp.zeros(num_states), jnp.arange(horizon), reverse=True)
  return value[mdp.start]


def play(
    mdp: MDP, policy: Int[Array, 'H S'], key: chex.PRNGKey
) -> Episode:
  """Returns an episode of a policy.

  Args:
    mdp: the MDP.
    policy: action of each stage and state, int32 [H, S].
    key: PRNG key of the transitions.

  Raises:
    ValueError: if the policy has another shape.
  """
  horizon, num_states, _ = mdp.rewards.shape
  policy = _policy_array(policy, horizon, num_states)
  uniforms = jax.random.uniform(key, (horizon,))

  def step(state, inputs):
    h, uniform = inputs
    action = policy[h, state]
    cumulative = jnp.cumsum(at_stage(mdp.transitions, h)[state, action])
    # The first state whose cumulative probability exceeds the uniform one; of
    # impossible states there is none.
    next_state = jnp.sum(
        cumulative / cumulative[-1] <= uniform, dtype=jnp.int32)
    return next_state, (state, action, mdp.rewards[h, state, action])

  last, (states, actions, rewards) = jax.lax.scan(
      step, jnp.asarray(mdp.start, jnp.int32),
      (jnp.arange(horizon), uniforms))
  return Episode(jnp.append(states, last), actions, rewards)
