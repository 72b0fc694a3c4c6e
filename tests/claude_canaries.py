"""A session of Claude Code with a canary in every text: of what is read, and of what is skipped."""

from __future__ import annotations

from tests.canaries import Canaries, Word, shell_lines
from tests.transcripts import Json, Session, Usage, text, thinking, tool_use

ATTACHMENTS = (
    "file",
    "edited_text_file",
    "nested_memory",
    "todo",
    "todo_reminder",
    "task_status",
    "diagnostics",
    "plan_mode",
    "skill_listing",
    "invoked_skills",
    "critical_system_reminder",
    "relevant_memories",
    "output_style",
    "mcp_resource",
    "hook_additional_context",
    "hook_system_message",
    "hook_stopped_continuation",
    "async_hook_response",
    "brand_new",
)


def transcripts(canaries: Canaries, home: str = "/home", *, start: int = 1_770_714_000_000) -> Session:
    """One session of Claude Code (and its sub-agents) with a word in every text; it works below `home`."""
    say, identity = canaries.say, canaries.name
    folder = f"{home}/{identity('folder')}/w"
    session = Session("canaries", cwd=folder, branch=f"feat/{identity('branch')}", seed=1, start=start)
    session.title(say("title"))
    session.title(say("own title"), custom=True)
    session.prompt(
        say("prompt"), todos=[{"content": say("todo of a prompt")}], brandNew={say("unknown key"): say("unknown")}
    )
    session.assistant(
        thinking(say("thinking")),
        text(say("reply")),
        {"type": "redacted_thinking", "data": say("redacted")},
        {"type": "brand_new", "data": {say("key"): say("block")}},
        usage=Usage(input=3, output=40, cache_read=90_000, cache_write=70),
        diagnostics={"cache_miss_reason": {"type": "unavailable", "detail": say("diagnostics")}},
    )
    session.record(
        "user",
        {
            "message": {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "data": say("image")}},
                    text(say("prompt in a block")),
                ],
            }
        },
    )
    for mode in ("plan", "default"):
        session.row(
            {"type": "permission-mode", "permissionMode": mode, "sessionId": session.session_id, "reason": say("mode")}
        )
    _shells(session, say, identity)
    _files(session, say, identity)
    _tools(session, say, identity, folder)
    _typed(session, say)
    _client(session, say)
    _agents(session, say)
    _rows(session, say, identity)
    _people(session, say, identity)
    session.prompt(say("last prompt"))
    session.request(say("last reply"), usage=Usage(input=7, output=5))
    session.turn_duration(4_000)
    return session


def _shells(session: Session, say: Word, identity: Word) -> None:
    for command, output in shell_lines(say, identity):
        details: Json = {
            "stdout": output,
            "stderr": say("stderr"),
            "interrupted": False,
            "returnCodeInterpretation": "x",
        }
        given: Json = {"command": command, "description": say("description of a call")}
        session.tool("Bash", given, output, details=details, usage=Usage(input=4, output=50, cache_read=90_000))
    for words in (
        "Exit code 3\n{}",
        "Command timed out after 2m 0.0s {}",
        "<tool_use_error>{}</tool_use_error>",
        "Permission to use Bash has been denied. {}",
        "{}",
    ):
        session.tool(
            "Bash",
            {"command": f"false {say('failed command')}"},
            words.format(say("error")),
            is_error=True,
            details=f"Error: {say('error of a result')}",
        )
    session.rejected("Bash", {"command": f"rm -rf /{identity('rejected deletion')} && echo {say('rejected command')}"})
    call = session.ids.tool()
    session.assistant(
        tool_use(call, "Bash", {"command": f"sleep 9; echo {say('background command')}", "run_in_background": True})
    )
    session.progress(
        "bash_progress", call, {"output": say("progress"), "fullOutput": say("full progress"), "elapsedTimeSeconds": 3}
    )
    session.result(
        call,
        f"Command running in background with ID: b1 {say('background words')}",
        userFeedback=say("feedback"),
        details={"backgroundTaskId": "b1", "stdout": say("background output")},
    )
    words = (
        f"<task-notification><task-id>b1</task-id><status>failed</status><summary>{say('summary of a notification')}"
    )
    session.record(
        "user",
        {
            "message": {
                "role": "user",
                "content": f"{words}</summary><result>{say('result')}</result></task-notification>",
            }
        },
    )
    operation = {
        "commit": {"sha": "def4567", "kind": "committed", "message": say("recorded message")},
        "pr": {
            "number": 8,
            "action": "created",
            "title": say("recorded title"),
            "url": f"https://github.com/o/{identity('recorded repository')}/pull/8",
        },
    }
    session.tool(
        "Bash",
        {"command": f"git commit -m {say('recorded command')}"},
        say("recorded output"),
        details={"stdout": say("recorded stdout"), "gitOperation": operation},
    )
    session.tool("PowerShell", {"command": f"Remove-Item {say('powershell')}"}, say("powershell output"))


def _files(session: Session, say: Word, identity: Word) -> None:
    path = f"{session.cwd}/{identity('file')}.py"
    patch = [{"oldStart": 1, "lines": [f"+{say('added line')}", f"-{say('removed line')}", f" {say('kept line')}"]}]
    session.tool(
        "Read", {"file_path": path, "offset": 1}, say("file read"), details={"file": {"content": say("read content")}}
    )
    session.tool(
        "Write",
        {"file_path": path, "content": say("written")},
        say("write output"),
        details={"type": "create", "filePath": path, "content": say("created content"), "structuredPatch": []},
    )
    for tool in ("Edit", "MultiEdit"):
        session.tool(
            tool,
            {
                "file_path": path,
                "old_string": say("old text"),
                "new_string": say("new text"),
                "edits": [{"old_string": say("old edit"), "new_string": say("new edit")}],
            },
            say("edit output"),
            details={"filePath": path, "originalFile": say("original"), "structuredPatch": patch},
        )
    session.tool("NotebookEdit", {"notebook_path": f"{path}.ipynb", "new_source": say("cell")}, say("cell output"))
    session.tool("Grep", {"pattern": say("pattern"), "path": session.cwd, "glob": "*.md"}, say("matches"))
    session.tool("Glob", {"pattern": f"**/{identity('glob')}.md"}, say("names found"), details={"durationMs": 3})
    session.snapshot()
    session.row({"type": "file-history-snapshot", "messageId": "m", "snapshot": {"x": say("snapshot")}})


def _tools(session: Session, say: Word, identity: Word, folder: str) -> None:
    session.tool(
        "WebFetch",
        {"url": "https://x.test", "prompt": say("question to a page")},
        say("page"),
        details={"durationMs": 5, "result": say("page result")},
    )
    session.tool("WebSearch", {"query": say("search")}, say("search result"), details={"durationSeconds": 1.5})
    session.tool(
        "AskUserQuestion",
        {"questions": [{"question": say("question"), "options": [say("option")]}]},
        say("answer"),
        details={"answers": {say("asked"): say("answered")}},
    )
    session.tool(
        "ExitPlanMode",
        {"plan": say("plan"), "planFilePath": f"{folder}/plans/{identity('plan file')}.md"},
        say("approval"),
    )
    todos = [
        {"content": say(f"todo {state}"), "activeForm": say("active form"), "status": state, "id": "1"}
        for state in ("pending", "in_progress", "completed")
    ]
    session.tool("TodoWrite", {"todos": todos}, say("todos"), details={"oldTodos": [], "newTodos": todos})
    session.tool(
        "TodoWrite", {"todos": todos[:1]}, say("todos again"), details={"oldTodos": todos, "newTodos": todos[:1]}
    )
    session.tool(
        "TaskCreate",
        {"subject": say("subject"), "description": say("description of a task"), "activeForm": say("form")},
        f"Task #1 created successfully: {say('created')}",
        details={"task": {"id": "1", "subject": say("told subject")}},
    )
    session.tool(
        "TaskUpdate",
        {"taskId": "1", "status": "completed", "subject": say("updated subject")},
        say("updated"),
        details={"taskId": "1", "statusChange": {"from": "pending", "to": "completed"}},
    )
    session.tool("Skill", {"skill": "tidy", "args": say("arguments of a skill")}, say("skill output"))
    session.tool("SlashCommand", {"command": f"/tidy {say('called command')}"}, say("command output"))
    session.tool(
        "ToolSearch", {"query": say("tool search")}, [{"type": "tool_reference", "tool_name": say("reference")}]
    )
    session.tool(
        "mcp__github__create_pull_request",
        {
            "owner": "o",
            "repo": identity("repository of a tool"),
            "title": say("mcp title"),
            "body": say("mcp body"),
            "head": say("mcp head"),
        },
        f'{{"url": "https://github.com/o/r/pull/9", "title": "{say("mcp answer")}"}}',
    )
    call = session.ids.tool()
    session.assistant(tool_use(call, "mcp__wiki__get_page", {"page": say("page name")}))
    session.progress("mcp_progress", call, {"serverName": "wiki", "status": say("mcp status"), "elapsedTimeMs": 4.0})
    session.result(call, [text(say("mcp result"))], details=[{"type": "text", "text": say("mcp details")}])
    session.tool(
        "Teleport",
        {"to": say("unknown tool's input")},
        say("unknown tool's output"),
        details={"status": say("status"), "map": {say("nested key"): [say("listed"), {say("listed key"): 1}]}},
    )
    session.tool("BashOutput", {"bash_id": "b1", "filter": say("filter")}, say("shell output"))
    session.microcompaction()


def _typed(session: Session, say: Word) -> None:
    session.slash("/review", say("arguments"))
    session.request(say("reply to a command"))
    session.slash("/tidy", say("arguments of a typed skill"))
    session.meta(f"Base directory for this skill: /x\n\n{say('text of a skill')}")
    session.request(say("reply to a skill"))
    session.slash("/mcp")
    session.command_output(say("printed by a command"))
    session.record(
        "user",
        {
            "message": {
                "role": "user",
                "content": f"<local-command-stderr>{say('stderr of a command')}</local-command-stderr>",
            }
        },
    )
    for tag in ("bash-input", "bash-stdout", "bash-stderr", "user-memory-input", "local-command-caveat"):
        session.record("user", {"message": {"role": "user", "content": f"<{tag}>{say(tag)}</{tag}>"}})
    session.meta(say("meta"))
    for operation in ("enqueue", "dequeue", "enqueue", "remove", "enqueue", "popAll"):
        session.queue(operation, say(f"queued text, {operation}"))
    session.attachment("queued_command", prompt=say("queued prompt"), commandMode="prompt")
    session.attachment("queued_command", prompt=[text(say("queued block"))], commandMode="prompt")
    session.interrupt()


def _client(session: Session, say: Word) -> None:
    session.system(
        "local_command", content=f"<command-name>/usage</command-name><command-args>{say('local arguments')}"
    )
    session.system("local_command", content=f"<local-command-stdout>{say('local output')}</local-command-stdout>")
    for subtype in ("informational", "away_summary", "scheduled_task_fire", "bridge_status", "brand_new"):
        session.system(subtype, content=say(subtype), payload={say(f"key of {subtype}"): say(f"value of {subtype}")})
    session.system(
        "stop_hook_summary",
        hookCount=2,
        preventedContinuation=True,
        stopReason=say("stop reason"),
        hookInfos=[{"command": f"run {say('hook command')}", "durationMs": 3}, {"command": say("second hook")}],
        hookErrors=[f"[{say('hook in an error')}]: {say('hook error')}"],
        toolUseID="h1",
    )
    session.progress(
        "hook_progress",
        "h2",
        {
            "hookEvent": "PreToolUse",
            "hookName": "PreToolUse:Bash",
            "command": say("started hook"),
            "statusMessage": say("hook words"),
        },
    )
    for kind in (
        "hook_success",
        "hook_non_blocking_error",
        "hook_blocking_error",
        "hook_cancelled",
        "hook_error_during_execution",
    ):
        session.attachment(
            kind,
            hookEvent="PostToolUse",
            hookName="PostToolUse:Edit",
            toolUseID=f"h-{kind}",
            exitCode=1,
            command=say(f"command, {kind}"),
            content=say(f"content, {kind}"),
            stdout=say(f"stdout, {kind}"),
            stderr=say(f"stderr, {kind}"),
            blockingError={"blockingError": say(kind), "command": say("c")},
        )
    for kind in ATTACHMENTS:
        session.attachment(
            kind,
            content={"text": say(kind), say("key of an attachment"): 1},
            prompt=say(f"prompt, {kind}"),
            command=say(f"command of {kind}"),
            filename=say(f"file of {kind}"),
            hookName="x",
            hookEvent="Stop",
        )
    error: Json = {
        "status": 529,
        "headers": {"x": say("header of an error")},
        "requestID": "r",
        "error": {"type": "error", "error": {"type": "overloaded_error", "message": say("message of an error")}},
    }
    session.system("api_error", level="error", error=error, retryAttempt=1, retryInMs=5.5, cause={"x": say("cause")})
    session.api_failure(words=f"API Error: 529 {say('words of a failure')}")
    session.api_failure(words=say("other failure"), error=say("class of a failure"), status=400)
    session.system(
        "compact_boundary",
        content=say("boundary"),
        compactMetadata={"trigger": "auto", "preTokens": 9, "userContext": say("instructions of a compaction")},
    )
    session.record(
        "user", {"message": {"role": "user", "content": say("summary of a compaction")}, "isCompactSummary": True}
    )
    session.request(say("reply after a compaction"))


def _agents(session: Session, say: Word) -> None:
    launched = session.launch(kind="Explore", words=say("task"))
    child = session.agent()
    child.prompt(say("prompt of an agent"))
    child.tool(
        "Bash",
        {"command": f"git commit -m {say('commit of an agent')}"},
        f"[main eee5678] {say('subject of an agent')}",
    )
    child.request(say("reply of an agent"))
    session.landed(launched, child, kind="Explore")
    launched = session.launch(kind="Plan", words=say("relayed task"))
    call = session.ids.tool()
    session.agent_progress(
        launched,
        "a0a0",
        tool_use(call, "Grep", {"pattern": say("relayed call")}),
        text(say("relayed reply")),
        usage=Usage(input=5, output=5),
        prompt=say("relayed prompt"),
    )
    session.agent_progress_result(launched, "a0a0", call, say("relayed result"))
    for kind in ("query_update", "search_results_received", "waiting_for_task", "skill_progress", "brand_new"):
        session.progress(
            kind, launched, {"query": say(f"query, {kind}"), "taskDescription": say(kind), "x": {say("k"): 1}}
        )
    session.result(
        launched,
        [text(say("answer of an agent"))],
        details={
            "agentId": "a0a0",
            "status": "completed",
            "prompt": say("told prompt"),
            "content": [text(say("told answer"))],
        },
    )
    side = session.agent(inline=True)
    side.prompt(say("prompt of a sidechain"))
    side.request(say("reply of a sidechain"))
    session.adopt(side)


def _rows(session: Session, say: Word, identity: Word) -> None:
    session.summary(say("summary"))
    session.last_prompt(say("remembered prompt"))
    session.pull_request(7, f"{identity('owner of a linked pull request')}/{identity('linked repository')}")
    for kind, key in (
        ("tag", "tag"),
        ("agent-name", "agentName"),
        ("task-summary", "summary"),
        ("atis-latch", "latch"),
        ("agent-setting", "agentSetting"),
        ("content-replacement", "replacements"),
        ("frame-link", "frame"),
        ("bridge-session", "bridge"),
        ("attribution-snapshot", "snapshot"),
        ("worktree-state", "state"),
        ("file-history-delta", "delta"),
        ("mode", "note"),
    ):
        session.row({"type": kind, key: say(f"row {kind}"), "sessionId": session.session_id})
    for _ in range(70):  # so that some are chosen to be looked at again
        session.row(
            {"type": "tag", "tag": say("tag"), "sessionId": session.session_id, "brandNewField": {say("tag key"): 1}}
        )
    session.row(
        {
            "type": "brand-new",
            "sessionId": session.session_id,
            "text": say("unknown record"),
            "message": {"content": say("unknown message")},
            "payload": {say("key of a record"): [say("item")]},
        }
    )
    session.raw(b'{"type":"user","message":{"content":"' + say("broken line").encode() + b'"\n')
    session.raw(say("no record").encode() + b"\n")
    session.raw(b'{"type":"user","uuid":7,"message":{"role":"user","content":"' + say("wrong type").encode() + b'"}}\n')


def _people(session: Session, say: Word, identity: Word) -> None:
    """Who works where: homes, worktrees, machines, authors, and a model whose id names somebody's account."""
    place, model = session.cwd, session.model
    person = f"{say('author of a commit')} <{say('mailbox of an author')}@{say('host of an author')}.test>"
    committer = f"{say('committer')} <{say('mailbox of a committer')}@{say('host of a committer')}.local>"
    session.prompt(say("prompt about people"))
    session.tool(
        "Bash",
        {"command": f"git commit -m '{say('subject of a commit')}' --author '{person}'"},
        f"[main abc7777] {say('printed subject of a commit')}\n Author: {person}\n Committer: {committer}\n"
        " Date: Sat Feb 7 10:00:00 2026 +0100\n 1 file changed, 2 insertions(+)\n",
    )
    session.tool(
        "Bash",
        {"command": "git log -2 --format=fuller"},
        f"commit {'abc7777' * 5}abc77\nAuthor:     {person}\nCommit:     {committer}\n\n    {say('logged subject')}\n\n"
        f"    Signed-off-by: {say('signer')} <{say('mailbox of a signer')}@x.test>\n"
        f"    Co-authored-by: {say('second author')} <b@x.test>\n",
    )
    session.tool("Bash", {"command": "hostname; whoami; id -un"}, f"{say('host name')}\n{say('user name')}\n")
    worktree = f"{place}/.claude/worktrees/{identity('worktree')}"
    session.tool(
        "Bash",
        {"command": f"git worktree add {worktree} -b {identity('branch of a worktree')}"},
        f"Preparing worktree (new branch)\nHEAD is now at abc7777 {say('subject of a head')}",
    )
    for cwd in (worktree, f"/home/{identity('user of a home folder')}/atlas", f"/Users/{identity('other user')}/atlas"):
        session.cwd = cwd
        session.tool("Bash", {"command": f"ls {cwd}"}, cwd, usage=Usage(input=2, output=20))
        session.tool("Read", {"file_path": f"{cwd}/a.py"}, say("read elsewhere"), usage=Usage(input=2, output=20))
        session.edit(f"{cwd}/a.py", added=1, removed=1)
    session.row(
        {
            "type": "worktree-state",
            "sessionId": session.session_id,
            "worktreeSession": {"worktreePath": worktree, "originalCwd": place, "worktreeName": say("worktree's name")},
        }
    )
    session.cwd = place
    owner = f"{identity('region of a model')}:{identity('account of a model')}"
    for resource in ("application-inference-profile/", "inference-profile/eu.anthropic.", "custom-model/"):
        session.model = f"arn:aws:bedrock:{owner}:{resource}claude-sonnet-4-5-20250929-v1:0"
        session.request(say("reply of such a model"), usage=Usage(input=3, output=30, cache_read=90_000))
        session.tool("Bash", {"command": "true"}, usage=Usage(input=4, output=40, cache_read=90_000))
        session.tool("Edit", {"file_path": "/a", "old_string": "", "new_string": ""}, usage=Usage(input=4, output=40))
        session.edit("/srv/a.py", added=1, removed=1)
    launched = session.launch(kind="Explore", words=say("task for such a model"))
    child = session.agent()
    child.model = session.model
    child.prompt(say("prompt for such a model"))
    child.request(say("reply of its agent"), usage=Usage(input=3, output=30))
    session.landed(launched, child, kind="Explore")
    session.turn_duration(1_000)
    session.model = model
