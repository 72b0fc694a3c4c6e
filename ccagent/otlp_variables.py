"""Every OpenTelemetry variable that ccagent knows, declared once: what it stands in for, and what it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ccagent.config_export_keys import SIGNALS


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable. `signals`: those for which there is a form of its own, which goes before the shared one, written
    with `{}` in `name`; `shared` whether there is a form for all. `key` is the key that goes before it, "" for none."""

    name: str
    does: str
    key: str = ""
    signals: tuple[str, ...] = ()
    shared: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The variables: the shared one, then those of the signals."""
        own = tuple(self.name.replace("{}", f"{signal.upper()}_") for signal in self.signals)
        return ((self.name.replace("{}", ""),) if self.shared else ()) + own


def _exporter(what: str, does: str) -> Variable:
    return Variable(
        name="OTEL_EXPORTER_OTLP_{}" + what, does=does, key=f"otlp.{_KEYS.get(what, what.lower())}", signals=SIGNALS
    )


_KEYS: Final = {"TIMEOUT": "timeout_seconds"}

VARIABLES: Final[tuple[Variable, ...]] = (
    _exporter(
        "ENDPOINT",
        "Receiver. No consent: used only where `privacy.tier` of at least 1 is written. The shared one gets the signal's "
        "path over HTTP, a signal's own is taken as it is.",
    ),
    _exporter("PROTOCOL", "`grpc` or `http/protobuf`; `http/json` is sent as `http/protobuf`."),
    _exporter(
        "HEADERS",
        "`name=value,name=value`, percent-encoded. Not sent to another host than the endpoint found beside them.",
    ),
    _exporter("TIMEOUT", "Seconds of one request; above 600 it is taken as milliseconds."),
    _exporter("COMPRESSION", "`gzip` or `none`."),
    _exporter("CERTIFICATE", "PEM file of the authority that signed the receiver's certificate."),
    _exporter("CLIENT_KEY", "PEM file of the key of ccagent's own certificate."),
    _exporter("CLIENT_CERTIFICATE", "PEM file of ccagent's own certificate."),
    _exporter("INSECURE", "`true` allows plain text beyond this machine."),
    Variable(
        name="OTEL_{}EXPORTER",
        does="`none` sends no such signal, `otlp` does; other exporters are not known.",
        key="otlp.signals",
        signals=SIGNALS,
        shared=False,
    ),
    Variable(
        name="OTEL_METRIC_EXPORT_INTERVAL",
        does="Milliseconds between two requests of metrics; at least a second.",
        key="otlp.interval_seconds",
    ),
    Variable(name="OTEL_SDK_DISABLED", does="`true` sends nothing to any destination."),
    Variable(
        name="OTEL_SERVICE_NAME", does="The resource's `service.name`; `claude-code` is the client's own and refused."
    ),
    Variable(
        name="OTEL_RESOURCE_ATTRIBUTES",
        does="Attributes of the resource. Those that name a person (`enduser.…`, `user.…`, `process.owner…`) are left out; "
        "at tier 2 `enduser.id` stands in for `privacy.identity`.",
    ),
    Variable(
        name="OTEL_{}ATTRIBUTE_VALUE_LENGTH_LIMIT",
        does="Characters of one attribute's text; beyond them it is cut.",
        signals=("span", "logrecord"),
    ),
    Variable(
        name="OTEL_{}ATTRIBUTE_COUNT_LIMIT",
        does="Attributes of one span or log record; those beyond are dropped and counted in it.",
        signals=("span", "logrecord"),
    ),
    Variable(
        name="OTEL_LOG_LEVEL",
        does="`debug`, `info`, `warn` or `error`: what ccagent says of itself, whether anything is sent or not.",
        key="log.level",
    ),
    Variable(
        name="OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        does="Not followed, which is said: metrics are always cumulative.",
    ),
    Variable(
        name="OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        does="Not followed, which is said: buckets are always explicit.",
    ),
    Variable(name="OTEL_CONFIG_FILE", does="Not read, which is said."),
)


def table() -> list[str]:
    """The variables as lines of a Markdown table."""
    lines = ["| variable | key before it | what it does |", "|--|--|--|"]
    for variable in VARIABLES:
        shown = variable.name.replace("{}", "")
        own = ",".join(signal.upper() for signal in variable.signals)
        names = [f"`{shown}`"] if variable.shared else []
        if own:
            names.append(f"`{variable.name.replace('{}', '{' + own + '}_')}`")
        key = f"`{variable.key}`" if variable.key else "none"
        lines.append(f"| {', '.join(names)} | {key} | {variable.does} |")
    return lines
