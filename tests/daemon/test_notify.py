"""Real daemons tell people of alerts: over kills, dead receivers and reloads, and without a word that must not leave."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccagent import failpoints
from tests.canaries import Canaries
from tests.daemon.rig import Daemon, Ground, now_ms, small_session, until
from tests.notify.hooks import Answer, Hooks, receiving
from tests.otlp.receiver import http_receiver
from tests.transcripts import Session, Usage, text

HEAD = "[alerts]\ninterval_seconds = 1\ngroup_seconds = {group}\ndefault_channels = {channels}\n"
AT_LENGTH = bool(os.environ.get("CCAGENT_KILLS"))


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with receiving() as running:
        yield running


def configure(
    ground: Ground, hooks: Hooks, *, more: str = "", group: float = 0, channels: str = '["hook", "log"]'
) -> None:
    """Alerts every second, told to the webhook and the log."""
    text_of_it = HEAD.format(group=group, channels=channels)
    text_of_it += f'[alerts.channels.hook]\ntype = "webhook"\nurl = "{hooks.url}"\ntimeout_seconds = 5\n{more}'
    ground.config.write_text(text_of_it)


def start(ground: Ground, **variables: str) -> Daemon:
    if not any(ground.root.rglob("*.jsonl")):
        ground.tree.write(small_session("past"))
    return ground.start("--config", str(ground.config), **variables)


def costly(name: str, cwd: str = "/home/demo/atlas", branch: str = "main", prompt: str = "hello") -> Session:
    """A session that costs more than five dollars."""
    session = Session(seed=name, start=now_ms(), cwd=cwd, branch=branch)
    session.prompt(prompt)
    session.assistant(text("a reply"), usage=Usage(input=10, output=250_000))
    return session


def happened(ground: Ground, session: Session) -> None:
    """Write a session down and wait until it has taken place."""
    ground.tree.write(session)
    until(lambda: now_ms() > session.now, "the session has taken place")


def transitions(ground: Ground) -> dict[str, tuple[str, str, int, str]]:
    """What was recorded to be told, by key: rule, subject, episode, state."""
    rows = ground.rows("SELECT key, rule, subject, episode, after FROM alert_history WHERE key IS NOT NULL")
    return {row[0]: tuple(row[1:]) for row in rows}


def one_key_each(hooks: Hooks) -> None:
    """No transition came under two keys, and no key stands for two transitions."""
    keys = defaultdict(set)
    told = defaultdict(set)
    for alert in hooks.alerts:
        one = (alert["rule"], alert["subject"], alert["episode"], alert["state"])
        keys[one].add(alert["key"])
        told[alert["key"]].add(one)
    assert all(len(found) == 1 for found in (*keys.values(), *told.values()))


def test_a_kill_between_delivery_and_its_note_tells_it_again_under_the_same_key(ground: Ground, hooks: Hooks) -> None:
    configure(ground, hooks, channels='["hook"]')
    start(ground).until_caught_up()
    ground.started[0].terminate()
    daemon = start(ground, **{failpoints.VARIABLE: "after_notification:kill"})
    daemon.until_caught_up()
    ground.tree.write(costly("live"))
    code = daemon.process.wait(120)
    first = list(hooks.keys)

    daemon = start(ground)
    daemon.until(lambda: len(hooks.keys) == 2, "it is told again")
    daemon.until(lambda: ground.rows("SELECT state FROM alert_delivery") == [("sent",)], "it is settled")
    daemon.kill()
    daemon = start(ground)
    daemon.until_caught_up()
    time.sleep(2)

    assert code == -signal.SIGKILL
    assert first == list(transitions(ground))
    assert hooks.keys == first * 2
    one_key_each(hooks)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2 if AT_LENGTH else 1))
def test_daemons_killed_at_any_moment_tell_each_transition_under_one_key(
    ground: Ground, hooks: Hooks, seed: int
) -> None:
    """Sessions become dear one after the other, the receiver fails now and then, and the daemon dies again and again."""
    chance = random.Random(seed)
    configure(ground, hooks, group=0.3)
    start(ground).until_caught_up()
    ground.started[0].terminate()
    sessions = []
    for number in range(8 if AT_LENGTH else 4):
        daemon = start(ground)
        sessions.append(costly(f"live{number}"))
        ground.tree.write(sessions[-1])
        hooks.script.extend(chance.choices([Answer(), Answer(status=503), Answer(reset=True)], k=1))
        known = len(transitions(ground))
        if number % 3:
            daemon.until(lambda known=known: len(transitions(ground)) > known, "one more was recorded")
        else:
            daemon.until_caught_up()
        time.sleep(chance.uniform(0, 0.6))
        daemon.kill()
    hooks.script.clear()

    daemon = start(ground)
    subjects = {session.session_id for session in sessions}
    daemon.until(lambda: {one[1] for one in transitions(ground).values()} == subjects, "each session fires")
    daemon.until(lambda: set(hooks.keys) == set(transitions(ground)), "each is told")
    daemon.until(lambda: not ground.rows("SELECT 1 FROM alert_delivery WHERE next_at IS NOT NULL"), "each is settled")

    assert len(transitions(ground)) == len(set(transitions(ground).values())) == len(subjects)
    assert set(ground.rows("SELECT DISTINCT state FROM alert_delivery")) == {("sent",)}
    one_key_each(hooks)


def test_a_dead_receiver_stops_nothing_and_is_told_when_it_is_back(ground: Ground, hooks: Hooks) -> None:
    hooks.answer = Answer(status=503)
    with receiving() as other:
        configure(
            ground, hooks, channels='["hook", "other", "desktop"]',
            more=f'[alerts.channels.other]\ntype = "webhook"\nurl = "{other.url}"\n',
        )  # fmt: skip
        empty = ground.folder / "bin"
        empty.mkdir()
        daemon = start(ground, PATH=str(empty))
        daemon.until_caught_up()
        session = costly("live")
        ground.tree.write(session)
        daemon.until(lambda: other.keys, "the other channel is told")
        daemon.until(lambda: len(hooks.bodies) >= 2, "the dead one is tried again")
        ground.tree.write(small_session("more"))
        daemon.until(lambda: ground.requests() == 5, "lines are taken in all the while")
        problems = " ".join(ground.status()["problems"])
        hooks.answer = Answer()
        daemon.until(lambda: hooks.keys, "it is told when it is back")
        daemon.until(
            lambda: ground.rows("SELECT 1 FROM alert_delivery WHERE channel = 'hook' AND state = 'sent'"), "settled"
        )

        assert "hook: 503" in problems
        assert "there is no program notify-send" in problems
        assert other.keys == list(dict.fromkeys(hooks.keys)) == list(transitions(ground))
        sent = daemon.samples()["ccagent_alert_notifications_total", (("status", "sent"), ("type", "webhook"))]
        assert sent == 2
        assert daemon.terminate() == 0


def test_a_receiver_that_does_not_answer_does_not_hold_up_the_end(ground: Ground, hooks: Hooks) -> None:
    hooks.answer = Answer(silent=True)
    configure(ground, hooks)
    daemon = start(ground)
    daemon.until_caught_up()
    ground.tree.write(costly("live"))
    daemon.until(lambda: hooks.bodies, "the request is under way")

    began = time.monotonic()
    code = daemon.terminate()

    assert code == 0
    assert time.monotonic() - began < 4
    assert ("hook", "waiting", 0) in ground.rows("SELECT channel, state, attempts FROM alert_delivery")


def test_a_reload_brings_a_new_channel_and_refuses_a_bad_one(ground: Ground, hooks: Hooks) -> None:
    ground.config.write_text(HEAD.format(group=0, channels='["log"]'))
    daemon = start(ground)
    daemon.until_caught_up()

    ground.config.write_text(
        HEAD.format(group=0, channels='["hook"]') + '[alerts.channels.hook]\ntype = "webhook"\nurl = "http://x.test/"\n'
    )
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until_logged("config.reload_failed")
    configure(ground, hooks, channels='["hook"]')
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until_logged("config.reloaded")
    ground.tree.write(costly("live"))

    daemon.until(lambda: hooks.keys, "the new channel is told")
    assert hooks.keys == list(transitions(ground))


def test_run_once_tells_and_says_what_it_could_not(ground: Ground, hooks: Hooks) -> None:
    configure(ground, hooks, group=30, channels='["hook"]')
    ground.tree.write(small_session("past"))
    assert ground.once("--config", str(ground.config)).returncode == 0
    happened(ground, costly("one"))
    assert ground.once("--config", str(ground.config)).returncode == 0
    told = list(hooks.keys)
    hooks.answer = Answer(status=500)
    happened(ground, costly("two"))

    done = ground.once("--config", str(ground.config))

    assert len(told) == 1
    assert len(transitions(ground)) == 2
    assert "hook" in done.stdout + done.stderr
    assert "500" in done.stdout + done.stderr


RECORD = '#!/bin/sh\n{ printf "%s\\n" "$@"; env; cat; echo; } >> "$HOME/told"\n'


def test_no_channel_tells_a_path_a_branch_or_a_word_that_anybody_wrote(ground: Ground, hooks: Hooks) -> None:
    words = Canaries(61)
    bin_folder = ground.folder / "bin"
    bin_folder.mkdir()
    program = bin_folder / "notify-send"
    program.write_text(RECORD)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with http_receiver() as collector, receiving() as slack:
        configure(
            ground, hooks, channels='["log", "hook", "slack", "desktop", "otlp", "say"]',
            more=f"""[alerts.channels.slack]
url = "${{SLACK}}"
[alerts.channels.say]
type = "command"
command = ["{program}", "{{text}}", "{{subject}}"]
[alerts.rules.dear-project]
metric = "session_cost"
window = "daily"
operator = ">"
threshold = 1
scope = "project"
[alerts.rules.dear-session]
metric = "session_cost"
window = "session"
operator = ">"
threshold = 1
scope = "session"
[otlp]
endpoint = "{collector.http}"
protocol = "http/protobuf"
signals = ["logs"]
[privacy]
tier = 1
""",
        )  # fmt: skip
        daemon = start(ground, PATH=f"{bin_folder}:/bin:/usr/bin", SLACK=slack.url)
        daemon.until_caught_up()
        folder = f"/home/{words.name('home')}/{words.name('folder')}/atlas"
        session = costly("live", cwd=folder, branch=words.name("branch"), prompt=words.say("prompt"))
        session.bash(f"echo {words.say('command')}", usage=Usage(input=1, output=250_000))
        ground.tree.write(session)
        rules = {"dear-project", "dear-session", "session-cost"}
        daemon.until(lambda: {one[0] for one in transitions(ground).values()} == rules, "all three fire")
        daemon.until(
            lambda: {row[0] for row in ground.rows("SELECT state FROM alert_delivery")} == {"sent"}, "all are told"
        )
        daemon.terminate()
        count = ground.rows("SELECT COUNT(*) FROM alert_delivery")[0][0]

        told = (ground.home / "told").read_bytes()
        sent = b"\n".join([*hooks.bodies, *slack.bodies, *collector.received.bodies, told, daemon.log.read_bytes()])

    assert count == 18
    assert words.found(sent) == set()
    assert words.named(sent) == set()
    assert b"SLACK" not in told
    assert {alert["subject"] for alert in hooks.alerts} == {"atlas", session.session_id}
    assert b"atlas" not in b"".join(collector.received.bodies)
    assert json.dumps([json.loads(body) for body in slack.bodies]).count("dear-project") >= 1
    assert Path(program).exists()
