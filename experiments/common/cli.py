"""Command lines from frozen dataclasses."""

import argparse
from collections.abc import Callable, Sequence
import dataclasses
from pathlib import Path
import sys
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import tyro

from hyperjax import index as index_lib
from hyperjax.agents import presets

from . import command
from . import registry

Plain = TypeVar('Plain')

_registry = tyro.constructors.ConstructorRegistry()


@_registry.primitive_rule
def _component_class(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec | None:
  """Index distributions and torsos are given by name."""
  if get_origin(info.type) is not Callable:
    return None
  known = registry.TORSOS
  if get_args(info.type)[1] is index_lib.IndexDistribution:
    known = registry.INDICES
  names = {cls: name for name, cls in known.items()}
  return tyro.constructors.PrimitiveConstructorSpec(
      nargs=1,
      metavar='{' + ','.join(known) + '}',
      instance_from_str=lambda args: known[args[0]],
      is_instance=names.__contains__,
      str_from_instance=lambda instance: [names[instance]],
      choices=tuple(known))


@_registry.primitive_rule
def _path(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec | None:
  """A path may begin with ~, and is not empty."""
  if info.type is not Path:
    return None

  def path(args: list[str]) -> Path:
    if not args[0].strip():
      raise ValueError(f'expected a path, got {args[0]!r}')
    return Path(args[0]).expanduser()

  return tyro.constructors.PrimitiveConstructorSpec(
      nargs=1, metavar='PATH', instance_from_str=path,
      is_instance=lambda instance: isinstance(instance, Path),
      str_from_instance=lambda instance: [str(instance)])


def parse_plain(
    settings_class: type[Plain], argv: Sequence[str] | None, prog: str,
    description: str | None = None,
) -> Plain:
  """Reads settings of a dataclass without an agent's config.

  Exits with status 2 and a message on an error.

  Args:
    settings_class: a frozen dataclass.
    argv: arguments, those of the process by default.
    prog: name of the program in messages.
    description: what the program does; by default the docstring of the class.
  """
  with command.usage(), _registry:
    return tyro.cli(
        settings_class, args=argv, prog=prog, description=description)


@dataclasses.dataclass(frozen=True)
class Folder:
  """The settings of a command that takes a folder alone.

  Attributes:
    folder: to read from or to write to.
  """

  folder: tyro.conf.Positional[Path]


def _narrowed(owner: Any) -> Any:
  """Returns an object whose class annotates components by their own classes.

  A command line sets the numbers of the components that a preset names; what
  class they are of is the preset's business. `_restored` is the way back.

  Args:
    owner: config, or a component of one.
  """
  hints = get_type_hints(type(owner))
  fields, annotations = _fields(owner), {}
  for name, value in fields.items():
    hint = hints[name]
    # A class is given by name, see above.
    choices = () if get_origin(hint) is Callable else (
        get_args(hint) or (hint,))
    is_object = dataclasses.is_dataclass(value) and not isinstance(value, type)
    if is_object:
      value = fields[name] = _narrowed(value)
    if is_object or any(
        getattr(choice, '_is_protocol', False) for choice in choices):
      annotations[name] = type(value)
    elif isinstance(value, int | float) and any(
        get_origin(choice) is Callable or dataclasses.is_dataclass(choice)
        for choice in choices):
      annotations[name] = choices[0]  # A number, and no schedule.
  if not annotations:
    return owner
  narrowed = type(type(owner).__name__, (type(owner),), {
      '__annotations__': annotations, '__doc__': type(owner).__doc__,
      '_narrowed_from': type(owner),
      **{name: fields[name] for name in annotations}})
  return dataclasses.dataclass(frozen=True, kw_only=True)(narrowed)(**fields)


def _restored(value: Any) -> Any:
  """Returns a value with the classes that `_narrowed` was given."""
  if not dataclasses.is_dataclass(value) or isinstance(value, type):
    return value
  original = getattr(type(value), '_narrowed_from', type(value))
  return original(**{
      name: _restored(x) for name, x in _fields(value).items()})


def _fields(dataclass: Any) -> dict[str, Any]:
  return {field.name: getattr(dataclass, field.name)
          for field in dataclasses.fields(dataclass) if field.init}


def _default_preset(agent: str, wanted: Sequence[str]) -> str:
  """Returns the first of the wanted presets that an agent has."""
  known = presets.names(agent)
  return next((name for name in wanted if name in known), 'default')


def parse(
    settings_class: Any,
    argv: Sequence[str] | None = None,
    prog: str | None = None,
    default_presets: Sequence[str] = ('default',),
) -> Any:
  """Reads settings from a command line; exits with a message on an error.

  The agent and the preset say which options there are and what they default
  to, so these two are read first. A component of the config has its numbers
  under its name: `--acting.epsilon 0.1`.

  Args:
    settings_class: a frozen dataclass, generic in the class of its field
      `config`, with the fields `output` (always to be given), `agent` and
      `preset`.
    argv: arguments, those of the process by default.
    prog: name of the program in messages.
    default_presets: if no preset is named, the first of these that the agent
      has.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  first.add_argument('--agent', default='hyperagent')
  first.add_argument('--preset')
  chosen, _ = first.parse_known_args(argv)
  with command.usage():
    preset = chosen.preset or _default_preset(chosen.agent, default_presets)
    config = presets.make(chosen.agent, preset)
    narrowed = _narrowed(config)
    known = ', '.join(presets.names(chosen.agent))
    about, _, _ = settings_class.__doc__.partition('\n\n')
    default = settings_class(
        output=tyro.MISSING, config=narrowed,
        agent=chosen.agent, preset=preset)
    with _registry:
      settings = tyro.cli(
          settings_class[type(narrowed)], default=default, args=argv, prog=prog,
          description=f'{about}\n\nPresets of {chosen.agent}: {known}.',
          config=(tyro.conf.AvoidSubcommands,))
    return dataclasses.replace(settings, config=_restored(settings.config))
