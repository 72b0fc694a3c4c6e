"""`export preview` and `tap`: what they show is what a receiver gets, and looking sends nothing."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from ccagent.otlp_json import otlp_json
from tests.daemon.collector import attributes, door, rich_session
from tests.daemon.rig import Ground, now_ms
from tests.otlp.receiver import Running, http_receiver
from tests.transcripts import Session, Usage, text

TOKEN = "kanarienvogel-geheim"


def asked(ground: Ground, *options: str, url: str) -> subprocess.CompletedProcess[str]:
    """`ccagent export preview` for a receiver at `url`, with a secret header."""
    config = ground.folder / "preview.toml"
    config.write_text(f'otlp.endpoint = "{url}"\notlp.headers = {{ authorization = "Bearer ${{TOKEN}}" }}\n')
    done = ground.group("export", "preview", "--config", str(config), *options, TOKEN=TOKEN)
    assert TOKEN not in done.stdout + done.stderr
    return done


def previewed(ground: Ground, url: str) -> dict[str, Any]:
    """The requests by signal."""
    done = asked(ground, "--json", url=url)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    return {one["signal"]: one for one in document["requests"]}


def export(ground: Ground, running: Running) -> None:
    """Send what is due, once."""
    done = ground.once("--otlp-endpoint", running.http, "--otlp-protocol", "http/protobuf")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def followed(ground: Ground) -> Ground:
    """A ground whose sessions are read, with nothing sent: the receiver was not there."""
    with door(1) as closed:
        ground.tree.write(rich_session("rich"))
        ground.once("--otlp-endpoint", closed.url, "--otlp-protocol", "http/protobuf")
    return ground


def test_the_preview_is_the_next_request_to_the_letter(followed: Ground) -> None:
    with http_receiver() as running:
        shown = previewed(followed, running.http + "/")
        assert running.received.offered == []
        export(followed, running)
        for signal in ("traces", "logs"):
            first = next(one for one in running.received.taken if one.DESCRIPTOR.name.lower().find(signal[:4]) >= 0)
            assert shown[signal]["request"] == json.loads(json.dumps(otlp_json(first)))
            assert shown[signal]["bytes"] == first.ByteSize()
            assert shown[signal]["headers"] == ["authorization"]
        assert shown["metrics"]["items"] > 0
        again = previewed(followed, running.http + "/")
        assert again["traces"]["request"] is None
        assert again["logs"]["request"] is None


def test_the_preview_of_the_very_first_request_numbers_projects_as_the_request_does(ground: Ground) -> None:
    ground.tree.write(rich_session("rich"))
    assert ground.once().returncode == 0  # no destination was ever named

    with http_receiver() as running:
        shown = previewed(ground, running.http)["traces"]["request"]
        export(ground, running)

    projects = {
        pair["value"]["stringValue"]
        for each in shown["resourceSpans"] for scope in each["scopeSpans"] for span in scope["spans"]
        for pair in span["attributes"] if pair["key"] == "ccagent.project"
    }  # fmt: skip
    sent = {attributes(span).get("ccagent.project") for span in running.received.spans}
    assert projects == sent
    assert None not in sent


def test_on_a_screen_it_says_where_to_and_how_much(followed: Ground) -> None:
    done = asked(followed, "--signal", "traces", url="http://127.0.0.1:4318")

    assert done.returncode == 0, done.stderr
    assert "otlp/traces: http/protobuf http://127.0.0.1:4318/v1/traces, headers authorization" in done.stdout
    assert "spans" in done.stdout
    assert "invoke_agent claude-code" in done.stdout


def test_names_from_a_transcript_cannot_command_the_terminal(followed: Ground) -> None:
    odd = Session("odd", start=now_ms() - 60_000, model="model\x9b2J\u202e\U000e0001")
    odd.prompt("hello")
    odd.assistant(text("a reply"), usage=Usage(output=1))
    odd.turn_duration(5_000)
    followed.tree.write(odd)
    with door(1) as closed:
        followed.once("--otlp-endpoint", closed.url, "--otlp-protocol", "http/protobuf")

    shown = asked(followed, "--signal", "traces", url="http://127.0.0.1:4318").stdout

    assert '"model\\u009b2J\\u202e\\udb40\\udc01"' in shown
    assert shown.replace("\n", "").isprintable()


def test_where_nothing_is_sent_it_says_so(followed: Ground) -> None:
    done = followed.group("export", "preview")

    assert done.returncode == 78
    assert "nothing is sent" in done.stderr


def test_a_destination_that_is_not_there_is_named(followed: Ground) -> None:
    done = asked(followed, "--destination", "elsewhere", url="http://127.0.0.1:4318")

    assert done.returncode == 2
    assert "otlp/traces" in done.stderr


def test_tap_shows_what_passes_while_it_looks(followed: Ground) -> None:
    with http_receiver() as running:
        options = ("--otlp-endpoint", running.http, "--otlp-protocol", "http/protobuf")
        tap = subprocess.Popen(
            followed.command("tap", "--json", "--for", "8"), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=followed.home, env=followed.environment(
                CCAGENT_OTLP_ENDPOINT=running.http, CCAGENT_OTLP_PROTOCOL="http/protobuf"
            ),
        )  # fmt: skip
        try:
            daemon = followed.start(*options)
            daemon.until(lambda: running.received.spans and running.received.logs, "something left")
            out, err = tap.communicate(timeout=30)
        finally:
            tap.kill()
        assert tap.returncode == 0, err
        lines = [json.loads(line) for line in out.splitlines()]
        spans = {line["item"]["spanId"] for line in lines if line["signal"] == "traces"}
        assert spans == {span.span_id.hex() for span in running.received.spans}
        assert sum(line["signal"] == "logs" for line in lines) == len(running.received.logs)
