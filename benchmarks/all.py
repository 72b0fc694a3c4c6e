"""Runs every benchmark, one after the other, and writes what they found to one file that `report.py` turns into a page.

    python benchmarks/all.py [--mb 100] [--large-mb 1000] [--tree DIR] [--json benchmarks/results/latest.json] [--quick]

A tree is generated once and read by all. `--large-mb` adds a second one: ingest is measured on both, the restart and
the memory of a backfill on the larger. `--quick` is for trying the benchmarks themselves: its figures mean nothing.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import orjson

from benchmarks.figures import SCHEMA_VERSION, conditions, options
from benchmarks.generate import tree_or_generated

FOLDER: Final = Path(__file__).resolve().parent
LATEST: Final = FOLDER / "results" / "latest.json"
DEFAULT_MB: Final = 100.0

QUICK: Final[dict[str, tuple[str, ...]]] = {
    "ingest": ("--runs", "1"),
    "restart": ("--runs", "1", "--files", "50"),
    "latency": ("--appends", "2"),
    "idle": ("--files", "50", "--seconds", "1", "--settle", "0"),
    "scrape": ("--scrapes", "5"),
    "spans": ("--runs", "1"),
    "drain": ("--appends", "2"),
    "stop": ("--tries", "2"),
    "queries": ("--facts", "2000", "--rounds", "2"),
    "alerts": ("--facts", "2000", "--rounds", "2"),
}
"""The smallest run of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One benchmark on one tree; `key` names it in the results."""

    key: str
    script: str
    tree: Path


def plan(tree: Path, large: Path | None) -> list[Run]:
    """What is run, in this order: the ones that need a quiet machine most come first."""
    largest = large or tree
    runs = [
        *(
            Run(key=name, script=name, tree=tree)
            for name in ("latency", "scrape", "queries", "alerts", "spans", "drain", "stop", "ingest")
        ),
        Run(key="restart", script="restart", tree=largest),
        Run(key="idle", script="idle", tree=largest),
    ]
    return [*runs, Run(key="ingest-large", script="ingest", tree=large)] if large is not None else runs


def run(one: Run, quick: bool) -> dict[str, Any]:
    """The benchmark's document, without its single samples. CalledProcessError when it failed."""
    print(f"\n== {one.key}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder:
        target = Path(folder) / "result.json"
        command = [sys.executable, str(FOLDER / f"{one.script}.py"), "--tree", str(one.tree), "--json", str(target)]
        subprocess.run([*command, *(QUICK[one.script] if quick else ())], check=True)
        document: dict[str, Any] = orjson.loads(target.read_bytes())
    return {"figures": document["figures"], "load_before": document["conditions"]["load_before"]}


def main() -> None:
    """Run all, write the file."""
    parser = options(__doc__)
    parser.set_defaults(mb=DEFAULT_MB, json=LATEST)
    parser.add_argument("--large-mb", type=float, help="size of a second, larger tree")
    parser.add_argument("--quick", action="store_true", help="the smallest run of each")
    given = parser.parse_args()
    taken = conditions()
    with contextlib.ExitStack() as stack:
        tree = stack.enter_context(tree_or_generated(given.tree, given.mb))
        large = stack.enter_context(tree_or_generated(None, given.large_mb)) if given.large_mb else None
        found = {one.key: run(one, given.quick) for one in plan(tree, large)}
    document = {
        "schema_version": SCHEMA_VERSION,
        "conditions": taken,
        "tree": "given" if given.tree else "generated",
        "quick": given.quick,
        "benchmarks": found,
    }
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    print("\nwritten; benchmarks/report.py makes docs/performance.md of it")


if __name__ == "__main__":
    main()
