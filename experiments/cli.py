"""Command lines from frozen dataclasses."""

import argparse
from collections.abc import Callable, Sequence
import sys
from typing import Any, get_origin

import tyro

from experiments import agents

_registry = tyro.constructors.ConstructorRegistry()


@_registry.primitive_rule
def _index_class(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec | None:
  """Index distributions are given by name."""
  if get_origin(info.type) is not Callable:
    return None
  names = {cls: name for name, cls in agents.INDICES.items()}
  return tyro.constructors.PrimitiveConstructorSpec(
      nargs=1,
      metavar='{' + ','.join(agents.INDICES) + '}',
      instance_from_str=lambda args: agents.INDICES[args[0]],
      is_instance=names.__contains__,
      str_from_instance=lambda instance: [names[instance]],
      choices=tuple(agents.INDICES))


def parse(
    settings_class: Any,
    argv: Sequence[str] | None = None,
    prog: str | None = None,
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
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  first.add_argument('--agent', default='hyperagent')
  first.add_argument('--preset', default='default')
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
