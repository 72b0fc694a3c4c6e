"""What every verb prints with: JSON, money, sizes, the status screen, progress on standard error."""

from __future__ import annotations

import datetime as dt
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Final

import click

MAX_WIDTH: Final = 100
"""Tables are made for a terminal of usual width, and for a paste into an issue."""

LEAST_SENTENCE: Final = 20
"""Columns that a sentence has beside its label, however narrow the terminal."""

RATE_SECONDS: Final = 0.5
"""Before that a speed says nothing."""

_SIZE_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STATUS_HANDLED: Final = frozenset({"schema_version", "running", "pid", "problems", "last_seen"})
_LABEL_WIDTH: Final = 13
_ALERTS_SHOWN: Final = 5
"""Alerts of the one screen; `ccagent alerts` lists all."""
_DAY: Final = len("2026-01-31")
_MINUTE: Final = len("2026-01-31T12:00")


def print_json(document: Mapping[str, object]) -> None:
    """Print one document on one line, and nothing else, on standard output."""
    import json

    # Not orjson: names from files may hold lone surrogates, which JSON escapes and UTF-8 cannot hold.
    click.echo(json.dumps(document, ensure_ascii=True, separators=(",", ":"), default=str))


def terminal_width() -> int:
    """Give the terminal's columns (COLUMNS goes before), MAX_WIDTH where the output is none."""
    return shutil.get_terminal_size((MAX_WIDTH, 24)).columns


def clean(text: str) -> str:
    """Give a text from a transcript so that it cannot command the terminal or break a line."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def money(microusd: int) -> str:
    """Give micro-dollars as "$1.23"; below a cent as "<$0.01", since it is not nothing."""
    if 0 < microusd < 10_000:
        return "<$0.01"
    cents = round(microusd / 10_000)
    return f"{'-' if cents < 0 else ''}${abs(cents) // 100:,}.{abs(cents) % 100:02d}"


def size(count: int) -> str:
    """Give a number of bytes in the unit that suits it."""
    value = float(count)
    for unit in _SIZE_UNITS:
        if value < 1024 or unit == _SIZE_UNITS[-1]:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("the last unit ends the loop")


def rfc3339(moment_ms: int | None) -> str | None:
    """Give ms since the epoch as RFC 3339 in UTC, None for None."""
    if moment_ms is None:
        return None
    return (
        dt.datetime.fromtimestamp(moment_ms / 1_000, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def print_status(status: Mapping[str, object]) -> None:
    """Print the status on one screen."""
    for line in status_lines(status):
        click.echo(line[:MAX_WIDTH])


def status_lines(status: Mapping[str, object]) -> Iterator[str]:
    """Give the status as lines: whether it runs, then what is known, then what is wrong."""
    running = "running" if status.get("running") else "not running; `ccagent run` starts it"
    pid = f" (pid {status['pid']})" if status.get("running") and status.get("pid") else ""
    yield _line("ccagent", running + pid)
    last = status.get("last_seen")
    if isinstance(last, Mapping):
        yield from _last_seen_lines(last)
    for name, value in status.items():
        if name == "export" and isinstance(value, Mapping):
            yield from _export_lines(value)
        elif name == "alerts" and isinstance(value, Mapping):
            yield from _alert_lines(value)
        elif name not in _STATUS_HANDLED and value not in (None, [], {}):
            yield _line(name.replace("_", " "), _described(name, value))
    problems = status.get("problems")
    for problem in problems if isinstance(problems, Sequence) and not isinstance(problems, str) else ():
        yield from sentence("problem", _plain(problem))


def _last_seen_lines(last: Mapping[str, object]) -> Iterator[str]:
    """Give when a daemon that ended without a word was alive, what that means, and what troubled it then."""
    yield _line("last seen", f"{last['at']} (pid {last['pid']}); then killed, or the machine lost power or hung")
    yield _line("", "nothing is lost: the next start goes on where it stood")
    problems = last.get("problems")
    for problem in problems if isinstance(problems, Sequence) and not isinstance(problems, str) else ():
        yield from sentence("  it had", _plain(problem))


def _alert_lines(alerts: Mapping[str, object]) -> Iterator[str]:
    """Give a line that says how many rules there are, and one for each alert that fires."""
    firing = alerts.get("firing")
    found = firing if isinstance(firing, Sequence) and not isinstance(firing, str) else ()
    fires = f"{alerts['count']} fire" if found else "nothing fires"
    yield _line("alerts", f"{alerts['active']} rules active, {fires}")
    for one in found[:_ALERTS_SHOWN]:
        subject = _plain(str(one["subject"])) or "everything"
        yield _line("  firing", f"{_plain(str(one['rule']))} ({one['severity']}): {subject}, since {one['since']}")


def _export_lines(export: Mapping[str, object]) -> Iterator[str]:
    """Give a line for the tier, and one for each destination: its signals and how they are."""
    if "tier" not in export:
        yield _line("export", str(export.get("state")))
        return
    yield _line("export", f"tier {export['tier']}; `ccagent status --otel` tells more")
    signals: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    for key, to in export.items():
        if not key.endswith("_to"):
            continue
        name, _, signal = key.removesuffix("_to").rpartition("/")
        told = export.get(key.removesuffix("_to"))
        state = str(told.get("state")) if isinstance(told, Mapping) and told.get("state") else ""
        backlog = told.get("backlog") if isinstance(told, Mapping) else None
        waiting = f" ({backlog:,} wait)" if isinstance(backlog, int) and backlog else ""
        signals.setdefault(name, []).append(" ".join(filter(None, (signal, state))) + waiting)
        places.setdefault(name, "/".join(str(to).rpartition(" ")[2].split("/")[:3]))
    for name, said in signals.items():
        yield _line(_plain(name or "  to"), f"{places[name]}: {', '.join(said)}")


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL_WIDTH}} {text}"


def sentence(label: str, text: str, label_width: int = _LABEL_WIDTH) -> Iterator[str]:
    """Give a sentence as lines of the terminal's width: what is to be done stands at its end, so none of it is cut."""
    import textwrap

    width = max(LEAST_SENTENCE, min(terminal_width(), MAX_WIDTH) - label_width - 1)
    for number, line in enumerate(textwrap.wrap(text, width, break_on_hyphens=False)):
        yield f"{'' if number else label:<{label_width}} {line}"


def _described(name: str, value: object) -> str:
    if name == "retention" and isinstance(value, Mapping):
        days = {key: str(item)[:_DAY] for key, item in value.items() if item is not None}
        if "next_prune" in days:
            days["next_prune"] = str(value["next_prune"])[:_MINUTE] + "Z"
        return ", ".join(f"{_unitless(key)} {day}" for key, day in days.items())
    if isinstance(value, Mapping):
        return ", ".join(_part(str(inner), item) for inner, item in value.items() if item is not None)
    if isinstance(value, list | tuple):
        return "; ".join(_described(name, item) for item in value)
    return _value(name, value)


def _part(name: str, value: object) -> str:
    if name in ("path", "mode", "state"):
        return _value(name, value)
    if name.endswith("_microusd") and isinstance(value, int):
        return f"{money(value)} API-equivalent"
    if isinstance(value, Mapping):
        value = ", ".join(_part(str(inner), item) for inner, item in value.items() if item is not None)
        return f"{name.replace('_', ' ')} ({value})"
    if name == "bytes" and isinstance(value, int):
        return size(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{_value(name, value)} {_unitless(name)}"
    return f"{_unitless(name)} {_value(name, value)}"


def _unitless(name: str) -> str:
    for unit in ("_bytes", "_seconds", "_ms"):
        name = name.removesuffix(unit)
    return name.replace("_", " ")


def _value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        if name.endswith("_bytes") or name == "bytes":
            return size(value)
        return f"{value} ms" if name.endswith("_ms") else f"{value:,}"
    if isinstance(value, float) and name.endswith(("_share", "_limit")):
        return f"{100 * value:.1f} %"
    if isinstance(value, float):
        return f"{value:.1f} s" if name.endswith("_seconds") else f"{value:g}"
    return _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return _described("", value)
    return clean(str(value))


class Progress:
    """Says on a terminal's standard error how far a long piece of work is; elsewhere it is silent."""

    def __init__(self) -> None:
        self._shown = False
        self._began = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)

    def __call__(self, done: int, whole: int, what: str = "") -> None:
        """Show so many bytes done of so many, which are those of `what`."""
        text = progress_text(done, whole, time.monotonic() - self._began)
        self._show(f"{what}: {text}" if what else text)

    def count(self, done: int, whole: int, what: str) -> None:
        """Show so many of `what` done of so many."""
        self._show(f"{done:,} of {whole:,} {what}")

    def tell(self, text: str) -> None:
        """Say a sentence that stays; elsewhere than on a terminal nothing."""
        self._show(f"{text}\n")

    def _show(self, text: str) -> None:
        if sys.stderr.isatty():
            self._shown = True
            click.echo(f"\r\x1b[K{text}", err=True, nl=False)


def progress_text(done: int, whole: int, seconds: float) -> str:
    """Give how much of `whole` bytes is done after so many seconds: share, speed and time left."""
    share = 100 * done // whole if whole else 100
    text = f"{size(done)} of {size(whole)}, {share} %"
    if seconds < RATE_SECONDS or done <= 0:
        return text
    rate = done / seconds
    left = max(0.0, (whole - done) / rate)
    return f"{text}, {rate / 1_000_000:.0f} MB/s, {left:.0f} s left"
