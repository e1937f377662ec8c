"""Makers of the environments of bsuite's families.

A maker turns bsuite's settings of one id into an environment and its
parameters. `suite` puts noise and scale of rewards around the environment.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hyperjax.environments import base
from hyperjax.environments import deep_sea
from hyperjax.environments.bsuite import bandit
from hyperjax.environments.bsuite import cartpole
from hyperjax.environments.bsuite import cartpole_swingup
from hyperjax.environments.bsuite import catch
from hyperjax.environments.bsuite import discounting_chain
from hyperjax.environments.bsuite import memory_chain
from hyperjax.environments.bsuite import mnist
from hyperjax.environments.bsuite import mountain_car
from hyperjax.environments.bsuite import umbrella_chain

# In bsuite these two are written in the functions that load a family.
_MEMORY_SIZE_LENGTH = 2
_UMBRELLA_DISTRACT_LENGTH = 20

Settings = Mapping[str, Any]
Made = tuple[base.Environment, base.EnvParams]
# From the settings of an id and those of all ids of its family.
Maker = Callable[[Settings, Sequence[Settings]], Made]


def of_images(images: mnist.Images) -> Made:
  """Returns the environment and the parameters of the families of MNIST."""
  environment = mnist.MNIST(images)
  return environment, environment.params()


def _alike(make: Callable[[], Any]) -> Maker:
  """Returns the maker of a family whose ids are all the same."""

  def maker(settings: Settings, family: Sequence[Settings]) -> Made:
    del settings, family
    environment = make()
    return environment, environment.params()

  return maker


def _of_seed(make: Callable[[Settings], Any]) -> Maker:
  """Returns the maker of a family whose ids have a mapping of a seed."""

  def maker(settings: Settings, family: Sequence[Settings]) -> Made:
    del family
    environment = make(settings)
    return environment, environment.params_from_seed(settings['mapping_seed'])

  return maker


def _cartpole_swingup(settings: Settings, family: Sequence[Settings]) -> Made:
  del family
  environment = cartpole_swingup.CartpoleSwingup()
  return environment, environment.params(**settings)


def _memory_len(settings: Settings, family: Sequence[Settings]) -> Made:
  environment = memory_chain.MemoryChain(
      num_bits=1, max_length=max(s['memory_length'] for s in family))
  return environment, environment.params(settings['memory_length'])


def _memory_size(settings: Settings, family: Sequence[Settings]) -> Made:
  del family
  environment = memory_chain.MemoryChain(
      settings['num_bits'], max_length=_MEMORY_SIZE_LENGTH)
  return environment, environment.params(_MEMORY_SIZE_LENGTH)


def _umbrella_length(settings: Settings, family: Sequence[Settings]) -> Made:
  environment = umbrella_chain.UmbrellaChain(
      settings['n_distractor'],
      max_length=max(s['chain_length'] for s in family))
  return environment, environment.params(settings['chain_length'])


def _umbrella_distract(settings: Settings, family: Sequence[Settings]) -> Made:
  del family
  environment = umbrella_chain.UmbrellaChain(
      settings['n_distractor'], max_length=_UMBRELLA_DISTRACT_LENGTH)
  return environment, environment.params(_UMBRELLA_DISTRACT_LENGTH)


# By the family without noise and scale. MNIST's images are no settings, see
# `of_images`.
MAKERS: dict[str, Maker] = {
    'bandit': _of_seed(lambda settings: bandit.Bandit()),
    'cartpole': _alike(cartpole.Cartpole),
    'cartpole_swingup': _cartpole_swingup,
    'catch': _alike(catch.Catch),
    'deep_sea': _of_seed(lambda settings: deep_sea.DeepSea(
        settings['size'], one_hot=True)),
    'deep_sea_stochastic': _of_seed(lambda settings: deep_sea.DeepSea(
        settings['size'], stochastic=True, one_hot=True)),
    'discounting_chain': _of_seed(
        lambda settings: discounting_chain.DiscountingChain()),
    'memory_len': _memory_len,
    'memory_size': _memory_size,
    'mountain_car': _alike(mountain_car.MountainCar),
    'umbrella_distract': _umbrella_distract,
    'umbrella_length': _umbrella_length,
}
