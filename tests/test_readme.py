"""The README's code runs, and what it draws of the layout is there."""

from pathlib import Path
import re

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
BLOCKS = re.findall(r'```python\n(.*?)```', README, flags=re.DOTALL)


def test_there_is_code():
  assert BLOCKS


@pytest.mark.parametrize('code', BLOCKS)
def test_code_blocks_run(code):
  exec(compile(code, 'README.md', 'exec'), {'__name__': 'readme'})


def test_layout_and_links_exist():
  layout = re.search(r'```\n(hyperjax/\n.*?)```', README, flags=re.DOTALL)
  folders = []
  for line in layout.group(1).splitlines():
    depth = (len(line) - len(line.lstrip())) // 2
    names = line.split('  ')[0] if not depth else line.strip().split('  ')[0]
    for name in names.strip().split():
      folders[depth:] = [name]
      assert (ROOT / ''.join(folders)).exists(), ''.join(folders)
  for link in re.findall(r'\]\(([^)#]+)\)', README):
    if '://' not in link:
      assert (ROOT / link).exists(), link


def test_make_targets_exist():
  makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
  for target in set(
      re.findall(r'(?:^|`)make ([a-z-]+)', README, flags=re.MULTILINE)):
    assert re.search(rf'^{target}:', makefile, flags=re.MULTILINE), target
