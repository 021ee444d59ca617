"""What the documents say of the code is true."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCE = ROOT / "src" / "salon"


def named_in(module):
    """Functions, classes, ``Class.method`` and constants of a module."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (*functions, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names.update(
                f"{node.name}.{inner.name}"
                for inner in node.body
                if isinstance(inner, functions)
            )
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(t.id for t in targets if isinstance(t, ast.Name))
    return names


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_function_that_a_page_names_exists(page):
    text = page.read_text(encoding="utf-8")
    for path, name in re.findall(r"`(?:src/salon/)?([\w/]+\.py)::([\w.]+)`", text):
        modules = [*SOURCE.rglob(path), *ROOT.glob(path)]
        assert modules, f"{page.name} names {path}"
        assert any(name in named_in(module) for module in modules), (
            f"{page.name} names {path}::{name}"
        )


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_local_link_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_map_names_every_area():
    text = (ROOT / "docs" / "map.md").read_text(encoding="utf-8")
    areas = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    missing = {area for area in areas if f"{area}/`" not in text}

    assert missing == set()


def test_the_manual_of_settings_is_what_the_code_says():
    from salon.app.manual import settings

    kept = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")

    assert kept == settings(), "run `make docs`"


def test_package_markers_hold_one_line():
    for marker in SOURCE.rglob("__init__.py"):
        assert marker.read_text().count("\n") == 1, marker


def test_nothing_that_is_kept_names_a_path_of_a_machine():
    kept = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    if kept.returncode != 0:
        pytest.skip("not a git checkout")
    forbidden = re.compile(rb"/work/|/root/|shared/reference|\.library")
    for name in kept.stdout.decode().split("\0"):
        path = ROOT / name
        if not path.is_file() or path.suffix in {".png", ".onnx", ".npz", ".woff2"}:
            continue
        if path == Path(__file__):
            continue
        assert not forbidden.search(path.read_bytes()), name
