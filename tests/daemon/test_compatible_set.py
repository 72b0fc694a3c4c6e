"""The compatible set of a real daemon: on where it is asked for, off beside Claude Code's own telemetry."""

from __future__ import annotations

import json

from tests.daemon.collector import options, receiver
from tests.daemon.rig import Daemon, Ground, small_session
from tests.otlp.receiver import Running

ON = {"CCAGENT_COMPAT_CLAUDE_CODE": "true"}


def native_settings(ground: Ground) -> None:
    """Claude Code's own telemetry is switched on in the settings beside the transcripts."""
    settings = {"env": {"CLAUDE_CODE_ENABLE_TELEMETRY": "1", "OTEL_EXPORTER_OTLP_HEADERS": "key=canary"}}
    (ground.root.parent / "settings.json").write_text(json.dumps(settings))


def told(daemon: Daemon) -> list[dict[str, str]]:
    """The notices in its log."""
    found = [json.loads(line) for line in daemon.log.read_text().splitlines() if '"config.notice"' in line]
    return [line for line in found if "own telemetry" in line["notice"]]


def resource(collector: Running) -> dict[str, str]:
    """The resource of the newest request."""
    request = collector.received.taken[-1]
    (blocks,) = [getattr(request, field.name) for field in request.DESCRIPTOR.fields]
    return {pair.key: pair.value.string_value for pair in blocks[0].resource.attributes}


def test_switched_on_it_stands_on_the_page_and_in_otlp_beside_ccagents_own(ground: Ground) -> None:
    ground.tree.write(small_session("one", requests=4))
    with receiver("http/protobuf") as collector:
        daemon = ground.start(
            *options(collector.http, "http/protobuf"), CCAGENT_OTLP_INTERVAL_SECONDS="1", **ON
        )  # fmt: skip
        daemon.until_caught_up()
        daemon.until(
            lambda: "claude_code.token.usage" in {metric.name for metric in collector.received.metrics},
            "metrics arrive",
        )
        samples = daemon.samples()

        assert sum(v for (name, _), v in samples.items() if name == "claude_code_token_usage_tokens_total") == sum(
            v for (name, _), v in samples.items() if name == "ccagent_tokens_total"
        ) > 0  # fmt: skip
        assert resource(collector).items() >= {"service.name": "ccagent", "ccagent.source": "transcript"}.items()
        assert "ccagent.native_telemetry" not in resource(collector)
        assert told(daemon) == []


def test_it_is_off_by_default(ground: Ground) -> None:
    ground.tree.write(small_session("one"))
    daemon = ground.start()
    daemon.until_caught_up()

    assert "claude_code" not in daemon.page()


def test_beside_the_native_telemetry_it_stays_off_and_says_why(ground: Ground) -> None:
    native_settings(ground)
    ground.tree.write(small_session("one", requests=4))
    with receiver("http/protobuf") as collector:
        daemon = ground.start(*options(collector.http, "http/protobuf"), CCAGENT_OTLP_INTERVAL_SECONDS="1", **ON)
        daemon.until_caught_up()
        daemon.until(lambda: collector.received.metrics, "metrics arrive")

        assert "claude_code_" not in daemon.page()
        (line,) = told(daemon)
        assert "stays off" in line["notice"]
        assert resource(collector)["ccagent.native_telemetry"] == "true"
        assert any("stays off" in problem for problem in ground.status()["problems"])
        assert daemon.log.read_text().count('"native_telemetry.found"') == 1
        assert "canary" not in daemon.log.read_text()


def test_forced_it_stands_beside_the_native_telemetry(ground: Ground) -> None:
    native_settings(ground)
    ground.tree.write(small_session("one"))
    daemon = ground.start(CCAGENT_COMPAT_FORCE="true", **ON)
    daemon.until_caught_up()

    assert "claude_code_token_usage_tokens_total" in daemon.page()
    assert "doubled" in told(daemon)[0]["notice"]


def test_its_totals_survive_a_restart_and_being_switched_off_for_a_while(ground: Ground) -> None:
    ground.tree.write(small_session("one", requests=3))
    name = "claude_code_token_usage_tokens_total"

    def shown(daemon: Daemon) -> float:
        daemon.until_caught_up()
        return sum(value for (metric, _), value in daemon.samples().items() if metric == name)

    first = ground.start(**ON)
    before = shown(first)
    first.terminate()
    off = ground.start()
    assert shown(off) == 0
    off.terminate()

    assert shown(ground.start(**ON)) == before > 0
