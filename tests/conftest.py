"""Eight CPU devices for the tests, and shapes checked at every call."""

import gc

import jax
import jaxtyping
from jaxtyping import install_import_hook
import pytest

import tests.typechecker  # noqa: F401 The hook looks it up by name.

jax.config.update('jax_num_cpu_devices', 8)

# What JAX has traced stays, millions of objects: to look through all of them
# for garbage again and again takes longer than some tests.
gc.set_threshold(100_000, 50, 100)

# Most of what the tests take is to compile, and most of that to optimise
# programs that then run for a moment.
_QUICK = 'jax_disable_most_optimizations'
jax.config.update(_QUICK, jax.default_backend() == 'cpu')

# Every function of the package checks its annotated shapes while tests run.
_hook = install_import_hook('hyperjax', 'tests.typechecker.check')
_hook.__enter__()


@pytest.fixture(scope='module')
def optimized():
  """Programs as users run them: for files that train long, or compare bits."""
  quick = jax.config.read(_QUICK)
  jax.clear_caches()
  jax.config.update(_QUICK, False)
  yield
  jax.config.update(_QUICK, quick)


@pytest.fixture
def unchecked():
  """Without the tests' own checker of annotations, as users run the library."""
  jaxtyping.config.update('jaxtyping_disable', True)
  yield
  jaxtyping.config.update('jaxtyping_disable', False)
