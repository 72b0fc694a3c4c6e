"""The project's own files, as the house tests look at them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ccagent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One import statement's target: `module` is absolute, `name` what is taken from it ("" for a plain import)."""

    module: str
    name: str
    line: int

    @property
    def full(self) -> str:
        """Module and name in one dotted path."""
        return f"{self.module}.{self.name}" if self.name else self.module


def modules(folder: Path = PACKAGE) -> list[Path]:
    """All Python files below `folder`."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def room(path: Path) -> str:
    """The part of the package that `path` belongs to: `facts`, `store`, …, or the module's own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def place(path: Path, line: int) -> str:
    """Where to look, as file:line."""
    return f"{path.relative_to(ROOT)}:{line}"


@cache
def tree(path: Path) -> ast.Module:
    """The parsed module."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[Import]:
    """Every import in `path`, those inside functions too; those for type checking only are left out."""
    typing_only = {id(node) for guard in ast.walk(tree(path)) if _guards_types(guard) for node in ast.walk(guard)}
    for node in ast.walk(tree(path)):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module=alias.name, name="", line=node.lineno)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield Import(module=_absolute(path, node), name=alias.name, line=node.lineno)


def strings(path: Path) -> Iterator[tuple[str, int]]:
    """Every string constant in `path` with its line, docstrings left out; f-strings by their constant parts."""
    bare = {id(node.value) for node in ast.walk(tree(path)) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node.value, node.lineno


def _guards_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = path.relative_to(ROOT).parent.parts
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])
