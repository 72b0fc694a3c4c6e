"""However long a file and however strange a line: what is carried and what is made of it stays small, and so does the
time."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest

from ccagent.facts.batch import Batch
from ccagent.metrics import names
from ccagent.sources.base import CODEX
from ccagent.sources.claude.carry import Carry, dump
from ccagent.sources.claude.derive import Deriver
from ccagent.sources.claude.records import COUNT_LIMIT
from ccagent.sources.known import SOURCES
from ccagent.store import rollups
from tests.canaries import Canaries, shell_lines
from tests.sources.codex_feed import Rollout
from tests.sources.feed import Feed, derived
from tests.transcripts import Json, Session, Usage, text, tool_use

CARRY_BYTES = 64 * 1024
"""Of a file in which calls are answered."""

OPEN_BYTES = 192 * 1024
"""Of a file in which none ever is."""

SECONDS = 10.0
"""A hundred times what each hostile line takes; a search that goes over a text again from each character takes
minutes."""

BIG = 1_000_000


def carried(lines: int, *, answered: float, agents: int) -> int:
    """Feed so many lines of random calls; the largest carry (bytes) of those looked at."""
    chance, session = random.Random(2), Session("s")
    canaries = Canaries(1)
    commands = shell_lines(canaries.say, canaries.name)
    sides = [f"a{number:04x}" for number in range(agents)]
    batch, carry = Batch(), Carry()
    deriver, largest, offset = Deriver(batch, carry, file=0, agent=None), 0, 0
    while offset < lines:
        session.lines.clear()
        _call(session, chance, commands, offset, answered)
        for line in session.lines:
            raw = line.raw
            if sides and chance.random() < 0.5:
                raw = raw.replace(
                    b'"isSidechain":false', f'"isSidechain":true,"agentId":"{chance.choice(sides)}"'.encode()
                )
            deriver.feed(raw, offset)
            offset += 1
        if offset % 50 < 2:
            largest = max(largest, len(dump(carry)))
        if offset % 1_000 < 2:  # only what is carried is asked for here
            deriver = Deriver(Batch(), carry, file=0, agent=None)
    return largest


def _call(
    session: Session, chance: random.Random, commands: list[tuple[str, str]], number: int, answered: float
) -> None:
    call = session.ids.tool()
    path = f"{session.cwd}/{chance.randrange(9**6)}.md"
    command, output = chance.choice(commands)
    todos = [{"content": f"todo {chance.randrange(9**6)}", "status": "pending"} for _ in range(chance.randrange(20))]
    given: dict[str, Json] = {
        "Bash": {"command": f"{command} # {number}", "timeout": 5_000},
        "Read": {"file_path": path},
        "Edit": {"file_path": path},
        "TodoWrite": {"todos": todos},
        "TaskUpdate": {"taskId": str(number), "status": "completed"},
        "Agent": {"prompt": f"prompt {number}", "subagent_type": "Plan"},
        "Skill": {"skill": f"skill-{number}"},
        "mcp__github__merge_pull_request": {"owner": "o", "repo": "r", "pullNumber": number + 1},
    }
    name = chance.choice(sorted(given))
    if chance.random() < 0.1:
        session.prompt(f"prompt {number}")
        session.queue("enqueue", f"queued {number}")
        session.slash(f"/command-{number}")
    session.assistant(tool_use(call, name, given[name]))
    if chance.random() < answered:
        session.result(call, output if name == "Bash" else "done", is_error=chance.random() < 0.1)


def test_what_a_file_carries_stays_small() -> None:
    assert carried(20_000, answered=0.99, agents=0) < CARRY_BYTES
    assert carried(10_000, answered=0.0, agents=0) < OPEN_BYTES
    assert carried(20_000, answered=0.9, agents=200) < OPEN_BYTES


def test_what_a_rollout_carries_stays_small() -> None:
    chance, canaries = random.Random(3), Canaries(1)
    commands = shell_lines(canaries.say, canaries.name)
    many = "rm " + " ".join(f"/srv/{'x' * 200}{number}" for number in range(200))
    assert _rolled([*commands, ("write_stdin", "")], chance, 3_000) < CARRY_BYTES
    assert _rolled([(many, "")], chance, 300) < 10 * CARRY_BYTES


def _rolled(commands: list[tuple[str, str]], chance: random.Random, calls: int) -> int:
    """The largest carry (bytes) of a rollout with so many calls; nine of ten are answered, a third goes on."""
    made = Rollout(chance).meta()
    made.begin()
    feeder = SOURCES[CODEX].feeder(Batch(), None, file=0, path=made.path.encode())
    offset = largest = 0
    for number in range(calls):
        command, output = chance.choice(commands)
        call = made.call_id()
        made.item(
            "function_call", name="exec_command", arguments=json.dumps({"cmd": f"{command} # {number}"}), call_id=call
        )
        made.tokens(5)
        if chance.random() < 0.9:
            end = f"Process running with session ID {number}" if chance.random() < 0.3 else "Process exited with code 0"
            words = f"Chunk ID: a1\nWall time: 0.2500 seconds\n{end}\nOutput:\n{output}"
            made.item("function_call_output", call_id=call, output=words)
        data = made.content
        made.lines.clear()
        feeder.feed(data, offset)
        offset += len(data)
        if number % 20 == 0:
            largest = max(largest, len(feeder.carried()))
    return largest


def _tool(name: str, given: Json, output: object = "done", **more: object) -> Callable[[Session], None]:
    return lambda session: session.tool(name, given, output, **more) and None  # type: ignore[arg-type]


def _todos(count: int) -> Json:
    return {"todos": [{"content": f"todo {number}", "status": "pending"} for number in range(count)]}


def _blocks(session: Session) -> None:
    session.assistant(*({"type": f"kind{number}", "text": "x" * 100} for number in range(5)))
    message = {
        "id": "m",
        "model": "claude-opus-4-6",
        "role": "assistant",
        "content": [
            {
                "type": f"kind{chr(97 + number % 26)}{chr(97 + number // 26 % 26)}{chr(97 + number // 676)}",
                "x": "x" * 100,
            }
            for number in range(5_000)
        ],
    }
    session.record("assistant", {"message": message, "requestId": "r"})


def _fields(session: Session) -> None:
    for _ in range(200):
        session.prompt("x", **{f"field_{chr(97 + n % 26)}{chr(97 + n // 26)}": n for n in range(600)})


def _hooks(session: Session) -> None:
    hooks = [{"command": f"hook {number}", "durationMs": 1} for number in range(10_000)]
    session.system("stop_hook_summary", hookInfos=hooks, hookErrors=[f"[hook {number}]: x" for number in range(10_000)])


def _nested(session: Session) -> None:
    session.raw(b'{"type":"user","sessionId":"s","message":{"content":' + b"[" * 50_000 + b"]" * 50_000 + b"}}\n")
    session.raw(b'{"type":"user","sessionId":"s","message":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}\n")
    session.raw(b'{"type":"brand-new","sessionId":"s","payload":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}\n")


GIT = "git commit -m x && git push --all && gh pr create -t x && pytest -q; mypy ."

HOSTILE: dict[str, tuple[Callable[[Session], object], int]] = {
    "a long word": (_tool("Bash", {"command": "echo " + "x" * BIG}), 16),
    "many commands": (
        _tool("Bash", {"command": "git commit -m a; rm /a/b.md; pytest; gh pr create; " * 20_000}, "ok"),
        256,
    ),
    "many files to remove": (_tool("Bash", {"command": "rm " + " ".join(f"/a/{n}" for n in range(100_000))}), 128),
    "deep substitutions": (_tool("Bash", {"command": "$(" * 100_000 + ")" * 100_000}), 16),
    "deep shells": (_tool("Bash", {"command": 'bash -c "' * 2_000}), 16),
    "open heredocs": (
        _tool("Bash", {"command": "cat " + " ".join(f"<<E{n}" for n in range(5_000)) + "\nx" * 5_000}),
        16,
    ),
    "open comments": (_tool("Bash", {"command": 'psql -c "' + "/* " * 20_000 + '"'}), 16),
    "a long name of a table": (_tool("Bash", {"command": f'psql -c "DELETE FROM {"a" * 60_000} WHERE x"'}), 16),
    "many printed commits": (
        _tool("Bash", {"command": GIT}, "".join(f"[main {n:07x}] x\n" for n in range(20_000))),
        128,
    ),
    "many printed branches": (
        _tool(
            "Bash",
            {"command": GIT},
            "To github.com:a/b\n" + "".join(f" * [new branch] b{n} -> b{n}\n" for n in range(20_000)),
        ),
        128,
    ),
    "many printed addresses": (
        _tool("Bash", {"command": GIT}, "\n".join(f"https://github.com/a/b/pull/{n}" for n in range(1, 20_000))),
        32,
    ),
    **{
        f"an output of {unit!r}": (_tool("Bash", {"command": GIT}, (unit * BIG)[:BIG]), 32)
        for unit in ("1", "a.", "a-", "=", " ", "1 passed, ", "[", "https://a", "a/", "#1 ")
    },
    **{
        f"an answer of {unit!r}": (_tool("mcp__github__create_pull_request", {"title": "x"}, unit * 30_000), 16)
        for unit in ("1.", "a", "a/")
    },
    "wrappers of wrappers": (_tool("Bash", {"command": "env " * 15_000 + "ls"}), 16),
    "a long path": (_tool("Read", {"file_path": "/" + "a/" * (BIG // 2) + "b.md"}), 16),
    "many documents": (
        _tool("Bash", {"command": "cat " + " ".join(f"/x/docs/plans/p{n}.md" for n in range(20_000))}),
        64,
    ),
    "arguments without an end": (lambda s: s.prompt("<command-name>/x</command-name>" + "<command-args>" * 70_000), 16),
    "arguments of one word": (lambda s: s.slash("/x", "a." * (BIG // 2) + "md"), 16),
    "many tickets": (lambda s: s.slash("/x", " ".join(f"docs/plans/p{n}.md ABC-{n}" for n in range(20_000))), 64),
    "a long prompt of an agent": (lambda s: s.launch(words="a-" * (BIG // 2) + " b.md"), 16),
    "many todos": (_tool("TodoWrite", _todos(10_000), details=_todos(10_000)), 160),
    "many hooks": (_hooks, 80),
    "many unknown blocks": (_blocks, 64),
    "many unknown fields": (_fields, 700),
    "deep nesting": (_nested, 16),
    "a long patch": (
        _tool(
            "Edit", {"file_path": "/a"}, details={"filePath": "/a", "structuredPatch": [{"lines": ["+x"] * 100_000}]}
        ),
        16,
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_line_makes_few_facts_in_little_time(what: str) -> None:
    write, most = HOSTILE[what]
    session = Session("s")
    session.prompt("x")
    write(session)
    session.request("on")
    carry = Carry()

    start = time.monotonic()
    batch = derived(session.content, carry=carry)

    assert time.monotonic() - start < SECONDS
    assert batch.size() <= most
    assert batch.failures in (0, {}), "no rule gave up"
    assert len(dump(carry)) < CARRY_BYTES


def test_a_line_of_many_calls_makes_a_fact_or_two_of_each() -> None:
    session, count = Session("s"), 5_000
    calls = [
        tool_use(f"call-{n}", "Bash", {"command": f"git commit -m {n} && pytest && rm /a/{n}"}) for n in range(count)
    ]
    message = {"id": "m", "model": "claude-opus-4-6", "role": "assistant", "content": [text("x"), *calls]}
    session.prompt("x")
    session.record("assistant", {"message": message, "requestId": "r"})
    results = [{"type": "tool_result", "tool_use_id": f"call-{n}", "content": "[main abcdef1] x"} for n in range(count)]
    session.record("user", {"message": {"role": "user", "content": results}})
    carry = Carry()

    start = time.monotonic()
    batch = derived(session.content, carry=carry)

    assert time.monotonic() - start < SECONDS
    assert count < batch.size() < 2 * count
    assert len(dump(carry)) < CARRY_BYTES


@pytest.mark.parametrize("tokens", [2**40, 2**40 + 1, 2**53, 2**63])
def test_sums_of_the_largest_counts_stay_within_the_database(tokens: int) -> None:
    session = Session("s")
    session.prompt("hello")
    for _ in range(200):
        session.request(usage=Usage(input=tokens, output=tokens))
    feed = Feed().read(session)

    rollups.refresh(feed.store.conn, ZoneInfo("UTC"))

    taken = tokens if tokens <= COUNT_LIMIT else 0
    assert len(feed.events("llm.request")) == 200
    assert feed.total(names.TOKENS) == 400 * taken
    assert (feed.total(names.COST_USD) > 0) == (taken > 0)
