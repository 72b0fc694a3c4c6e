"""Write the golden transcripts below tests/fixtures/transcripts, one projects tree for each generation of clients.

    python scripts/generate_fixtures.py            rewrite the trees
    python scripts/generate_fixtures.py --check    exit 1 when a committed file differs from what this script writes

The totals beside each tree are stated here by hand, next to the scene that they describe; no reader computes them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from filecmp import cmp
from pathlib import Path

import orjson

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.transcripts import (  # noqa: E402  # the project is not necessarily installed
    Json,
    Session,
    Tree,
    Usage,
    at,
    lone_surrogate,
    nul_run,
    spliced,
    text,
    thinking,
    tool_use,
    truncated,
    with_line_separators,
    with_nuls,
)

FIXTURES = ROOT / "tests" / "fixtures" / "transcripts"
KINDS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "w5m", "w1h")


def tokens(*counters: int, requests: int) -> dict[str, int]:
    """Input, output, cache read, cache write, its 5-minute and its 1-hour part; as `expected.json` names them."""
    return dict(zip(KINDS, counters, strict=True)) | {"requests": requests}


def inline_sidechains(tree: Tree) -> Json:
    """1.0.108: sub-agents inside the main file, no agent ids; a resumed session that copies the first one's history."""
    session = Session("10000000-0000-4000-8000-000000000001", cwd="/home/demo/atlas", version="1.0.108",
                      model="claude-sonnet-4-20250514", start=at("2025-09-08T09:00:00Z"))  # fmt: skip
    session.summary()
    session.prompt("Tidy the index")
    session.assistant(thinking("hm"), text("Reading first."),
                      usage=Usage(input=4, output=120, cache_write=1_000), outputs=(5, 120))  # fmt: skip
    task = session.launch(usage=Usage(input=6, output=80, cache_read=1_000, cache_write=200))
    child = session.agent(inline=True)
    child.prompt("look into it")
    child.tool("Read", {"file_path": "/home/demo/atlas/a.py"}, usage=Usage(input=3, output=30, cache_write=500))
    child.request("It is fine.", usage=Usage(input=1, output=40, cache_read=500))
    session.adopt(child)
    session.landed(task, child)
    session.bash("make test", exit_code=2, usage=Usage(input=2, output=20, cache_read=1_200))
    session.request("Done.", usage=Usage(input=2, output=10, cache_read=1_300, split=False, cache_write=7))
    tree.write(session)

    copy = Session("10000000-0000-4000-8000-000000000002", cwd="/home/demo/atlas", version="1.0.108",
                   model="claude-sonnet-4-20250514", start=session.now + 60_000)  # fmt: skip
    copied = session.content.replace(session.session_id.encode(), copy.session_id.encode())
    copy.raw(copied)
    copy.prompt("And now?")
    copy.request("Now it rests.", usage=Usage(input=5, output=15, cache_read=1_400))
    tree.write(copy)

    amounts = tokens(23, 315, 5_400, 1_707, 1_700, 0, requests=7)
    return {
        "files": 2, "lines": 28, "bad_lines": 0, "sessions": 2, "cwds": 1, "requests": 7, "tokens": amounts,
        "by_model": {"claude-sonnet-4-20250514": amounts},
        "tool_calls": 3, "tool_calls_relayed": 0, "tool_results": 3, "tool_errors": 1,
        "by_tool": {"Bash": 1, "Read": 1, "Task": 1}, "pull_requests": 0, "compactions": 0,
        "record_types": {"assistant": 15, "summary": 2, "user": 11},
    }  # fmt: skip


def placeholders(tree: Tree) -> Json:
    """2.0.76: output counts that were never completed, agent files beside the main file, a gateway, damaged lines."""
    session = Session("20000000-0000-4000-8000-000000000001", cwd="/home/demo/atlas", version="2.0.76",
                      model="claude-opus-4-5-20251101", start=at("2026-01-05T12:00:00Z"))  # fmt: skip
    session.prompt("Write the parser")
    session.assistant(thinking("well"), text("Here it comes, at some length."), placeholder=True,
                      usage=Usage(input=10, output=900, cache_write=24_000))  # fmt: skip
    session.tool("Write", {"file_path": "/home/demo/atlas/p.py"}, usage=Usage(input=1, output=60, cache_read=24_000))
    session.queue("enqueue", "and the tests")
    session.queue("dequeue")
    session.system("stop_hook_summary", hookCount=1, hookErrors=[], preventedContinuation=False)
    task = session.launch(kind="Explore", usage=Usage(input=2, output=50, cache_read=25_000))
    child = session.agent(model="claude-haiku-4-5-20251001")
    child.prompt("find it")
    child.tool("Grep", {"pattern": "def"}, is_error=True, usage=Usage(input=3, output=33, cache_write=4_000))
    child.request("Found.", usage=Usage(input=1, output=11, cache_read=4_000))
    session.landed(task, child)
    session.interrupt()

    spare = Session(session.session_id, cwd=session.cwd, version=session.version, model=session.model,
                    start=session.now, seed="spare")  # fmt: skip
    for number in range(6):
        spare.request(f"spare {number}", usage=Usage(input=1, output=100))
    whole = [line.raw for line in spare.lines]
    session.raw(spliced(whole[0], whole[1]))  # two requests
    session.raw(truncated(whole[2], then=whole[3]))  # nothing is recovered behind a broken place
    session.raw(truncated(whole[4]))
    session.raw(nul_run())
    session.raw(with_nuls(whole[5]))  # one request, on a line that is not bad
    session.raw(b"\n")
    tree.write(session)

    for number in (2, 3):  # a gateway: no request id, and ids that repeat from session to session
        gateway = Session(f"20000000-0000-4000-8000-00000000000{number}", cwd="/home/demo/bolt", version="2.0.76",
                          model="glm-5", start=at("2026-01-06T12:00:00Z"))  # fmt: skip
        gateway.prompt("hello")
        gateway.assistant(text("one"), text("two"), message_id="chat-1", request_id=None, outputs=(7, 70),
                          usage=Usage(input=100, split=False))  # fmt: skip
        tree.write(gateway)

    opus = tokens(16, 411, 49_000, 24_000, 24_000, 0, requests=6)
    haiku = tokens(4, 44, 4_000, 4_000, 4_000, 0, requests=2)
    glm = tokens(200, 140, 0, 0, 0, 0, requests=2)
    return {
        "files": 4, "lines": 26, "bad_lines": 4, "sessions": 3, "cwds": 2, "requests": 10,
        "tokens": tokens(220, 595, 53_000, 28_000, 28_000, 0, requests=10),
        "by_model": {"claude-haiku-4-5-20251001": haiku, "claude-opus-4-5-20251101": opus, "glm-5": glm},
        "tool_calls": 3, "tool_calls_relayed": 0, "tool_results": 3, "tool_errors": 1,
        "by_tool": {"Grep": 1, "Task": 1, "Write": 1}, "pull_requests": 0, "compactions": 0,
        "record_types": {"assistant": 13, "queue-operation": 2, "system": 1, "user": 8},
    }  # fmt: skip


def relayed_agents(tree: Tree) -> Json:
    """2.1.30: sub-agents in files of their own and relayed in the main file, compaction, retries, a torn last line."""
    session = Session("30000000-0000-4000-8000-000000000001", cwd="/home/demo/atlas", version="2.1.30",
                      start=at("2026-02-03T08:00:00Z"))  # fmt: skip
    session.snapshot()
    session.progress("hook_progress", "hook-1", {"hookEvent": "SessionStart", "hookName": "SessionStart:startup"})
    session.prompt("Speed it up")
    session.assistant(thinking("so"), text("Measuring."), usage=Usage(input=3, output=90, cache_write=8_000,
                                                                      cache_write_1h=8_000))  # fmt: skip
    task = session.launch(kind="Explore", usage=Usage(input=1, output=40, cache_read=8_000))
    child = session.agent(agent_id="a1b2c3d")
    child.prompt("where is it slow?")
    usage = Usage(input=2, output=25, cache_write=3_000)
    bash = child.ids.tool()
    message = child.assistant(tool_use(bash, "Bash", {"command": "perf"}), usage=usage)
    # The relayed copy of a message that the agent's own file holds, too.
    call = tool_use(bash, "Bash", {"command": "perf"})
    session.agent_progress(task, "a1b2c3d", call, usage=usage, message_id=message)
    child.result(bash, "slow", is_error=False)
    child.request("In the loop.", usage=Usage(input=1, output=35, cache_read=3_000))
    session.landed(task, child)

    lost = session.launch(kind="Plan", usage=Usage(input=1, output=45, cache_read=8_200))
    read = session.ids.tool()
    # The agent's file is gone: what was relayed is all that there is.
    session.agent_progress(lost, "b2c3d4e", tool_use(read, "Read"), usage=Usage(input=4, output=5, cache_write=600),
                           model="claude-haiku-4-5-20251001")  # fmt: skip
    session.agent_progress_result(lost, "b2c3d4e", read, is_error=True)
    session.result(lost, "a plan", details={"status": "completed", "agentId": "b2c3d4e", "totalTokens": 50_000})

    session.api_error(attempt=1)
    session.api_error(attempt=2, wait_ms=1_100.25)
    session.request("Back again.", usage=Usage(input=1, output=12, cache_read=8_400))
    session.turn_duration(61_000)
    session.pull_request()
    session.pull_request()
    session.prompt("Go on")
    session.api_failure()
    session.microcompaction()
    session.compaction(155_000)
    compactor = session.agent(agent_id="acompact-123abc")
    compactor.request("In short.", usage=Usage(input=9, output=700, cache_read=155_000))
    session.edit("/home/demo/atlas/loop.py", added=4, removed=2, usage=Usage(input=1, output=60, cache_write=9_000,
                                                                             cache_write_1h=1_000))  # fmt: skip
    torn = Session(session.session_id, version="2.1.30", start=session.now, seed="torn")
    torn.request("never finished", usage=Usage(input=1_000_000, output=1_000_000))
    session.raw(torn.content.rstrip(b"\n"))
    tree.write(session)

    opus = tokens(19, 1_007, 182_600, 20_000, 11_000, 9_000, requests=8)
    haiku = tokens(4, 5, 0, 600, 600, 0, requests=1)
    return {
        "files": 3, "lines": 30, "bad_lines": 0, "sessions": 1, "cwds": 1, "requests": 9,
        "tokens": tokens(23, 1_012, 182_600, 20_600, 11_600, 9_000, requests=9),
        "by_model": {"claude-haiku-4-5-20251001": haiku, "claude-opus-4-6": opus},
        "tool_calls": 4, "tool_calls_relayed": 1, "tool_results": 4, "tool_errors": 0,
        "by_tool": {"Bash": 1, "Edit": 1, "Task": 2}, "pull_requests": 1, "compactions": 1,
        "record_types": {"assistant": 10, "file-history-snapshot": 1, "pr-link": 2, "progress": 4, "system": 5,
                         "user": 8},
    }  # fmt: skip


def new_layout(tree: Tree) -> Json:
    """2.1.229: final usage on every line, thinking tokens, repeated metadata rows, a background agent, odd strings."""
    session = Session("40000000-0000-4000-8000-000000000001", cwd="/home/demo/cargo", version="2.1.229",
                      branch="feature/demo", model="claude-opus-5", start=at("2026-08-17T20:00:00Z"))  # fmt: skip
    session.row({"type": "mode", "mode": "normal", "sessionId": session.session_id})
    session.attachment("hook_success", hookEvent="SessionStart", hookName="SessionStart:startup", exitCode=0)
    session.slash("/review", "all of it")
    session.prompt("Review it")
    session.title()
    session.last_prompt()
    usage = Usage(input=5, output=400, cache_write=12_000, cache_write_1h=12_000, thinking=150)
    session.assistant(thinking(""), text("Looking."), tool_use("toolu_01review", "Read"), usage=usage)
    session.result("toolu_01review", "text", details={"type": "text"})
    session.title()
    session.rejected("Bash", {"command": "rm -r build"})  # 10 input, 100 output
    task = session.launch(usage=Usage(input=1, output=70, cache_read=12_000))
    child = session.agent(agent_id="c3d4e5f", model="claude-haiku-4-5-20251001")
    session.result(task, "started", details={"status": "async_launched", "agentId": "c3d4e5f", "isAsync": True})
    child.prompt("count the words")
    child.bash("wc -w", usage=Usage(input=2, output=20, cache_write=2_000))
    child.request("Forty.", usage=Usage(input=1, output=8, cache_read=2_000))
    session.request("It runs.", usage=Usage(input=1, output=30, cache_read=12_500))
    session.turn_duration(9_000, pending_agents=1)
    session.wait(30_000)
    session.notification("c3d4e5f")
    session.assistant(text("cut"), usage=Usage(input=1, output=3, cache_read=12_600), stop_reason=None,
                      isAbortedMidStream=True)  # fmt: skip
    session.unknown()
    odd = Session(session.session_id, cwd=session.cwd, version="2.1.229", model="claude-opus-5", start=session.now,
                  seed="odd")  # fmt: skip
    odd.request(usage=Usage(input=1, output=6))
    odd.request(usage=Usage(input=1, output=9))
    session.raw(lone_surrogate(odd.lines[0].raw))
    session.raw(with_line_separators(odd.lines[1].raw))
    tree.write(session)
    side = session.path.removesuffix(".jsonl")
    tree.put(f"{side}/tool-results/big.jsonl", odd.lines[0].raw)
    tree.put(f"{side}/subagents/workflows/wf_1/journal.jsonl", odd.lines[0].raw)

    opus = tokens(20, 618, 37_100, 12_000, 0, 12_000, requests=7)
    haiku = tokens(3, 28, 2_000, 2_000, 2_000, 0, requests=2)
    return {
        "files": 2, "lines": 26, "bad_lines": 0, "sessions": 1, "cwds": 1, "requests": 9,
        "tokens": tokens(23, 646, 39_100, 14_000, 2_000, 12_000, requests=9),
        "by_model": {"claude-haiku-4-5-20251001": haiku, "claude-opus-5": opus},
        "tool_calls": 4, "tool_calls_relayed": 0, "tool_results": 4, "tool_errors": 1,
        "by_tool": {"Agent": 1, "Bash": 2, "Read": 1}, "pull_requests": 0, "compactions": 0,
        "record_types": {"ai-title": 2, "assistant": 11, "attachment": 1, "brand-new": 1, "last-prompt": 1, "mode": 1,
                         "system": 1, "user": 8},
    }  # fmt: skip


SCENES: dict[str, Callable[[Tree], Json]] = {
    "1.0.108": inline_sidechains,
    "2.0.76": placeholders,
    "2.1.30": relayed_agents,
    "2.1.229": new_layout,
}


def write(folder: Path) -> None:
    """Write every tree and its `expected.json` below `folder`."""
    for version, scene in SCENES.items():
        expected = scene(Tree(folder / version / "projects"))
        data = orjson.dumps(expected, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        (folder / version / "expected.json").write_bytes(data)


def stale(folder: Path, fresh: Path) -> list[str]:
    """Paths that are missing, too many or different in `folder`."""
    names = {path.relative_to(tree) for tree in (folder, fresh) for path in tree.rglob("*") if path.is_file()}
    return sorted(
        str(name)
        for name in names
        if not (folder / name).is_file()
        or not (fresh / name).is_file()
        or not cmp(folder / name, fresh / name, shallow=False)
    )


def main(arguments: list[str] | None = None) -> int:
    """0 when the fixtures are written or fresh, 1 when `--check` finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        write(fresh)
        if options.check:
            different = stale(FIXTURES, fresh)
            for name in different:
                print(f"{name} is stale: run python scripts/generate_fixtures.py", file=sys.stderr)
            return 1 if different else 0
        if FIXTURES.exists():
            shutil.rmtree(FIXTURES)
        shutil.copytree(fresh, FIXTURES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
