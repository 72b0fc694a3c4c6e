"""A small chart of a rule's readings against its threshold, in the signs that the terminal has."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import click

WIDTH: Final = 80
"""Columns of a chart at most: it fits a terminal of any usual width, and a paste."""

LEAST_COLUMNS: Final = 16
HEIGHT: Final = 6
EIGHTHS: Final = 8

Point = tuple[int, float | None, float | None]
"""Moment (ms UTC), reading and threshold; None where there was nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What a chart is drawn with."""

    bars: str  # from empty to full
    line: str
    axis: str
    corner: str
    mark: str

    @property
    def full(self) -> str:
        return self.bars[-1]


BLOCKS: Final = Signs(bars=" ▁▂▃▄▅▆▇█", line="╌", axis="│", corner="└", mark="▲")
ASCII: Final = Signs(bars="    ####", line="-", axis="|", corner="+", mark="^")


def signs() -> Signs:
    """Blocks where standard output can show them, else ASCII."""
    try:
        BLOCKS.full.encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return ASCII
    return BLOCKS


def coloured() -> bool:
    """Whether colours are wanted: on a terminal, unless NO_COLOR says otherwise."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def chart(
    points: Sequence[Point],
    *,
    shown: Callable[[float], str],
    zone: dt.tzinfo,
    below: bool = False,
    fired: Collection[int] = (),
    width: int = WIDTH,
    drawn: Signs = BLOCKS,
    colour: bool = False,
) -> list[str]:
    """Lines of at most `width` columns: bars for readings, a broken line for the threshold, marks where it began to fire.

    `shown` writes an amount beside the axis. `below`: the rule asks for too little, so of the readings that share a column
    the least is shown. `fired`: moments of firings. Empty where no point has a reading.
    """
    known = [point for point in points if point[1] is not None]
    if not known:
        return []
    top = max(max(value or 0, bound or 0) for _, value, bound in known) or 1.0
    bound = next((bound for _, _, bound in reversed(known) if bound is not None), None)
    labels = {HEIGHT - 1: shown(top)}
    if bound is not None and _row(bound, top) not in labels:
        labels[_row(bound, top)] = shown(bound)
    margin = max(map(len, (*labels.values(), "0")))
    room = max(LEAST_COLUMNS, min(width, WIDTH) - margin - 2)
    columns = _columns(points, room, below)
    lines = []
    for row in reversed(range(HEIGHT)):
        cells = "".join(_cell(column, row, top, drawn, below, colour) for column in columns)
        lines.append(f"{labels.get(row, '0' if row == 0 else ''):>{margin}} {drawn.axis}{cells}".rstrip())
    marks = _marks(points, fired, len(columns), drawn)
    lines.append(f"{'':>{margin}} {drawn.corner}{marks}".rstrip())
    lines.append(f"{'':>{margin}}  {_span(points, len(columns), zone, min(width, WIDTH) - margin - 2)}".rstrip())
    return lines


def _columns(points: Sequence[Point], room: int, below: bool) -> list[Point]:
    """A point a column; of those that share one the most telling."""
    count = min(room, len(points))
    columns: list[list[Point]] = [[] for _ in range(count)]
    for number, point in enumerate(points):
        columns[number * count // len(points)].append(point)
    return [_telling(column, below) for column in columns]


def _telling(column: Sequence[Point], below: bool) -> Point:
    known = [point for point in column if point[1] is not None]
    if not known:
        return column[-1]
    return (min if below else max)(known, key=lambda point: point[1] or 0.0)


def _row(value: float, top: float) -> int:
    return min(HEIGHT - 1, max(0, int(value / top * HEIGHT - 1e-9)))


def _cell(column: Point, row: int, top: float, drawn: Signs, below: bool, colour: bool) -> str:
    _, value, bound = column
    eighths = 0
    if value is not None and value > 0:
        eighths = max(1, round(value / top * HEIGHT * EIGHTHS)) - row * EIGHTHS
    step = len(drawn.bars) - 1
    sign = drawn.bars[max(0, min(step, eighths * step // EIGHTHS))]
    if sign == " ":
        return drawn.line if bound is not None and _row(bound, top) == row else " "
    met = value is not None and bound is not None and (value < bound if below else value > bound)
    return click.style(sign, fg="red") if colour and met else sign


def _marks(points: Sequence[Point], fired: Collection[int], count: int, drawn: Signs) -> str:
    moments = set(fired)
    marked = {number * count // len(points) for number, point in enumerate(points) if point[0] in moments}
    return "".join(drawn.mark if column in marked else " " for column in range(count))


def _span(points: Sequence[Point], drawn: int, zone: dt.tzinfo, room: int) -> str:
    first, last = (dt.datetime.fromtimestamp(points[place][0] / 1_000, zone) for place in (0, -1))
    form = "%Y-%m-%d" if (last - first).days >= 2 else "%Y-%m-%d %H:%M"
    begin, end = first.strftime(form), last.strftime(form)
    gap = drawn - len(begin) - len(end)
    if gap > 0:
        return f"{begin}{' ' * gap}{end}"
    return f"{begin} to {end}" if len(begin) + len(end) + len(" to ") <= room else begin
