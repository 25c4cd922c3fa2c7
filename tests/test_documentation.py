"""README.md and docs/: links, headings, modules, files, make targets and functions exist; the example runs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.rooms import ROOMS, modules

PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md'), ROOT / 'model/README.md', ROOT / 'training/README.md'])
MAKEFILE = (ROOT / 'Makefile').read_text()
TOP = '|'.join(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith('.')))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r'^#+ (.*)', page.read_text(), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def code_of(page: Path) -> str:
    """Return indented lines, fenced code and words in backticks."""
    text = page.read_text()
    return '\n'.join(re.findall(r'^ {4}.*|`[^`\n]+`|```.*?```', text, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r'\]\(([^)\s]+)\)', page.read_text()):
        path, _, anchor = target.partition('#')
        file = (page.parent / path).resolve() if path else page
        if not target.startswith('http') and (not file.exists() or (anchor and anchor not in anchors(file))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize('page', [*PAGES, ROOT / 'Makefile'], ids=name_of)
def test_python_modules_exist(page: Path) -> None:
    used = set(re.findall(r'\b(instructsam_(?:model|ros|training)(?:\.\w+)+)', page.read_text()))
    names = {name for name in used if not re.match(r'instructsam_ros\.(msg|srv|action|backends)', name)}
    missing = [name for name in names if name not in modules() and name.rpartition('.')[0] not in modules()]
    assert missing == []
    assert [name for name in re.findall(r'-m (instructsam_[\w.]+)', page.read_text()) if name not in modules()] == []


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_files_exist(page: Path) -> None:
    used = set(
        re.findall(rf'(?<![\w/.])((?:{TOP})/[\w/.-]*\.(?:py|md|yaml|json|xml|sh|txt|msg|srv|action))\b', code_of(page))
    )
    written = ('data/', 'runs/', 'evaluation/', 'benchmark/', 'demo/', 'build/')
    assert [name for name in used if not name.startswith(written) and not (ROOT / name).exists()] == []


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_make_targets_exist(page: Path) -> None:
    used = set(re.findall(r'(?:`|^ {4})make ([a-z][\w-]*)', page.read_text(), re.MULTILINE))
    assert [target for target in used if not re.search(rf'^{target}:', MAKEFILE, re.MULTILINE)] == []


def test_readme_names_every_room() -> None:
    readme = (ROOT / 'README.md').read_text()
    files = [file.parent for file in modules().values() if file.name == '__init__.py']
    rooms = [folder for folder in files if folder.parent.name in ROOMS]
    assert [name_of(room) for room in rooms if f'| `{name_of(room)}/` |' not in readme] == []


def test_functions_in_the_architecture_exist() -> None:
    walks = re.findall(r'^ {4}(\S+\.py): (\w+)', (ROOT / 'docs' / 'architecture.md').read_text(), re.MULTILINE)
    assert len(walks) > 20
    missing = []
    for path, name in walks:
        names = (
            {getattr(node, 'name', '') for node in ast.parse((ROOT / path).read_text()).body}
            if (ROOT / path).exists()
            else set()
        )
        if name not in names:
            missing.append(f'{path}: {name}')
    assert missing == []


def test_readme_example_prints_what_it_shows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('torch')
    monkeypatch.chdir(ROOT)
    code, shown = re.findall(
        r'```python\n(.*?)```\n\n((?: {4}[^\n]*\n)+)', (ROOT / 'README.md').read_text(), re.DOTALL
    )[0]
    exec(compile(code, 'README.md', 'exec'), {})
    labels = [line.partition(':')[0].strip() for line in shown.splitlines()]
    assert [line.partition(':')[0] for line in capsys.readouterr().out.splitlines()] == labels
