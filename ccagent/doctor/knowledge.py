"""Whether ccagent still knows what it reads: new things in transcripts, prices, models, and rules of older versions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Final

from ccagent.doctor.finding import Finding, counted, fail, ok, warn
from ccagent.doctor.ground import Ground
from ccagent.errors import CcagentError, ConfigError

OLD_DAYS: Final = 60
"""Models and their prices change about so often; an older table misses some."""

RECENT_MS: Final = 30 * 24 * 3_600 * 1_000
"""What happened before is no reason to act today."""

_DATED: Final = re.compile(r"\d{4}-\d\d-\d\d")
_PLAIN: Final = re.compile(r"\d+(?:\.\d+){0,3}")


def prices(ground: Ground) -> Iterator[Finding]:
    """How old the price table is, and whether models were met that it does not have."""
    from ccagent.price_file import load_prices

    try:
        named = load_prices(ground.config).version
    except ConfigError:
        yield fail("prices", "the price file that is set cannot be used", "`ccagent config check`, then mend the file")
        return
    dated = _DATED.match(named)
    made = date.fromisoformat(dated[0]) if dated else None
    days = None if made is None else (datetime.fromtimestamp(ground.now_ms / 1_000, UTC).date() - made).days
    said = "of an unknown day" if days is None else f"of {made}, {counted(max(days, 0), 'day')} old"
    said += ", with a file of your own over it" if ground.config.prices.override is not None else ""
    if unpriced := _unpriced(ground):
        yield warn(
            "prices", f"{counted(unpriced, 'request')} of the last 30 days without a price (table {said})",
            "`ccagent usage --by model` names the models; install a newer ccagent, or set prices.override",
        )  # fmt: skip
    elif days is not None and days > OLD_DAYS:
        yield warn("prices", f"the table is {said}", "install a newer ccagent, or set prices.override")
    else:
        yield ok("prices", f"the table is {said}")


def _unpriced(ground: Ground) -> int:
    from ccagent.store.open import open_reader
    from ccagent.store.queries import usage

    if not ground.stored:
        return 0
    try:
        with open_reader(ground.database) as reader:
            rows = usage(reader, by="total", since_ms=ground.now_ms - RECENT_MS, until_ms=None, timezone=None)
    except CcagentError:
        return 0  # the check of the database tells of it
    return sum(row.unpriced_requests for row in rows)


def drift(ground: Ground) -> Iterator[Finding]:
    """Whether the newest client writes what this version does not know, and whether facts follow today's rules."""
    from ccagent.drift import summary
    from ccagent.store.hosts import read_host
    from ccagent.store.open import open_reader
    from ccagent.store.provenance import outdated

    if not ground.stored:
        return
    with open_reader(ground.database) as reader:
        new = summary(reader, ground.database)
        host = read_host(reader) if ground.database.kind == "sqlite" else None
        older = host is not None and outdated(reader, host.id) is not None
    if new is not None:
        client = str(new["client_version"])
        version = f" {client}" if _PLAIN.fullmatch(client) else ""
        yield warn(
            "drift", f"{counted(int(new['new']), 'thing')} unknown here in transcripts of the newest client{version}",
            "`ccagent drift` lists them, `ccagent drift --report` makes an issue of them; install a newer ccagent",
        )  # fmt: skip
    else:
        yield ok("drift", "nothing unknown in transcripts of the newest client")
    if older:
        todo = "stop ccagent and run `ccagent backfill --rebuild`"
        yield warn("rules", "facts were derived by the rules of an older version", todo)
