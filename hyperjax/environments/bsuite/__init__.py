"""The environments of bsuite (Osband et al., 2020) in pure JAX.

One file per environment. `task.Task` adds noise and scale of rewards and what
is logged; `suite` has the environments and parameters of bsuite's ids, which it
takes from the package bsuite. DeepSea is `hyperjax.environments.DeepSea`.
"""

from hyperjax.environments.bsuite.bandit import Bandit
from hyperjax.environments.bsuite.cartpole import Cartpole
from hyperjax.environments.bsuite.cartpole_swingup import CartpoleSwingup
from hyperjax.environments.bsuite.catch import Catch
from hyperjax.environments.bsuite.discounting_chain import DiscountingChain
from hyperjax.environments.bsuite.memory_chain import MemoryChain
from hyperjax.environments.bsuite.mnist import MNIST
from hyperjax.environments.bsuite.mountain_car import MountainCar
from hyperjax.environments.bsuite.task import Task
from hyperjax.environments.bsuite.umbrella_chain import UmbrellaChain
