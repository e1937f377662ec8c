"""HyperAgent's update on batches of Atari, alone."""

from typing import Any
from unittest import mock

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine
from hyperjax import agents
from hyperjax import networks
from hyperjax import specs
from hyperjax import types
from hyperjax.agents import presets
from hyperjax.environments import envpool
from hyperjax.networks import convolutions

SPEC = specs.ObservationSpec((4, envpool.HEIGHT, envpool.WIDTH), 'uint8')
FIELDS = ('update', 'convolution', 'within', 'updates_per_second', 'min',
          'max', 'flops_per_update', 'share_of_peak')
UPDATES = {
    'small torso': presets.hyperagent_small_atari(),
    'Nature': presets.hyperagent_small_atari(
        torso=networks.HyperAgentTorso),
    'Nature, 20 samples': presets.hyperagent_paper_atari(
        gradient_penalty=0.),
    'Nature, 20 samples, gradient penalty':
        presets.hyperagent_paper_atari(),
}
SCAN = 5  # Updates in a scan.


class FlaxConv(nn.Module):
  """`flax.linen.Conv` with the interface of `hyperjax.networks.Conv`."""

  features: int
  kernel_size: int
  strides: int
  kernel_init: Any
  bias_init: Any = None  # At zero.
  input_scale: float = 1.

  @nn.compact
  def __call__(self, image):
    size, strides = (self.kernel_size,) * 2, (self.strides,) * 2
    return nn.Conv(self.features, size, strides, 'VALID',
                   kernel_init=self.kernel_init)(
                       self.input_scale * image.astype(jnp.float32))


class Update:
  """The repeated update of one agent on one batch."""

  def __init__(self, name: str, convolution: str, within: str):
    """Compiles the update."""
    self.name, self.convolution, self.within = name, convolution, within
    agent = agents.HyperAgent(SPEC, 6, UPDATES[name])
    rng = np.random.default_rng(0)
    # A scan has a different batch per update, since XLA would move constant
    # work out of the loop.
    size = (UPDATES[name].batch_size,)
    if within == 'scan':
      size = (SCAN, *size)
    draw = lambda: jnp.asarray(
        rng.integers(256, size=(*size, *SPEC.shape), dtype=np.uint8))
    self._batch = types.Transition(
        draw(), jnp.zeros(size, jnp.int32), jnp.ones(size),
        jnp.full(size, 0.95), draw(), jnp.zeros(size, jnp.int32))

    def update(learner, batch):
      if within == 'host':
        return agent.update(learner, batch)[0]
      return jax.lax.scan(agent.update, learner, batch)[0]

    conv = {'hyperjax': convolutions.Conv, 'flax': FlaxConv}[convolution]
    with mock.patch.object(convolutions, 'Conv', conv):
      self._learner = jax.jit(agent.init)(jax.random.key(0))
      self._update = jax.jit(update, donate_argnums=0).lower(
          self._learner, self._batch).compile()
    self._function = update
    self._call()

  def flops(self) -> float:
    """Returns XLA's count for a call with `hyperjax.networks.Conv`."""
    return machine.costs(
        self._function, self._learner, self._batch).get('flops', np.nan)

  def _call(self):
    self._learner = self._update(self._learner, self._batch)
    return self._learner.steps

  def measure(self, seconds: float) -> float:
    """Returns updates/s."""
    return machine.rate(
        self._call, seconds, SCAN if self.within == 'scan' else 1)


def measure(
    seconds: float, repeats: int, peaks: list[float]) -> list[tuple[Any, ...]]:
  """Measures all updates.

  Args:
    seconds: measuring time of each in each repeat.
    repeats: number of measurements, of which the median is reported.
    peaks: speeds of a matrix product, to which one more is added.

  Returns:
    Rows of `FIELDS`.
  """
  points = [Update(name, convolution, within) for name in UPDATES
            for convolution in ('hyperjax', 'flax')
            for within in ('host', 'scan')
            # Compares convolutions once per torso.
            if 'samples' not in name or (convolution, within) == (
                'hyperjax', 'host')]
  found = np.array([[point.measure(seconds) for point in points]
                    for _ in range(repeats)])
  peaks.append(machine.measure_product())
  # One agent uses one device; CPU devices share all cores.
  peak, devices = max(peaks), jax.devices()
  if devices[0].platform != 'cpu':
    peak /= len(devices)
  flops = {point.name: point.flops() for point in points
           if (point.convolution, point.within) == ('hyperjax', 'host')}
  rows = []
  for point, speeds in zip(points, found.T, strict=True):
    speed = np.median(speeds)
    share = speed * flops[point.name] / peak
    rows.append((point.name, point.convolution, point.within,
                 *(f'{x:.4g}' for x in (speed, speeds.min(), speeds.max(),
                                        flops[point.name], share))))
    print(f'{point.name}, {point.convolution}, {point.within}: {speed:.1f} '
          f'updates/s, {share:.0%} of the peak', flush=True)
  return rows
