"""The configuration in words: the commented default file, the reference page, and what `config show` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ccagent import config_file, otlp_variables
from ccagent.config import Config, OriginKind
from ccagent.config_alert_keys import CHANNELS
from ccagent.config_channel_keys import BELONGS, CHANNEL_KEYS
from ccagent.config_export_keys import DESTINATION_KEYS
from ccagent.config_file import DESTINATIONS
from ccagent.config_keys import CONFIG_VARIABLE, KEYS, SECTION_PURPOSE, Key, Kind
from ccagent.follow.roots import Root
from ccagent.masking import MASK
from ccagent.paths import display
from ccagent.store.location import masked

MASK_SHOWN: Final = 4
"""At most so many characters of a secret are shown, and never more than a quarter of it."""

DESTINATIONS_PAGE: Final = """\
## `[otlp.destinations.NAME]`

Further receivers, each in a table of its own with the keys of `[otlp]` that are listed below. `NAME` is 1 to 32 of
`a-z`, `0-9`, `_` and `-`; there are at most ten destinations with the unnamed one of `[otlp]`, which is called `otlp`.

```toml
[otlp.destinations.cloud]
endpoint = "https://otlp.example/otlp"
headers = { authorization = "Basic ${file:~/.config/ccagent/cloud-token}" }
signals = ["traces", "metrics"]
```

- Nothing is inherited from `[otlp]`, and no environment variable speaks of a named destination.
- Each destination and signal has a sender and a cursor of its own: one that cannot be reached delays no other.
- Wrong settings of one end the start with 78; a reload (SIGHUP) with wrong settings keeps the old ones. A reload adds,
  changes and removes destinations without disturbing those that stay as they are.
- A destination that is taken out keeps its cursor. Named again, it gets what closed meanwhile, up to
  `max_age_days`; under another name it starts anew, with what ended in the hour before.
"""

CHANNELS_PAGE: Final = """\
## `[alerts.channels.NAME]`

Who is told of alerts, each in a table of its own; `NAME` is 1 to 32 of `a-z`, `0-9`, `_` and `-`. `log`, `desktop` and
`otlp` are there without a table. What each of them tells, and what leaves with it, stands in docs/alerts.md.

```toml
[alerts.channels.pager]
type = "webhook"
url = "https://pager.example/v2/${PAGER_KEY}"
min_severity = "critical"

[alerts.channels.slack]
url = "${file:~/.config/ccagent/slack-url}"

[alerts.channels.say]
type = "command"
command = ["/usr/local/bin/tell-me", "{summary}"]
quiet_hours = "off"
```

"""

SECRETS_PAGE: Final = """\
## Secrets

A header's value, an endpoint, the URL of a channel or the password of a database in the file names a secret and never
holds it:

- `${VARIABLE}`: of the environment.
- `${file:PATH}`: of a file that belongs to you, with mode 0600; its content without the line end.
- `${credential:NAME}`: of the service manager, from `$CREDENTIALS_DIRECTORY` (systemd's `LoadCredential=NAME:PATH`).

What cannot be had ends the start with 78 and names file, line and variable. A secret spelled out in the file (a bearer
or basic token, the usual forms of keys, a long random text, anything in a header such as `authorization` or `api-key`)
is refused with 78. No message, log line or status repeats a secret; `config show` and `status --otel` show at most four
characters of it. In `OTEL_EXPORTER_OTLP_HEADERS` and `CCAGENT_OTLP_HEADERS` a secret may be spelled out.
"""

PROJECT_PAGE: Final = """\
## `.ccagent.toml` in a project

Looked for from the folder of the work up to its git root, and from that of its project, whose file so holds for worktrees
too; the lower tier counts. A regular file of at most 64 KiB and 1,024 characters a line, no link; on a network mount it is
not looked for, and nothing leaves. A changed file takes effect within a minute. One that cannot be read or understood
means tier 0 for the project, and never stops the daemon.

| key | what it does |
|--|--|
| `tier` | The project's upper bound, 0 to 2. The lower one of it and `privacy.tier` holds; where several files say one, the lowest. |
| `project` | The project's name in what leaves (`ccagent.project`), at most 64 printable characters. The nearest file counts. |
| `team` | The same for `ccagent.team`. |

Without `project` a project leaves as twelve hexadecimal digits, made of its path with a secret key that stays in the
database. Any other key is passed over with a notice; an endpoint, headers or an identity are refused there.
"""

ENVIRONMENT_PAGE: Final = """\
## OpenTelemetry variables

Precedence: option, then `CCAGENT_…` variable, then ccagent's file, then these, then the default. They may belong to
another program: a bad value is a notice and counts as not set. They speak of the unnamed destination, except those
that say otherwise.

- An endpoint found there is no consent: it is used only where `privacy.tier` of at least 1 is written; else one line
  at the start says "found, not used". An endpoint named for ccagent goes before it and counts as tier 1 where no tier
  is written. A written tier 0 always wins.
- Without a scheme an endpoint is `http://` on this machine or with `otlp.insecure`, else `https://`. Plain text
  beyond this machine is refused without `otlp.insecure`.
- Without a protocol it is http/protobuf where the URL has port 4318 or a path, else grpc.
"""


DESTINATION_EXAMPLE: Final = [
    "## Further destinations, each in a table of its own with the keys of [otlp].",
    "# [otlp.destinations.cloud]",
    '# endpoint = "https://otlp.example/otlp"',
    '# headers = { authorization = "Basic ${COLLECTOR_TOKEN}" }',
    "",
]

LAST_OTLP_KEY: Final = [key for key in KEYS if key.section == "otlp"][-1]


def mask(secret: str) -> str:
    """Give a secret so that its owner knows it again and nobody else learns it."""
    return secret[: min(MASK_SHOWN, len(secret) // 4)] + MASK


def default_file() -> str:
    """Give the configuration file in which every key stands, commented, with its default."""
    lines = [
        "## ccagent: every key with its default. Remove the # before a line to set it.",
        "## An option of the command goes before its variable, a variable before this file.",
        "",
    ]
    section = ""
    for key in KEYS:
        if key.section != section:
            section = key.section
            lines += [f"## {SECTION_PURPOSE[section]}", f"[{section}]", ""]
        lines.append(f"## {key.purpose}")
        if key.unset:
            lines.append(f"## Unset: {key.unset}.")
        if key.choices:
            lines.append(f"## One of: {', '.join(map(str, key.choices))}.")
        lines += [f"# {key.leaf} = {key.example or toml_value(key.default)}", ""]
        if key == LAST_OTLP_KEY:
            lines += DESTINATION_EXAMPLE
    return "\n".join(lines).rstrip("\n") + "\n"


def toml_value(value: object) -> str:
    """Give a value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | Path):
        return '"' + display(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{toml_value(name)} = {toml_value(item)}" for name, item in value.items())
        return "{ " + inner + " }" if inner else "{}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def reference_page() -> str:
    """Give docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "An option of the command goes before its environment variable, a variable before the file, the file before",
        "the default. Unknown keys and bad values end the command with exit code 78 and name file, line and column.",
        f"The file is named by `--config`, else `{CONFIG_VARIABLE}`, else it is",
        "`$XDG_CONFIG_HOME/ccagent/config.toml` (`~/.config` where that is not set), and may be absent.",
        "`ccagent config default` prints it with every key commented, `ccagent config check` judges it,",
        "`ccagent config show --origin` tells what applies and why, `ccagent config path` where everything lies.",
        "",
        "A relative path in the file starts from the file's folder.",
        "",
    ]
    section = "-"
    for key in KEYS:
        if key.section != section:
            section = key.section
            title = f"`[{section}]`" if section else "Top level"
            lines += [f"## {title}", "", *([SECTION_PURPOSE[section], ""] if section else [])]
        lines += _key_page(key)
    keys = ", ".join(f"`{leaf}`" for leaf in DESTINATION_KEYS)
    lines += [DESTINATIONS_PAGE, *textwrap.wrap(f"Keys: {keys}.", 119), "", CHANNELS_PAGE]
    lines += [*_channel_table(), "", SECRETS_PAGE, PROJECT_PAGE]
    lines += [ENVIRONMENT_PAGE, *otlp_variables.table()]
    return "\n".join(lines).rstrip("\n") + "\n"


def _channel_table() -> list[str]:
    """What the table of a channel may hold."""
    lines = ["| key | what it does | default |", "|--|--|--|"]
    for key in CHANNEL_KEYS.values():
        choices = f" One of {', '.join(f'`{choice}`' for choice in key.choices)}." if key.choices else ""
        default = key.unset or f"`{toml_value(key.default)}`"
        belongs = f" For {' and '.join(BELONGS[key.name])}." if key.name in BELONGS else ""
        lines.append(f"| `{key.name}` | {key.purpose}{choices}{belongs} | {default} |")
    return lines


def _key_page(key: Key) -> list[str]:
    allowed = f"one of {', '.join(f'`{choice}`' for choice in key.choices)}" if key.choices else key.kind.value
    if key.kind is Kind.COUNTS:
        allowed = f"{key.kind.value} by any of {', '.join(f'`{choice}`' for choice in key.choices)}"
    if key.kind is Kind.CHOICES and key.choices:
        allowed = f"any of {', '.join(f'`{choice}`' for choice in key.choices)}"
    if key.minimum is not None:
        allowed += f", at least {key.minimum:g}"
    default = key.unset or f"`{toml_value(key.default)}`"
    facts = [f"- value: {allowed}", f"- default: {default}"]
    names = [f"variable `{key.variable}`", *([f"option `{key.option}`"] if key.option else [])]
    facts.append(f"- also: {', '.join(names)}")
    if key.standard:
        facts.append(f"- where it is not set: {', '.join(f'`{name}`' for name in key.standard)}")
    return [f"### `{key.leaf}`", "", key.purpose, "", *facts, ""]


def shown(config: Config) -> dict[str, object]:
    """Give the effective values by dotted key, ready for print or JSON, secrets masked."""
    values = {key.name: _shown(key, config.value(key.name)) for key in KEYS}
    for name, part in config.destinations.items():
        for leaf, key in DESTINATION_KEYS.items():
            if leaf in part.set_keys:
                values[f"{DESTINATIONS}.{name}.{leaf}"] = _shown(key, getattr(part, leaf))
    for name, channel in config.alerts.channels.items():
        for leaf, key in CHANNEL_KEYS.items():
            if leaf in channel.set_keys:
                values[f"{CHANNELS}.{name}.{leaf}"] = _shown(key, getattr(channel, leaf))
    return values


def _shown(key: Key, value: object) -> object:
    if key.kind is Kind.TABLE and isinstance(value, Mapping):
        return {name: mask(str(secret)) for name, secret in value.items()}
    if key.name == "database" and isinstance(value, str) and "://" in value:
        return masked(value)
    if key.leaf.endswith("endpoint") and isinstance(value, str):
        return without_password(value)
    if key.leaf == "url" and isinstance(value, str):
        return masked_url(value)
    if isinstance(value, Path):
        return display(value)
    if isinstance(value, tuple):
        return [display(str(item)) if isinstance(item, Path | Root) else item for item in value]
    return value


def show(config: Config, *, origin: bool) -> Iterator[str]:
    """Give `key = value` lines of what applies; with `origin` each says what set it."""
    for name, value in shown(config).items():
        text = f"{name} = {toml_value(value)}" if value is not None else f"# {name} is not set"
        yield f"{text}  # {describe_origin(config, name)}" if origin else text


def describe_origin(config: Config, name: str) -> str:
    """Say which option, variable or place in the file set a key, or "default"."""
    origin = config.origins[name]
    if origin.kind is OriginKind.FILE and config.file is not None:
        return f"file {config_file.read(config.file).where(name)}"
    return f"{origin.kind.value} {origin.where}".strip()


def masked_url(url: str) -> str:
    """Give where a URL leads to and nothing of what opens it: its path may be a secret as a whole."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return MASK
    return f"{parts.scheme}://{parts.hostname or ''}{port}/{MASK}"


def without_password(url: str) -> str:
    """Give a URL without the password in it."""
    if "@" not in url or "://" not in url:
        return url
    try:
        password = urlsplit(url).password
    except ValueError:
        return url.partition("://")[0] + "://" + MASK
    return url.replace(f":{password}@", f":{MASK}@", 1) if password else url
