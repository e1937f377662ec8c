"""Command lines from frozen dataclasses."""

import argparse
from collections.abc import Callable, Sequence
import sys
from typing import Any, get_args, get_origin

import tyro

from experiments import agents
from hyperjax import index as index_lib

_registry = tyro.constructors.ConstructorRegistry()


@_registry.primitive_rule
def _component_class(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec | None:
  """Index distributions and torsos are given by name."""
  if get_origin(info.type) is not Callable:
    return None
  known = agents.TORSOS
  if get_args(info.type)[1] is index_lib.IndexDistribution:
    known = agents.INDICES
  names = {cls: name for name, cls in known.items()}
  return tyro.constructors.PrimitiveConstructorSpec(
      nargs=1,
      metavar='{' + ','.join(known) + '}',
      instance_from_str=lambda args: known[args[0]],
      is_instance=names.__contains__,
      str_from_instance=lambda instance: [names[instance]],
      choices=tuple(known))


def parse(
    settings_class: Any,
    argv: Sequence[str] | None = None,
    prog: str | None = None,
    default_preset: str = 'default',
) -> Any:
  """Reads settings from a command line; exits with a message on an error.

  The agent and the preset say which options there are and what they default
  to, so these two are read first.

  Args:
    settings_class: a frozen dataclass, generic in the class of its field
      `config`, with the fields `output` (always to be given), `agent` and
      `preset`.
    argv: arguments, those of the process by default.
    prog: name of the program in messages.
    default_preset: of the agent's settings, if none is named.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  first.add_argument('--agent', default='hyperagent')
  first.add_argument('--preset', default=default_preset)
  chosen, _ = first.parse_known_args(argv)
  try:
    config = agents.preset(chosen.agent, chosen.preset)
    default = settings_class(
        output=tyro.MISSING, config=config, agent=chosen.agent,
        preset=chosen.preset)
    with _registry:
      return tyro.cli(
          settings_class[type(config)], default=default, args=argv, prog=prog,
          config=(tyro.conf.OmitArgPrefixes,))
  except (ValueError, TypeError) as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(2)
