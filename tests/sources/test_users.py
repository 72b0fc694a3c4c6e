"""User lines: prompts and turns, results of calls, files that they changed."""

from __future__ import annotations

import orjson
import pytest

from ccagent.facts.model import EventType
from tests.sources.feed import Feed, derived, only
from tests.transcripts import Session, Usage, text, tool_use

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def session() -> Session:
    return Session("s")


def test_a_prompt_opens_a_turn_of_its_own_name(session: Session) -> None:
    uuid = session.prompt("hello there")
    session.request()

    feed = Feed().read(session)

    prompt = feed.event(f"prompt:{uuid}")
    assert (prompt["detail"], prompt["size"], prompt["turn_key"]) == ("human", 11, f"turn:{uuid}")
    assert feed.events("llm.request")[0]["turn_key"] == f"turn:{uuid}"


def test_a_turn_nobody_answered_is_open(session: Session) -> None:
    session.prompt("hello")

    assert Feed().read(session).events("turn")[0]["status"] == "open"


def test_a_prompt_of_blocks_is_a_prompt(session: Session) -> None:
    session.record("user", {"message": {"role": "user", "content": [{"type": "image"}, text("look at this")]}})

    assert only(derived(session.content), EventType.PROMPT).size == 12


def test_a_command_opens_a_turn_only_when_it_is_answered(session: Session) -> None:
    session.slash("/clear")
    assert derived(session.content).facts[EventType.TURN] == {}
    uuid = session.slash("/review")
    asked = session.now

    session.request()

    feed = Feed().read(session)
    (turn,) = feed.events("turn")
    assert (turn["source_key"], turn["occurred_at"]) == (f"turn:{uuid}", asked)
    assert [row["command"] for row in feed.events("prompt")] == ["/clear", "/review"]


def test_a_command_answered_in_a_later_batch_opens_its_turn(session: Session) -> None:
    uuid = session.slash("/review")
    feed = Feed().read(session)
    session.request()

    feed.read(session)

    assert feed.events("llm.request")[0]["turn_key"] == f"turn:{uuid}"


@pytest.mark.parametrize("for_tool", [False, True])
def test_an_interrupt_is_no_prompt_and_marks_the_turn(session: Session, for_tool: bool) -> None:
    session.prompt("hello")
    session.request()
    session.interrupt(for_tool=for_tool)

    feed = Feed().read(session)

    assert len(feed.events("prompt")) == 1
    assert feed.events("turn")[0]["status"] == "interrupted"


@pytest.mark.parametrize("apart", [False, True])
def test_a_prompt_behind_the_file_that_is_open_in_an_editor_begins_a_turn(session: Session, apart: bool) -> None:
    opened, words = "<ide_opened_file>The user opened /a.py.</ide_opened_file>", "please fix it"
    content = [text(opened), text(words)] if apart else [text(f"{opened}\n\n{words}")]
    session.prompt("hello")
    session.request()
    prompt = session.prompt("", message={"role": "user", "content": content})
    message = session.request()

    feed = Feed().read(session)

    assert feed.event(f"prompt:{prompt}")["size"] == len(words)
    assert feed.event(f"llm:{message}")["turn_key"] == f"turn:{prompt}"


def test_an_interrupt_beside_a_result_marks_the_turn(session: Session) -> None:
    session.prompt("hello")
    session.assistant(tool_use("t", "Bash"))
    result = {"type": "tool_result", "tool_use_id": "t", "content": "x", "is_error": True}
    session.record("user", {"message": {"role": "user", "content": [result, text("[Request interrupted by user]")]}})

    assert Feed().read(session).events("turn")[0]["status"] == "interrupted"


@pytest.mark.parametrize("write", ["meta", "command_output"])
def test_what_the_client_wrote_is_no_prompt(session: Session, write: str) -> None:
    getattr(session, write)()

    batch = derived(session.content)

    assert batch.facts[EventType.PROMPT] == batch.facts[EventType.TURN] == {}


def test_a_shell_command_of_the_user_is_a_prompt_without_a_turn(session: Session) -> None:
    session.record("user", {"message": {"role": "user", "content": "<bash-input>ls</bash-input>"}})
    session.record("user", {"message": {"role": "user", "content": "<bash-stdout>a</bash-stdout>"}})

    batch = derived(session.content)

    assert only(batch, EventType.PROMPT).label == "shell"
    assert batch.facts[EventType.TURN] == {}


def test_a_typed_ahead_prompt_counts_once(session: Session) -> None:
    session.queue("enqueue", "later")
    session.queue("dequeue")
    session.prompt("later")

    assert len(derived(session.content).facts[EventType.PROMPT]) == 1


def test_a_call_lasts_from_its_line_to_its_result(session: Session) -> None:
    session.prompt("hello")
    session.bash("ls", took_ms=2_300)

    (call,) = Feed().read(session).events("tool.call")

    assert (call["status"], call["duration_ms"], call["exit_code"], call["is_error"]) == ("ok", 2_300, 0, 0)


def test_a_call_without_a_result_stays_open(session: Session) -> None:
    session.assistant(tool_use("t", "Bash"))

    call = Feed().read(session).event("tool:t")

    assert (call["status"], call["duration_ms"], call["is_error"]) == ("open", None, None)


def test_a_failed_call_has_its_exit_code(session: Session) -> None:
    session.bash("false", exit_code=3)

    (call,) = Feed().read(session).events("tool.call")

    assert (call["status"], call["failure_class"], call["exit_code"], call["is_error"]) == (
        "error",
        "nonzero_exit",
        3,
        1,
    )


@pytest.mark.parametrize("version", ["2.1.30", "2.1.229"])
def test_a_refused_call_is_rejected(version: str) -> None:
    session = Session("s", version=version)
    session.rejected()

    (call,) = Feed().read(session).events("tool.call")

    assert (call["status"], call["failure_class"]) == ("rejected", "rejected")


def test_a_result_in_a_later_batch_finds_its_call(session: Session) -> None:
    session.assistant(tool_use("t", "Bash", {"command": "ls"}))
    feed = Feed().read(session)
    session.result("t", "fine")

    feed.read(session)

    call = feed.event("tool:t")
    assert (call["status"], call["exit_code"], call["tool_name"]) == ("ok", 0, "Bash")


def test_results_before_their_call_give_the_same_call(session: Session) -> None:
    session.assistant(tool_use("t", "Bash"))
    session.result("t", "fine")
    first, second = (line.raw for line in session.lines)
    feed = Feed()

    feed.take(("b.jsonl", second))
    assert feed.event("tool:t")["tool_name"] is None
    feed.take(("a.jsonl", first))

    call = feed.event("tool:t")
    assert (call["tool_name"], call["status"], call["duration_ms"]) == ("Bash", "ok", 800)


def test_results_on_one_line_are_told_apart(session: Session) -> None:
    session.assistant(tool_use("a", "Read"), tool_use("b", "Read"))
    results = [
        {"type": "tool_result", "tool_use_id": "a", "content": "fine"},
        {"type": "tool_result", "tool_use_id": "b", "content": "it went wrong", "is_error": True},
    ]
    session.record("user", {"message": {"role": "user", "content": results}})

    feed = Feed().read(session)

    assert (feed.event("tool:a")["status"], feed.event("tool:b")["status"]) == ("ok", "error")


def test_an_edit_counts_the_lines_of_its_patch(session: Session) -> None:
    session.edit("/a.py", added=5, removed=2)

    feed = Feed().read(session)

    (update,) = feed.events("file.update")
    assert (update["lines_added"], update["lines_removed"], update["detail"]) == (5, 2, "update")
    assert update["payload_json"] == '{"path":"/a.py"}'
    assert feed.total("lines.changed") == 7


def test_a_created_file_adds_the_lines_of_its_content(session: Session) -> None:
    details = {"type": "create", "filePath": "/a.py", "content": "a\nb\nc", "structuredPatch": []}
    session.tool("Write", {"file_path": "/a.py"}, details=details)

    (update,) = Feed().read(session).events("file.update")

    assert (update["lines_added"], update["lines_removed"], update["detail"]) == (3, 0, "create")


def test_a_write_without_a_patch_leaves_the_lines_unknown(session: Session) -> None:
    session.tool("NotebookEdit", {"notebook_path": "/a.ipynb"})

    (update,) = Feed().read(session).events("file.update")

    assert (update["lines_added"], update["lines_removed"]) == (None, None)
    assert update["payload_json"] == '{"path":"/a.ipynb"}'


def test_a_failed_edit_changed_no_file(session: Session) -> None:
    session.tool("Edit", {"file_path": "/a.py"}, "<tool_use_error>No</tool_use_error>", is_error=True)

    assert derived(session.content).facts[EventType.FILE_UPDATE] == {}


def test_reading_a_file_changes_none(session: Session) -> None:
    session.tool("Read", {"file_path": "/a.py"}, details={"type": "text", "file": {"filePath": "/a.py"}})

    assert derived(session.content).facts[EventType.FILE_UPDATE] == {}


def test_a_tool_of_an_mcp_server_is_split_at_the_first_double_underscore(session: Session) -> None:
    session.tool("mcp__my_server__find__all", {})

    feed = Feed().read(session)

    assert feed.events("tool.call")[0]["mcp_server"] == "my_server"


def test_a_mode_is_that_of_the_last_line_that_said_one(session: Session) -> None:
    session.permission_mode = "plan"
    session.prompt("hello")
    session.request()
    session.row({"type": "permission-mode", "permissionMode": "auto", "sessionId": "s"})
    session.request()

    modes = [row["permission_mode"] for row in Feed().read(session).events("llm.request")]

    assert modes == ["plan", "auto"]


def test_usage_reported_for_a_sub_agent_is_no_consumption(session: Session) -> None:
    session.prompt("hello")
    tool = session.launch(usage=Usage(input=1, output=2))
    child = session.agent()
    session.landed(tool, child, context=94_109)

    assert Feed().read(session).total("tokens") == 3


def test_a_prompt_changed_by_a_redaction_has_the_same_kind_in_any_order(session: Session) -> None:
    session.prompt("secret")
    record = orjson.loads(session.content)
    record["message"]["content"] = "<bash-input>REDACTED</bash-input>"
    redacted = orjson.dumps(record) + b"\n"

    kinds = {derived(lines).facts[EventType.PROMPT][record["uuid"]].label
             for lines in (session.content + redacted, redacted + session.content)}  # fmt: skip

    assert len(kinds) == 1
