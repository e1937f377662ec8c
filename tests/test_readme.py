"""The code of README and docs runs, and what they name is there."""

import json
from pathlib import Path
import re
import sys
import types

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
# A block that stands on two pages runs once.
BLOCKS = [pytest.param(code, id=name) for code, name in {
    code: f'{page.stem}-{i}' for page in reversed(PAGES)
    for i, code in enumerate(re.findall(
        r'```python\n(.*?)```', page.read_text(encoding='utf-8'),
        flags=re.DOTALL))}.items()]
NOTEBOOKS = sorted((ROOT / 'docs' / 'notebooks').glob('*.ipynb'))


def test_there_is_code():
  assert len(BLOCKS) > 5


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, monkeypatch):
  monkeypatch.setenv('MPLBACKEND', 'Agg')
  cells = json.loads(path.read_text(encoding='utf-8'))['cells']
  code = [''.join(cell['source']) for cell in cells
          if cell['cell_type'] == 'code']
  assert len(code) > 2
  assert all(cell.get('execution_count', 1) for cell in cells)  # Not empty.
  test_code_blocks_run('\n'.join(code), monkeypatch)


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize('code', BLOCKS)
def test_code_blocks_run(code, monkeypatch):
  module = types.ModuleType('a_page')
  # Where dataclasses look for what annotations name.
  monkeypatch.setitem(sys.modules, 'a_page', module)
  exec(compile(code, 'page.md', 'exec'), module.__dict__)


def test_layout_and_links_exist():
  layout = re.search(r'```\n(hyperjax/\n.*?)```', README, flags=re.DOTALL)
  folders = []
  for line in layout.group(1).splitlines():
    depth = (len(line) - len(line.lstrip())) // 2
    names = line.split('  ')[0] if not depth else line.strip().split('  ')[0]
    for name in names.strip().split():
      folders[depth:] = [name]
      assert (ROOT / ''.join(folders)).exists(), ''.join(folders)
  for page in PAGES:
    for link in re.findall(
        r'\]\(([^)#]+)\)', page.read_text(encoding='utf-8')):
      if '://' not in link:
        assert (page.parent / link).exists(), (page.name, link)


def test_make_targets_exist():
  makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
  for target in set(
      re.findall(r'(?:^|`)make ([a-z-]+)', README, flags=re.MULTILINE)):
    assert re.search(rf'^{target}:', makefile, flags=re.MULTILINE), target


# What users have no business with, so that the API's pages leave it out.
INTERNAL = {
    'arrays', 'checks', 'checkpoint_arrays', 'checkpoint_json',
    'checkpoint_pieces', 'policy_json', 'step_checks', 'agents.guards',
    'environments.worker',
}


def test_every_public_module_is_in_the_api():
  shown = set()
  for page in (ROOT / 'docs' / 'api').glob('*.md'):
    shown |= set(re.findall(
        r'^::: (\S+)$', page.read_text(encoding='utf-8'), flags=re.MULTILINE))
  package = ROOT / 'hyperjax'
  modules = {
      '.'.join(path.relative_to(package).with_suffix('').parts)
      .removesuffix('.__init__') for path in package.rglob('*.py')}
  assert modules - {'__init__'} >= {
      name.removeprefix('hyperjax.') for name in shown} - {'hyperjax'}
  for module in modules - INTERNAL - {'__init__'}:
    name = f'hyperjax.{module}'
    inside = any(name == x or name.startswith(f'{x}.') for x in shown)
    holds = any(x.startswith(f'{name}.') for x in shown)
    assert inside or holds, module


def test_every_page_is_in_the_navigation():
  navigation = (ROOT / 'mkdocs.yml').read_text(encoding='utf-8')
  named = re.findall(r': (\S+\.md)$', navigation, flags=re.MULTILINE)
  docs = ROOT / 'docs'
  assert sorted(named) == sorted(
      path.relative_to(docs).as_posix() for path in docs.rglob('*.md'))
