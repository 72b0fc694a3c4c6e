"""The doctor's report can be shown to anybody: words planted in every place of identity are not in it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.canaries import Canaries
from tests.claude_canaries import transcripts
from tests.codex_canaries import rollout
from tests.daemon.rig import Ground, grounds, now_ms
from tests.transcripts import Session

HOUR_MS = 3_600_000

FORMS = ((), ("--json",), ("--deep",))


@dataclass
class Told:
    """What the doctor said, by the state in which everything was."""

    canaries: Canaries
    secrets: tuple[str, ...] = ()
    reports: dict[str, str] = field(default_factory=dict)
    stored: bytes = b""


def settings(canaries: Canaries) -> str:
    """A configuration with a word wherever its owner chooses one."""
    name = canaries.name
    destination, channel, hook = name("destination"), name("channel"), name("other channel")
    return (
        f'[privacy]\ntier = 2\nidentity = "{name("own name")}"\n'
        f"[otlp.destinations.{destination}]\n"
        f'endpoint = "http://127.0.0.1:9/{name("path of an endpoint")}"\nprotocol = "http/protobuf"\n'
        f'headers = {{ x-scope = "{name("header")}" }}\n'
        f'[alerts]\ndefault_channels = ["{channel}", "{hook}", "desktop"]\n'
        f'[alerts.project_budgets]\n"{name("project with a budget")}" = 3.5\n'
        f'[alerts.channels.{channel}]\ntype = "command"\ncommand = ["/opt/{name("program")}/notify", "{{line}}"]\n'
        f'[alerts.channels.{hook}]\ntype = "webhook"\nurl = "http://127.0.0.1:9/{name("path of a hook")}"\n'
        f'[prices]\noverride = "/srv/{name("folder of prices")}.toml"\n'
    )


def written(ground: Ground, canaries: Canaries) -> tuple[str, ...]:
    """Transcripts of both clients; ids of their sessions."""
    session = transcripts(canaries, str(ground.folder), start=now_ms() - HOUR_MS)
    odd = Session(
        canaries.name("id of a session"), start=now_ms() - HOUR_MS,
        cwd=f"/home/{canaries.name('cwd')}", branch=canaries.name("branch"),
    )  # fmt: skip
    odd.version = canaries.name("client version")
    odd.prompt("hello")
    odd.model = canaries.name("model")
    odd.request()
    odd.row({"type": canaries.name("type of a record"), "sessionId": odd.session_id})
    ground.tree.write(session, odd)
    codex = rollout(canaries, start=now_ms() - HOUR_MS)
    path = ground.folder / "codex" / codex.path
    path.parent.mkdir(parents=True)
    path.write_bytes(codex.content)
    return session.session_id, odd.session_id, codex.session


def ask(ground: Ground, told: Told, state: str, *options: str, **variables: str) -> None:
    for form in FORMS:
        done = ground.verb(
            "doctor", *form, *options, "--source", str(ground.root), "--source", f"codex:{ground.folder / 'codex'}",
            **variables,
        )  # fmt: skip
        assert done.returncode in (1, 10), (state, form, done.stderr)
        assert "Traceback" not in done.stderr, (state, form, done.stderr)
        told.reports[f"{state} {' '.join(form)}".strip()] = done.stdout + done.stderr


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    found = Told(Canaries(21))
    folder = tmp_path_factory.mktemp("doctor") / found.canaries.name("folder of everything") / "ground"
    with grounds(folder) as ground:
        ground.config.write_text(settings(found.canaries))
        sessions = written(ground, found.canaries)
        found.secrets = (*sessions, str(ground.home), str(folder), socket.gethostname())
        named = ("--config", str(ground.config))
        ask(ground, found, "nothing stored", *named)
        plain = ("--source", f"codex:{ground.folder / 'codex'}")
        daemon = ground.start(*plain)
        daemon.until_caught_up()
        ask(ground, found, "running", *named)
        variable = {f"CCAGENT_{found.canaries.name('variable').upper()}": "1"}
        ask(ground, found, "an unknown variable", **variable)
        found.stored = b"".join(file.read_bytes() for file in ground.database.parent.iterdir() if file.is_file())
        daemon.kill()
        ask(ground, found, "killed", *named)
        ground.config.write_text(settings(found.canaries) + f"[{found.canaries.name('unknown section')}]\n")
        ask(ground, found, "refused configuration", *named)
        os.truncate(ground.database, 5_000)
        # What the killed one had not folded in yet would stand in for the pages that are gone.
        Path(f"{ground.database}-wal").unlink(missing_ok=True)
        ask(ground, found, "damaged")
        yield found


def test_no_name_path_or_text_is_in_any_report(told: Told) -> None:
    leaks = {
        state: told.canaries.named(report.encode()) | told.canaries.found(report.encode())
        | {secret for secret in told.secrets if secret in report}
        for state, report in told.reports.items()
    }  # fmt: skip

    assert {state: found for state, found in leaks.items() if found} == {}


def test_the_words_were_there_to_be_found(told: Told) -> None:
    assert len(told.reports) == 6 * len(FORMS)
    assert len(told.canaries.named(told.stored)) > 10, "the same search finds what is kept"


def checks(report: str) -> dict[str, str]:
    """The worst state by check."""
    found: dict[str, str] = {}
    for one in json.loads(report[: report.index("\n")])["checks"]:
        found[one["check"]] = max(found.get(one["check"], ""), one["state"], key=("", "ok", "warn", "fail").index)
    return found


def test_each_state_is_told_by_its_check(told: Told) -> None:
    assert checks(told.reports["nothing stored --json"])["database"] == "ok"
    running, killed = checks(told.reports["running --json"]), checks(told.reports["killed --json"])
    assert (running["daemon"], running["version"], running["port"]) == ("ok", "ok", "ok")
    assert (running["collector"], running["alerts"], running["prices"]) == ("fail", "fail", "fail")
    assert (running["drift"], running["offsets"], running["lag"]) == ("warn", "ok", "ok")
    assert (killed["daemon"], killed["offsets"]) == ("warn", "ok")
    assert "lag" not in killed
    assert checks(told.reports["an unknown variable --json"])["config"] == "warn"
    assert checks(told.reports["refused configuration --json"])["config"] == "fail"
    assert checks(told.reports["damaged --json"])["database"] == "fail"


def test_a_report_is_one_line_a_check(told: Told) -> None:
    for state, report in told.reports.items():
        if "--json" not in state:
            lines = report.splitlines()[1:]
            assert len(lines) > 1, state
            assert all(line.split()[0] in ("ok", "warn", "fail") for line in lines), state


def test_the_folder_of_everything_is_a_canary(told: Told) -> None:
    assert "folder of everything" in told.canaries.named(str(Path(told.secrets[-2])).encode())
