"""Errors of approximate posteriors, in linear-Gaussian regression.

  python -m experiments.regression experiments/results/regression

Here the posterior is known. Targets are y = <w, x> + sigma e with w ~ N(0, I)
and e ~ N(0, 1); the agents' own networks, losses and optimisers learn from the
same data as if each example were a terminal transition of reward y, and their
mean and variance of the prediction at new inputs are compared with the closed
form:

  mean_error  root-mean-square difference of the means, in units of the
              posterior's root-mean-square standard deviation;
  std_ratio   the root-mean-square standard deviation over the posterior's.

Written to errors.csv, one row for each method and data set. Methods with a
ridge pull the trained weights towards zero as strongly as the prior asks; as
the agents are used on DeepSea they have none. Networks are linear in x, but
for epinet, NoisyNet and SANE, which are what they are.
"""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from hyperjax import agents
from hyperjax import data_noise
from hyperjax import index as index_lib
from hyperjax import losses
from hyperjax import networks
from hyperjax import optimizers
from hyperjax import specs
from hyperjax import targets
from hyperjax import types
from hyperjax.agents import config as config_lib
from hyperjax.agents import td

from .common import study

DIM, NUM_EXAMPLES, NUM_TESTS, NOISE = 4, 24, 100, 0.5
SEEDS = range(5)
NUM_UPDATES, NUM_SAMPLES = 6000, 4000
SPEC = specs.ObservationSpec((DIM,), 'float32')
FIELDS = ('method', 'seed', 'mean_error', 'std_ratio')


class Data(NamedTuple):
  """A regression problem.

  Attributes:
    batch: the examples as transitions.
    tests: inputs, [T, D].
    mean: of the posterior's prediction at them, [T].
    variance: the same, [T].
  """

  batch: types.Transition
  tests: np.ndarray
  mean: np.ndarray
  variance: np.ndarray


def make_data(seed: int) -> Data:
  """Returns a problem and its posterior in closed form."""
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(NUM_EXAMPLES, DIM))
  y = x @ rng.normal(size=DIM) + NOISE * rng.normal(size=NUM_EXAMPLES)
  tests = rng.normal(size=(NUM_TESTS, DIM))
  covariance = np.linalg.inv(x.T @ x / NOISE**2 + np.eye(DIM))
  mean = covariance @ x.T @ y / NOISE**2
  batch = types.Transition(
      observation=np.float32(x), action=np.zeros(NUM_EXAMPLES, np.int32),
      reward=np.float32(y), discount=np.zeros(NUM_EXAMPLES, np.float32),
      next_observation=np.float32(x),
      uid=np.arange(NUM_EXAMPLES, dtype=np.int32))
  return Data(
      jax.tree.map(jnp.asarray, batch), tests, tests @ mean,
      np.einsum('td,de,te->t', tests, covariance, tests))


def affine(dim: int, one_hot: bool = False) -> networks.AffineValue:
  """Q(x; z) = <b + A z, x> + <A0 z, x>: the prior is N(0, I) over the index.

  Args:
    dim: M.
    one_hot: whether z is, so that A0 has columns N(0, I) rather than
      N(0, I / M) over all of z.
  """
  scale = 1. if one_hot else dim**-0.5
  zeros = nn.initializers.zeros
  return networks.AffineValue(
      networks.HypermodelHead(1, dim, zeros, zeros),
      networks.HypermodelHead(1, dim, zeros, networks.initializers.normal(1.)),
      prior_scale=scale)


def with_ridge(
    optimizer: optax.GradientTransformation, members: int = 1
) -> optax.GradientTransformationExtraArgs:
  """Adds sigma^2 |w|^2 / n to the mean squared error, a mean over members."""
  return optax.chain(
      optax.add_decayed_weights(2. * NOISE**2 / NUM_EXAMPLES / members),
      optimizer)


@functools.cache
def slowing_adam() -> optax.GradientTransformationExtraArgs:
  """Adam that comes to rest."""
  return optax.with_extra_args_support(optax.adam(
      optax.cosine_decay_schedule(1e-2, NUM_UPDATES)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Config(config_lib.TDConfig):
  """Settings that hold the components themselves."""

  components: td.Components


@dataclasses.dataclass(frozen=True)
class _Agent(td.TDAgent):
  """An agent of given components."""

  def make_components(self) -> td.Components:
    return self.config.components


@dataclasses.dataclass(frozen=True)
class Method:
  """An approximation of the posterior.

  Attributes:
    network: a value function of one action.
    index: of the value function.
    make_loss: from network and index.
    optimizer: of the trained weights.
    chain: whether the samples are the parameters along the second half of the
      run rather than values at different indices after it.
  """

  network: nn.Module
  index: index_lib.IndexDistribution
  make_loss: Callable[..., losses.Loss]
  optimizer: optax.GradientTransformationExtraArgs
  chain: bool = False

  def predict(self, key: jax.Array, data: Data) -> tuple[jax.Array, jax.Array]:
    """Returns mean and variance of the prediction at the tests, [T] each."""
    agent = _Agent(SPEC, 1, _Config(components=td.Components(
        network=self.network, index=self.index,
        loss=self.make_loss(self.network, self.index),
        optimizer=self.optimizer, target=targets.Periodic())))
    key_init, key_index = jax.random.split(key)
    tests = jnp.asarray(data.tests, jnp.float32)

    def values(params, z):
      return agent.q_values(
          params, tests, jnp.broadcast_to(z, (NUM_TESTS, *z.shape)))[:, 0]

    def step(learner, _):
      learner, _ = agent.update(learner, data.batch)
      if not self.chain:
        return learner, None
      return learner, values(learner.params, jnp.zeros(self.index.dim))

    learner, along = jax.lax.scan(
        step, agent.init(key_init), length=NUM_UPDATES)
    if self.chain:
      samples = along[NUM_UPDATES // 2:]
    else:
      samples = jax.vmap(values, in_axes=(None, 0))(
          learner.params, self.index.sample(key_index, (NUM_SAMPLES,)))
    return jnp.mean(samples, axis=0), jnp.var(samples, axis=0)


def hypermodel(
    dim: int, ridge: bool, num_samples: int | None = None, tied: bool = False
) -> Method:
  """Returns the hypermodel of HyperAgent, or of HyperDQN if `tied`."""

  def make_loss(network, index):
    # Unit norm: sigma u^T z has variance sigma^2 for a Gaussian z.
    noise = data_noise.Perturbation(NOISE, index_lib.Sphere)
    if num_samples is None:
      return losses.ExactTD(network, index, True, noise)
    pairs = losses.Shared if tied else losses.Independent
    return losses.SampledTD(network, index, True, pairs(num_samples), noise)

  optimizer = with_ridge(slowing_adam()) if ridge else slowing_adam()
  return Method(affine(dim), index_lib.Gaussian(dim), make_loss, optimizer)


def ensemble(members: int, ridge: bool, mask: float | None = None) -> Method:
  """Ensemble+, whose members have noise; with a mask BootDQN."""

  def make_loss(network, index):
    noise = data_noise.Perturbation(NOISE, index_lib.Gaussian)
    if mask:
      noise = data_noise.BootstrapMask(mask)
    return losses.SampledTD(network, index, True, losses.Members(), noise)

  optimizer = slowing_adam()
  if ridge:
    optimizer = with_ridge(optimizer, members)
  return Method(affine(members, one_hot=True), index_lib.OneHot(members),
                make_loss, optimizer)


def langevin(optimizer: optax.GradientTransformationExtraArgs) -> Method:
  """A plain value function whose parameters wander."""
  return Method(
      networks.AffineValue(networks.HypermodelHead(
          1, 0, nn.initializers.zeros, nn.initializers.zeros)),
      index_lib.NoIndex(), plain_loss, with_ridge(optimizer), chain=True)


def plain_loss(network: Any, index: Any) -> losses.Loss:
  """Returns the squared error, at a fresh index for each example."""
  return losses.SampledTD(network, index, True, losses.Independent(1))


def of_agent(agent: td.TDAgent) -> Method:
  """Returns the network and the loss of an agent."""
  return Method(agent.network, agent.index, lambda *_: agent.components.loss,
                slowing_adam())


def methods() -> dict[str, Method]:
  """Returns all that are compared."""
  # exp(-n L / (2 sigma^2)) is the posterior of the mean squared error L.
  temperature = 2. * NOISE**2 / NUM_EXAMPLES
  small = dict(hidden_sizes=(32, 32))
  return {
      **{f'hypermodel exact M={m}': hypermodel(m, True)
         for m in (4, 16, 64, 256)},
      'hypermodel exact M=16, no ridge': hypermodel(16, False),
      'hypermodel 20 samples M=16': hypermodel(16, True, 20),
      'HyperDQN 20 shared samples M=16': hypermodel(16, True, 20, tied=True),
      **{f'ensemble with noise K={k}': ensemble(k, True) for k in (4, 16, 64)},
      'ensemble with noise K=16, no ridge': ensemble(16, False),
      'bootstrap masks 0.5 K=16': ensemble(16, True, 0.5),
      'Langevin': langevin(optimizers.adam_lmc(0.01, temperature**0.5, 0.)),
      'Adam LMC, a=1': langevin(
          optimizers.adam_lmc(0.01, temperature**0.5, 1.)),
      'Langevin Adam': langevin(
          optimizers.langevin_adam(0.001, temperature**0.5)),
      'epinet (ReLU network)': of_agent(
          agents.ENNDQN(SPEC, 1, agents.ENNDQNConfig(**small))),
      'NoisyNet (ReLU network)': of_agent(
          agents.NoisyDQN(SPEC, 1, agents.NoisyDQNConfig(**small))),
      'SANE (ReLU network)': of_agent(
          agents.SANE(SPEC, 1, agents.SANEConfig(**small))),
  }


def errors(method: Method, seed: int) -> tuple[float, float]:
  """Returns mean_error and std_ratio on one data set, see the module."""
  data = make_data(seed)
  mean, variance = jax.jit(method.predict)(
      jax.random.key(seed), data)
  scale = np.sqrt(np.mean(data.variance))
  return (float(np.sqrt(np.mean((mean - data.mean)**2)) / scale),
          float(np.sqrt(np.mean(variance)) / scale))


def lines() -> Iterator[tuple[str, list[tuple]]]:
  """Yields each method's line of the table, and its rows."""
  for name, method in methods().items():
    found = np.array([errors(method, seed) for seed in SEEDS])
    (a, b), (da, db) = found.mean(axis=0), found.std(axis=0, ddof=1)
    yield (f'| {name} | {a:.2f} ({da:.2f}) | {b:.2f} ({db:.2f}) |',
           [(name, seed, f'{a:.4f}', f'{b:.4f}')
            for seed, (a, b) in zip(SEEDS, found, strict=True)])


def compare(folder: Path):
  """Writes errors.csv and prints the means over the data sets."""
  study.write(
      folder, {'seeds': list(SEEDS), 'dim': DIM, 'examples': NUM_EXAMPLES,
               'noise': NOISE}, 'errors.csv', FIELDS,
      '| method | error of the mean | standard deviation |\n|---|---|---|',
      lines())


def main(argv: Sequence[str] | None = None):
  """Runs the command; see the module."""
  study.main(compare, __spec__.name, argv)


if __name__ == '__main__':
  main()
