"""Who may import whom: the core knows no edge, and no room reaches back."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.house.source import PACKAGE, imports, modules, place, room, strings, tree

PURE = ("facts", "sources", "rollups", "metrics", "alerts")
"""No file, socket, database, thread or wall clock."""

IMPURE_MODULES = frozenset(
    """
    apsw asyncio click concurrent ftplib glob grpc http httpx io logging mmap multiprocessing os pathlib platform
    prometheus_client psycopg psycopg_pool queue random requests rich sched secrets select selectors shutil signal
    socket socketserver sqlite3 ssl starlette structlog subprocess tempfile threading time urllib uvicorn watchdog
    """.split()
)

IMPURE_CALLS = frozenset({"open", "print", "input", "exec", "eval", "breakpoint", "__import__"})

IMPURE_METHODS = frozenset({"now", "utcnow", "today"})
"""Of datetime and date: the time arrives as an argument."""

IMPURE_ALLOWED = {
    ("facts/pricing.py", "importlib.resources"): "the price table is a part of the program, read once",
    ("facts/windows.py", "importlib.resources"): "so is the table of windows",
}

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "facts": (),
    "sources": ("facts",),
    "rollups": ("facts",),
    "metrics": ("facts",),
    "alerts": ("facts", "metrics", "rollups"),
    "follow": ("errors", "clock"),
    "store": (
        "facts",
        "rollups",
        "metrics",
        "alerts",
        "errors",
        "clock",
        "failpoints",
        "paths",
        "export.otlp.closed",
        "__version__",
    ),
    "export": (
        "facts",
        "metrics",
        "store",
        "errors",
        "clock",
        "failpoints",
        "masking",
        "otlp_destination",
        "otlp_endpoint",
        "otlp_environment",
        "otlp_settings",
        "tracing",
    ),
    "notify": (
        "alerts",
        "export",
        "facts",
        "metrics",
        "errors",
        "clock",
        "logs",
        "masking",
        "paths",
        "failpoints",
        "otlp_destination",
        "otlp_settings",
    ),
}
"""ccagent's own parts that a room may import besides itself; rooms not named here are edges and wire the others."""

SQL_STARTS = (
    "SELECT ",
    "INSERT ",
    "UPDATE ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "CREATE INDEX ",
    "PRAGMA ",
    "BEGIN ",
    "WITH ",
)
DATABASE_DRIVERS = frozenset({"apsw", "psycopg", "psycopg_pool", "sqlite3"})


def pure_modules() -> list[Path]:
    return [path for path in modules() if room(path) in PURE]


def test_there_are_pure_modules_to_look_at() -> None:
    assert len(pure_modules()) > 5


def test_the_pure_rooms_import_no_file_socket_database_thread_or_clock() -> None:
    found = [
        f"{place(path, target.line)} imports {target.full}"
        for path in pure_modules()
        for target in imports(path)
        if target.module.split(".")[0] in IMPURE_MODULES or target.full.startswith("importlib")
        if not any(
            path == PACKAGE / where and (target.module == what or target.full == what) for where, what in IMPURE_ALLOWED
        )
    ]

    assert found == []


def test_the_pure_rooms_ask_nobody_for_the_time_and_open_nothing() -> None:
    found = [
        f"{place(path, node.lineno)} calls {ast.unparse(node.func)}"
        for path in pure_modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        if (isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS)
        or (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in IMPURE_METHODS
            and ast.unparse(node.func.value).split(".")[-1] in ("datetime", "date")
        )
    ]

    assert found == []


@pytest.mark.parametrize("name", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_lies_further_in(name: str) -> None:
    allowed = (name, *MAY_IMPORT[name])
    found = [
        f"{place(path, target.line)} imports {target.full}"
        for path in modules()
        if room(path) == name
        for target in imports(path)
        if target.module.split(".")[0] == "ccagent"
        if not any(f"{target.full}.".startswith(f"ccagent.{part}.") for part in allowed)
    ]

    assert found == []


def test_no_two_modules_need_each_other_not_even_by_late_imports() -> None:
    names = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in modules()}
    needed = {
        name: {found for target in imports(path) for found in (target.full, target.module) if found in names} - {name}
        for name, path in names.items()
    }
    assert sum(len(found) for found in needed.values()) > len(names)

    try:
        TopologicalSorter(needed).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_nothing_outside_the_store_writes_sql() -> None:
    found = [
        f"{place(path, line)}: {text.strip()[:40]!r}"
        for path in modules()
        if room(path) != "store"
        for text, line in strings(path)
        if text.lstrip().startswith(SQL_STARTS)
    ]

    assert found == []


def test_nothing_outside_the_store_imports_a_database_driver() -> None:
    found = [
        f"{place(path, target.line)} imports {target.full}"
        for path in modules()
        if room(path) != "store"
        for target in imports(path)
        if target.module.split(".")[0] in DATABASE_DRIVERS
    ]

    assert found == []
