"""The whole chain of an alert: a transcript grows, and log, webhook, OTLP, page, status and verbs tell the same of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from ccagent.notify.otlp import EVENT
from tests.canaries import Canaries
from tests.daemon.rig import Daemon, Ground, now_ms
from tests.notify.hooks import Hooks, receiving
from tests.otlp.receiver import Running, http_receiver, logs_of
from tests.transcripts import Session, Usage, text

RULE = "calls-fail"
PROJECT = "atlas"
CONFIGURATION = """\
[privacy]
tier = 1

[otlp]
endpoint = "{otlp}"
protocol = "http/protobuf"
interval_seconds = 1

[log]
level = "info"

[alerts]
interval_seconds = 1
group_seconds = 0
default_channels = ["log", "hook", "otlp"]

[alerts.channels.hook]
type = "webhook"
url = "{hook}"

[alerts.rules.calls-fail]
name = "Calls fail"
metric = "tool_success_rate"
window = "24h"
scope = "project"
operator = "<"
threshold = 0.5
least = 3
summary = "{{subject}}: only {{value}} of the calls end well"
"""

Shown = dict[str, Any]


@dataclass
class Chain:
    """A daemon that follows one growing session, and who is told."""

    ground: Ground
    daemon: Daemon
    hooks: Hooks
    otlp: Running
    session: Session
    words: Canaries
    written: int = 0

    def grow(self) -> None:
        """Append what the session has more than its file."""
        content = self.session.content
        self.ground.tree.append(self.session, content[self.written :])
        self.written = len(content)

    def call(self, *, exit_code: int) -> None:
        """A shell call with words of content in command and output, and what a request may cost."""
        self.session.bash(f"cat {self.words.say('command')}", exit_code=exit_code, usage=Usage(input=10, output=5))

    @property
    def records(self) -> list[LogRecord]:
        """Alerts among the log records that came."""
        return [
            record
            for request in self.otlp.received.taken
            if hasattr(request, "resource_logs")
            for record in logs_of(request)
            if record.event_name == EVENT
        ]

    def rule(self) -> Shown:
        """The rule as `alerts list` shows it."""
        return next(rule for rule in self.listed(0, 10)["rules"] if rule["id"] == RULE)

    def listed(self, *codes: int) -> Shown:
        """What `alerts list --check` says, with one of these exit codes."""
        done = self.ground.group("alerts", "list", "--check", "--json", "--config", str(self.ground.config))
        assert done.returncode in codes, done.stderr
        document: Shown = json.loads(done.stdout)
        return document

    def transitions(self) -> list[Shown]:
        """What was told of the rule, the oldest first."""
        done = self.ground.group(
            "alerts", "history", "--rule", RULE, "--json", "--config", str(self.ground.config)
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [one for one in reversed(json.loads(done.stdout)["transitions"]) if one["key"] is not None]

    def gauge(self) -> float | None:
        """What the page says of the rule."""
        return self.daemon.samples().get(("ccagent_alerts_firing", (("rule", RULE),)))

    def told(self, number: int) -> bool:
        """Whether webhook and OTLP have heard of so many transitions."""
        return len(self.hooks.keys) >= number and len(self.records) >= number

    def started_again(self) -> None:
        """Kill the daemon, and start another on the same ground."""
        self.daemon.kill()
        self.daemon = self.ground.start("--config", str(self.ground.config))
        self.daemon.until_caught_up()


@contextmanager
def chain(ground: Ground) -> Iterator[Chain]:
    words = Canaries(6)
    with receiving() as hooks, http_receiver() as otlp:
        ground.config.write_text(CONFIGURATION.format(otlp=otlp.http, hook=hooks.url))
        daemon = ground.start("--config", str(ground.config))
        daemon.until_caught_up()
        session = Session(
            seed="chain", start=now_ms() - 60_000, cwd=f"/home/{words.name('home')}/{PROJECT}",
            branch=words.name("branch"),
        )  # fmt: skip
        session.prompt(f"please {words.say('prompt')}")
        yield Chain(ground=ground, daemon=daemon, hooks=hooks, otlp=otlp, session=session, words=words)


def attributes(record: LogRecord) -> dict[str, Any]:
    """The attributes of a record by name."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in record.attributes}


def test_an_alert_is_told_once_by_every_way_and_ended_once(ground: Ground) -> None:
    with chain(ground) as all_of_it:
        daemon = all_of_it.daemon
        for _ in range(2):
            all_of_it.call(exit_code=1)
        all_of_it.grow()
        daemon.until(lambda: all_of_it.gauge() == 0, "the rule is there, and two calls are too few for it")

        all_of_it.call(exit_code=1)
        all_of_it.grow()
        daemon.until(lambda: all_of_it.gauge() == 1, "the page says that it fires")
        daemon.until(lambda: all_of_it.told(1), "both were told")

        shown, (fired,) = all_of_it.rule(), all_of_it.transitions()
        assert (shown["state"], all_of_it.listed(10)["firing"]) == ("firing", 1)
        assert (fired["to"], fired["value"], fired["threshold"]) == ("firing", 0.0, 0.5)
        assert shown["value"] == 0.0
        assert RULE in json.dumps(ground.status("--config", str(ground.config)))

        all_of_it.started_again()
        for _ in range(4):
            all_of_it.call(exit_code=0)
        all_of_it.session.assistant(text(all_of_it.words.say("reply")), usage=Usage(input=10, output=5))
        all_of_it.grow()
        all_of_it.daemon.until(lambda: all_of_it.gauge() == 0, "the page says that it is over")
        all_of_it.daemon.until(lambda: all_of_it.told(2), "both were told of that, too")
        assert all_of_it.daemon.terminate() == 0

        history = all_of_it.transitions()
        assert [(one["to"], one["reason"], one["episode"]) for one in history] == [
            ("firing", fired["reason"], 1), ("resolved", "clear", 1),
        ]  # fmt: skip
        assert history[0]["key"] == fired["key"] != history[1]["key"]
        assert history[1]["value"] > 0.5
        agree(all_of_it, history)
        assert all_of_it.rule()["state"] == "inactive"
        nothing_leaves_that_must_not(all_of_it)


def agree(all_of_it: Chain, history: list[Shown]) -> None:
    """History, webhook and log records tell the same, each once."""
    keys = [one["key"] for one in history]
    values = [one["value"] for one in history]
    records = [attributes(record) for record in all_of_it.records]
    alerts = all_of_it.hooks.alerts
    assert all_of_it.hooks.keys == keys
    assert [record["ccagent.alert.key"] for record in records] == keys
    assert [record["ccagent.alert.value"] for record in records] == values
    assert [record["ccagent.alert.state"] for record in records] == ["firing", "resolved"]
    assert [alert["value"] for alert in alerts] == values
    assert [alert["state"] for alert in alerts] == ["firing", "resolved"]
    assert {alert["subject"] for alert in alerts} == {PROJECT}
    assert [headers["idempotency-key"] for headers in all_of_it.hooks.headers] == keys
    sent = {(one["channel"], one["state"], one["attempts"]) for entry in history for one in entry["deliveries"]}
    assert sent == {("log", "sent", 1), ("hook", "sent", 1), ("otlp", "sent", 1)}


def nothing_leaves_that_must_not(all_of_it: Chain) -> None:
    """No word of content, no folder and no branch is in a request, or in a line of the log."""
    requests = b"\n".join([*all_of_it.hooks.bodies, *all_of_it.otlp.received.bodies])
    headers = repr((all_of_it.hooks.headers, all_of_it.hooks.paths, all_of_it.otlp.received.headers)).encode()
    logs = b"\n".join(daemon.log.read_bytes() for daemon in all_of_it.ground.started)
    everything = requests + headers + logs
    records = repr([attributes(record) for record in all_of_it.records]).encode()
    assert all_of_it.words.found(everything + records) == set()
    assert all_of_it.words.named(everything + records) == set()
    assert RULE.encode() in requests
    assert RULE.encode() in logs
    assert PROJECT.encode() not in records  # tier 1: a number in place of the name
