"""Eight CPU devices for the tests, and shapes checked at every call."""

import jax
from jaxtyping import install_import_hook

import tests.typechecker  # noqa: F401 The hook looks it up by name.

jax.config.update('jax_num_cpu_devices', 8)

# Every function of the package checks its annotated shapes while tests run.
_hook = install_import_hook('hyperjax', 'tests.typechecker.check')
_hook.__enter__()
