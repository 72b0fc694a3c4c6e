"""[alerts.channels.NAME]: what may stand there, and that no secret does."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ccagent.cli import cli
from ccagent.config import Config, load
from ccagent.config_channel_keys import ALWAYS, BELONGS, CHANNEL_KEYS
from ccagent.config_channels import ChannelConfig
from ccagent.config_reference import show, shown
from ccagent.errors import ConfigError

SECRETS = {
    "HOOK": "hookof-nobody-123",
    "TOKEN": "tokenof-nobody",
    "SLACK": "https://hooks.slack.com/services/T0/B0/of-nobody",
}
PREFIX = "https://"


def read(folder: Path, text: str, **env: str) -> Config:
    path = folder / "config.toml"
    path.write_text(text)
    return load({}, {**SECRETS, **env}, path)


def test_three_channels_are_there_by_name(tmp_path: Path) -> None:
    channels = read(tmp_path, "").alerts.channels

    assert tuple(channels) == ALWAYS
    assert channels["log"] == ChannelConfig(name="log", type="log")


def test_a_channel_is_what_its_table_says(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("filed\n")
    (tmp_path / "secret").chmod(0o600)
    text = f"""
        [alerts.channels.pager]
        type = "webhook"
        url = "https://pager.test/${{HOOK}}?source=ccagent"
        headers = {{ Authorization = "Bearer ${{TOKEN}}", x-more = "${{file:{tmp_path}/secret}}" }}
        timeout_seconds = 3
        min_severity = "critical"
        send_resolved = false
        quiet_hours = "23:00-06:00"
        [alerts.channels.slack]
        url = "${{SLACK}}"
        [alerts.channels.desktop]
        min_severity = "warning"
        [alerts.channels.say]
        type = "command"
        command = ["/usr/bin/say", "{{summary}}"]
        """

    channels = read(tmp_path, text).alerts.channels

    pager = channels["pager"]
    assert pager.url == "https://pager.test/hookof-nobody-123?source=ccagent"
    assert pager.headers == {"authorization": "Bearer tokenof-nobody", "x-more": "filed"}
    assert (pager.timeout_seconds, pager.min_severity, pager.send_resolved, pager.quiet_hours) == (
        3.0,
        "critical",
        False,
        "23:00-06:00",
    )
    assert (channels["slack"].type, channels["slack"].url) == ("slack", SECRETS["SLACK"])
    assert (channels["desktop"].type, channels["desktop"].min_severity) == ("desktop", "warning")
    assert channels["say"].command == ("/usr/bin/say", "{summary}")


def test_nothing_that_is_printed_holds_a_secret(tmp_path: Path) -> None:
    text = (
        '[alerts.channels.pager]\ntype = "webhook"\nurl = "https://${HOOK}:${TOKEN}@pager.test:8443/${HOOK}"\n'
        'headers = { authorization = "Bearer ${TOKEN}" }\n[alerts.channels.slack]\nurl = "${SLACK}"\n'
    )

    config = read(tmp_path, text)
    everything = "\n".join([*show(config, origin=True), repr(config), str(shown(config))])

    assert "https://pager.test:8443/****" in everything
    assert not [secret for secret in SECRETS.values() if secret in everything]
    assert "of-nobody" not in everything


@pytest.mark.parametrize(
    "url",
    [
        f"{PREFIX}hooks.slack.com/services/T0/B0/abc", f"{PREFIX}discord.com/api/webhooks/1/abc",
        f"{PREFIX}user:word@pager.test/x", f"{PREFIX}user@pager.test/x", f"{PREFIX}pager.test/x?token=abc",
        f"{PREFIX}pager.test/x?a=b&api_key=abc", f"{PREFIX}pager.test/a8f3k2m9q4w7e1r5t6y0u3i8", f"{PREFIX}x.test/ghp_abcdefgh1234",
        f"{PREFIX}api.telegram.org/bot1:abc/sendMessage",
    ],
)  # fmt: skip
def test_a_secret_that_is_spelled_out_in_a_url_is_refused_and_not_repeated(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="holds a secret") as refused:
        read(tmp_path, f'[alerts.channels.hook]\ntype = "webhook"\nurl = "{url}"\n')

    assert url not in str(refused.value)
    assert "config.toml:3:1" in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://ntfy.test/my-alerts",
        "http://127.0.0.1:8123/api/webhook/ccagent",
        "https://pager.test/v2/enqueue?source=ccagent",
    ],
)
def test_an_address_without_secrets_is_taken_as_it_is(tmp_path: Path, url: str) -> None:
    config = read(tmp_path, f'[alerts.channels.hook]\ntype = "webhook"\nurl = "{url}"\n')

    assert config.alerts.channels["hook"].url == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[alerts.channels.Hook]\ntype = "log"', "no name of a channel"),
        ("[alerts.channels.hook]\n", "has no type; write type = one of log, desktop"),
        ('[alerts.channels.hook]\ntype = "mail"', "is one of log, desktop, webhook, slack, command, otlp, not 'mail'"),
        ('[alerts.channels.hook]\ntype = "webhook"', "is of type webhook and needs url"),
        ('[alerts.channels.hook]\ntype = "slack"', "is of type slack and needs url"),
        ('[alerts.channels.hook]\ntype = "command"', "is of type command and needs command"),
        ('[alerts.channels.hook]\ntype = "command"\ncommand = []', "is of type command and needs command"),
        ('[alerts.channels.hook]\ntype = "command"\ncommand = ["x"]\nurl = "https://x.test/"', "url belongs to channels of type webhook"),
        ('[alerts.channels.hook]\ntype = "command"\ncommand = ["curl", "-H", "Bearer abc"]', "every process list would show"),
        ('[alerts.channels.log]\ntype = "desktop"', "is of its own type"),
        ('[alerts.channels.slack]\nurl = "https://slack.test/x"', "the URL of Slack is a secret"),
        ('[alerts.channels.hook]\ntyp = "log"', "did you mean 'type'?"),
        ('[alerts.channels.hook]\ntype = "log"\nquiet_hours = "22-7"', 'write such as "22:00-07:00", or "off"'),
        ('[alerts.channels.hook]\ntype = "log"\nmin_severity = "high"', "is one of info, warning, critical"),
        ('[alerts.channels.hook]\ntype = "desktop"\ntimeout_seconds = 0', "is at least 0.1"),
        ('[alerts.channels.hook]\ntype = "webhook"\nurl = "https://x.test/${NOT_SET}"', "needs the variable NOT_SET"),
        ('[alerts.channels.hook]\ntype = "webhook"\nurl = "https://x.test/"\nheaders = { authorization = "Bearer abc" }', "holds a secret"),
        ('[alerts]\nchannels = 3', "holds tables"),
        ('[alerts]\ndefault_channels = ["log", "pager"]', "there is no channel 'pager'; there are log, desktop, otlp"),
        ('[alerts]\nquiet_hours = "late"', "alerts.quiet_hours 'late' is no time of the day"),
        (
            '[alerts.rules.mine]\nmetric = "session_cost"\nwindow = "daily"\nthreshold = 5\noperator = ">"\nchannels = ["pager"]',
            "rule 'mine': there is no channel 'pager'",
        ),
        ("\n".join(f'[alerts.channels.c{number}]\ntype = "log"' for number in range(21)), "21 channels; at most 20"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_place_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)

    assert said in str(refused.value)


def test_every_key_says_what_it_is_for() -> None:
    assert set(BELONGS) <= set(CHANNEL_KEYS)
    assert all(key.purpose.endswith(".") for key in CHANNEL_KEYS.values())
    assert set(CHANNEL_KEYS) | {"name", "set_keys"} == set(ChannelConfig.__dataclass_fields__)


def checked(folder: Path, text: str) -> Result:
    (folder / "config.toml").write_text(text)
    return CliRunner().invoke(cli, ["config", "check", "--config", str(folder / "config.toml")], env=SECRETS)


def test_config_check_says_where_alerts_go_and_repeats_no_secret(tmp_path: Path) -> None:
    done = checked(tmp_path, '[alerts.channels.pager]\ntype = "webhook"\nurl = "https://pager.test/${HOOK}"\n')

    assert done.exit_code == 0
    assert "alerts go to pager (webhook) at https://pager.test/**** where a rule names it" in done.output
    assert "nothing leaves" not in done.output
    assert "of-nobody" not in done.output
    assert "nothing leaves this machine" in checked(tmp_path, "").output


@pytest.mark.parametrize(
    "text", ['type = "command"\ncommand = ["/bin/true", "--x={key}"]', 'type = "webhook"\nurl = "http://hooks.test/x"']
)
def test_config_check_finds_what_the_daemon_would_refuse(tmp_path: Path, text: str) -> None:
    done = checked(tmp_path, f"[alerts.channels.hook]\n{text}\n")

    assert isinstance(done.exception, ConfigError)
    assert done.exception.exit_code == 78
    assert "alerts.channels.hook" in str(done.exception)
