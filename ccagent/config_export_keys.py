"""The configuration keys of what leaves the machine: tier and identity, destinations, and in which form."""

from __future__ import annotations

from typing import Final

from ccagent.config_kinds import Key, Kind

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
"""The default of the OpenTelemetry specification."""

DEFAULT_INTERVAL_SECONDS: Final = 60.0
"""The default of the OpenTelemetry specification (OTEL_METRIC_EXPORT_INTERVAL = 60000 ms)."""

DEFAULT_MAX_AGE_DAYS: Final = 30.0
"""A collector that was away for a holiday gets everything; what is older nobody waits for."""

SIGNALS: Final = ("traces", "metrics", "logs")
PROTOCOLS: Final = ("grpc", "http/protobuf")

EXPORT_KEYS: Final[tuple[Key, ...]] = (
    Key(
        name="privacy.tier",
        kind=Kind.INTEGER,
        purpose="Your upper bound: 0 nothing leaves, 1 anonymous by project, 2 with the identity you chose.",
        unset="1 where an endpoint is named for ccagent, else 0",
        example="1",
        choices=(0, 1, 2),
    ),
    Key(
        name="privacy.identity",
        kind=Kind.TEXT,
        purpose="What you want to be called where tier 2 applies: enduser.id of spans and log records. Refused where git "
        "tracks the file that says it.",
        unset="nobody is named",
        example='"ada"',
    ),
    Key(
        name="otlp.endpoint",
        kind=Kind.TEXT,
        purpose="OTLP receiver, for all signals; over HTTP /v1/traces, /v1/metrics and /v1/logs are appended.",
        unset="nothing is sent",
        example='"http://127.0.0.1:4317"',
        option="--otlp-endpoint",
        standard=("OTEL_EXPORTER_OTLP_ENDPOINT",),
        each=True,
    ),
    Key(
        name="otlp.traces_endpoint",
        kind=Kind.TEXT,
        purpose="Receiver of traces alone, before the endpoint for all signals; over HTTP taken as it is, with its path.",
        unset="otlp.endpoint",
        example='"http://127.0.0.1:4318/v1/traces"',
        standard=("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",),
        each=True,
    ),
    Key(
        name="otlp.metrics_endpoint",
        kind=Kind.TEXT,
        purpose="Receiver of metrics alone, before the endpoint for all signals; over HTTP taken as it is, with its path.",
        unset="otlp.endpoint",
        example='"http://127.0.0.1:4318/v1/metrics"',
        standard=("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",),
        each=True,
    ),
    Key(
        name="otlp.logs_endpoint",
        kind=Kind.TEXT,
        purpose="Receiver of logs alone, before the endpoint for all signals; over HTTP taken as it is, with its path.",
        unset="otlp.endpoint",
        example='"http://127.0.0.1:4318/v1/logs"',
        standard=("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",),
        each=True,
    ),
    Key(
        name="otlp.protocol",
        kind=Kind.TEXT,
        purpose="How it is sent.",
        unset="http/protobuf where the URL has port 4318 or a path, else grpc",
        example='"grpc"',
        choices=PROTOCOLS,
        option="--otlp-protocol",
        standard=("OTEL_EXPORTER_OTLP_PROTOCOL",),
        each=True,
    ),
    Key(
        name="otlp.headers",
        kind=Kind.TABLE,
        purpose="Headers of each request; a secret is written as ${VARIABLE}, ${file:PATH} or ${credential:NAME}, never spelled out.",
        default={},
        unset="none",
        example='{ authorization = "Bearer ${COLLECTOR_TOKEN}" }',
        standard=("OTEL_EXPORTER_OTLP_HEADERS",),
        each=True,
    ),
    Key(
        name="otlp.timeout_seconds",
        kind=Kind.NUMBER,
        purpose="How long one request may take, in seconds.",
        default=DEFAULT_TIMEOUT_SECONDS,
        minimum=0.1,
        standard=("OTEL_EXPORTER_OTLP_TIMEOUT",),
        each=True,
    ),
    Key(
        name="otlp.compression",
        kind=Kind.TEXT,
        purpose="Whether requests are compressed.",
        default="none",
        choices=("none", "gzip"),
        standard=("OTEL_EXPORTER_OTLP_COMPRESSION",),
        each=True,
    ),
    Key(
        name="otlp.certificate",
        kind=Kind.PATH,
        purpose="PEM file of the authority that signed the receiver's certificate.",
        unset="the system's authorities",
        example='"~/ca.pem"',
        standard=("OTEL_EXPORTER_OTLP_CERTIFICATE",),
        each=True,
    ),
    Key(
        name="otlp.client_certificate",
        kind=Kind.PATH,
        purpose="PEM file of ccagent's own certificate, for mutual TLS.",
        unset="none",
        example='"~/client.pem"',
        standard=("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",),
        each=True,
    ),
    Key(
        name="otlp.client_key",
        kind=Kind.PATH,
        purpose="PEM file of the key that belongs to it.",
        unset="none",
        example='"~/client.key"',
        standard=("OTEL_EXPORTER_OTLP_CLIENT_KEY",),
        each=True,
    ),
    Key(
        name="otlp.insecure",
        kind=Kind.FLAG,
        purpose="Whether plain text may be sent beyond this machine.",
        default=False,
        standard=("OTEL_EXPORTER_OTLP_INSECURE",),
        each=True,
    ),
    Key(
        name="otlp.interval_seconds",
        kind=Kind.NUMBER,
        purpose="How often metrics are sent, in seconds.",
        default=DEFAULT_INTERVAL_SECONDS,
        minimum=1,
        standard=("OTEL_METRIC_EXPORT_INTERVAL",),
        each=True,
    ),
    Key(
        name="otlp.signals",
        kind=Kind.CHOICES,
        purpose="What is sent.",
        default=SIGNALS,
        choices=SIGNALS,
        standard=("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"),
        each=True,
    ),
    Key(
        name="otlp.max_age_days",
        kind=Kind.NUMBER,
        purpose="Days after which spans and log records that could not be sent are given up, and counted as expired; log "
        "records after six days at the latest.",
        default=DEFAULT_MAX_AGE_DAYS,
        minimum=0.01,
        each=True,
    ),
    Key(
        name="otlp.native_names",
        kind=Kind.FLAG,
        purpose="Whether spans also carry the attribute names that Claude Code's own telemetry uses.",
        default=False,
        each=True,
    ),
    Key(
        name="otlp.native_events",
        kind=Kind.FLAG,
        purpose="Whether the log records that Claude Code's own telemetry would have sent are sent, too.",
        default=False,
        each=True,
    ),
    Key(
        name="otlp.self_traces",
        kind=Kind.FLAG,
        purpose="Whether ccagent sends spans of its own work, under a scope of its own.",
        default=False,
    ),
    Key(
        name="compat.claude_code",
        kind=Kind.FLAG,
        purpose="Whether the metrics of Claude Code's own telemetry (claude_code.*) are rebuilt from the transcripts.",
        default=False,
    ),
    Key(
        name="compat.force",
        kind=Kind.FLAG,
        purpose="Whether they are rebuilt even where Claude Code's own telemetry is found to run, which doubles sums over both.",
        default=False,
    ),
)
"""In the order of the default file."""

DESTINATION_KEYS: Final[dict[str, Key]] = {key.leaf: key for key in EXPORT_KEYS if key.each}
"""What the table of a named destination may hold, by its name there."""
