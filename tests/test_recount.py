"""The independent recount meets totals that were stated without it: by hand, and for real transcripts."""

from __future__ import annotations

import io
import sys
from importlib import util
from pathlib import Path
from types import ModuleType

import orjson
import pytest

from ccagent.recount import Reading, Recount, moment
from ccagent.recount_lines import complete_lines, pieces_of, transcript_files
from tests.recounting import recount
from tests.transcripts import (
    Session,
    Tree,
    Usage,
    lone_surrogate,
    nul_run,
    spliced,
    text,
    truncated,
    with_line_separators,
    with_nuls,
)

FIXTURES = Path(__file__).parent / "fixtures" / "transcripts"
GENERATIONS = sorted(path.name for path in FIXTURES.iterdir())


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The committed script that writes the fixtures."""
    path = Path(__file__).parent.parent / "scripts" / "generate_fixtures.py"
    spec = util.spec_from_file_location("generate_fixtures", path)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def one_reply() -> bytes:
    session = Session("s-1")
    session.request("a reply", usage=Usage(input=3, output=7))
    return session.content


def counted(*lines: bytes) -> Recount:
    count = Recount()
    for line in lines:
        count.add_line(line)
    return count


@pytest.mark.parametrize("version", GENERATIONS)
def test_the_golden_transcripts_give_the_totals_stated_beside_them(version: str) -> None:
    expected = orjson.loads((FIXTURES / version / "expected.json").read_bytes())

    assert recount(FIXTURES / version / "projects") == expected


def test_the_committed_fixtures_are_what_their_script_writes(generator: ModuleType) -> None:
    assert generator.main(["--check"]) == 0


def test_the_check_of_the_fixtures_sees_a_changed_byte(generator: ModuleType, tmp_path: Path) -> None:
    generator.write(tmp_path / "one")
    generator.write(tmp_path / "two")
    victim = tmp_path / "one" / "2.0.76" / "expected.json"
    victim.write_bytes(victim.read_bytes() + b" ")

    assert generator.stale(tmp_path / "one", tmp_path / "two") == ["2.0.76/expected.json"]


@pytest.mark.corpus
def test_real_transcripts_give_their_known_totals(corpus: Path) -> None:
    truth = orjson.loads((corpus / "truth.json").read_bytes())

    totals = recount(corpus / "projects")

    assert {name: totals[name] for name in truth} == truth


def test_a_request_takes_the_largest_of_each_counter_over_its_lines() -> None:
    session = Session("s-1", version="2.0.76")
    session.assistant(text("a"), text("b"), text("c"), usage=Usage(input=3, cache_write=9), outputs=(2, 50, 40))

    totals = counted(*(line.raw for line in session.lines)).totals()

    assert totals["tokens"] == {
        "input_tokens": 3, "output_tokens": 50, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 9,
        "w5m": 9, "w1h": 0, "requests": 1,
    }  # fmt: skip


def test_a_copy_under_another_session_is_the_same_request() -> None:
    line = one_reply()

    totals = counted(line, line.replace(b'"s-1"', b'"s-2"')).totals()

    assert totals["requests"] == 1
    assert totals["sessions"] == 2


def test_without_a_request_id_each_session_has_its_own_request() -> None:
    session = Session("s-1")
    session.assistant(text("hi"), request_id=None)

    totals = counted(session.content, session.content.replace(b'"s-1"', b'"s-2"')).totals()

    assert totals["requests"] == 2


def test_synthetic_messages_are_no_requests() -> None:
    session = Session()
    session.api_failure()

    assert counted(session.content).totals()["requests"] == 0


def test_steps_beside_the_reply_are_requests_of_their_own() -> None:
    line = orjson.loads(one_reply())
    step = {"type": "advisor_message", "model": "claude-opus-5", "input_tokens": 20, "output_tokens": 30}
    whole = {"type": "compaction", "input_tokens": 5, "output_tokens": 6}
    line["message"]["usage"]["iterations"] = [{"type": "message", "input_tokens": 3, "output_tokens": 7}, step, whole]

    totals = counted(orjson.dumps(line)).totals()

    assert totals["requests"] == 3
    assert totals["by_model"][line["message"]["model"]]["requests"] == 2  # type: ignore[index]
    assert totals["by_model"]["claude-opus-5"]["output_tokens"] == 30  # type: ignore[index]
    assert totals["tokens"]["output_tokens"] == 43  # type: ignore[index]


def test_cache_writes_are_at_least_the_parts_that_a_line_states() -> None:
    line = orjson.loads(one_reply())
    line["message"]["usage"] |= {
        "cache_creation_input_tokens": 40,
        "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 100},
    }

    assert counted(orjson.dumps(line)).totals()["tokens"]["cache_creation_input_tokens"] == 130  # type: ignore[index]


def test_a_call_seen_only_in_agent_progress_stands_apart() -> None:
    session = Session()
    session.agent_progress("toolu_launch", "a1", {"type": "tool_use", "id": "toolu_in", "name": "Read", "input": {}})

    totals = counted(session.content).totals()

    assert (totals["tool_calls"], totals["tool_calls_relayed"], totals["requests"]) == (0, 1, 1)


def test_an_error_counts_even_where_its_call_is_not_seen() -> None:
    session = Session()
    session.result("toolu_elsewhere", "no", is_error=True)

    totals = counted(session.content).totals()

    assert (totals["tool_calls"], totals["tool_results"], totals["tool_errors"]) == (0, 1, 1)


def test_wrong_shapes_spoil_the_field_and_not_the_record() -> None:
    line = orjson.loads(one_reply())
    line["message"]["usage"] |= {"output_tokens": "many", "cache_creation": [], "cache_read_input_tokens": True}

    totals = counted(orjson.dumps(line)).totals()

    assert totals["requests"] == 1
    assert totals["tokens"] == {
        "input_tokens": 3, "output_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0,
        "w5m": 0, "w1h": 0, "requests": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "objects", "bad"),
    [
        (b'{"a":1}\n', 1, False),
        (spliced(b'{"a":1}\n', b'{"b":2}\n'), 2, True),
        (truncated(b'{"a":"long enough"}\n', then=b'{"b":2}\n'), 0, True),
        (b'{"a":1}{"b":\n', 1, True),
        (nul_run(8), 0, True),
        (with_nuls(b'{"a":1}\n'), 1, False),
        (b"[1,2]\n", 0, True),
        (b"\xef\xbb\xbf" + b'{"a":1}\n', 1, False),
        (lone_surrogate(b'{"a":"a reply"}\n'), 1, False),
        (b'{"a":"\xff"}\n', 1, False),
        (with_line_separators(b'{"a":1}\n'), 1, False),
        (b"[" * 100_000 + b"\n", 0, True),
    ],
    ids=["whole", "spliced", "torn", "whole-then-torn", "nuls", "behind-nuls", "list", "bom", "surrogate", "not-utf8",
         "separators", "deep"],
)  # fmt: skip
def test_whole_objects_are_recovered_from_the_start_of_a_line(line: bytes, objects: int, bad: bool) -> None:
    found, is_bad, _ = pieces_of(line)

    assert (len(found), is_bad) == (objects, bad)


@pytest.mark.parametrize(
    ("data", "limit", "lines"),
    [
        (b"one\ntwo\nthr", None, [b"one\n", b"two\n"]),
        (b"one\ntwo\n", 4, [b"one\n"]),
        (b"one\ntwo\n", 6, [b"one\n"]),
        (b"one\ntwo\n", 0, []),
        (b"0123456789\nup\n", None, [None, b"up\n"]),
        (b"01234567\nup\n", None, [b"01234567\n", b"up\n"]),
        (b"012345678\nup\n", None, [None, b"up\n"]),
        (b"0123456789" * 5, None, []),
        (b"a\x0b\xc2\x85\rd\n", None, [b"a\x0b\xc2\x85\rd\n"]),
    ],
)
def test_lines_end_at_newlines_alone(data: bytes, limit: int | None, lines: list[bytes | None]) -> None:
    """Lines of 8 bytes or less, newline not included, are given whole; a longer one is read past."""
    assert list(complete_lines(io.BytesIO(data), limit, max_line=8)) == lines


def test_journals_tool_results_and_links_are_no_transcripts(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "projects")
    wanted = tree.put("a/s.jsonl", b"{}\n")
    tree.put("a/s/tool-results/x.jsonl", b"{}\n")
    tree.put("a/journal.jsonl", b"{}\n")
    tree.put("a/notes.txt", b"{}\n")
    (tree.root / "a" / "link.jsonl").symlink_to(wanted)
    (tree.root / "b").symlink_to(tree.root / "a")

    assert list(transcript_files(tree.root)) == [wanted]


def test_a_failure_that_the_client_wrote_is_no_request_whatever_its_model() -> None:
    line = orjson.loads(one_reply()) | {"isApiErrorMessage": True}

    assert counted(orjson.dumps(line)).totals()["requests"] == 0


def test_a_call_in_a_user_record_is_a_call() -> None:
    line = orjson.loads(one_reply())
    line["type"] = "user"
    line["message"] = {"role": "user", "content": [{"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}}]}

    assert counted(orjson.dumps(line)).totals()["tool_calls"] == 1


def test_a_line_without_a_session_stands_in_that_of_the_line_before() -> None:
    first = orjson.loads(one_reply()) | {"requestId": None}
    second = {name: value for name, value in first.items() if name != "sessionId"}

    assert counted(orjson.dumps(first), orjson.dumps(second)).totals()["requests"] == 1


def test_counts_beyond_a_million_millions_are_none() -> None:
    line = orjson.loads(one_reply())
    line["message"]["usage"] |= {"output_tokens": 2**40 + 1, "input_tokens": 2**40}

    assert counted(orjson.dumps(line)).totals()["tokens"] == {
        "input_tokens": 2**40, "output_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0,
        "w5m": 0, "w1h": 0, "requests": 1,
    }  # fmt: skip


def test_a_boundary_without_a_uuid_is_known_by_its_bytes() -> None:
    line = {"type": "system", "subtype": "compact_boundary", "sessionId": "s"}
    other = line | {"note": "another"}

    totals = counted(orjson.dumps(line), orjson.dumps(line), orjson.dumps(other)).totals()

    assert totals["compactions"] == 2


def test_the_owner_of_copies_gives_the_model() -> None:
    """The main chain goes before a sub-agent, whatever was read first."""
    line = orjson.loads(one_reply())
    aside = orjson.loads(one_reply()) | {"isSidechain": True}
    aside["message"]["model"] = "claude-other"

    for lines in ((line, aside), (aside, line)):
        assert set(counted(*map(orjson.dumps, lines)).totals()["by_model"]) == {line["message"]["model"]}  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:01.500Z", 1_500),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:02", 2_000),
        ("1969-12-31T23:59:59Z", None),
        ("soon", None),
        ("", None),
        (7, None),
        ("9999-12-31T23:59:59.999-12:00", None),
    ],
)
def test_times_are_read_as_utc_and_broken_ones_are_none(text: object, ms: int | None) -> None:
    assert moment(text) == ms


def test_a_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What a line needs of those before it is kept: here their session, which names the request."""
    first = orjson.loads(one_reply()) | {"requestId": None}
    second = {name: value for name, value in first.items() if name not in ("sessionId", "timestamp")}
    data = [orjson.dumps(line) + b"\n" for line in (first, second)]
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"".join(data))
    count, reading = Recount(), Reading.of(path, with_keys=True)

    for limit in (len(data[0]), len(data[0]) + len(data[1])):
        with path.open("rb") as file:
            file.seek(reading.offset)
            count.read(reading, file, limit)

    assert (count.totals()["requests"], count.files, reading.lines, len(reading.keys or ())) == (1, 1, 2, 2)


def test_a_file_is_counted_up_to_the_given_byte(tmp_path: Path) -> None:
    line = one_reply()
    other = line.replace(b"msg_01", b"msg_02")
    path = tmp_path / "s.jsonl"
    path.write_bytes(line + other)
    count = Recount()

    lines = count.add_file(path, limit=len(line))

    assert lines == 1
    assert count.totals()["requests"] == 1
