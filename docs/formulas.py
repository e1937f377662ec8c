"""An extension of griffe: formulas in docstrings are shown as they stand.

Docstrings indent formulas by two spaces; in Markdown that is running text,
whose stars and angle brackets would be lost. Here they become blocks of code.
"""

import re

import griffe

_SECTION = re.compile(
    r'(Args|Attributes|Returns|Yields|Raises|Example|Examples|Note):')


def shown(text: str) -> str:
  """Returns a docstring whose formulas are blocks of code in Markdown."""
  lines, in_formula, before = [], False, ''
  for line in text.splitlines():
    if _SECTION.fullmatch(line):
      break
    if not before.strip() and re.match(r'  \S', line):
      in_formula = True
    elif line.strip() and not line.startswith('  '):
      in_formula = False
    lines.append('    ' + line if in_formula and line.strip() else line)
    before = line
  rest = text.splitlines()[len(lines):]
  return '\n'.join([*lines, *rest])


class Formulas(griffe.Extension):
  """Applies `shown` to every docstring."""

  def on_object(self, *, obj, **unused):
    if obj.docstring is not None:
      obj.docstring.value = shown(obj.docstring.value)
