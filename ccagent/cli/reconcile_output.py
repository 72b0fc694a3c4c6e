"""The answer of `ccagent reconcile` as text: a row a session, the total, and what could not be joined."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import click

from ccagent.cli.output import clean, money

SESSION_WIDTH: Final = 12
"""Characters of a session's id: enough to tell it from others, and to ask `ccagent session` for it."""

ROWS: Final = 40
"""Sessions that are shown, the busiest; the JSON answer has all."""

SHORTEST_SECONDS: Final = 0.2


def print_reconcile(document: Mapping[str, Any]) -> None:
    """Print the comparison."""
    for line in reconcile_lines(document):
        click.echo(line)


def reconcile_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Give the comparison as lines of at most 100 columns."""
    yield (
        f"{'session':<{SESSION_WIDTH}} {'caught':>7} {'both':>7} {'missed':>7} {'native':>7} {'tokens':>8} {'tools':>8}"
        f" {'cost here':>12} {'cost native':>12}"
    )
    sessions = document["sessions"]
    for row in sessions[:ROWS]:
        yield _row(clean(row["session"] or "no session")[:SESSION_WIDTH], row)
    if len(sessions) > ROWS:
        yield f"… and {len(sessions) - ROWS} sessions; --json has all"
    yield _row("total", document["total"])
    total = document["total"]["requests"]
    yield (
        f"{total['both']:,} requests seen by both ({total['differing']:,} with other token counts),"
        f" {total['transcript_only']:,} by transcripts alone, {total['native_only']:,} by the telemetry"
    )
    unnamed = document["without_request_id"]
    if unnamed["transcript"] or unnamed["native"]:
        yield (
            f"without a request id, so not compared: {unnamed['transcript']:,} in transcripts,"
            f" {unnamed['native']:,} in the telemetry"
        )
    if document["rebuilt_records"]:
        yield f"left out: {document['rebuilt_records']:,} events that ccagent itself had rebuilt from transcripts"
    if document["payloads"] and document["payloads"]["bad"]:
        yield f"{document['payloads']['bad']:,} pieces of the file are no OTLP"


def _row(name: str, row: Mapping[str, Any]) -> str:
    requests, tools, tokens, cost = row["requests"], row["tools"], row["tokens"], row["cost_microusd"]
    here, native = sum(tokens["transcript"].values()), sum(tokens["native"].values())
    calls = tools["both"] + tools["transcript_only"]
    return (
        f"{name:<{SESSION_WIDTH}} {_share(row['caught']):>7} {requests['both']:>7,} {requests['transcript_only']:>7,}"
        f" {requests['native_only']:>7,} {_share(native / here if here else None):>8}"
        f" {_share(tools['both'] / calls if calls else None):>8} {money(cost['transcript']):>12}"
        f" {money(cost['native']):>12}"
    )


def _share(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.1f} %"


def waiting(host: str, seconds: float | None) -> Callable[[int], None]:
    """What waits while it is listened: so many seconds, or until the user interrupts."""

    def wait(port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        until = float("inf") if seconds is None else time.monotonic() + seconds
        # An exception in the middle of anything else would be lost, or end more than the listening.
        interrupted: list[int] = []
        before = signal.signal(signal.SIGINT, lambda number, frame: interrupted.append(number))
        try:
            click.echo(f"listening on {shown}:{port} for OTLP; Ctrl-C ends it and compares", err=True)
            while not interrupted and (left := until - time.monotonic()) > 0:
                time.sleep(min(SHORTEST_SECONDS, left))
        finally:
            signal.signal(signal.SIGINT, before)

    return wait
