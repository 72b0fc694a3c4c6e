"""ccagent's own traces from a real daemon: off unless asked for, under a scope of their own, without a word of anybody's."""

from __future__ import annotations

import signal
from typing import Any

from tests.daemon.collector import rich_session
from tests.daemon.rig import Ground
from tests.otlp.receiver import Received, http_receiver

CANARY = "kanarienvogel"
SCOPE = "ccagent.self"


def scopes(received: Received) -> dict[str, list[Any]]:
    """Spans by the scope under which they came."""
    found: dict[str, list[Any]] = {}
    for request in received.taken:
        for resource in getattr(request, "resource_spans", ()):
            for scope in resource.scope_spans:
                found.setdefault(scope.scope.name, []).extend(scope.spans)
    return found


def configure(ground: Ground, url: str, *, own: bool) -> None:
    ground.config.write_text(
        f'[otlp]\nendpoint = "{url}"\nprotocol = "http/protobuf"\ninterval_seconds = 1\nself_traces = {str(own).lower()}\n'
    )


def test_its_work_is_traced_when_it_is_asked_for_and_only_then(ground: Ground) -> None:
    with http_receiver() as running:
        received = running.received
        configure(ground, running.http, own=False)
        daemon = ground.start("--config", str(ground.config))
        daemon.until_caught_up()
        ground.tree.write(rich_session("one", secret=CANARY))
        daemon.until(lambda: scopes(received).get("ccagent"), "the agent's spans arrive")
        assert SCOPE not in scopes(received)

        configure(ground, running.http, own=True)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.until_logged("config.reloaded")
        ground.tree.write(rich_session("two", secret=CANARY))
        wanted = {"ingest batch", "rollup run", "export"}
        daemon.until(
            lambda: wanted <= {span.name for span in scopes(received).get(SCOPE, ())},
            "spans of ccagent's own work arrive",
        )
        own = scopes(received)[SCOPE]
        assert all(span.end_time_unix_nano >= span.start_time_unix_nano > 0 for span in own)
        assert {span.trace_id for span in own}.isdisjoint({span.trace_id for span in scopes(received)["ccagent"]})
        assert not any(CANARY.encode() in span.SerializeToString() for span in own)
        # Its own requests are not traced, or each would call for another one.
        requests = {pair.value.string_value for span in own if span.name == "export" for pair in span.attributes}
        assert {"traces", "metrics", "otlp", "advance"} <= requests
        assert daemon.terminate() == 0


def test_a_receiver_that_is_away_does_not_hold_up_the_end(ground: Ground) -> None:
    configure(ground, "http://127.0.0.1:9", own=True)
    ground.tree.write(rich_session("one"))
    daemon = ground.start("--config", str(ground.config))
    daemon.until_caught_up()

    assert daemon.terminate() == 0
