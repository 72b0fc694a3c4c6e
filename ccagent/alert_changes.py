"""What `ccagent alerts add`, `edit`, `enable`, `disable`, `rm` and `silence` write: one short transaction each, beside a
daemon (which looks for changes at every evaluation) or without one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ccagent.alert_reading import SCHEMA_VERSION, changed_by, database_of, named, no_rule, rfc3339
from ccagent.alerts.editing import changed, merged, ordered
from ccagent.alerts.faults import AlertRuleError
from ccagent.config import Config
from ccagent.errors import UsageError

if TYPE_CHECKING:
    from ccagent.alerts.rule import Rule
    from ccagent.store.alert_rules import StoredRule
    from ccagent.store.connection import Connection

NO_DAEMON: Final = "no daemon runs; rules are evaluated while `ccagent run` does"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became, or would become, of a rule. `before` is None for a new one."""

    id: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    dry_run: bool = False
    note: str | None = None  # why it is not evaluated although it is on

    @property
    def differences(self) -> list[tuple[str, Any, Any]]:
        """Keys whose values differ: key, before, after."""
        return changed(self.before or {}, self.after or {})

    def document(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "schema_version": SCHEMA_VERSION,
            "id": self.id,
            "dry_run": self.dry_run,
            "note": self.note,
            "before": None if self.before is None else ordered(self.before),
            "after": None if self.after is None else ordered(self.after),
        }


@contextmanager
def refusing() -> Iterator[None]:
    """What is wrong with a rule is wrong usage."""
    try:
        yield
    except AlertRuleError as error:
        raise UsageError(str(error)) from error


def parsed(config: Config, document: Mapping[str, Any]) -> Rule:
    """The rule that the document says; UsageError, with the right values, where it is none, or names an unknown channel."""
    from ccagent.alerts.parsing import parse

    with refusing():
        rule = parse(document)
    channels = config.alerts.channels
    for channel in rule.channels if "channels" in document else ():
        if channel not in channels:
            raise UsageError(f"there is no channel {channel!r}; there are {', '.join(channels)} (docs/alerts.md)")
    return rule


def add(config: Config, document: Mapping[str, Any], *, now_ms: int, dry_run: bool = False) -> Change:
    """Enter a new rule. UsageError where it cannot be taken, or there is one of its id."""
    from ccagent.store.alert_rules import Origin, put_rule, read_rule
    from ccagent.store.brief import brief_write
    from ccagent.store.open import open_reader

    rule = parsed(config, document)
    change = Change(id=rule.id, before=None, after=document, dry_run=dry_run)
    if dry_run:
        with open_reader(database_of(config)) as reader:
            _free(read_rule(reader, rule.id), rule.id)
        return change
    with brief_write(database_of(config)) as conn:
        begun(conn, config, now_ms)
        _free(read_rule(conn, rule.id), rule.id)
        put_rule(conn, document, origin=Origin.CLI, now_ms=now_ms)
    return change


def edit(
    config: Config,
    rule_id: str,
    changes: Mapping[str, Any],
    *,
    when: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
    reset: bool = False,
    now_ms: int,
    dry_run: bool = False,
) -> Change:
    """Say some of a rule anew, or with `reset` all of a rule of the pack as the pack says it. UsageError where that is refused."""
    from ccagent.alert_book import synced
    from ccagent.store.alert_rules import put_rule
    from ccagent.store.brief import brief_write
    from ccagent.store.open import open_reader

    if changes.get("id", rule_id) != rule_id:
        raise UsageError("a rule keeps its id; add another and remove this one")

    def after(stored: StoredRule) -> dict[str, Any]:
        if reset and stored.base is None:
            raise UsageError(f"{rule_id} is no rule of ccagent's own: there is nothing to reset it to")
        start = {**stored.base, "enabled": stored.enabled} if reset and stored.base is not None else stored.document
        with refusing():
            return {**merged(start, changes, when=when, without=without), "id": rule_id}

    if dry_run:
        with open_reader(database_of(config)) as reader:
            stored = _changeable(config, named(reader, rule_id))
        document = after(stored)
        parsed(config, document)
        return Change(id=rule_id, before=stored.document, after=document, dry_run=True)
    with brief_write(database_of(config)) as conn:
        begun(conn, config, now_ms)
        stored = _changeable(config, named(conn, rule_id))
        document = after(stored)
        parsed(config, document)
        if changed(stored.document, document):
            put_rule(
                conn, document, origin=stored.origin, base=stored.base, now_ms=now_ms, note=_note(stored, document)
            )  # fmt: skip
            if reset:
                synced(conn, config.alerts, now_ms)  # what its budget says of it holds again
    return Change(id=rule_id, before=stored.document, after=document)


def switch(config: Config, rule_ids: Sequence[str], *, on: bool, now_ms: int) -> list[Change]:
    """Switch rules on or off, all or none of them. Patterns (`budget-*`) mean every rule that they fit."""
    from ccagent.store.alert_rules import rules, set_enabled
    from ccagent.store.brief import brief_write

    made = []
    with brief_write(database_of(config)) as conn:
        begun(conn, config, now_ms)
        for stored in _chosen(rules(conn), rule_ids):
            _changeable(config, stored)
            after = {**stored.document, "enabled": on}
            if on:
                parsed(config, after)
            if stored.enabled is not on:
                set_enabled(conn, stored.id, on, now_ms)
            made.append(Change(id=stored.id, before=stored.document, after=after, note=stored.note if on else None))
    return made


def remove(config: Config, rule_ids: Sequence[str], *, now_ms: int) -> list[Change]:
    """Remove rules, all or none of them. UsageError for one of the pack, which would come back."""
    from ccagent.store.alert_rules import Origin, remove_rule, rules
    from ccagent.store.brief import brief_write

    made = []
    with brief_write(database_of(config)) as conn:
        for stored in _chosen(rules(conn), rule_ids):
            if stored.origin is Origin.DEFAULT:
                raise UsageError(
                    f"{stored.id} is a rule of ccagent's own and would come back;"
                    f" `ccagent alerts disable {stored.id}` switches it off"
                )
            _changeable(config, stored)
            remove_rule(conn, stored.id, now_ms)
            made.append(Change(id=stored.id, before=stored.document, after=None))
    return made


def silence(
    config: Config, rule: str, *, until_ms: int, subject: str | None = None, comment: str = "", now_ms: int
) -> dict[str, Any]:
    """Tell nobody of rules (an id or a pattern) and subjects (a pattern, None: all) until then."""
    from fnmatch import fnmatchcase

    from ccagent.store import alert_states
    from ccagent.store.alert_rules import rules
    from ccagent.store.brief import brief_write

    with brief_write(database_of(config)) as conn:
        begun(conn, config, now_ms)
        ids = [stored.id for stored in rules(conn)]
        fit = [one for one in ids if fnmatchcase(one, rule)]
        if not fit and rule != "*":
            raise no_rule(rule, ids)
        number = alert_states.add_silence(
            conn,
            rule=None if rule == "*" else rule,
            subject=None if subject in (None, "*") else subject,
            until=until_ms,
            comment=comment,
            now_ms=now_ms,
        )
        touch(conn)
    return {
        "schema_version": SCHEMA_VERSION,
        "id": number,
        "rules": fit,
        "subject": subject or "*",
        "until": rfc3339(until_ms),
        "comment": comment,
    }


def end_silences(config: Config, numbers: Sequence[int]) -> int:
    """End silences; UsageError where one of them is not there."""
    from ccagent.store import alert_states
    from ccagent.store.brief import brief_write

    with brief_write(database_of(config)) as conn:
        there = {one.id for one in alert_states.silences(conn)}
        if missing := sorted(set(numbers) - there):
            listed = ", ".join(map(str, sorted(there))) or "none"
            raise UsageError(f"there is no silence {missing[0]}; there are: {listed}")
        ended = alert_states.remove_silences(conn, set(numbers))
        touch(conn)
    return ended


def touch(conn: Connection) -> None:
    """Say that something changed that a daemon should look at."""
    from ccagent.store.alert_version import touch as told

    told(conn)


def begun(conn: Connection, config: Config, now_ms: int) -> None:
    """Enter ccagent's own rules and those of the file where no daemon has done it yet; a running one keeps them in step."""
    from ccagent.store.alert_rules import rules

    if not rules(conn):
        from ccagent.alert_book import synced

        synced(conn, config.alerts, now_ms)


def daemon_hint(config: Config) -> str | None:
    """What to say where nobody evaluates rules on this machine; None where a daemon runs."""
    from ccagent.store.instance import holder

    return None if holder(database_of(config).sidecar) is not None else NO_DAEMON


def _free(stored: StoredRule | None, rule_id: str) -> None:
    if stored is not None:
        raise UsageError(
            f"there is a rule {rule_id!r} already ({stored.origin}); `ccagent alerts edit {rule_id}` changes it"
        )


def _changeable(config: Config, stored: StoredRule) -> StoredRule:
    from ccagent.store.alert_rules import Origin

    if stored.origin is Origin.CONFIG:
        raise UsageError(f"{stored.id} cannot be changed from here: {changed_by(config, stored)}")
    return stored


def _note(stored: StoredRule, document: Mapping[str, Any]) -> str | None:
    """Why a rule is not evaluated, which an amount of the owner's own settles."""
    return stored.note if document.get("threshold") == stored.document.get("threshold") else None


def _chosen(known: Sequence[StoredRule], wanted: Sequence[str]) -> list[StoredRule]:
    from fnmatch import fnmatchcase

    found: dict[str, StoredRule] = {}
    for each in wanted:
        fit = [stored for stored in known if fnmatchcase(stored.id, each)]
        if not fit:
            raise no_rule(each, (stored.id for stored in known))
        found.update((stored.id, stored) for stored in fit)
    return list(found.values())
