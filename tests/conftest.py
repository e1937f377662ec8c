"""Eight CPU devices for the tests, and shapes checked at every call."""

import atexit
import gc
import os
import shutil
import tempfile

import jax
import jaxtyping
from jaxtyping import install_import_hook
import pytest

import tests.typechecker  # noqa: F401 The hook looks it up by name.

jax.config.update('jax_num_cpu_devices', 8)

# On CPUs XLA had two ways to generate code; this one takes a third less time.
# Commands that tests start inherit it. From 0.12 on the flag is unknown.
if jax.__version_info__ < (0, 12):
  os.environ['XLA_FLAGS'] = ' '.join(
      [os.environ.get('XLA_FLAGS', ''), '--xla_cpu_use_fusion_emitters=false'])

# What JAX has traced stays, millions of objects: to look through all of them
# for garbage again and again takes longer than some tests.
gc.set_threshold(100_000, 50, 100)

# A program that several tests, or the commands that they run, have in common is
# compiled once; the workers of pytest-xdist inherit the folder.
if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
  _folder = tempfile.mkdtemp(prefix='hyperjax_tests_')
  atexit.register(shutil.rmtree, _folder, ignore_errors=True)
  for _name, _value in (
      ('jax_compilation_cache_dir', _folder),
      ('jax_persistent_cache_min_compile_time_secs', 0.1),
      ('jax_persistent_cache_min_entry_size_bytes', 0)):
    jax.config.update(_name, _value)
    os.environ[_name.upper()] = str(_value)

# Most of what the tests take is to compile, and most of that to optimise
# programs that then run for a moment.
_QUICK = 'jax_disable_most_optimizations'
if jax.default_backend() == 'cpu':
  jax.config.update(_QUICK, True)
  os.environ[_QUICK.upper()] = '1'  # For the commands that tests start.

# Every function of the package checks its annotated shapes while tests run.
_hook = install_import_hook('hyperjax', 'tests.typechecker.check')
_hook.__enter__()


@pytest.fixture(scope='module', autouse=True)
def frozen():
  """What earlier files leave is not looked through by `gc.collect` either."""
  gc.collect()
  gc.freeze()


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
