"""Several destinations: none waits for another, each has a cursor of its own, and a reload leaves the others alone."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.collector import attributes
from tests.daemon.rig import Daemon, Ground, small_session
from tests.otlp.receiver import Answer, Running, http_receiver

SPANS = 3  # of a small session


def table(name: str, url: str, *, more: str = "") -> str:
    """A destination of traces, as the configuration file has it."""
    return f'[otlp.destinations.{name}]\nendpoint = "{url}"\nprotocol = "http/protobuf"\nsignals = ["traces"]\n{more}\n'


def started(ground: Ground, text: str, **variables: str) -> Daemon:
    ground.config.write_text(text)
    daemon = ground.start("--config", str(ground.config), **variables)
    daemon.until_caught_up()
    return daemon


def reload(daemon: Daemon, text: str, event: str = "config.reloaded") -> None:
    daemon.ground.config.write_text(text)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until_logged(event)


def otel(ground: Ground, **variables: str) -> dict[str, Any]:
    """The document of `status --otel --json`."""
    done = ground.verb("status", "--otel", "--json", "--config", str(ground.config), **variables)
    assert done.returncode in (0, 3), done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def state(ground: Ground, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next((one for one in otel(ground)["destinations"] if one["name"] == name), {})
    return found


def has(collector: Running, spans: int) -> bool:
    return len(collector.received.spans) == spans


def cursors(ground: Ground) -> dict[str, int]:
    return dict(ground.rows("SELECT destination, closed_seq FROM export_cursor WHERE signal = 'traces'"))


def test_every_destination_gets_everything_and_one_that_is_away_delays_none(ground: Ground) -> None:
    with http_receiver() as one, http_receiver() as two:
        daemon = started(ground, table("one", one.http) + table("two", two.http) + table("away", "http://127.0.0.1:9"))
        ground.tree.write(small_session("s"))
        daemon.until(lambda: has(one, SPANS) and has(two, SPANS), "both have the session")
        daemon.until(lambda: state(ground, "away").get("backlog"), "what waits for the third is told")

        away = state(ground, "away")
        assert away["state"] in ("degraded", "circuit_open")
        assert away["advice"] == "see that the receiver runs and can be reached"
        assert away["last_hour"]["failed"] > 0
        assert state(ground, "one")["state"] == "active"
        assert state(ground, "one")["last_day"] == {"succeeded": 1, "failed": 0, "dropped": 0}
        assert cursors(ground)["one"] == cursors(ground)["two"] > cursors(ground)["away"] == 0


def test_a_start_that_sends_says_so_and_one_that_does_not_is_silent(ground: Ground) -> None:
    quiet = started(ground, "")
    assert quiet.terminate() == 0
    assert "export.on" not in quiet.words

    loud = started(ground, table("one", "http://127.0.0.1:9"))
    reload(loud, table("two", "http://127.0.0.1:9"))

    loud.until(
        lambda: "http://127.0.0.1:9/v1/traces" in loud.words.rpartition("export.on")[2], "tier and endpoint are told"
    )
    assert "one/traces" in loud.words
    assert "two/traces" in loud.words.rpartition("export.on")[2]


def test_one_that_never_answers_delays_none(ground: Ground) -> None:
    with http_receiver() as silent, http_receiver() as other:
        silent.received.rule = lambda _request: Answer(silent=True)
        daemon = started(ground, table("silent", silent.http) + table("other", other.http))
        ground.tree.write(small_session("s"))

        daemon.until(lambda: silent.received.offered and has(other, SPANS), "the other one has the session")


def test_a_destination_added_by_a_reload_leaves_the_other_alone(ground: Ground) -> None:
    with http_receiver() as old, http_receiver() as new:
        daemon = started(ground, table("old", old.http))
        ground.tree.write(small_session("s"))
        daemon.until(lambda: has(old, SPANS), "the first has the session")
        threads = thread_ids(daemon)

        reload(daemon, table("old", old.http) + table("new", new.http))

        daemon.until(lambda: has(new, SPANS), "the second has it, too")
        assert threads <= thread_ids(daemon), "no thread was replaced"
        assert has(old, SPANS)


def test_a_changed_destination_goes_on_from_its_cursor(ground: Ground) -> None:
    with http_receiver() as old, http_receiver() as moved:
        daemon = started(ground, table("one", old.http))
        ground.tree.write(small_session("s"))
        daemon.until(lambda: has(old, SPANS), "the session is at the first place")
        daemon.until(lambda: cursors(ground)["one"] > 0, "its cursor has moved")

        reload(daemon, table("one", moved.http))
        ground.tree.write(small_session("t"))

        daemon.until(lambda: has(moved, SPANS), "the next session is at the second place, alone")
        assert has(old, SPANS)


def test_a_destination_named_again_gets_what_closed_meanwhile(ground: Ground) -> None:
    with http_receiver() as one, http_receiver() as other:
        daemon = started(ground, table("one", one.http) + table("other", other.http))
        ground.tree.write(small_session("s"))
        daemon.until(lambda: has(one, SPANS) and has(other, SPANS), "both have the first session")
        daemon.until(lambda: cursors(ground)["one"] > 0, "its cursor has moved")
        reload(daemon, table("other", other.http))
        ground.tree.write(small_session("t"))
        daemon.until(lambda: has(other, 2 * SPANS), "the second session has left")
        assert has(one, SPANS)

        reload(daemon, table("one", one.http) + table("other", other.http), "config.reloaded")

        daemon.until(lambda: has(one, 2 * SPANS), "the first has what it missed")
        assert len({span.span_id for span in one.received.spans}) == 2 * SPANS


def test_a_destination_that_cannot_be_used_ends_the_start_with_78(ground: Ground, tmp_path: Path) -> None:
    text = table("good", "http://127.0.0.1:4318") + table(
        "bad", "https://127.0.0.1:4318", more='certificate = "none.pem"'
    )
    ground.config.write_text(text)

    daemon = ground.start("--config", str(ground.config))

    assert daemon.process.wait(30) == 78
    assert "none.pem is not a readable file" in daemon.words


def test_a_reload_with_a_destination_that_cannot_be_used_changes_nothing(ground: Ground) -> None:
    with http_receiver() as one:
        daemon = started(ground, table("one", one.http))

        reload(
            daemon, table("one", one.http) + table("bad", "https://127.0.0.1:1", more='certificate = "none.pem"'),
            "config.reload_failed",
        )  # fmt: skip
        ground.tree.write(small_session("s"))

        daemon.until(lambda: has(one, SPANS), "the old destination goes on")


def test_a_secret_stays_out_of_log_status_and_problems(ground: Ground) -> None:
    canary = "kanarienvogel-9f8a7b6c5d4e3f2a1b0c"
    secret = ground.folder / "token"
    secret.write_text(canary)
    secret.chmod(0o600)
    header = f'headers = {{ authorization = "Bearer ${{file:{secret}}}" }}'
    with http_receiver() as one:
        one.received.rule = lambda _request: Answer(status=401, body=f"Bearer {canary} is no good".encode())
        daemon = started(ground, table("one", one.http, more=header), CCAGENT_LOG_LEVEL="debug")
        ground.tree.write(small_session("s"))
        daemon.until(lambda: state(ground, "one").get("problem"), "the status tells the problem")

        shown = state(ground, "one")
        files = b"".join(path.read_bytes() for path in ground.folder.rglob("*") if path.is_file() and path != secret)
        assert one.received.headers[0]["authorization"] == f"Bearer {canary}"
        assert shown["headers"] == {"authorization": "Bear****"}
        assert shown["advice"] == "check the credentials in its headers"
        assert canary.encode() not in files
        assert canary not in daemon.words


def test_at_tier_2_the_owner_is_named_but_not_for_a_project_of_tier_1(ground: Ground) -> None:
    bounded = ground.folder / "bounded"
    (bounded / ".git").mkdir(parents=True)
    (bounded / ".ccagent.toml").write_text('tier = 1\nproject = "shop"\n')
    with http_receiver() as one:
        daemon = started(ground, '[privacy]\ntier = 2\nidentity = "ada"\n' + table("one", one.http))
        first, second = small_session("s"), small_session("t", cwd=str(bounded))
        ground.tree.write(first, second)
        daemon.until(lambda: has(one, 2 * SPANS), "both have left")
        daemon.until(lambda: otel(ground)["tier"]["project_files"], "the status names the file")

        tier = otel(ground)["tier"]
        named = {attributes(span)["session.id"]: attributes(span).get("enduser.id") for span in one.received.spans}
        resources = {
            attribute.key for request in one.received.taken for each in request.resource_spans
            for attribute in each.resource.attributes
        }  # fmt: skip
        assert named == {first.session_id: "ada", second.session_id: None}
        assert "enduser.id" not in resources
        assert (tier["personal"], tier["identity"]) == (2, "ada")
        assert tier["acknowledged_at"] is not None
        assert tier["project_files"] == [{"file": str(bounded / ".ccagent.toml"), "tier": 1}]


def test_without_a_daemon_the_status_tells_what_waits(ground: Ground) -> None:
    with http_receiver() as one:
        daemon = started(ground, table("one", one.http) + table("away", "http://127.0.0.1:9"))
        ground.tree.write(small_session("s"))
        daemon.until(lambda: has(one, SPANS) and cursors(ground)["one"] > 0, "the session has left")
        daemon.until(lambda: "away" in cursors(ground), "the other one has a cursor")
        assert daemon.terminate() == 0

    document = otel(ground)

    found = {one["name"]: one for one in document["destinations"]}
    assert not document["running"]
    assert {one["state"] for one in found.values()} == {"stopped"}
    assert (found["one"]["sent"], found["one"]["backlog"], found["one"]["backlog_age_seconds"]) == (SPANS, 0, None)
    assert found["away"]["backlog"] == SPANS
    assert found["away"]["backlog_age_seconds"] is not None
    assert {"metric": "tokens", "label": "model", "used": 1, "budget": 20} in document["labels"]


def thread_ids(daemon: Daemon) -> set[str]:
    """The threads of the process, as the system knows them."""
    folder = Path(f"/proc/{daemon.process.pid}/task")
    if not folder.is_dir():
        pytest.skip("this system does not list the threads of a process")
    return {path.name for path in folder.iterdir()}
