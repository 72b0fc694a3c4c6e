"""The generic webhook and Slack against a receiver that answers anything at all."""

from __future__ import annotations

import base64
import json
import threading
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from ccagent.alerts import slack
from ccagent.alerts.grouping import GROUP_MESSAGES
from ccagent.alerts.rule import Severity
from ccagent.errors import ConfigError
from ccagent.notify.channel import Outcome
from ccagent.notify.post import Address
from ccagent.notify.slack import SlackChannel
from ccagent.notify.webhook import WebhookChannel, group_key
from tests.notify.hooks import Answer, Hooks, receiving
from tests.notify.made import NOON, message, resolved, rule
from tests.otlp.authority import Authority

HTML = Answer(body=b"<!DOCTYPE html><html>sign in</html>", content_type="text/html")
WEIRD = 'it\'s "quoted" <b>&amp; $(touch /tmp/x) `id` {subject} \n\t é ✓ \U0001f600'


def webhook(hooks: Hooks, **more: Any) -> WebhookChannel:
    return WebhookChannel("hook", Address(**{"url": hooks.url, "timeout_seconds": 2.0} | more))


def test_a_transition_arrives_as_one_request_with_its_key(hooks: Hooks) -> None:
    verdict = webhook(hooks, headers={"authorization": "Bearer of-nobody"}).deliver([message("k1")])

    assert verdict.outcome is Outcome.SENT
    assert hooks.keys == ["k1"]
    assert hooks.paths == ["/hook/of-nobody"]
    assert hooks.headers[0]["idempotency-key"] == "k1"
    assert hooks.headers[0]["content-type"] == "application/json"
    assert hooks.headers[0]["authorization"] == "Bearer of-nobody"


def test_a_group_is_one_request_with_a_key_for_each_and_one_of_its_own(hooks: Hooks) -> None:
    told = [message("k1"), message("k2", subject="/p/other")]

    webhook(hooks).deliver(told)

    assert hooks.keys == ["k1", "k2"]
    assert len(hooks.bodies) == 1
    assert hooks.headers[0]["idempotency-key"] == group_key(list(reversed(told))) not in ("k1", "k2")


def test_words_of_any_kind_arrive_as_they_are(hooks: Hooks) -> None:
    webhook(hooks).deliver([message(of=rule(reason=WEIRD), subject=f"/p/{WEIRD.replace('/', '-')}")])

    assert hooks.alerts[0]["description"] == WEIRD
    assert hooks.alerts[0]["subject"] == WEIRD.replace("/", "-")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(status=200, body=b""), Outcome.SENT), (Answer(status=201, body=b"{}"), Outcome.SENT),
        (Answer(status=202), Outcome.SENT), (Answer(status=204, body=b"", content_type=None), Outcome.SENT),
        (Answer(status=200, body=b"Congratulations!", content_type="text/html"), Outcome.SENT),
        (HTML, Outcome.RETRY), (Answer(body=b"\n <html lang=de>", content_type=None), Outcome.RETRY),
        (Answer(status=301, headers={"Location": "http://127.0.0.1:1/elsewhere"}), Outcome.RETRY),
        (Answer(status=302, headers={"Location": "/login"}), Outcome.RETRY),
        (Answer(status=307, headers={"Location": "/elsewhere"}), Outcome.RETRY),
        (Answer(status=400), Outcome.REFUSED), (Answer(status=413), Outcome.REFUSED), (Answer(status=422), Outcome.REFUSED),
        (Answer(status=401), Outcome.RETRY), (Answer(status=403), Outcome.RETRY), (Answer(status=404), Outcome.RETRY),
        (Answer(status=410), Outcome.RETRY), (Answer(status=408), Outcome.RETRY), (Answer(status=429), Outcome.RETRY),
        (Answer(status=500), Outcome.RETRY), (Answer(status=503), Outcome.RETRY), (Answer(status=599), Outcome.RETRY),
        (Answer(reset=True), Outcome.RETRY), (Answer(raw=b"\xff\xfe garbage \r\n\r\n"), Outcome.RETRY),
        (Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut"), Outcome.RETRY),
        (Answer(raw=b""), Outcome.RETRY),
    ],
    ids=lambda value: str(getattr(value, "status", value)),
)  # fmt: skip
def test_what_each_answer_means(hooks: Hooks, answer: Answer, outcome: Outcome) -> None:
    hooks.answer = answer

    verdict = webhook(hooks).deliver([message()])

    assert verdict.outcome is outcome, verdict
    assert len(hooks.bodies) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_the_receivers_wish_to_be_left_alone_is_heard(hooks: Hooks, status: int) -> None:
    hooks.script.extend(
        [
            Answer(status=status, headers={"Retry-After": "7"}), Answer(status=status, headers={"Retry-After": "soon"}),
            Answer(status=status, headers={"Retry-After": formatdate(time.time() + 100, usegmt=True)}),
        ]
    )  # fmt: skip

    wishes = [webhook(hooks).deliver([message()]).after_ms for _ in range(3)]

    assert wishes[0] == 7_000
    assert wishes[1] is None
    assert wishes[2] is not None
    assert 90_000 < wishes[2] <= 100_000


@pytest.mark.parametrize("answer", [Answer(silent=True), Answer(drip=True, body=b"x" * 100)])
def test_a_slow_receiver_is_waited_for_as_long_as_is_allowed(hooks: Hooks, answer: Answer) -> None:
    hooks.answer = answer

    verdict = webhook(hooks, timeout_seconds=0.3).deliver([message()])

    assert verdict.outcome is Outcome.RETRY
    assert "timed out" in verdict.reason


def test_closing_a_channel_ends_what_waits(hooks: Hooks) -> None:
    hooks.answer = Answer(silent=True)
    channel = webhook(hooks, timeout_seconds=60.0)
    verdicts: list[Any] = []
    thread = threading.Thread(target=lambda: verdicts.append(channel.deliver([message()])), daemon=True)
    thread.start()
    while not hooks.bodies:
        time.sleep(0.01)

    channel.close()
    thread.join(10)

    assert [verdict.outcome for verdict in verdicts] == [Outcome.RETRY]


def test_a_receiver_that_is_not_there_is_tried_again() -> None:
    with receiving() as gone:
        pass

    verdict = webhook(gone).deliver([message()])

    assert verdict.outcome is Outcome.RETRY
    assert "127.0.0.1" in verdict.reason


def test_no_reason_repeats_a_secret(hooks: Hooks) -> None:
    """Receivers repeat what they refuse; the path of the address and its headers are secrets."""
    hooks.answer = Answer(status=403, body=b"no: /hook/of-nobody of-nobody Bearer abcdef123 abcdef123 user99 pass99")
    url = hooks.url.replace("http://", "http://user99:pass99@")
    channel = webhook(hooks, url=url, headers={"authorization": "Bearer abcdef123"})

    verdict = channel.deliver([message()])

    assert "403" in verdict.reason
    for secret in ("of-nobody", "abcdef123", "user99", "pass99"):
        assert secret not in verdict.reason
    assert url not in repr(Address(url=url, headers={"x": "abcdef123"}))


def test_no_reason_repeats_a_secret_in_another_form(hooks: Hooks) -> None:
    pair = base64.b64encode(b"ada:p@ss-of-nobody").decode()
    hooks.answer = Answer(status=400, body=f"Basic {pair} at /hook/tok/en for p@ss-of-nobody".encode())
    url = hooks.url.replace("http://", "http://ada:p%40ss-of-nobody@") + "/hook%2Ftok%2Fen"

    reason = webhook(hooks, url=url).deliver([message("k1")]).reason

    assert hooks.headers[0]["authorization"] == f"Basic {pair}"
    assert "****" in reason
    assert not any(secret in reason for secret in (pair, "p@ss-of-nobody", "hook/tok/en"))


def test_userinfo_becomes_a_header(hooks: Hooks) -> None:
    webhook(hooks, url=hooks.url.replace("http://", "http://me:p%40ss@")).deliver([message()])

    assert hooks.headers[0]["authorization"] == "Basic bWU6cEBzcw=="


def test_certificates_are_verified(tmp_path: Path) -> None:
    authority, foreign = Authority(tmp_path / "ca"), Authority(tmp_path / "foreign", "foreign")
    with receiving(authority.sign().server_context()) as secure:
        known = webhook(secure, certificate=authority.certificate).deliver([message("k1")])
        unknown = webhook(secure, certificate=foreign.certificate).deliver([message("k2")])
        systems = webhook(secure).deliver([message("k3")])
    with receiving(authority.sign("DNS:elsewhere.test").server_context()) as wrong:
        other = webhook(wrong, certificate=authority.certificate).deliver([message("k4")])

    assert known.outcome is Outcome.SENT
    assert secure.keys == ["k1"]
    assert [one.outcome for one in (unknown, systems, other)] == [Outcome.RETRY] * 3
    assert all("certificate" in one.reason for one in (unknown, systems, other))


@pytest.mark.parametrize(
    "address",
    [
        Address(url="ftp://127.0.0.1/x"), Address(url="http://"), Address(url="not a url"), Address(url="http://127.0.0.1:0/"),
        Address(url="http://hooks.test/x"), Address(url="https://hooks.test/\r\nx"), Address(url="https://hooks.tést/"),
        Address(url="https://127.0.0.1/x", certificate=Path("/nowhere.pem")),
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_refused_without_repeating_it(address: Address) -> None:
    with pytest.raises(ConfigError) as refused:
        WebhookChannel("hook", address)

    assert address.url not in str(refused.value)


# ---- Slack -----------------------------------------------------------------------------------------------------------


def test_slack_gets_a_line_and_blocks(hooks: Hooks) -> None:
    verdict = SlackChannel("slack", Address(url=hooks.url)).deliver([message("k1", of=rule(reason="because"))])

    body = hooks.taken[0]
    assert verdict.outcome is Outcome.SENT
    assert body["text"] == "[warning] firing: Daily budget · shop: $5.40 &gt; $5.00"
    assert [block["type"] for block in body["blocks"]] == ["section", "context"]
    assert "because" in body["blocks"][0]["text"]["text"]
    assert "k1" in body["blocks"][1]["elements"][0]["text"]


@pytest.mark.parametrize(
    "answer", [Answer(body=b"OK!"), Answer(body=b""), HTML, Answer(status=404, body=b"no_service")]
)
def test_only_the_word_of_slack_is_success(hooks: Hooks, answer: Answer) -> None:
    hooks.answer = answer

    assert SlackChannel("slack", Address(url=hooks.url)).deliver([message()]).outcome is Outcome.RETRY


@pytest.mark.parametrize("status", [400, 413])
def test_what_slack_calls_invalid_is_not_sent_again(hooks: Hooks, status: int) -> None:
    hooks.answer = Answer(status=status, body=b"invalid_payload")

    assert SlackChannel("slack", Address(url=hooks.url)).deliver([message()]).outcome is Outcome.REFUSED


def _checked(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """The blocks, held against the limits that Slack documents."""
    blocks: list[dict[str, Any]] = payload["blocks"]
    assert len(blocks) <= 50
    assert 0 < len(payload["text"]) <= 3_000
    for block in blocks:
        texts = [block["text"]] if "text" in block else block["elements"]
        limit = {"section": 3_000, "header": 150, "context": 2_000}[block["type"]]
        assert len(texts) <= 10
        for text in texts:
            assert text["type"] == ("plain_text" if block["type"] == "header" else "mrkdwn")
            assert 0 < len(text["text"]) <= limit
    return blocks


@pytest.mark.parametrize("count", [1, 2, GROUP_MESSAGES, 24, 25, 300])
def test_slacks_limits_are_kept_by_any_number_of_any_words(count: int) -> None:
    long = rule(name="&<>*" * 2_000, reason="&" * 5_000)
    told = [message(f"k{number}", of=long, subject=f"/p/{'<' * 4_000}") for number in range(count)]

    blocks = _checked(slack.payload(told))

    assert json.dumps(blocks).count('"section"') == min(count, slack.MESSAGES)
    assert not any("&am\u2026" in block.get("text", {}).get("text", "") for block in blocks)


def test_nothing_in_a_name_commands_slack() -> None:
    told = [message(of=rule(name="<!channel> <@U1> *bold* <https://x.test|click>"), subject="/p/_x_")]

    text = json.dumps(slack.payload(told))

    assert "<!channel>" not in text
    assert "<@U1>" not in text
    assert "<https" not in text


def test_slack_sees_at_a_glance_what_is_over() -> None:
    told = [message("k1", severity=Severity.CRITICAL), resolved("k2", at=NOON + 1)]

    blocks = _checked(slack.payload(told))

    assert blocks[0]["text"]["text"] == "ccagent: 1 firing, 1 resolved"
    assert blocks[1]["text"]["text"].startswith(":red_circle:")
    assert blocks[3]["text"]["text"].startswith(":white_check_mark:")


def test_a_certificate_that_is_none_is_a_problem_of_the_channel(hooks: Hooks, tmp_path: Path) -> None:
    broken = tmp_path / "authority.pem"
    broken.write_text("no certificate")

    verdict = webhook(hooks, url=hooks.url.replace("http:", "https:"), certificate=broken).deliver([message("k1")])

    assert verdict.outcome is Outcome.RETRY
    assert "certificate" in verdict.reason
