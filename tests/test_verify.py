"""The comparison of the store with what can still be recounted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ccagent.follow.identity import advanced
from ccagent.follow.state import FileState
from ccagent.metrics import names
from ccagent.metrics.snapshot import StoredTotal, StoredTotals
from ccagent.recount import Json
from ccagent.store.audit import StoredFile
from ccagent.store.queries import UsageRow
from ccagent.verify import (
    compare,
    look_for_unknown,
    recount_stored,
    recounted_amounts,
    report,
    stored_amounts,
    within_the_store,
)
from tests.transcripts import Session, Tree, Usage

MAX_LINE = 1 << 20


def stored(path: Path, *, offset: int | None = None, generation: int = 0, lines: int | None = None) -> StoredFile:
    """The row of a file that was taken in up to `offset`, by default whole."""
    data = path.read_bytes()
    end = len(data) if offset is None else offset
    empty = FileState(
        file_id=1, path=os.fsencode(path), device=1, inode=1, size=len(data), mtime_ns=0, offset=0, head=b"",
        head_length=0, marker=b"", generation=generation, lines=data[:end].count(b"\n"), state=0,
    )  # fmt: skip
    with path.open("rb") as file:
        state = advanced(empty, file.fileno(), end)
    return StoredFile(
        file_id=1, path=state.path, device=1, inode=1, size=state.size, mtime_ns=0, offset=state.offset,
        head=state.head, head_length=state.head_length, marker=state.marker, generation=generation,
        lines=state.lines if lines is None else lines, state=0,
    )  # fmt: skip


@pytest.fixture
def session() -> Session:
    session = Session("s-1")
    session.prompt("hello")
    session.request(usage=Usage(input=3, output=40, cache_write=9, cache_write_1h=4))
    session.bash("ls", exit_code=1, usage=Usage(input=1, output=2))
    return session


@pytest.fixture
def path(tmp_path: Path, session: Session) -> Path:
    return Tree(tmp_path).write(session)


def usage_row(key: str = "", **amounts: Any) -> UsageRow:
    tokens = {"input": 4, "output": 42, "cache_read": 0, "cache_write_5m": 5, "cache_write_1h": 4}
    fields: dict[str, Any] = {
        "requests": 2, "tokens": tokens, "cost_microusd": 1, "unpriced_requests": 0, "sessions": 1, "tool_calls": 1,
        "tool_calls_relayed": 0, "tool_errors": 1, "compactions": 0, "lines_bad": 0, "quality": {},
    }  # fmt: skip
    return UsageRow(key=key, **(fields | amounts))


def verdicts(rows: list[Json]) -> dict[str, str]:
    return {str(row["name"]): str(row["verdict"]) for row in rows if row["verdict"] != "equal"}


def compared(path: Path, row: StoredFile, **amounts: Any) -> Json:
    count, census = recount_stored([row], MAX_LINE)
    facts = stored_amounts(usage_row(**amounts), [usage_row("claude-opus-4-6", **amounts)])
    return report(compare(facts, recounted_amounts(count), excused=census.excused), census)


def test_a_store_that_holds_what_the_files_say_is_equal(path: Path) -> None:
    answer = compared(path, stored(path))

    assert (answer["equal"], answer["status"], answer["differences"]) == (True, "equal", [])


@pytest.mark.parametrize("requests", [1, 3])
def test_a_request_lost_or_doubled_is_a_fault(path: Path, requests: int) -> None:
    answer = compared(path, stored(path), requests=requests)

    assert answer["status"] == "fault"
    assert verdicts(answer["differences"]) == {  # type: ignore[arg-type]
        "requests": "fault", "requests{claude-opus-4-6}": "fault",
    }  # fmt: skip


def test_lines_behind_the_stored_offset_are_not_counted(path: Path, session: Session) -> None:
    row = stored(path)
    session.request(usage=Usage(output=1_000_000))
    path.write_bytes(session.content + b'{"type":"assis')

    answer = compared(path, row)

    assert answer["status"] == "equal"
    assert answer["files"]["bytes_left"] > 0  # type: ignore[index]


def test_a_file_that_is_gone_excuses_more_in_the_store_and_not_less(path: Path) -> None:
    row = stored(path)
    path.unlink()

    assert compared(path, row)["status"] == "source gone"
    assert compared(path, row, requests=-1)["status"] == "fault"


def test_a_file_rewritten_since_is_not_recounted(path: Path) -> None:
    row = stored(path)
    path.write_bytes(path.read_bytes().replace(b"hello", b"olleh"))

    answer = compared(path, row)

    assert answer["status"] == "source gone"
    assert answer["files"]["rewritten"] == 1  # type: ignore[index]


def test_a_file_read_anew_once_excuses_what_its_first_content_left(path: Path) -> None:
    answer = compared(path, stored(path, generation=1), requests=5)

    assert answer["status"] == "source gone"


def test_a_wrong_number_of_lines_names_the_file(path: Path) -> None:
    answer = compared(path, stored(path, lines=3))

    assert answer["equal"] is False
    assert len(answer["paths_at_fault"]) == 1  # type: ignore[arg-type]


def test_a_file_that_is_not_a_file_is_counted_and_never_raised(path: Path) -> None:
    row = stored(path)
    path.unlink()
    path.mkdir()

    assert compared(path, row)["files"]["unreadable"] == 1  # type: ignore[index]


def test_a_transcript_that_the_store_does_not_know_is_unread_and_no_fault(path: Path, tmp_path: Path) -> None:
    other = Tree(tmp_path).put("p/new.jsonl", b"{}\n")
    row = stored(path)
    count, census = recount_stored([row], MAX_LINE)

    look_for_unknown(census, [row], [tmp_path])

    answer = report(compare({}, {}, excused=census.excused), census)
    assert answer["status"] == "equal"
    assert answer["files"]["not_taken_in"] == 1  # type: ignore[index]
    assert answer["files"]["bytes"] == path.stat().st_size + other.stat().st_size  # type: ignore[index]
    assert answer["files"]["bytes_taken_in"] + answer["files"]["bytes_left"] == answer["files"]["bytes"]  # type: ignore[index]
    assert count.files == 1


def booked(records: int, output: int) -> StoredTotals:
    amounts = {"input": 4, "output": output, "cache_read": 0, "cache_write_5m": 5, "cache_write_1h": 4}
    rows = [StoredTotal(names.TOKENS, ("m", kind, "p"), False, amount, 0) for kind, amount in amounts.items()]
    rows.append(StoredTotal(names.INGEST_RECORDS, ("user", "new"), False, records, 0))
    rows.append(StoredTotal(names.INGEST_RECORDS, ("line", "quarantined"), False, 7, 0))
    return StoredTotals(totals=tuple(rows))


@pytest.mark.parametrize(
    ("records", "output", "expected"),
    [(4, 42, {}), (5, 42, {"records read": "fault"}), (4, 43, {"booked tokens.output": "fault"})],
)
def test_totals_and_records_obey_conservation(path: Path, records: int, output: int, expected: dict[str, str]) -> None:
    count, _ = recount_stored([stored(path)], MAX_LINE)

    rows = within_the_store(usage_row(), booked(records, output), count, excused=False)

    assert verdicts(rows) == expected


def test_progress_ends_at_the_whole(path: Path) -> None:
    seen: list[tuple[int, int]] = []

    recount_stored([stored(path), stored(path)], MAX_LINE, lambda done, whole: seen.append((done, whole)))

    size = path.stat().st_size
    assert seen == [(size, 2 * size), (2 * size, 2 * size)]
