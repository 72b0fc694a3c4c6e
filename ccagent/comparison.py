"""The store's facts beside the recount, key by key.

Sums alone cannot tell a fact that was lost from one that was never there; keys can. Every difference has one cause:

- `sealed`: retention has removed the fact, its key is kept;
- `source gone`: a transcript that holds lines of it cannot be recounted, so the store may know more, never less;
- `elsewhere`: as before, but the transcript is another host's;
- else it is a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ccagent.facts.model import EventType, Flag
from ccagent.recount import amounts_of_call
from ccagent.recount_lines import Json
from ccagent.tally import COUNTERS, FIRST, KIND, NAME, NEVER, SEEN, SESSION, Entry, Kind, Seen, Tally

if TYPE_CHECKING:
    from ccagent.census import Counted
    from ccagent.store.audit import StoredFact, TextNumbers

TOKEN_KINDS: Final = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
MEASURES: Final = (
    "requests", *(f"tokens.{kind}" for kind in TOKEN_KINDS), "sessions", "tool_calls", "tool_calls_relayed",
    "tool_errors", "compactions",
)  # fmt: skip
"""What is compared, in the order in which it is shown."""

UNKNOWN: Final = "unknown"
"""How a model is called that no record names."""

EXAMPLES: Final = 20
"""Facts at fault that are named one by one."""

_PLACES: Final = {name: place for place, name in enumerate(MEASURES)}
_NUMBERS: Final = {
    Kind.SESSION: _PLACES["sessions"],
    Kind.REQUEST: _PLACES["requests"],
    Kind.CALL: _PLACES["tool_calls"],
    Kind.COMPACTION: _PLACES["compactions"],
}
"""Where the number of such things stands."""

_ANSWERED: Final = Seen.ANSWERED | Seen.ANSWER_RELAYED
_KINDS: Final[dict[int, Kind]] = {
    EventType.SESSION: Kind.SESSION,
    EventType.LLM_REQUEST: Kind.REQUEST,
    EventType.TOOL_CALL: Kind.CALL,
    EventType.COMPACTION: Kind.COMPACTION,
}

Amounts = list[tuple[int, int]]
"""Place in MEASURES, amount."""


class Verdict(StrEnum):
    """How a stored amount stands to the recounted one; the later, the graver."""

    EQUAL = "equal"
    RELABELLED = "relabelled"
    SEALED = "sealed"
    SOURCE_GONE = "source gone"
    FAULT = "fault"


class Cause(StrEnum):
    """Why the store and the recount differ in a fact. The first three are no faults."""

    SEALED = "sealed"
    GONE = "gone"
    ELSEWHERE = "elsewhere"
    MISSING = "missing"
    INVENTED = "in no transcript"
    DIFFERENT = "different"


_EXCUSES: Final = (Cause.SEALED, Cause.GONE, Cause.ELSEWHERE)


@dataclass(slots=True)
class Account:
    """Amounts under one label: what both sides say alike, what each says alone, and why."""

    same: list[int] = field(default_factory=lambda: [0] * len(MEASURES))
    stored: dict[int, int] = field(default_factory=dict)
    recounted: dict[int, int] = field(default_factory=dict)
    causes: dict[int, dict[Cause, int]] = field(default_factory=dict)
    """By place: stored minus recounted, by cause."""

    def row(self, place: int, name: str) -> Json:
        """One amount: {name, stored, recounted, verdict}, with what is sealed, gone and elsewhere where it is not 0."""
        stored = self.same[place] + self.stored.get(place, 0)
        recounted = self.same[place] + self.recounted.get(place, 0)
        causes = self.causes.get(place, {})
        row: Json = {"name": name, "stored": stored, "recounted": recounted, "verdict": self._verdict(place).value}
        return row | {cause.value: abs(causes[cause]) for cause in _EXCUSES if causes.get(cause)}

    def _verdict(self, place: int) -> Verdict:
        causes = self.causes.get(place, {})
        if any(cause not in _EXCUSES for cause in causes):
            return Verdict.FAULT
        if self.stored.get(place, 0) == self.recounted.get(place, 0):
            return Verdict.EQUAL
        return Verdict.SOURCE_GONE if Cause.GONE in causes or Cause.ELSEWHERE in causes else Verdict.SEALED


@dataclass(slots=True)
class Fault:
    """A fact that differs without an excuse."""

    key: bytes
    cause: Cause
    session: str | None


class Comparison:
    """Walks both sides once. With `day`, amounts by session and day are kept too, and owners and times compared."""

    def __init__(
        self,
        tally: Tally,
        files: Mapping[int, Counted],
        texts: TextNumbers,
        unsure: Callable[[StoredFact], bool],
        day: Callable[[int], str] | None = None,
    ) -> None:
        """`unsure` tells of a fact whether lines of it may lie in transcripts that its row does not name."""
        self.total = Account()
        self.models: dict[str, Account] = {}
        self.sessions: dict[str, Account] = {}
        self.days: dict[str, Account] = {}
        self.faults: list[Fault] = []
        self.found: dict[Cause, int] = {}
        self._tally = tally
        self._files = files
        self._gone = any(not counted.intact for counted in files.values())
        self._texts = texts
        self._unsure = unsure
        self._day = day

    def run(self, facts: Iterable[StoredFact], pruned: Iterable[bytes]) -> None:
        """Compare all of both; `facts` and `pruned` in the order of their keys."""
        sealed = _Sorted(pruned)
        recounted = self._tally.sorted()
        known = next(recounted, None)
        for fact in facts:
            while known is not None and known[0] < fact.key:
                self._alone(known[0], known[1], sealed)
                known = next(recounted, None)
            if known is not None and known[0] == fact.key:
                self._both(fact, known[1])
                known = next(recounted, None)
            else:
                self._unknown(fact)
        while known is not None:
            self._alone(known[0], known[1], sealed)
            known = next(recounted, None)

    # ---- one fact ------------------------------------------------------------------------------------------------

    def _both(self, fact: StoredFact, entry: Entry) -> None:
        stored = _of_fact(fact)
        if self._alike(fact, entry):
            for account in self._of_stored(fact):
                for place, amount in stored:
                    account.same[place] += amount
            return
        self._differ(self._cause(fact, entry), fact, stored, entry)

    def _alone(self, key: bytes, entry: Entry, sealed: _Sorted) -> None:
        cause = Cause.SEALED if key in sealed else Cause.MISSING
        self._differ(cause, None, [], entry, key)

    def _unknown(self, fact: StoredFact) -> None:
        own = [self._files[file] for file in fact.files if file in self._files]
        excuse = Cause.GONE if own or not fact.files else Cause.ELSEWHERE
        invented = any(counted.intact for counted in own)
        self._differ(Cause.INVENTED if invented else excuse, fact, _of_fact(fact), None)

    def _differ(
        self, cause: Cause, fact: StoredFact | None, stored: Amounts, entry: Entry | None, key: bytes = b""
    ) -> None:
        self.found[cause] = self.found.get(cause, 0) + 1
        recounted = [] if entry is None else _of_entry(entry)
        sides = [*self._of_stored(fact)] if fact is not None else []
        others = [*self._of_recounted(entry)] if entry is not None else []
        changes: list[tuple[Account, int, int]] = []
        for account in {id(account): account for account in (*sides, *others)}.values():
            change: dict[int, int] = {}
            for accounts, amounts, sign in ((sides, stored, 1), (others, recounted, -1)):
                if any(account is each for each in accounts):
                    side = account.stored if sign > 0 else account.recounted
                    for place, amount in amounts:
                        side[place] = side.get(place, 0) + amount
                        change[place] = change.get(place, 0) + sign * amount
            changes += [(account, place, amount) for place, amount in change.items() if amount]
        if cause in _EXCUSES:
            self._say(cause, changes)
            return
        kind = _KINDS[fact.type] if fact is not None else Kind(entry[KIND] if entry is not None else 0)
        # A fault in what is no amount, a time say, stands at the number of such facts.
        self._say(cause, changes or [(self.total, _NUMBERS[kind], 0)])
        if len(self.faults) < EXAMPLES:
            self.faults.append(Fault(key if fact is None else fact.key, cause, self._session_of(fact, entry)))

    def _say(self, cause: Cause, changes: list[tuple[Account, int, int]]) -> None:
        for account, place, amount in changes:
            causes = account.causes.setdefault(place, {})
            causes[cause] = causes.get(cause, 0) + amount

    def _alike(self, fact: StoredFact, entry: Entry) -> bool:
        kind = entry[KIND]
        if kind != _KINDS[fact.type]:
            return False
        if kind == Kind.REQUEST:
            if list(fact.tokens) != _tokens(entry):
                return False
        elif kind == Kind.CALL and _seen_of(fact) != _plain(entry[SEEN]):
            return False
        named = kind in (Kind.REQUEST, Kind.CALL) and not entry[SEEN] & Seen.DISPUTED
        if named and self._texts.text(fact.name) != self._tally.texts.text(entry[NAME]):
            return False
        if self._day is None or kind == Kind.SESSION:
            return True
        session = self._tally.texts.text(entry[SESSION])
        number = None if session is None else self._texts.number(session)
        return fact.session == number and (NEVER if fact.at is None else fact.at) == entry[FIRST]

    def _cause(self, fact: StoredFact, entry: Entry) -> Cause:
        """Why a fact that both know is not alike."""
        own = [self._files[file] for file in fact.files if file in self._files]
        whole = bool(own) and len(own) == len(fact.files) and all(counted.intact for counted in own)
        if whole and not (self._gone and self._unsure(fact)):
            return Cause.DIFFERENT
        more = all(one >= two for one, two in zip(fact.tokens, _tokens(entry), strict=True))
        stored, seen = _seen_of(fact), _plain(entry[SEEN])
        if stored & Seen.CALLED:
            seen &= ~Seen.RELAYED
        later = fact.at is not None and fact.at > entry[FIRST]
        if not more or stored & seen != seen or later:
            return Cause.DIFFERENT
        return Cause.GONE if whole or any(not counted.intact for counted in own) or not own else Cause.ELSEWHERE

    # ---- labels --------------------------------------------------------------------------------------------------

    def _of_stored(self, fact: StoredFact) -> Iterator[Account]:
        yield self.total
        if fact.type == EventType.LLM_REQUEST:
            yield _account(self.models, self._texts.text(fact.name) or UNKNOWN)
        if self._day is not None and fact.type in (EventType.LLM_REQUEST, EventType.TOOL_CALL):
            yield _account(self.sessions, self._texts.text(fact.session) or UNKNOWN)
            yield _account(self.days, UNKNOWN if fact.at is None else self._day(fact.at))

    def _of_recounted(self, entry: Entry) -> Iterator[Account]:
        texts = self._tally.texts
        yield self.total
        if entry[KIND] == Kind.REQUEST:
            yield _account(self.models, texts.text(entry[NAME]) or UNKNOWN)
        if self._day is not None and entry[KIND] in (Kind.REQUEST, Kind.CALL):
            yield _account(self.sessions, texts.text(entry[SESSION]) or UNKNOWN)
            yield _account(self.days, UNKNOWN if entry[FIRST] == NEVER else self._day(entry[FIRST]))

    def _session_of(self, fact: StoredFact | None, entry: Entry | None) -> str | None:
        if fact is not None:
            return self._texts.text(fact.session)
        return None if entry is None else self._tally.texts.text(entry[SESSION])

    # ---- what came of it -----------------------------------------------------------------------------------------

    def rows(self) -> list[Json]:
        """The totals, then those by model."""
        found = [self.total.row(place, name) for place, name in enumerate(MEASURES)]
        for model in sorted(self.models):
            account = self.models[model]
            found += [account.row(place, f"{name}{{{model}}}") for place, name in enumerate(MEASURES[:6])]
        return found


class _Sorted:
    """Membership in a sorted stream, asked in ascending order."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._keys = iter(keys)
        self._next = next(self._keys, None)

    def __contains__(self, key: bytes) -> bool:
        while self._next is not None and self._next < key:
            self._next = next(self._keys, None)
        return self._next == key


def recounted_amounts(tally: Tally) -> dict[str, int]:
    """The totals of a recount alone, by the names of `Comparison.rows`."""
    amounts = dict.fromkeys(MEASURES, 0)
    models: dict[str, int] = {}
    for _, entry in tally.sorted():
        for place, amount in _of_entry(entry):
            amounts[MEASURES[place]] += amount
            if entry[KIND] == Kind.REQUEST:
                name = f"{MEASURES[place]}{{{tally.texts.text(entry[NAME]) or UNKNOWN}}}"
                models[name] = models.get(name, 0) + amount
    return amounts | {name: models[name] for name in sorted(models)}


def _account(accounts: dict[str, Account], label: str) -> Account:
    known = accounts.get(label)
    if known is None:
        known = accounts[label] = Account()
    return known


def _of_fact(fact: StoredFact) -> Amounts:
    match fact.type:
        case EventType.LLM_REQUEST:
            taken, output, read, write, hour = fact.tokens
            return _of_request(taken, output, read, write, hour)
        case EventType.TOOL_CALL:
            return [(_PLACES[name], 1) for name in amounts_of_call(_seen_of(fact)) if name in _PLACES]
        case EventType.SESSION:
            return [(_NUMBERS[Kind.SESSION], 1)]
        case _:
            return [(_NUMBERS[Kind.COMPACTION], 1)]


def _of_entry(entry: Entry) -> Amounts:
    match entry[KIND]:
        case Kind.REQUEST:
            return _of_request(*_tokens(entry))
        case Kind.CALL:
            return [(_PLACES[name], 1) for name in amounts_of_call(entry[SEEN]) if name in _PLACES]
        case Kind.SESSION:
            return [(_NUMBERS[Kind.SESSION], 1)]
        case _:
            return [(_NUMBERS[Kind.COMPACTION], 1)]


def _of_request(taken: int, output: int, read: int, write: int, hour: int) -> Amounts:
    # A write whose lifetime is not told has the short one.
    return [*enumerate((1, taken, output, read, write - hour, hour))]


def _tokens(entry: Entry) -> list[int]:
    taken, output, read, write, _, hour = entry[COUNTERS:]
    return [taken, output, read, write, hour]


def _seen_of(fact: StoredFact) -> int:
    """The flags of a stored call as a recount would have them."""
    if fact.type != EventType.TOOL_CALL:
        return 0
    seen = 0
    if fact.name is not None:
        seen = Seen.CALLED if fact.flags & Flag.DIRECT else Seen.RELAYED
    if fact.flags & Flag.RESULT:
        seen |= Seen.ANSWERED
    if fact.flags & Flag.ERROR:
        seen |= Seen.FAILED
    return int(seen)


def _plain(seen: int) -> int:
    """What the store keeps of the flags: not whether a call was relayed too, nor who told its result."""
    kept = seen & (Seen.CALLED | Seen.FAILED)
    if seen & Seen.RELAYED and not seen & Seen.CALLED:
        kept |= Seen.RELAYED
    if seen & _ANSWERED:
        kept |= Seen.ANSWERED
    return int(kept)
