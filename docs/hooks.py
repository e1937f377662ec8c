"""Hooks of MkDocs: what pages link to outside docs/ becomes part of the site.

Pages are read in the repository too, so their links lead to its files. Pages
that are linked to are rendered as well; other files, pictures among them, are
copied; links to folders keep their text alone.
"""

import os
from pathlib import Path
import posixpath
import re

from mkdocs.structure import files as files_lib

_ROOT = Path(__file__).parents[1]
_LINK = re.compile(r'(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)')
_PREFIX = 'repository/'


def _source(src_uri: str) -> str:
  """Returns where a page of the site lies in the repository."""
  if src_uri.startswith(_PREFIX):
    return src_uri.removeprefix(_PREFIX)
  return f'docs/{src_uri}'


def _target(source: str, link: str) -> str | None:
  """Returns what a link leads to, from the repository's root; None if outside.

  Args:
    source: page with the link, from the repository's root.
    link: as it is written.
  """
  if '://' in link or link.startswith('mailto:'):
    return None
  return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _src_uri(target: str) -> str:
  """Returns where a file of the repository lies in the site's sources."""
  if target.startswith('docs/'):
    return target.removeprefix('docs/')
  return _PREFIX + target


def on_files(files, config):
  """Adds the files outside docs/ that pages link to."""
  todo = [file.src_uri for file in files.documentation_pages()]
  while todo:
    source = _source(todo.pop())
    text = (_ROOT / source).read_text(encoding='utf-8')
    for _, _, link, _ in _LINK.findall(text):
      target = _target(source, link)
      if target is None or not (_ROOT / target).is_file():
        continue
      uri = _src_uri(target)
      if files.get_file_from_path(uri) is not None:
        continue
      files.append(files_lib.File.generated(
          config, uri, abs_src_path=str(_ROOT / target)))
      if target.endswith('.md'):
        todo.append(uri)
  return files


def on_page_markdown(markdown, page, config, files):
  """Turns links into those of the site."""
  source = _source(page.file.src_uri)
  here = posixpath.dirname(page.file.src_uri)

  def replace(match):
    image, text, link, anchor = match.groups()
    target = _target(source, link)
    if target is None:
      return match.group()
    if not os.path.isfile(_ROOT / target):
      return text
    uri = posixpath.relpath(_src_uri(target), here or '.')
    return f'{image}[{text}]({uri}{anchor or ""})'

  return _LINK.sub(replace, markdown)
