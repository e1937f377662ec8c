"""bsuite's real environments, put into the states of ours and compared."""

import functools

from bsuite.environments import cartpole as bsuite_cartpole
import jax
import jax.numpy as jnp
import numpy as np

from hyperjax.environments import deep_sea
from hyperjax.environments.bsuite import cartpole
from hyperjax.environments.bsuite import cartpole_swingup
from hyperjax.environments.bsuite import catch
from hyperjax.environments.bsuite import discounting_chain
from hyperjax.environments.bsuite import memory_chain
from hyperjax.environments.bsuite import mnist
from hyperjax.environments.bsuite import mountain_car
from hyperjax.environments.bsuite import umbrella_chain

KEY = jax.random.key(0)
# bsuite's clock: a sum in float64, which ends an episode one step late.
TIMES = np.cumsum([0., *[0.01] * 1001])


class Draws:
  """Stands in for bsuite's generator: gives draws that we know."""

  def __init__(self, bit=False, bits=(), normal=0., integer=0):
    self.bit, self.bits = bit, bits
    self.normal, self.integer = normal, integer

  def binomial(self, n, p, size=None):
    assert (n, p) == (1, 0.5)
    return int(self.bit) if size is None else np.asarray(self.bits, int)

  def randn(self):
    return self.normal

  def randint(self, high):
    assert 0 <= self.integer < high
    return self.integer


@functools.cache
def stepper(environment):
  """Returns the compiled step, with given draws if there are any."""
  return jax.jit(getattr(environment, 'step_with', environment.step))


@functools.cache
def resetter(environment):
  return jax.jit(environment.reset)


@functools.cache
def many_resets(environment):
  return jax.jit(jax.vmap(environment.reset, in_axes=(None, 0)))


@functools.cache
def many_steps(environment):
  return jax.jit(
      jax.vmap(environment.step, in_axes=(None, None, None, 0)))


def copy_state(state, theirs):
  """Puts bsuite's environment into a state of ours."""
  theirs._reset_next_step = False
  state = jax.device_get(state)
  match state:
    case ():
      names = {}
    case catch.CatchState(row, column, paddle):
      names = dict(_ball_y=int(row), _ball_x=int(column), _paddle_x=int(paddle))
    case cartpole_swingup.SwingupState(inner, _):
      return copy_state(inner, theirs)
    case cartpole.CartpoleState():
      names = dict(_state=bsuite_cartpole.CartpoleState(
          *map(float, state[:-1]), TIMES[state.t]))
    case mountain_car.MountainCarState(position, velocity, t):
      names = dict(_position=float(position), _velocity=float(velocity),
                   _timestep=int(t))
    case discounting_chain.DiscountingChainState(context, t):
      names = dict(_context=int(context), _timestep=int(t))
    case memory_chain.MemoryChainState(context, query, t):
      names = dict(_context=context, _query=int(query), _timestep=int(t))
    case umbrella_chain.UmbrellaChainState(needs, has, t):
      names = dict(_need_umbrella=int(needs), _has_umbrella=int(has),
                   _timestep=int(t))
    case deep_sea.DeepSeaState(row, column, is_bad):
      names = dict(_row=int(row), _column=int(column),
                   _bad_episode=bool(is_bad))
    case mnist.MNISTState(label):
      names = dict(_correct_label=int(label))
    case _:
      raise TypeError(state)
  for name, value in names.items():
    assert hasattr(theirs, name), name
    setattr(theirs, name, value)


def check_same(ours, theirs, exact=True):
  """Asserts that time steps are equal; rewards in the precision of float32."""
  ours = jax.device_get(ours)
  assert int(ours.step_type) == int(theirs.step_type)
  if theirs.first():
    assert (ours.reward, ours.discount) == (0., 1.)
  else:
    assert ours.discount == theirs.discount
    if exact:
      assert ours.reward == np.float32(theirs.reward)
    else:
      np.testing.assert_allclose(ours.reward, theirs.reward, rtol=1e-6,
                                 atol=1e-6)
  assert ours.observation.dtype == theirs.observation.dtype
  assert ours.observation.shape == theirs.observation.shape
  np.testing.assert_allclose(
      ours.observation, theirs.observation, rtol=1e-6, atol=1e-6)


def step_both(environment, params, state, action, theirs, *draws):
  """Steps both from the same state; returns our state and both time steps."""
  copy_state(state, theirs)
  draws = draws or (() if hasattr(environment, 'step_with') else (KEY,))
  state, ours = stepper(environment)(params, state, jnp.int32(action), *draws)
  return state, ours, theirs.step(action)
