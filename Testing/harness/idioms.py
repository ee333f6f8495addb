"""Finds Qt idioms in a module's source that PySide6 takes and PythonQt does not, before anything runs."""

import ast
import enum
import sys
from pathlib import Path


def check_idioms(folder: Path) -> None:
    """Raise SyntaxError for the first scoped enum (`qt.Qt.AlignmentFlag.AlignLeft`) in a module's Python files."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            scope = _enum_of(node)
            if scope is not None:
                where = (str(path), node.lineno, node.col_offset + 1, ast.unparse(node))
                plain = f"qt.{scope}.{node.attr}"
                raise SyntaxError(f"PythonQt has no scoped enums: write {plain} for {ast.unparse(node)}", where)


def _enum_of(node: ast.AST) -> str | None:
    """'Qt' for the expression `qt.Qt.AlignmentFlag.AlignLeft`, None for anything but a scoped enum's member."""
    if not isinstance(node, ast.Attribute):
        return None
    names = ast.unparse(node).split(".")
    if len(names) != 4 or names[0] != "qt":
        return None
    kind = getattr(getattr(sys.modules["qt"], names[1], None), names[2], None)
    return names[1] if isinstance(kind, type) and issubclass(kind, enum.Enum) else None
