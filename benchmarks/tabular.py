"""Speed of tabular RLSVI: many seeds in one program, NumPy, and compiled C.

  python -m benchmarks.tabular --output benchmarks/results

One episode of RLSVI on GridWorld 10 x 10, H = 50, pooled counts: noise,
backward induction, an episode and its counts. Compared in one process, one
after another in each repeat (on one core by `taskset -c 0`):

  jax           all seeds in one compiled program, five at a time, so that their
                counts stay in the caches: `lax.map` over a `vmap`
  jax_vmap      the same, all seeds at a time
  numpy_loop    NumPy, a loop over stages, states and actions
  numpy_arrays  NumPy, a loop over stages alone
  c_loop        C, scalar loops, compiled by `cc -O2`

Written to tabular.json: how many times as many episodes per second jax has, the
median and the range over the repeats.
"""

from collections.abc import Callable, Sequence
import ctypes
import dataclasses
import functools
import json
import os
from pathlib import Path
import shutil
import subprocess
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import files
from experiments.common import provenance
from experiments.common import study
from hyperjax import checks
from hyperjax import tabular
from hyperjax.tabular import environments
from hyperjax.tabular import gaussian

SIZE, HORIZON, SCALE = 10, 50, 0.2
_C = r'''
#include <math.h>
#include <stdint.h>
static uint64_t state = 88172645463325252ULL;
static float uniform(void) {
  state ^= state << 13; state ^= state >> 7; state ^= state << 17;
  return ((state >> 40) + 0.5f) / 16777216.0f;
}
/* Runs episodes; counts [S, A, S] and sums [S, A] are kept between calls. */
void episodes(int num, int H, int S, int A, float scale, const float *p,
              const float *r, float *counts, float *sums, int *policy) {
  float value[512], next[512];
  for (int k = 0; k < num; ++k) {
    for (int s = 0; s < S; ++s) next[s] = 0.0f;
    for (int h = H - 1; h >= 0; --h) {
      for (int s = 0; s < S; ++s) {
        float best = -1e30f;
        for (int a = 0; a < A; ++a) {
          const float *c = counts + (s * A + a) * S;
          float n = 0.0f, dot = 0.0f;
          for (int t = 0; t < S; ++t) { n += c[t]; dot += c[t] * next[t]; }
          float g = sqrtf(-2.0f * logf(uniform())) *
                    cosf(6.2831853f * uniform());
          float q = (sums[s * A + a] + dot) / (n + 1.0f) +
                    scale * (H - h) * g / sqrtf(n + 1.0f);
          if (q > best) { best = q; policy[h * S + s] = a; }
        }
        value[s] = fminf(fmaxf(best, 0.0f), (float)(H - h));
      }
      for (int s = 0; s < S; ++s) next[s] = value[s];
    }
    int s = 0;
    for (int h = 0; h < H; ++h) {
      int a = policy[h * S + s], t = 0;
      float u = uniform();
      const float *row = p + (s * A + a) * S;
      while (t < S - 1 && (u -= row[t]) > 0.0f) ++t;
      counts[(s * A + a) * S + t] += 1.0f;
      sums[s * A + a] += r[s * A + a];
      s = t;
    }
  }
}
'''


@dataclasses.dataclass(frozen=True)
class Settings:
  """Measures the speed of tabular RLSVI.

  Attributes:
    output: folder of tabular.json.
    num_seeds: runs in one program.
    num_episodes: episodes of each run between two measurements.
    repeats: measurements of each.
  """

  output: Path
  num_seeds: int = 100
  num_episodes: int = 10
  repeats: int = 5

  def __post_init__(self):
    checks.fields(self, num_seeds=checks.COUNT, num_episodes=checks.COUNT,
                  repeats=checks.COUNT)


def plan_by_loops(
    counts: np.ndarray, sums: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
  """Returns RLSVI's policy, [H, S], pair by pair."""
  num_states, num_actions, _ = counts.shape
  policy = np.zeros((HORIZON, num_states), int)
  value = np.zeros(num_states)
  visits = counts.sum(axis=-1)
  for h in reversed(range(HORIZON)):
    q = np.zeros((num_states, num_actions))
    for s in range(num_states):
      for a in range(num_actions):
        n = visits[s, a] + 1.
        q[s, a] = (sums[s, a] + counts[s, a] @ value) / n + (
            SCALE * (HORIZON - h) * rng.standard_normal() / n**0.5)
    policy[h] = q.argmax(axis=-1)
    value = np.clip(q.max(axis=-1), 0., HORIZON - h)
  return policy


def plan_by_arrays(
    counts: np.ndarray, sums: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
  """Returns RLSVI's policy, [H, S], stage by stage."""
  n = counts.sum(axis=-1) + 1.
  kernel, rewards = counts / n[..., None], sums / n
  policy, value = np.zeros((HORIZON, len(n)), int), np.zeros(len(n))
  for h in reversed(range(HORIZON)):
    noise = SCALE * (HORIZON - h) * rng.standard_normal(n.shape) / n**0.5
    q = rewards + kernel @ value + noise
    policy[h] = q.argmax(axis=-1)
    value = np.clip(q.max(axis=-1), 0., HORIZON - h)
  return policy


def _numpy(plan, mdp: tabular.MDP) -> Callable[[int], None]:
  p = np.asarray(mdp.transitions[0])
  cumulative, r = p.cumsum(axis=-1), np.asarray(mdp.rewards[0])
  counts, sums = np.zeros(p.shape), np.zeros(r.shape)
  rng = np.random.default_rng(0)

  def episodes(num: int):
    for _ in range(num):
      policy, s = plan(counts, sums, rng), 0
      for h in range(HORIZON):
        a = policy[h, s]
        after = min(int((cumulative[s, a] <= rng.random()).sum()), len(r) - 1)
        counts[s, a, after] += 1.
        sums[s, a] += r[s, a]
        s = after

  return episodes


def _c(mdp: tabular.MDP, folder: str) -> Callable[[int], None] | None:
  """Returns the compiled loop; None without a C compiler."""
  if not shutil.which('cc'):
    return None
  source, library = os.path.join(folder, 'a.c'), os.path.join(folder, 'a.so')
  Path(source).write_text(_C)
  subprocess.run(['cc', '-O2', '-shared', '-fPIC', source, '-o', library,
                  '-lm'], check=True)
  function = ctypes.CDLL(library).episodes
  p = np.ascontiguousarray(mdp.transitions[0], np.float32)
  r = np.ascontiguousarray(mdp.rewards[0], np.float32)
  num_states, num_actions = r.shape
  arrays = [p, r, np.zeros_like(p), np.zeros_like(r),
            np.zeros((HORIZON, num_states), np.int32)]
  pointers = [x.ctypes.data_as(ctypes.c_void_p) for x in arrays]

  def episodes(num: int, keep=arrays):
    function(num, HORIZON, num_states, num_actions, ctypes.c_float(SCALE),
             *pointers)

  return episodes


def _jax(mdp: tabular.MDP, settings: Settings, batch: int
         ) -> Callable[[int], None]:
  agent = tabular.RLSVI(
      mdp.sizes(pooled=True), gaussian.scaled(HORIZON, SCALE))
  keys = jax.vmap(jax.random.key)(jnp.arange(settings.num_seeds))

  def one(key, num):

    def episode(state, k):
      key_plan, key_play = jax.random.split(jax.random.fold_in(key, k))
      policy = agent.plan(state, key_plan)
      return agent.update(state, tabular.play(mdp, policy, key_play)), None

    return jax.lax.scan(episode, agent.init(key), jnp.arange(num))[0]

  @functools.partial(jax.jit, static_argnums=1)
  def run(keys, num):
    return jax.lax.map(lambda key: one(key, num), keys, batch_size=batch)

  jax.block_until_ready(run(keys, settings.num_episodes))
  return lambda num: jax.block_until_ready(run(keys, num))


def rates(settings: Settings) -> dict[str, list[float]]:
  """Returns episodes per second of each way in each repeat."""
  mdp = environments.grid_world(SIZE, HORIZON)
  with tempfile.TemporaryDirectory() as folder:
    # Episodes of each measurement, and of how many runs.
    ways = {
        **{name: (_jax(mdp, settings, batch), settings.num_episodes,
                  settings.num_seeds)
           for name, batch in (('jax', 5), ('jax_vmap', settings.num_seeds))},
        'numpy_loop': (_numpy(plan_by_loops, mdp), 3, 1),
        'numpy_arrays': (_numpy(plan_by_arrays, mdp), 100, 1)}
    compiled = _c(mdp, folder)
    if compiled:
      ways['c_loop'] = (compiled, 200, 1)
    found = {name: [] for name in ways}
    for _ in range(settings.repeats):
      for name, (function, num, runs) in ways.items():
        start = time.perf_counter()
        function(num)
        found[name].append(num * runs / (time.perf_counter() - start))
  return found


def measure(settings: Settings):
  """Writes tabular.json and prints the ratios."""
  found = rates(settings)
  ratios = {name: np.array(found['jax']) / np.array(rate)
            for name, rate in found.items()}
  result = {
      'settings': provenance.settings_as_json(settings, ('output',)),
      **provenance.provenance(),
      'times_as_many_episodes_per_second': {
          name: {'median': round(float(np.median(x)), 3),
                 'min': round(float(x.min()), 3),
                 'max': round(float(x.max()), 3)}
          for name, x in ratios.items()}}
  settings.output.mkdir(parents=True, exist_ok=True)
  files.write_atomically(
      settings.output / 'tabular.json',
      json.dumps(result, indent=2).encode() + b'\n')
  for name, x in ratios.items():
    print(f'jax over {name}: {np.median(x):.2f} ({x.min():.2f} to '
          f'{x.max():.2f})')


def main(argv: Sequence[str] | None = None):
  """Runs the benchmark; see the module."""
  study.main(measure, __spec__.name, argv, Settings)


if __name__ == '__main__':
  main()
