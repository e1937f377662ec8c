"""Configs as plain data that JSON can hold, and back.

A component is written as {'class': its name, and its fields}, a class or
function as its name, a tuple as a list. What the library exports has its bare
name, 'Thompson'; anything else has its import path, 'my_module:MyActing'.
Reading imports the modules of such paths: read only files that you trust.
"""

from collections.abc import Callable, Mapping
import dataclasses
import importlib
import sys
import types as python_types
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from hyperjax import acting
from hyperjax import agents
from hyperjax import augment
from hyperjax import checks
from hyperjax import data_noise
from hyperjax import index
from hyperjax import losses
from hyperjax import networks
from hyperjax import replay
from hyperjax import resets
from hyperjax import schedules
from hyperjax import targets
from hyperjax.agents import priors

Config = TypeVar('Config')

# Where bare names are looked up, after the module of the field's annotation,
# which tells `replay.Uniform` from `priors.Uniform`.
_MODULES = (acting, agents, augment, data_noise, index, losses, networks,
            priors, replay, resets, schedules, targets)


def to_json(config: Any) -> dict[str, Any]:
  """Returns the fields of a config as plain data.

  Args:
    config: dataclass of settings, such as `HyperAgentConfig()`.
  """
  return {field.name: plain(getattr(config, field.name))
          for field in dataclasses.fields(config)}


def plain(value: Any) -> Any:
  """Returns one setting as plain data; see the module."""
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return {'class': name_of(type(value)), **to_json(value)}
  if isinstance(value, tuple | list):
    return [plain(x) for x in value]
  return name_of(value) if callable(value) else value


def name_of(value: Any) -> str:
  """Returns the name by which `from_json` finds a class or function."""
  name = getattr(value, '__qualname__', repr(value))
  if any(vars(module).get(name) is value for module in _MODULES):
    return name
  return f'{getattr(value, "__module__", "")}:{name}'


def from_json(
    config_class: type[Config], data: Mapping[str, Any], name: str = 'config',
) -> Config:
  """Returns a config from what `to_json` wrote.

  Fields that are missing have their defaults: a file of an older version lacks
  the newer ones.

  Args:
    config_class: class of the config.
    data: fields as plain data.
    name: what the config is in errors.

  Raises:
    ValueError: if a field is unknown or invalid, or a class cannot be found.
  """
  if not isinstance(data, Mapping):
    raise ValueError(f'{name} must be a JSON object with fields, got {data!r}')
  hints = get_type_hints(config_class)
  fields = dataclasses.fields(config_class)  # pyright: ignore[reportArgumentType]
  known = [field.name for field in fields if field.init]
  for field in data:
    if field not in known:
      raise ValueError(checks.unknown(
          f'field of {name}', field, known,
          f'{config_class.__name__} of this version of hyperjax has'))
  values = {field: _value(value, hints[field], f'{name}.{field}')
            for field, value in data.items()}
  try:
    return config_class(**values)
  except TypeError as error:  # A field without a default is missing.
    raise ValueError(
        f'{name} is no {config_class.__name__}: {error}') from error


def _value(value: Any, hint: Any, name: str) -> Any:
  """Returns a setting from plain data."""
  is_union = isinstance(hint, python_types.UnionType)
  hints = get_args(hint) if is_union else (hint,)
  modules = [sys.modules[x.__module__] for x in hints
             if isinstance(x, type) and x.__module__ != 'builtins']
  if isinstance(value, Mapping) and 'class' in value:
    fields = {key: x for key, x in value.items() if key != 'class'}
    return from_json(
        dataclass_of(value['class'], name, *modules), fields, name)
  if isinstance(value, list):
    return tuple(_value(x, None, name) for x in value)
  if isinstance(value, str) and any(get_origin(x) is Callable for x in hints):
    return find(value, name, *modules)
  return value


def dataclass_of(
    class_name: Any, name: str, *modules: python_types.ModuleType) -> type[Any]:
  """Returns a dataclass by its name; see `find`."""
  found = find(class_name, name, *modules)
  if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
    raise ValueError(
        f'{name} must be the name of a dataclass, got {class_name!r}')
  return found


def find(
    wanted: Any, name: str, *modules: python_types.ModuleType) -> Any:
  """Returns a class or function by the name that `name_of` gives it.

  Args:
    wanted: the name, or an import path, 'my_module:MyClass'.
    name: what is looked for, in errors.
    *modules: modules in which a bare name is looked up first.

  Raises:
    ValueError: if it is not there or cannot be imported.
  """
  if not isinstance(wanted, str):
    raise ValueError(f'{name} must be the name of a class, got {wanted!r}')
  module_name, colon, path = wanted.rpartition(':')
  if not colon:
    for module in (*modules, *_MODULES):
      if callable(vars(module).get(wanted)):
        return vars(module)[wanted]
    raise ValueError(checks.unknown(
        f'class in {name}', wanted, sorted({
            x for module in modules or _MODULES
            for x, found in vars(module).items()
            if isinstance(found, type) and dataclasses.is_dataclass(found)}),
        'a class outside hyperjax is named by its import path, '
        'my_module:MyClass; hyperjax has'))
  try:
    found = importlib.import_module(module_name)
    for part in path.split('.'):
      found = getattr(found, part)
  except Exception as error:  # Whatever the module does when it is imported.
    raise ValueError(
        f'{name}: {wanted!r} cannot be imported ({error}); expected its module '
        f'on the Python path') from error
  if not callable(found):
    raise ValueError(
        f'{name} must be a class or function, got {wanted!r}: {found!r}')
  return found
