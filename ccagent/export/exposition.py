"""Writes a snapshot as Prometheus text 0.0.4 or OpenMetrics 1.0.

prometheus_client's encoders build a dictionary and sort it for every sample of every scrape: 6 to 10 microseconds a
sample, most of the time of a page of 5,000 series. Series hardly change between two scrapes, so their label texts are
kept here and a sample costs a string; the text of a whole family is kept with it. The tests hold these pages against
prometheus_client's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import accumulate, repeat
from typing import Final

from ccagent.metrics.exemplars import Exemplar
from ccagent.metrics.snapshot import Family, Point, Snapshot
from ccagent.metrics.spec import Kind

BOUND: Final = "le"
"""The label that Prometheus gives to a histogram's buckets."""

TEXTS_CACHED: Final = 16_384
"""Label texts kept between scrapes: above the number of series that the budgets allow."""


def write(snapshot: Snapshot, *, openmetrics: bool) -> bytes:
    """The page as UTF-8. Only OpenMetrics has units, `_created` and an end mark."""
    lines: list[str] = []
    kept = "openmetrics" if openmetrics else "text"
    for family in snapshot.families:
        lines += _head(family, openmetrics)
        for piece in family.pieces or (family,):
            text = piece.texts.get(kept)
            if text is None:
                text = piece.texts[kept] = "\n".join(_samples(piece, openmetrics))
            lines.append(text)
    if openmetrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode() if lines else b""


def number(value: float) -> str:
    """A sample's value: integers whole, floats shortest, and the spellings of what is not finite."""
    if isinstance(value, int):
        return str(value)
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def bounds(family: Family) -> tuple[str, ...]:
    """Upper bounds of the buckets as `le` spells them (`1.0`, …, `+Inf`); floats, since OpenMetrics wants them so."""
    return (*(number(float(bound)) for bound in family.spec.buckets or ()), "+Inf")


def _head(family: Family, openmetrics: bool) -> list[str]:
    spec = family.spec
    name = spec.prometheus_family if openmetrics else spec.prometheus_name
    text = spec.help.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        text = text.replace('"', r"\"")
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {spec.kind}"]
    if openmetrics and spec.prometheus_unit:
        lines.append(f"# UNIT {name} {spec.prometheus_unit}")
    return lines


def _samples(family: Family, openmetrics: bool) -> Iterator[str]:
    spec = family.spec
    name, labels, shown = spec.prometheus_family, spec.labels, spec.prometheus_name
    limits = bounds(family)
    for point in family.points:
        text = _text(labels, point.labels)
        if point.counts is None:
            value = point.value
            yield f"{shown}{text} {value}" if type(value) is int else f"{shown}{text} {number(value)}"
        else:
            yield from _histogram_lines(name, labels, limits, point, text, openmetrics=openmetrics)
        if openmetrics and spec.kind is not Kind.GAUGE:
            yield f"{name}_created{text} {point.created_ms / 1_000!r}"


def _histogram_lines(
    name: str, labels: tuple[str, ...], limits: tuple[str, ...], point: Point, text: str, *, openmetrics: bool
) -> Iterator[str]:
    """Buckets count everything up to their bound here, while a point's counts are apart. Only OpenMetrics has exemplars."""
    texts = _bucket_texts(labels, point.labels, limits)
    examples: Iterable[Exemplar | None] = (point.exemplars if openmetrics else None) or repeat(None, len(limits))
    for bucket, count, example in zip(texts, accumulate(point.counts or ()), examples, strict=True):
        line = f"{name}_bucket{bucket} {count}"
        yield line if example is None else line + _example(example)
    yield f"{name}_count{text} {point.value}"
    yield f"{name}_sum{text} {number(point.sum or 0.0)}"


def _example(one: Exemplar) -> str:
    """` # {trace_id="…",span_id="…"} value time`: 79 letters of labels, of 128 that the format allows."""
    ids = f'trace_id="{one.trace}",span_id="{one.span}"'
    return f" # {{{ids}}} {number(float(one.value))} {one.at_ms / 1_000!r}"


@lru_cache(maxsize=TEXTS_CACHED)
def _text(labels: tuple[str, ...], values: tuple[str, ...]) -> str:
    """`{model="…",type="input"}`, or nothing."""
    if not labels:
        return ""
    return "{" + ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True)) + "}"


@lru_cache(maxsize=TEXTS_CACHED // 16)
def _bucket_texts(labels: tuple[str, ...], values: tuple[str, ...], limits: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_text((*labels, BOUND), (*values, limit)) for limit in limits)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
