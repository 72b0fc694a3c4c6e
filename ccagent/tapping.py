"""What leaves, as it leaves: the items behind each cursor that moved, built again as the sender built them.

Spans and records follow from their facts alone, so what is shown here is what was sent, without a way into the daemon
that could be misused. Only this machine's cursors are looked at, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ccagent.config import Config
from ccagent.outgoing import encoding_of, own_host
from ccagent.previewing import policies
from ccagent.store.connection import Connection

if TYPE_CHECKING:
    from ccagent.export.otlp.closed import ClosedFact
    from ccagent.export.otlp.encoding import Encoding, Policies
    from ccagent.otlp_destination import Destination
    from ccagent.otlp_settings import OtlpSettings
    from ccagent.store.outbox import Cursor

PAGE: Final = 512
"""Facts read at once."""

Reader = Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tapped:
    """One item that left: to which destination, as which signal, of which fact."""

    destination: str
    signal: str
    fact: ClosedFact
    item: Any


class Tap:
    """Looks at the cursors of `targets`; `poll` gives what they passed since the last look."""

    def __init__(self, reader: Reader, config: Config, settings: OtlpSettings, *, shared: bool) -> None:
        self._reader = reader
        self.targets: list[Destination] = [one for one in settings.destinations if one.signal != "metrics"]
        self._encodings: dict[str, Encoding] = {one.key: encoding_of(one, settings) for one in self.targets}
        with reader() as conn:
            self._host = own_host(conn, config, shared=shared).id
            self._policy: Policies = policies(conn, settings)
            self._seen = {one.key: cursor.closed_seq for one in self.targets if (cursor := self._cursor(conn, one))}

    def poll(self) -> list[Tapped]:
        """What left since the last look, by destination, in the order of sending."""
        found: list[Tapped] = []
        with self._reader() as conn:
            for target in self.targets:
                cursor = self._cursor(conn, target)
                if cursor is not None:
                    # A destination that is named while one looks has passed nothing before.
                    found += self._passed(conn, target, cursor, self._seen.get(target.key, 0))
                    self._seen[target.key] = cursor.closed_seq
        return found

    def _cursor(self, conn: Connection, target: Destination) -> Cursor | None:
        from ccagent.store.outbox import read_cursor

        return read_cursor(conn, target.name, target.signal, self._host)

    def _passed(self, conn: Connection, target: Destination, cursor: Cursor, after: int) -> list[Tapped]:
        from ccagent.store.outbox import buried, closed_facts

        encoding = self._encodings[target.key]
        found: list[Tapped] = []
        while after < cursor.closed_seq:
            rows = closed_facts(
                conn, self._host, after, PAGE, upto_seq=cursor.closed_seq, not_before=cursor.not_before,
                types=encoding.types,
            )  # fmt: skip
            if not rows:
                break
            refused = buried(conn, cursor, [fact.key for _, fact in rows])
            for _, fact in rows:
                policy = self._policy(fact.cwd, fact.project)
                if policy.tier >= 1 and fact.key not in refused:
                    found += [
                        Tapped(destination=target.name, signal=target.signal, fact=fact, item=item)
                        for item in encoding.build(fact, policy)
                    ]
            after = rows[-1][0]
        return found


def sentence(one: Tapped) -> str:
    """The item on one line: when it ended, where it went, its name, and the attributes that tell most."""
    from ccagent.export.otlp.placing import LATEST_MS

    ended = min(one.fact.last_at or 0, LATEST_MS)  # of the year 9999 some zones have no end
    moment = datetime.fromtimestamp(ended / 1_000).astimezone().strftime("%H:%M:%S")
    name = getattr(one.item, "name", "") or getattr(one.item, "event_name", "") or one.item.body.string_value
    values = {pair.key: _plain(pair.value) for pair in one.item.attributes}
    told = " ".join(f"{key.rpartition('.')[2]}={values[key]}" for key in _TELLING if key in values)
    return f"{moment} {one.destination}/{one.signal:<6} {name}  {told}".rstrip()


_TELLING: Final = (
    "ccagent.status", "error.type", "gen_ai.tool.name", "gen_ai.request.model", "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens", "ccagent.project",
)  # fmt: skip


def _plain(value: Any) -> object:
    return getattr(value, str(value.WhichOneof("value")), "")
