"""A file of Claude Code's own telemetry held against the transcripts."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ccagent.cli import main
from ccagent.cli.output import MAX_WIDTH
from ccagent.cli.reconcile_output import reconcile_lines
from tests.reconcile import telemetry
from tests.transcripts import Session, Tree, Usage, text

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "json.md"


def a_session(name: str, requests: int = 3) -> Session:
    session = Session(name, seed=name)
    session.prompt("hello")
    for number in range(requests):
        session.assistant(
            text("one"),
            text("two"),
            usage=Usage(input=number + 1, output=10, cache_read=100, cache_write=40, cache_write_1h=15),
        )
    session.bash("ls")
    session.turn_duration(5_000)
    return session


class Ground:
    """Transcripts, a file of telemetry, and the command between them."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.tree = Tree(folder / "projects")
        self.file = folder / "telemetry"
        self._source = folder / "projects"
        self._capsys = capsys

    def run(self, *options: str) -> int:
        return main(["reconcile", str(self.file), "--source", str(self._source), *options])

    def answer(self) -> dict[str, Any]:
        self._capsys.readouterr()
        assert self.run("--json") == 0
        found: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return found


@pytest.fixture
def ground(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ground:
    return Ground(tmp_path, capsys)


FORMS: dict[str, Callable[[list[Any]], bytes]] = {
    "json": lambda requests: b"".join(map(telemetry.json_line, requests)),
    "json, gzip": lambda requests: gzip.compress(b"".join(map(telemetry.json_line, requests))),
    "length": lambda requests: b"".join(map(telemetry.behind_length, requests)),
    "varint": lambda requests: b"".join(map(telemetry.behind_varint, requests)),
    "length, gzip": lambda requests: gzip.compress(b"".join(map(telemetry.behind_length, requests))),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_the_telemetry_has_caught_of_each_session(ground: Ground, form: str) -> None:
    whole, half, missed = a_session("s-whole"), a_session("s-half", 5), a_session("s-missed", 2)
    ground.tree.write(whole, half, missed)
    first = [telemetry.api_request(record) for record in telemetry.replies(whole)]
    second = [telemetry.api_request(record) for record in telemetry.replies(half)[:2]]
    tools = telemetry.tool_results(whole)
    ground.file.write_bytes(FORMS[form]([telemetry.logs(first), telemetry.logs(second), telemetry.logs(tools)]))

    found = ground.answer()

    rows = {row["session"]: row for row in found["sessions"]}
    assert rows["s-whole"]["requests"] == {"both": 4, "transcript_only": 0, "native_only": 0, "differing": 0}
    assert rows["s-whole"]["caught"] == 1
    assert rows["s-whole"]["tools"] == {"both": 1, "transcript_only": 0, "native_only": 0}
    assert rows["s-whole"]["tokens"]["native"] == rows["s-whole"]["tokens"]["transcript"]
    assert rows["s-whole"]["tokens"]["transcript"]["cache_creation"] == 3 * 40
    assert rows["s-whole"]["cost_microusd"]["native"] == 4 * 250_000
    assert rows["s-half"]["requests"] == {"both": 2, "transcript_only": 4, "native_only": 0, "differing": 0}
    assert rows["s-half"]["tools"]["transcript_only"] == 1
    assert rows["s-half"]["cost_microusd"]["transcript"] > 0
    assert rows["s-missed"]["requests"]["both"] == 0
    assert found["total"]["requests"]["both"] == 6
    assert found["payloads"] == {"taken": 3, "bad": 0}


def test_a_single_request_is_taken_as_json_and_as_protobuf(ground: Ground) -> None:
    session = a_session("s")
    ground.tree.write(session)
    request = telemetry.logs(telemetry.api_request(record) for record in telemetry.replies(session))
    pretty = json.dumps(json.loads(telemetry.json_line(request)), indent=2).encode()
    for data in (request.SerializeToString(), pretty):
        ground.file.write_bytes(data)

        assert ground.answer()["total"]["requests"]["both"] == 4


@pytest.mark.parametrize("form", ["json", "length", "varint"])
def test_an_event_and_a_span_of_one_request_are_one(ground: Ground, form: str) -> None:
    session = a_session("s")
    ground.tree.write(session)
    events, spans = [], []
    for number, record in enumerate(telemetry.replies(session), 1):
        events.append(telemetry.api_request(record))
        attributes = {"session.id": "s", "request_id": record["requestId"], "output_tokens": 999, "success": True}
        spans.append(telemetry.span("llm_request", record, attributes, number))
        failed = {"session.id": "s", "request_id": f"req_failed_{number}", "success": False}
        spans.append(telemetry.span("llm_request", record, failed, 100 + number))
        spans.append(
            telemetry.span("tool", record, {"session.id": "s", "tool_use_id": f"toolu_{number}"}, 200 + number)
        )
        spans.append(telemetry.span("tool.execution", record, {"tool_use_id": f"toolu_x{number}"}, 300 + number))
    ground.file.write_bytes(FORMS[form]([telemetry.logs(events), telemetry.traces(spans)]))

    (row,) = ground.answer()["sessions"]

    assert row["requests"] == {"both": 4, "transcript_only": 0, "native_only": 0, "differing": 4}
    assert row["tokens"]["native"]["output"] == 4 * 999
    assert row["tools"] == {"both": 0, "transcript_only": 1, "native_only": 4}


def test_what_the_transcripts_lack_is_known_to_the_telemetry_alone(ground: Ground) -> None:
    kept, gone = a_session("s-kept"), a_session("s-gone")
    ground.tree.write(kept)
    events = [telemetry.api_request(record) for each in (kept, gone) for record in telemetry.replies(each)]
    nameless = telemetry.api_request(telemetry.replies(kept)[0], request_id=None)
    ground.file.write_bytes(telemetry.json_line(telemetry.logs([*events, nameless])))

    found = ground.answer()

    rows = {row["session"]: row for row in found["sessions"]}
    assert rows["s-gone"]["requests"]["native_only"] == 4
    assert rows["s-gone"]["caught"] is None
    assert found["without_request_id"] == {"transcript": 0, "native": 1}


def test_what_ccagent_rebuilt_is_not_compared_with_itself(ground: Ground) -> None:
    session = a_session("s")
    ground.tree.write(session)
    replies = telemetry.replies(session)
    rebuilt = [telemetry.api_request(record, resource=telemetry.REBUILT) for record in replies]
    data = telemetry.json_line(telemetry.logs(rebuilt)) + telemetry.json_line(
        telemetry.logs([telemetry.api_request(replies[0])])
    )
    ground.file.write_bytes(data)

    found = ground.answer()

    assert found["rebuilt_records"] == 4
    assert found["total"]["requests"]["both"] == 1


def test_a_response_in_two_files_and_on_many_lines_counts_once(ground: Ground) -> None:
    session = a_session("s")
    ground.tree.write(session)
    ground.tree.put("-home-demo-atlas/copied.jsonl", session.content)
    events = [telemetry.api_request(record) for record in telemetry.replies(session)]
    ground.file.write_bytes(telemetry.json_line(telemetry.logs(events)))

    found = ground.answer()

    assert found["files"] == 2
    assert found["total"]["requests"] == {"both": 4, "transcript_only": 0, "native_only": 0, "differing": 0}


def test_a_file_that_is_being_written_is_taken_as_far_as_it_goes(ground: Ground) -> None:
    session = a_session("s")
    ground.tree.write(session)
    request = telemetry.logs(telemetry.api_request(record) for record in telemetry.replies(session))
    for whole in (telemetry.behind_length(request), telemetry.json_line(request)):
        ground.file.write_bytes(whole + whole[: len(whole) // 2])

        found = ground.answer()

        assert found["total"]["requests"]["both"] == 4
        assert found["payloads"] == {"taken": 1, "bad": 1}


@pytest.mark.parametrize("moment", ["99999999999999999999999", str(1 << 64), "-1", str(-(1 << 70)), "soon", ""])
def test_a_time_that_is_none_is_left_out(ground: Ground, moment: str) -> None:
    session = a_session("s")
    ground.tree.write(session)
    document = json.loads(telemetry.json_line(telemetry.logs([telemetry.api_request(telemetry.replies(session)[0])])))
    for record in document["resourceLogs"][0]["scopeLogs"][0]["logRecords"]:
        record["timeUnixNano"] = record["observedTimeUnixNano"] = moment
    ground.file.write_text(json.dumps(document))

    found = ground.answer()

    assert (found["since"], found["until"]) == (None, None)
    assert found["total"]["requests"]["both"] == 1


@pytest.mark.parametrize("data", [b"hello\n", b"{}\n", b"\x00\x00\x00\x02ab", b'{"resourceLogs": 3'])
def test_a_file_that_holds_no_telemetry_is_refused(
    ground: Ground, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    ground.file.write_bytes(data)

    assert ground.run() == 1
    assert "holds no OTLP" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_said_so(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    assert ground.run() == 1
    assert "cannot be read" in capsys.readouterr().err


def test_nothing_on_either_side_ends_with_20(ground: Ground) -> None:
    ground.file.write_bytes(b'{"resourceMetrics": []}\n')

    assert ground.run() == 20


def test_the_text_fits_and_tells_what_the_document_tells(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    session = a_session("s" * 30, 1_200)
    ground.tree.write(session)
    events = [telemetry.api_request(record) for record in telemetry.replies(session)[:600]]
    ground.file.write_bytes(telemetry.json_line(telemetry.logs(events)))
    document = ground.answer()

    assert ground.run() == 0
    shown = capsys.readouterr().out.splitlines()

    assert shown == list(reconcile_lines(document))
    assert all(len(line) <= MAX_WIDTH for line in shown)
    assert "600 requests seen by both (0 with other token counts), 601 by transcripts alone" in shown[-1]


def test_every_field_of_the_document_is_described(ground: Ground) -> None:
    session = a_session("s")
    ground.tree.write(session)
    ground.file.write_bytes(telemetry.json_line(telemetry.logs([telemetry.api_request(telemetry.replies(session)[0])])))
    (described,) = re.findall(
        r"^## `ccagent reconcile --json`\n(.*?)(?=^## )", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE
    )
    named = set(re.findall(r"`([a-z_]+)`", described)) | {"schema_version"}

    def keys(value: Any) -> set[str]:
        if isinstance(value, list):
            return {key for item in value for key in keys(item)}
        return value.keys() | keys(list(value.values())) if isinstance(value, dict) else set()

    assert keys(ground.answer()) <= named
