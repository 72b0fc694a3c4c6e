"""Alerts as log records: what arrives at a collector, and what the tiers keep back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ccagent.alerts.message import Message
from ccagent.alerts.rule import Condition, Operand, Scope, Severity, Window
from ccagent.export.otlp.sender import Destination
from ccagent.export.privacy import ALERT_ATTRIBUTES, TierResolver, anonymous
from ccagent.metrics import names
from ccagent.notify.channel import Outcome
from ccagent.notify.otlp import EVENT, OtlpChannel
from ccagent.notify.placing import Folder, Placed, place
from tests.notify.made import NOON, message, resolved, rule
from tests.otlp.receiver import Answer, Running, http_receiver

KEY = "of-nobody"
RESOURCE = {"service.name": "ccagent", "service.instance.id": "instance-1"}


@pytest.fixture
def collector() -> Iterator[Running]:
    with http_receiver() as running:
        yield running


def destination(running: Running, name: str = "otlp", **more: Any) -> Destination:
    return Destination(**{"name": name, "urls": {"logs": f"{running.http}/v1/logs"}, "timeout_seconds": 2.0} | more)


def resolver(tier: int = 1, identity: str | None = None) -> TierResolver:
    return TierResolver(tier, lambda: NOON, key=KEY, identity=identity, network_mounts=lambda: ())


@pytest.fixture
def channel() -> Iterator[Callable[..., OtlpChannel]]:
    """Makes channels to receivers, of work done where the message's subject says, or `at` does."""
    made: list[OtlpChannel] = []

    def make(
        *running: Running, tiers: TierResolver | None = None, at: Callable[[Message], Sequence[Folder]] | None = None
    ) -> OtlpChannel:
        held = tiers or resolver()

        def placed(one: Message) -> Placed | None:
            return place(one, at(one) if at else [(one.place, one.place)], held)

        destinations = [destination(one, f"to{number}") for number, one in enumerate(running)]
        made.append(OtlpChannel(destinations, RESOURCE, "1", placed))
        return made[-1]

    yield make
    for one in made:
        one.close()


Make = Callable[..., OtlpChannel]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's folder, called by a name of its own."""
    found = tmp_path / "yvproject"
    found.mkdir()
    (found / ".git").mkdir()
    return found


def attributes(record: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in record.attributes}


def test_a_transition_is_a_record_with_all_that_it_says(channel: Make, collector: Running, folder: Path) -> None:
    verdict = channel(collector).deliver([message("k1", severity=Severity.CRITICAL, subject=str(folder))])

    (record,) = collector.received.logs
    number = anonymous(str(folder), KEY)
    assert verdict.outcome is Outcome.SENT
    assert (record.event_name, record.severity_text, record.time_unix_nano) == (EVENT, "ERROR", NOON * 1_000_000)
    assert record.body.string_value == f"[critical] firing: Daily budget · {number}: $5.40 > $5.00"
    assert attributes(record) == {
        "ccagent.alert.key": "k1", "ccagent.alert.rule": "budget", "ccagent.alert.name": "Daily budget",
        "ccagent.alert.severity": "critical", "ccagent.alert.state": "firing", "ccagent.alert.reason": "held",
        "ccagent.alert.scope": "project", "ccagent.alert.metric": "session_cost", "ccagent.alert.window": "daily",
        "ccagent.alert.value": 5.4, "ccagent.alert.threshold": 5.0, "ccagent.alert.unit": "USD",
        "ccagent.alert.episode": 1, "ccagent.project": number,
    }  # fmt: skip
    assert set(attributes(record)) <= ALERT_ATTRIBUTES


@pytest.mark.parametrize(
    ("severity", "text"), [(Severity.INFO, "INFO"), (Severity.WARNING, "WARN"), (Severity.CRITICAL, "ERROR")]
)
def test_severities_are_mapped(channel: Make, collector: Running, folder: Path, severity: Severity, text: str) -> None:
    channel(collector).deliver([message(severity=severity, subject=str(folder)), resolved(subject=str(folder))])

    assert [record.severity_text for record in collector.received.logs] == [text, "INFO"]


def test_the_projects_own_name_is_used_where_its_file_gives_one(
    channel: Make, collector: Running, folder: Path
) -> None:
    (folder / ".ccagent.toml").write_text('tier = 1\nproject = "atlas"\nteam = "blue"\n')

    channel(collector).deliver([message(subject=str(folder))])

    found = attributes(collector.received.logs[0])
    assert (found["ccagent.project"], found["ccagent.team"]) == ("atlas", "blue")


@pytest.mark.parametrize("scope", [Scope.PROJECT, Scope.SESSION, Scope.FEATURE])
def test_nothing_of_a_project_at_tier_0_is_sent(channel: Make, collector: Running, folder: Path, scope: Scope) -> None:
    (folder / ".ccagent.toml").write_text("tier = 0\n")
    places = [("/", "/"), (str(folder), str(folder))]

    verdict = channel(collector, at=lambda _: places).deliver([message(of=rule(scope=scope), subject="x")])

    assert verdict.outcome is Outcome.WITHHELD
    assert collector.received.offered == []


def test_where_nothing_is_known_of_the_work_nothing_is_sent(channel: Make, collector: Running) -> None:
    told = message(of=rule(scope=Scope.SESSION), subject="0f1e")

    assert channel(collector, at=lambda _: []).deliver([told]).outcome is Outcome.WITHHELD


def test_a_rule_over_everything_tells_no_sum_that_holds_private_work(
    channel: Make, collector: Running, folder: Path
) -> None:
    (folder / ".ccagent.toml").write_text("tier = 0\n")
    told = message(of=rule(scope=Scope.GLOBAL), subject="")

    channel(collector, at=lambda _: [("/", "/"), (str(folder), str(folder))]).deliver([told])
    channel(collector, at=lambda _: [("/", "/")]).deliver([told])

    private, plain = collector.received.logs
    assert "ccagent.alert.value" not in attributes(private)
    assert private.body.string_value == "[warning] firing: Daily budget: the condition has held long enough"
    assert "5.4" not in str(private)
    assert attributes(plain)["ccagent.alert.value"] == 5.4


def test_what_ccagent_tells_of_itself_is_nobodys_work(channel: Make, collector: Running, folder: Path) -> None:
    (folder / ".ccagent.toml").write_text("tier = 0\n")
    lag = Condition(operand=Operand(metric=names.INGEST_LAG), window=Window(name="now"), threshold=300.0)
    told = message(of=rule(scope=Scope.GLOBAL, conditions=(lag,)), subject="", value=900.0)

    channel(collector, at=lambda _: [(str(folder), str(folder))]).deliver([told])

    assert attributes(collector.received.logs[0])["ccagent.alert.value"] == 900.0
    assert "15m 00s" in collector.received.logs[0].body.string_value


def test_a_session_is_named_and_its_folder_is_not(channel: Make, collector: Running, folder: Path) -> None:
    told = message(of=rule(scope=Scope.SESSION), subject="0f1e2d3c")

    channel(collector, at=lambda _: [(str(folder / "deep"), str(folder))]).deliver([told])

    found = attributes(collector.received.logs[0])
    assert found["session.id"] == "0f1e2d3c"
    assert found["ccagent.project"] == anonymous(str(folder), KEY)
    assert "yvproject" not in str(collector.received.bodies)


def test_the_names_of_a_rule_do_not_tell_what_tiers_keep_back(channel: Make, collector: Running, folder: Path) -> None:
    own = rule(
        id="budget-yvproject", name="Budget of YVProject", only=(str(folder),), summary="yvproject ({subject}) at {value}, {rule}",
        reason="yvproject is dear", labels=(("project", "yvproject"),),
    )  # fmt: skip

    channel(collector).deliver([message(of=own, rule="budget-yvproject", subject=str(folder))])

    assert "yvproject" not in collector.received.bodies[0].decode("utf-8", "replace").lower()
    assert attributes(collector.received.logs[0])["ccagent.alert.rule"] == f"budget-{anonymous(str(folder), KEY)}"


def test_the_id_that_ccagent_makes_of_a_projects_name_stays_here(
    channel: Make, collector: Running, folder: Path
) -> None:
    own = rule(id="budget-project-yv-project", name="Daily budget of yv project", only=(str(folder), "yv project"))

    channel(collector).deliver([message(of=own, rule=own.id, subject=str(folder))])

    assert attributes(collector.received.logs[0])["ccagent.alert.rule"] == "budget-project"
    assert b"yv" not in collector.received.bodies[0]


def test_a_feature_is_a_number(channel: Make, collector: Running, folder: Path) -> None:
    told = message(of=rule(scope=Scope.FEATURE), subject="yvbranchword")

    channel(collector, at=lambda _: [(str(folder), str(folder))]).deliver([told])

    assert b"yvbranchword" not in collector.received.bodies[0]
    assert attributes(collector.received.logs[0])["ccagent.alert.feature"] == anonymous("yvbranchword", KEY)


def test_the_owners_name_leaves_where_each_project_allows_it(channel: Make, collector: Running, folder: Path) -> None:
    (folder / ".ccagent.toml").write_text("tier = 1\n")
    open_project = message("k1", subject="/nowhere/open")
    bounded = message("k2", subject=str(folder))

    channel(collector, tiers=resolver(2, "ada")).deliver([open_project, bounded])

    first, second = (attributes(record) for record in collector.received.logs)
    assert first["enduser.id"] == "ada"
    assert "enduser.id" not in second


def test_every_destination_gets_it_and_one_that_has_it_is_not_asked_again(channel: Make, folder: Path) -> None:
    with http_receiver() as good, http_receiver() as bad:
        bad.received.script.append(Answer(status=503, headers={"Retry-After": "3"}))
        both = channel(good, bad)

        first = both.deliver([message("k1", subject=str(folder))])
        second = both.deliver([message("k1", subject=str(folder))])

    assert (first.outcome, first.after_ms) == (Outcome.RETRY, 3_000)
    assert second.outcome is Outcome.SENT
    assert [len(one.received.offered) for one in (good, bad)] == [1, 2]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(status=400), Outcome.REFUSED), (Answer(status=413), Outcome.REFUSED), (Answer(status=401), Outcome.RETRY),
        (Answer(status=301), Outcome.RETRY), (Answer(content_type="text/html", body=b"<html>"), Outcome.RETRY),
        (Answer(reset=True), Outcome.RETRY), (Answer(rejected=1, message="too old"), Outcome.REFUSED),
    ],
)  # fmt: skip
def test_what_a_collectors_answer_means(
    channel: Make, collector: Running, folder: Path, answer: Answer, outcome: Outcome
) -> None:
    collector.received.script.append(answer)

    assert channel(collector).deliver([message(subject=str(folder))]).outcome is outcome


def test_what_one_destination_refuses_reaches_the_other_once(channel: Make, folder: Path) -> None:
    told = [message("k1", subject=str(folder)), message("k2", subject=str(folder))]
    with http_receiver() as strict, http_receiver() as good:
        strict.received.script += [Answer(status=400)] * 3
        sending = channel(strict, good)

        together = sending.deliver(told)
        alone = [sending.deliver([one]) for one in told]

        keys = [attributes(record)["ccagent.alert.key"] for record in good.received.logs]

    assert [together.outcome, *(one.outcome for one in alone)] == [Outcome.REFUSED] * 3
    assert keys == ["k1", "k2"]


def test_without_a_destination_it_is_refused_and_says_what_to_do(channel: Make) -> None:
    verdict = channel().deliver([message()])

    assert verdict.outcome is Outcome.REFUSED
    assert "no OTLP destination gets logs" in verdict.reason


def test_the_page_names_every_attribute_that_the_record_may_carry() -> None:
    page = (Path(__file__).parents[2] / "docs" / "logs.md").read_text(encoding="utf-8")

    assert {key for key in ALERT_ATTRIBUTES if f"`{key}`" not in page} == set()
    assert f"`{EVENT}`" in page
