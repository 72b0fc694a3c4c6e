"""What a benchmark reports: figures with their goals, the conditions they were taken under, a table and a JSON file."""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import orjson

SCHEMA_VERSION: Final = 1
"""Of the JSON files under benchmarks/results."""

MEASURED_PACKAGES: Final = ("apsw", "msgspec", "opentelemetry-proto", "orjson", "protobuf", "uvicorn", "watchdog")
"""Their versions move the figures."""

MEGABYTE: Final = 1_000_000
MEBIBYTE: Final = 1_048_576
"""Transcripts are counted in MB, memory in MiB."""

Bound = Literal["at most", "at least"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value; `goal` is what it is held against, None for a figure that only explains another."""

    what: str
    value: float
    unit: str
    goal: float | None = None
    bound: Bound = "at most"

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing without a goal."""
        if self.goal is None:
            return ""
        return "met" if (self.value <= self.goal if self.bound == "at most" else self.value >= self.goal) else "missed"


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def shown(value: float) -> str:
    """A value with three significant digits, whole from 100 on and where it is whole."""
    if float(value).is_integer() or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def with_unit(value: float, unit: str) -> str:
    """`0.12 s`, `35 %`, `2,000 rows/s`."""
    return f"{shown(value)} {unit}".strip()


def goal_text(figure: Mapping[str, Any]) -> str:
    """`≤ 0.3 s`, or nothing."""
    if figure["goal"] is None:
        return ""
    return f"{'≤' if figure['bound'] == 'at most' else '≥'} {figure['goal']:,g} {figure['unit']}".strip()


def conditions() -> dict[str, Any]:
    """Where and when a run took place, without a path or a name of the machine."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "packages": {name: found for name in MEASURED_PACKAGES if (found := _version(name))},
    }


def options(description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n\n")[0])
    parser.add_argument("--tree", type=Path, help="a projects tree to read; without it one is generated")
    parser.add_argument("--mb", type=float, default=20.0, help="size of the generated tree in MB")
    parser.add_argument("--json", type=Path, help="write figures and conditions to this file")
    return parser


def finish(name: str, figures: Sequence[Figure], taken: Mapping[str, Any], target: Path | None, **details: Any) -> None:
    """Print the table; write `target` where one is named. `taken` are the conditions from before the run."""
    rows = [
        (figure.what, goal_text(asdict(figure)), with_unit(figure.value, figure.unit), figure.verdict)
        for figure in figures
    ]
    print(table(("what", "goal", "measured", "verdict"), rows))
    if target is not None:
        document = {
            "schema_version": SCHEMA_VERSION,
            "benchmark": name,
            "conditions": taken,
            "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in figures],
            "details": details,
        }
        target.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of even width, for a terminal."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in lines
    )


def _cpu_model() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
