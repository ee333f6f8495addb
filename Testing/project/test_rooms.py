"""The library's layout: every import points down the list of rooms, and no modules import each other in a circle."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import MultiContrastSRLib

LIBRARY = Path(MultiContrastSRLib.__file__).parent
ROOMS = (
    "_version",
    "core",
    "image",
    "io",
    "mrml",
    "acquisition",
    "guided",
    "registration",
    "joint",
    "networks",
    "weights",
    "inference",
    "inr",
    "methods",
    "pipeline",
    "live",
    "evaluation",
    "training",
    "samples",
    "batch",
    "cli",
)


def module_name(path: Path) -> str:
    """Dotted name below the library; "" for its `__init__`."""
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(LIBRARY.rglob("*.py"))}


def imports_of(name: str, *, typing: bool) -> set[str]:
    """Modules of the library that `name` imports, inside functions too; `typing`: for annotations as well."""
    path = MODULES[name]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            skipped.update(child for statement in node.body for child in ast.walk(statement))
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or (node in skipped and not typing):
            continue
        if node.level:
            base = [part for part in package if part][: len([p for p in package if p]) - (node.level - 1)]
            parent = ".".join(base + ([node.module] if node.module else []))
        elif (node.module or "").split(".")[0] == LIBRARY.name:
            parent = node.module.partition(".")[2]
        else:
            continue
        for alias in node.names:
            child = f"{parent}.{alias.name}".lstrip(".")
            found.add(child if child in MODULES else parent)
    return found - {name, ""}


def test_every_file_is_in_a_room() -> None:
    assert {name.split(".")[0] for name in MODULES if name} == set(ROOMS)


def test_imports_point_down() -> None:
    upward = [
        f"{name} -> {other}"
        for name in MODULES
        if name
        for other in sorted(imports_of(name, typing=True))
        if ROOMS.index(other.split(".")[0]) > ROOMS.index(name.split(".")[0])
    ]
    assert not upward


def test_no_circles() -> None:
    graph = {name: imports_of(name, typing=False) for name in MODULES if name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"These modules import each other: {' -> '.join(error.args[1])}") from error


def test_the_checks_see_what_they_should(tmp_path, monkeypatch) -> None:
    """A module with an import inside a function and one for typing only."""
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").touch()
    (tmp_path / "core" / "a.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..image import c\n"
        "def f():\n    from .b import g\n    return g\n"
    )
    (tmp_path / "core" / "b.py").write_text("from .a import f\n")
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "__init__.py").touch()
    (tmp_path / "image" / "c.py").touch()
    monkeypatch.setattr(f"{__name__}.LIBRARY", tmp_path)
    monkeypatch.setattr(f"{__name__}.MODULES", {module_name(path): path for path in tmp_path.rglob("*.py")})
    assert imports_of("core.a", typing=False) == {"core.b"}
    assert imports_of("core.a", typing=True) == {"core.b", "image.c"}
    assert imports_of("core.b", typing=False) == {"core.a"}
