"""The answer of `ccagent verify` as text: a table of 80 columns, what is at fault, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import click

from ccagent.cli.output import clean, size

NAME_WIDTH: Final = 30
NUMBER_WIDTH: Final = 17
"""Cache reads of a busy year have twelve digits."""

FAULTS: Final = 20
"""Faults of a kind that are shown; all are in the JSON answer."""

_VERDICTS: Final = {
    "equal": "equal: the store agrees with the transcripts",
    "relabelled": "equal: the store agrees with the transcripts",
    "sealed": "sealed: equal but for what retention has removed",
    "source gone": "source gone: equal but for transcripts that are no longer there",
    "fault": "NOT equal: see above",
}


def print_verify(report: Mapping[str, object]) -> None:
    """Print the comparison: totals, checks, faults, then the verdict."""
    for line in verify_lines(report):
        click.echo(line)


def verify_lines(report: Mapping[str, object]) -> Iterator[str]:
    """Give the comparison as lines."""
    yield from _totals(_rows(report, "totals"))
    yield from _checks(_rows(report, "checks"))
    yield from _files(report.get("files"))
    yield from _manifest(report.get("manifest"))
    yield from _faults(report)
    yield _VERDICTS.get(str(report.get("status")), _VERDICTS["equal" if report.get("equal") else "fault"])


def _totals(rows: list[Mapping[str, object]]) -> Iterator[str]:
    """The totals; of those by model only what differs."""
    if rows:
        yield f"{'':<{NAME_WIDTH}} {'stored':>{NUMBER_WIDTH}} {'recounted':>{NUMBER_WIDTH}}  verdict"
    folded = 0
    for row in rows:
        name, verdict = clean(str(row.get("name", ""))), clean(str(row.get("verdict", "")))
        if name.endswith("}") and verdict == "equal":
            folded += 1
            continue
        yield _line(name, row.get("stored"), row.get("recounted"), verdict)
    if folded:
        yield _line("by model", folded, folded, "equal")


def _checks(rows: list[Mapping[str, object]]) -> Iterator[str]:
    if rows:
        yield ""
        yield f"{'':<{NAME_WIDTH}} {'checked':>{NUMBER_WIDTH}} {'left out':>{NUMBER_WIDTH}}  verdict"
    for row in rows:
        yield _line(
            clean(str(row.get("name"))), row.get("checked"), row.get("excluded"), clean(str(row.get("verdict")))
        )


def _line(name: str, one: object, two: object, verdict: str) -> str:
    name = name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 1]}…"
    return f"{name:<{NAME_WIDTH}} {_number(one):>{NUMBER_WIDTH}} {_number(two):>{NUMBER_WIDTH}}  {verdict}"


def _files(files: object) -> Iterator[str]:
    if not isinstance(files, Mapping):
        return
    yield ""
    told = [f"{_number(files.get('recounted'))} of {_number(files.get('stored'))} recounted"]
    for name in ("gone", "rewritten", "unreadable", "not_taken_in"):
        if files.get(name):
            told.append(f"{_number(files[name])} {name.replace('_', ' ')}")
    taken, left = files.get("bytes_taken_in"), files.get("bytes_left")
    if isinstance(taken, int) and isinstance(left, int):
        told.append(f"{size(taken)} taken in, {size(left)} left")
    yield f"{'files':<9} {', '.join(told)}"


def _manifest(manifest: object) -> Iterator[str]:
    if not isinstance(manifest, Mapping):
        return
    if manifest.get("written"):
        told = f"{_number(manifest.get('files'))} files written to {clean(str(manifest.get('path')))}"
    else:
        counts = (f"{_number(manifest.get(name))} {name}" for name in ("same", "grown", "gone"))
        told = f"of {clean(str(manifest.get('created_at')))}: files " + ", ".join(counts)
    yield f"{'manifest':<9} {told}"


def _faults(report: Mapping[str, object]) -> Iterator[str]:
    for row in _rows(report, "files_at_fault")[:FAULTS]:
        yield f"{'fault':<9} {clean(str(row.get('path')))}: {clean(str(row.get('fault')))}"
    for row in _rows(report, "facts_at_fault")[:FAULTS]:
        where = f" (session {clean(str(row['session']))})" if row.get("session") else ""
        yield f"{'fault':<9} {clean(str(row.get('key')))}: {clean(str(row.get('fault')))}{where}"
    for row in _rows(report, "checks"):
        examples = row.get("examples")
        for example in examples if isinstance(examples, list) and row.get("faults") else ():
            yield f"{'fault':<9} {clean(str(row.get('name')))}: {clean(str(example))}"
    manifest = report.get("manifest")
    for row in _rows(manifest, "faults")[:FAULTS] if isinstance(manifest, Mapping) else ():
        if "path" in row:
            yield f"{'manifest':<9} {clean(str(row['path']))}: {clean(str(row.get('fault')))}"
        else:
            side = "stored" if "stored" in row else "recounted"
            yield (
                f"{'manifest':<9} {clean(str(row.get('name')))}: {_number(row.get('manifest'))} then,"
                f" {_number(row.get(side))} {side}"
            )


def _rows(report: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    rows = report.get(name)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list | tuple) else []


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "—"
