"""The compiled functions of an actor on the host.

A call takes longer with every array that it is given, and more so with every
array that it returns, so each function has only the parts of a
`trainer.TrainState` that it needs. What it changes is donated, so that the
replay is updated in place. The static first arguments are frozen objects; equal
ones share their programs. PRNG keys are plain arrays, see `plain_keys`.
"""

import jax.numpy as jnp

from hyperjax import faults
from hyperjax import types
from hyperjax.adapters import plain_keys
from hyperjax.loops import trainer as trainer_lib


def _warm_up(agent, learner, actor):
  return agent.select_random_action(learner.params, actor)


def _act(agent, learner, actor, observation, is_first):
  return agent.select_action(
      agent.acting_params(learner), actor, observation, is_first)


def _evaluate(agent, learner, actor, observation, is_first):
  return agent.evaluate_action(
      agent.acting_params(learner), actor, observation, is_first)


def _observe(
    trainer, written, observation, next_observation, integers, numbers):
  action, step_type = integers[:, None]
  reward, discount = numbers[:, None]
  return trainer.observe(
      written, observation, action,
      types.TimeStep(step_type, reward, discount, next_observation))


def _end_episode(trainer, replay):
  return trainer.replay.end_episodes(replay)


def _learn(trainer, written, read):
  learner, replay = written
  state, metrics = trainer.learn(read._replace(
      learner=learner, replay=replay._replace(ring=read.replay)), unroll=True)
  written = state.learner, state.replay._replace(ring=None)
  found = faults.found(state) | faults.where(
      ~jnp.all(jnp.isfinite(metrics['loss'])), faults.Fault.LOSS)
  return written, metrics, found


def _learn_and_act(trainer, written, read, actor, observation, is_first):
  written, metrics, found = _learn(trainer, written, read)
  actor, action = _act(
      trainer.agent, written[0], actor, observation, is_first)
  return written, metrics, found, actor, action


INIT = plain_keys.jit(trainer_lib.ReplayTrainer.init)
WARM_UP = plain_keys.jit(_warm_up, donate_argnums=2)
ACT = plain_keys.jit(_act, donate_argnums=2)
EVALUATE = plain_keys.jit(_evaluate, donate_argnums=2)
OBSERVE = plain_keys.jit(_observe, donate_argnums=1)
END_EPISODE = plain_keys.jit(_end_episode, donate_argnums=1)
LEARN = plain_keys.jit(_learn, donate_argnums=1)
# One call instead of two in the usual order of a loop.
LEARN_AND_ACT = plain_keys.jit(_learn_and_act, donate_argnums=(1, 3))
