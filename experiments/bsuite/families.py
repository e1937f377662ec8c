"""The families of bsuite 0.3.6 as far as scores need them.

They are written down, so that results can be scored without bsuite; a test
compares them with its package.
"""

import difflib
from typing import NamedTuple

# In the order of the radar's spokes.
TAGS = ('basic', 'noise', 'scale', 'exploration', 'credit_assignment',
        'generalization', 'memory')


class Family(NamedTuple):
  """Ids that have a score together.

  Attributes:
    num_ids: numbered from 0.
    num_episodes: in a whole run of an id.
    tags: what it says something about; the first is its type.
  """

  num_ids: int
  num_episodes: int
  tags: tuple[str, ...]


def _families() -> dict[str, Family]:
  """Returns the families by name, in the order of bsuite's bars."""
  found = {}
  for tag, ending in (('basic', ''), ('noise', '_noise'), ('scale', '_scale')):
    for name, episodes, more in (
        ('bandit', 10_000, ()),
        ('mnist', 10_000, ('generalization',)),
        ('catch', 10_000, ('credit_assignment',)),
        ('mountain_car', 1_000, ('generalization',)),
        ('cartpole', 1_000, ('generalization',)),
    ):
      if name + ending == 'cartpole':
        more = ('credit_assignment', *more)
      found[name + ending] = Family(20, episodes, (tag, *more))
  found |= {
      'deep_sea': Family(21, 10_000, ('exploration',)),
      'deep_sea_stochastic': Family(21, 10_000, ('exploration', 'noise')),
      'cartpole_swingup': Family(20, 1_000, ('exploration', 'generalization')),
      'umbrella_length': Family(23, 10_000, ('credit_assignment', 'noise')),
      'umbrella_distract': Family(23, 10_000, ('credit_assignment', 'noise')),
      'discounting_chain': Family(20, 1_000, ('credit_assignment',)),
      'memory_len': Family(23, 10_000, ('memory',)),
      'memory_size': Family(17, 10_000, ('memory',)),
  }
  return found


FAMILIES = _families()


def deep_sea_size(index: int) -> int:
  """Returns N of the id of DeepSea, or of stochastic DeepSea, by its index."""
  return 10 + 2 * index


def with_tag(tag: str) -> list[str]:
  """Returns the names of the families that have a tag, of all their tags."""
  return [name for name, family in FAMILIES.items() if tag in family.tags]


def parse(bsuite_id: str) -> tuple[str, int]:
  """Returns the family and the index of an id such as 'catch/0'.

  Raises:
    ValueError: if bsuite has no such id; the message has near matches.
  """
  name, _, index = bsuite_id.partition('/')
  if name not in FAMILIES:
    near = difflib.get_close_matches(name, FAMILIES)
    hint = f'did you mean {", ".join(near)}?' if near else (
        f'expected one of {", ".join(FAMILIES)}')
    raise ValueError(f'{bsuite_id} is no id of bsuite: {hint}')
  num_ids = FAMILIES[name].num_ids
  if index not in map(str, range(num_ids)):
    raise ValueError(
        f'{bsuite_id} is no id of bsuite: expected {name}/0 to '
        f'{name}/{num_ids - 1}')
  return name, int(index)
