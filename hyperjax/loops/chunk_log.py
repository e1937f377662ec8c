"""The log of a chunk of steps of a run on the device."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
import numpy as np

from hyperjax import multihost


class ChunkLog(NamedTuple):
  """Log of a chunk; every field has a leading axis of seeds [S].

  Attributes:
    episode_return: returns of the completed episodes, in order, float32 [E];
      entries after the first `num_episodes` are meaningless.
    episode_step: number of steps of each environment when the episode ended,
      int32 [E].
    info: what the environment logs of these episodes, by name, float32 [E]
      each, see `environments.base.LoggedEnvironment`; empty for others.
    num_episodes: number of episodes completed in the chunk, int32 [].
    num_updates: number of updates in the chunk, int32 [].
    loss: sum over the chunk's updates on the device, float32 []; their mean in
      what `OnDeviceLoop.run` returns, NaN if there were none.
    metrics: the same of each other number that the agent's `update` reports, by
      name, float32 [] each; empty in a chunk of the warm-up.
    first_nonfinite: number of the first update with a non-finite loss, counted
      over the whole run, int32 []; -1 if there is none.
  """

  episode_return: Float[Array, '...']
  episode_step: Int[Array, '...']
  info: dict[str, Float[Array, '...']]
  num_episodes: Int[Array, '...']
  num_updates: Int[Array, '...']
  loss: Float[Array, '...']
  metrics: dict[str, Float[Array, '...']]
  first_nonfinite: Int[Array, '...']


def empty_metrics(
    learn: Callable[[Any], Any], state: Any
) -> dict[str, Float[Array, '']]:
  """Returns sums of no metrics, one for each number but the loss.

  Args:
    learn: of a trainer; it reports metrics.
    state: of the trainer.
  """
  shapes = jax.eval_shape(learn, state)[1]
  return {name: jnp.float32(0.) for name, x in shapes.items()
          if name != 'loss' and len(x.shape) == 1}


def add_metrics(
    sums: Mapping[str, Float[Array, '']], metrics: Mapping[str, Any]
) -> dict[str, Float[Array, '']]:
  """Returns sums of metrics with those of U further updates, [U] each."""
  return {name: x + jnp.sum(metrics[name], dtype=jnp.float32)
          for name, x in sums.items()}


def mean(total: Any, num_updates: Any) -> np.ndarray:
  """Returns the mean over updates from their sum, NaN if there were none.

  On the host, so that no NaN is made on the device, where JAX may look for
  them.
  """
  result = np.full(np.shape(total), np.nan, np.float32)
  return np.divide(total, num_updates, out=result, where=num_updates > 0)


def empty_log(
    num_entries: int, info_names: Sequence[str] = (),
    metrics: Mapping[str, Float[Array, '']] | None = None,
) -> ChunkLog:
  """Returns an empty log.

  Args:
    num_entries: largest number of episodes that may end in the chunk.
    info_names: names of what the environment logs.
    metrics: see `empty_metrics`; None for no others than the loss.
  """
  return ChunkLog(
      episode_return=jnp.zeros(num_entries, jnp.float32),
      episode_step=jnp.zeros(num_entries, jnp.int32),
      info={name: jnp.zeros(num_entries, jnp.float32) for name in info_names},
      num_episodes=jnp.int32(0),
      num_updates=jnp.int32(0),
      loss=jnp.float32(0.),
      metrics=dict(metrics or {}),
      first_nonfinite=jnp.int32(-1))


def first_nonfinite(
    before: Int[Array, ''], first: Int[Array, ''],
    loss: Float[Array, ' updates'],
) -> Int[Array, '']:
  """Returns the number of the first update with a non-finite loss, or -1.

  Args:
    before: result for the earlier updates, int32 [].
    first: number of the first of these updates, int32 [].
    loss: losses of these updates.
  """
  bad = ~jnp.isfinite(loss)
  found = jnp.where(
      jnp.any(bad), first + jnp.argmax(bad).astype(jnp.int32), -1)
  return jnp.where(before < 0, found, before).astype(jnp.int32)


def join(logs: Sequence[ChunkLog]) -> ChunkLog:
  """Returns the logs of consecutive chunks as one, in host memory."""
  logs = multihost.fetch(logs)
  num_seeds = logs[0].num_updates.shape[0]
  width = sum(log.episode_return.shape[1] for log in logs)
  # Only the last one can have learned.
  num_updates = logs[-1].num_updates
  joined = logs[-1]._replace(
      episode_return=np.zeros((num_seeds, width), np.float32),
      episode_step=np.zeros((num_seeds, width), np.int32),
      info={name: np.zeros((num_seeds, width), np.float32)
            for name in logs[-1].info},
      num_episodes=np.zeros(num_seeds, np.int32),
      loss=mean(logs[-1].loss, num_updates),
      metrics={name: mean(x, num_updates)
               for name, x in logs[-1].metrics.items()})
  for log in logs:
    for seed in range(num_seeds):
      start, count = joined.num_episodes[seed], log.num_episodes[seed]
      for into, part in zip(_columns(joined), _columns(log), strict=True):
        into[seed, start:start + count] = part[seed, :count]
    joined.num_episodes[:] += log.num_episodes
  return joined


def _columns(log: ChunkLog) -> list[np.ndarray]:
  """Returns what a log has of each episode, [S, E]."""
  return jax.tree.leaves((log.episode_return, log.episode_step, log.info))
