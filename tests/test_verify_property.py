"""Two readers that share no code agree on transcripts that nobody would write: damaged, copied, cut and shuffled."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.transcripts import Session, Usage, spliced, text, tool_use, truncated, with_nuls
from tests.verifying import Ground, busy

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**40,
    2**40 + 1,
    2**53,
    1.5,
    3.0,
    "",
    "x",
    [],
    {},
    [{}],
    ["a"],
    {"a": 1},
)
SEEDS = range(12)


def rare() -> Session:
    """A session with what clients write seldom: relayed records, advisors, failures, calls in user lines."""
    session = Session("three")
    session.prompt("hello")
    launched = session.launch(usage=Usage(input=4, output=5))
    session.agent_progress(launched, "a1", tool_use("toolu_r1", "Read"), text("on it"), usage=Usage(output=9))
    session.agent_progress_result(launched, "a1", "toolu_r1", is_error=True)
    session.agent_progress(launched, "a1", tool_use("toolu_r2", "Bash"), request_id=None, usage=Usage(input=2))
    session.result("toolu_r2", "ok", is_error=True)
    session.assistant(text("without a request id"), request_id=None, usage=Usage(output=3))
    session.api_error()
    session.api_failure()
    advised = orjson.loads(session.lines[-3].raw)
    steps = [{"type": "message"}, {"type": "advisor_message", "model": "claude-opus-5", "output_tokens": 30}]
    advised["message"]["usage"]["iterations"] = steps
    session.row(advised)
    called = orjson.loads(session.lines[0].raw)
    called["message"]["content"] = [tool_use("toolu_u1", "Edit")]
    session.row(called)
    session.compaction()
    boundary = orjson.loads(session.lines[-1].raw)
    session.row({name: value for name, value in boundary.items() if name != "uuid"})
    session.summary()
    session.queue()
    session.unknown()
    return session


def nested(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a record, as container and key."""
    if isinstance(value, dict):
        return [(value, key) for key in value] + [place for item in value.values() for place in nested(item)]
    if isinstance(value, list):
        return [(value, key) for key in range(len(value))] + [place for item in value for place in nested(item)]
    return []


def mutated(line: bytes, chance: random.Random) -> bytes:
    """The record with one field gone, of another shape, or with another session or time."""
    record = orjson.loads(line)
    container, key = chance.choice(nested(record))
    match chance.randrange(6):
        case 0:
            del container[key]
        case 1:
            container[key] = chance.choice(ODD)
        case 2:
            record["sessionId"] = chance.choice(("one", "two", "three", ""))
        case 3:
            record["timestamp"] = chance.choice(("2026-02-10T09:00:00.000Z", "2026-02-10T10:00:00+02:00", "late", ""))
        case 4:
            record["isSidechain"] = chance.choice((True, False, None, 1))
        case _:
            record.pop("timestamp", None)
            record.pop("sessionId", None)
    return orjson.dumps(record) + b"\n"


def spoilt(lines: list[bytes], chance: random.Random) -> bytes:
    """A file made of these lines: some mutated, some damaged, some repeated."""
    out = []
    for line in lines:
        match chance.randrange(12):
            case 0 | 1 | 2:
                out.append(mutated(line, chance))
            case 3:
                out.append(spliced(line, chance.choice(lines)))
            case 4:
                out.append(truncated(line, then=chance.choice((b"\n", chance.choice(lines)))))
            case 5:
                out.append(with_nuls(line))
            case 6:
                out += [line, chance.choice(lines)]
            case 7:
                out.append(chance.choice((b"\n", b"  \n", b"[1]\n", b"\xff\xfe\n", b'{"type":7}\n')))
            case _:
                out.append(line)
    return b"".join(out)


@pytest.mark.parametrize("seed", SEEDS)
def test_spoilt_transcripts_are_counted_alike(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    ground = Ground(tmp_path)
    sources: list[Session] = [busy("one"), busy("two", cwd="/home/demo/bolt"), rare()]
    sources += [child for session in sources for child in session.agents]  # type: ignore[misc]
    for turn in range(3):
        for session in sources:
            lines = [line.raw for line in session.lines]
            ground.tree.put(f"p{turn}/{session.path}", spoilt(lines, chance))
    ground.take_in()
    for path in ground.tree.root.rglob("*.jsonl"):
        if chance.random() < 0.5:
            with path.open("ab") as file:
                file.write(spoilt([line.raw for line in chance.choice(sources).lines], chance))
    ground.take_in()

    answer = ground.verify(full=True)

    assert (answer.status, answer.named(), answer.broken(), answer["files_at_fault"]) == ("equal", [], set(), [])
