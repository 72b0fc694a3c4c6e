"""The configuration in words: the commented default file, the reference page, and what `config show` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ccagent import config_file
from ccagent.config import Config, OriginKind
from ccagent.config_keys import CONFIG_VARIABLE, KEYS, SECTION_PURPOSE, Key, Kind
from ccagent.follow.roots import Root
from ccagent.paths import display
from ccagent.store.location import masked

MASK_SHOWN: Final = 4
"""At most so many characters of a secret are shown, and never more than a quarter of it."""

MASK: Final = "****"


ENVIRONMENT_PAGE: Final = """\
## OpenTelemetry variables

They stand in for keys that ccagent's own configuration leaves unset, and may belong to another program.

- An endpoint in `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_{TRACES,METRICS}_ENDPOINT` is no consent:
  it is used only where `privacy.tier` of at least 1 is written; else one line at the start says "found, not used".
  An endpoint named for ccagent goes before it and counts as tier 1 where no tier is written. A written tier 0
  always wins.
- `OTEL_EXPORTER_OTLP_{PROTOCOL,HEADERS,TIMEOUT,COMPRESSION,CERTIFICATE,CLIENT_KEY,CLIENT_CERTIFICATE,INSECURE}`
  apply to all signals, their `TRACES_` and `METRICS_` forms to one, before the shared ones. Headers are not sent to
  another host than the endpoint found beside them.
- The shared endpoint gets `/v1/traces` and `/v1/metrics` over HTTP; a signal's own is taken as it is.
- Without a scheme an endpoint is `http://` on this machine or with `otlp.insecure`, else `https://`. Plain text
  beyond this machine is refused without `otlp.insecure`.
- Without a protocol it is http/protobuf where the URL has port 4318 or a path, else grpc. `http/json` is sent as
  http/protobuf.
- `OTEL_EXPORTER_OTLP_TIMEOUT` above 600 is taken as milliseconds, else as seconds.
- `OTEL_METRIC_EXPORT_INTERVAL` is in milliseconds.
- `OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER` switch their signal off with `none`.
- `OTEL_SDK_DISABLED=true` sends nothing.
- `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` describe the resource; attributes that begin with `enduser.` or
  `user.` leave from tier 2 on.
- `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE` and `OTEL_CONFIG_FILE` are not followed, and it is said so.
"""


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
        "A relative path in the file starts from the file's folder. `${VARIABLE}` in a header's value is taken from",
        "the environment; a secret spelled out in the file is refused.",
        "",
    ]
    section = "-"
    for key in KEYS:
        if key.section != section:
            section = key.section
            title = f"`[{section}]`" if section else "Top level"
            lines += [f"## {title}", "", *([SECTION_PURPOSE[section], ""] if section else [])]
        lines += _key_page(key)
    lines += [ENVIRONMENT_PAGE]
    return "\n".join(lines).rstrip("\n") + "\n"


def _key_page(key: Key) -> list[str]:
    allowed = f"one of {', '.join(f'`{choice}`' for choice in key.choices)}" if key.choices else key.kind.value
    if key.kind is Kind.CHOICES:
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
    values: dict[str, object] = {}
    for key in KEYS:
        value = config.value(key.name)
        if key.kind is Kind.TABLE and isinstance(value, Mapping):
            value = {name: mask(str(secret)) for name, secret in value.items()}
        elif key.name == "database" and isinstance(value, str) and "://" in value:
            value = masked(value)
        elif key.name == "otlp.endpoint" and isinstance(value, str):
            value = _without_password(value)
        elif isinstance(value, Path):
            value = display(value)
        elif isinstance(value, tuple):
            value = [display(str(item)) if isinstance(item, Path | Root) else item for item in value]
        values[key.name] = value
    return values


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


def _without_password(url: str) -> str:
    if "@" not in url or "://" not in url:
        return url
    try:
        password = urlsplit(url).password
    except ValueError:
        return url.partition("://")[0] + "://" + MASK
    return url.replace(f":{password}@", f":{MASK}@", 1) if password else url
