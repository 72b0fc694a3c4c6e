"""Whether the listener's port is ours, collectors answer, and alert channels can be used."""

from __future__ import annotations

import errno
import http.client
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ccagent.api.holder import PROC, listener_pid
from ccagent.config_keys import SIGNALS
from ccagent.doctor.finding import Finding, counted, fail, ok, warn
from ccagent.doctor.ground import Ground
from ccagent.errors import CcagentError, ConfigError

if TYPE_CHECKING:
    from ccagent.config_channels import ChannelConfig
    from ccagent.otlp_destination import Destination

ANSWER_SECONDS: Final = 3.0
"""Who does not answer a small question within that is not well."""

CLAUDE_PROGRAMS: Final = ("claude", "node", "bun")
"""What Claude Code's process is called; its own Prometheus exporter listens on 9464 by default, as ccagent does."""

EXPORTER_PORT: Final = 9464
EXPORTER: Final = "OTEL_METRICS_EXPORTER"

WELL: Final = (None, "active", "disabled")
"""States of a destination in which a problem is of the past, or of a part that was set aside."""

UNREACHED: Final = "(UNAVAILABLE)"
"""What gRPC says of every connection that comes to nothing."""

_CODE: Final = re.compile(r"(?:[1-5]\d\d(?= )|[A-Z_]{5,19}(?=:))")
"""How a judged answer begins: a status of HTTP or a code of gRPC."""

_REASON: Final = re.compile(r": ([A-Za-z]+(?:Error|Refused|Timeout|Disconnected))\b")
"""The class of error in the words about an answer that did not come."""

_COMMAND: Final = re.compile(r"[\w.:+-]{1,15}", re.ASCII)


def port(ground: Ground) -> Iterator[Finding]:
    """Who listens on the metrics page's address: nobody, this daemon, or somebody else, by pid and program."""
    if ground.live is not None and str(ground.live.get("listen")).startswith("http"):
        yield _page(str(ground.live["listen"]))
        return
    address = ground.config.listen_address
    if address is None or (ground.live is not None and ground.live.get("listen") == "off"):
        yield ok("port", "the metrics page is off")
        return
    refused = _bind(*address)
    if refused is None:
        yield ok("port", f"port {address[1]} is free" if address[1] else "any free port is taken")
    elif refused == errno.EADDRINUSE:
        yield _taken(ground, address[1])
    else:
        todo = "choose another --listen: 127.0.0.1, ::1 or localhost and a port above 1023"
        yield fail("port", f"port {address[1]} cannot be listened on ({errno.errorcode.get(refused, refused)})", todo)


def _page(url: str) -> Finding:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        said = f"the daemon's page on port {parts.port} does not answer ({type(error).__name__})"
        return fail("port", said, "restart the daemon; its log says more")
    finally:
        connection.close()
    if status == http.HTTPStatus.OK:
        return ok("port", f"the metrics page answers on port {parts.port}")
    return warn("port", f"the metrics page on port {parts.port} answers {status}", "wait until the daemon is ready")


def _bind(host: str, number: int) -> int | None:
    """The number of the error with which a bind ends, None where it works."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            # As the listener does: connections that wait for their end are in nobody's way.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, number))
            sock.listen(1)
    except OSError as error:
        return error.errno or errno.EINVAL
    return None


def _taken(ground: Ground, number: int) -> Finding:
    pid = listener_pid(number)
    if pid is not None and pid == ground.pid:
        return _page(f"http://{ground.config.listen}")
    program = "" if pid is None else command_of(pid)
    by = "a process that this user may not look into" if pid is None else f"process {pid} ({program or 'unnamed'})"
    suspected = number == EXPORTER_PORT and pid != ground.pid
    todo = "choose another --listen, or stop it"
    if suspected and (program in CLAUDE_PROGRAMS or not program or _exports(ground)):
        by += "; Claude Code's own Prometheus exporter listens there by default"
        todo = f"unset {EXPORTER}=prometheus for Claude Code (or set OTEL_EXPORTER_PROMETHEUS_PORT), or choose another --listen"
    return fail("port", f"port {number} is in use by {by}", todo)


def _exports(ground: Ground) -> bool:
    return "prometheus" in ground.env.get(EXPORTER, "").split(",")


def command_of(pid: int, proc: Path = PROC) -> str:
    """The short name of a process as the kernel has it; "" where it is not to be had or is no plain word."""
    try:
        name = (proc / str(pid) / "comm").read_text("utf-8", "replace").strip()
    except OSError:
        return ""
    return name if _COMMAND.fullmatch(name) else ""


def collector(ground: Ground) -> Iterator[Finding]:
    """Each destination and signal: whether it answers an empty request, and how the daemon's sending is."""
    from ccagent.outgoing import settle

    try:
        settings, _ = settle(ground.config, ground.env)
    except CcagentError:
        yield fail("collector", "the settings of the export are refused", "`ccagent config check` says why")
        return
    # The daemon's own word, too: its options and variables may be others than those of whoever asks.
    exports: Mapping[str, Any] = (ground.live or {}).get("exports") or {}
    targets = {target.key: target for target in settings.destinations}
    for number, key in enumerate(dict.fromkeys([*targets, *exports]), 1):
        told, signal = exports.get(key) or {}, key.rpartition("/")[2]
        name = f"destination {number} ({signal if signal in SIGNALS else 'a signal'})"
        if told.get("problem") and told.get("state") not in WELL:
            yield _stuck(name, told)
        elif key in targets and ground.network:
            yield _asked(name, targets[key])
        else:
            yield ok("collector", f"{name}: not asked")
    if not targets and not exports:
        yield ok("collector", "none is named: nothing leaves this machine")


def _stuck(name: str, told: Mapping[str, Any]) -> Finding:
    from ccagent.otel_status import advice

    todo = f"{advice(str(told['state']), str(told['problem']))}; `ccagent status --otel` shows its words"
    return fail("collector", f"{name}: the daemon does not get through", todo)


def _asked(name: str, target: Destination) -> Finding:
    from ccagent.otel_status import advice

    kind, said, words = ask(target)
    if kind != "refused":
        return ok("collector", f"{name}: {said}")
    if found := _on_the_way(target):
        return fail("collector", f"{name}: {found[0]}", found[1])
    todo = advice(None, words) or "see the receiver's log"
    if "wrong_version_number" in words.lower().replace(" ", "_"):
        todo = "it speaks plain text there, and the endpoint begins with https: write http, or its TLS port"
    elif "certificate" not in todo and (UNREACHED in said or "Error)" in said):
        said = f"somebody listens there, and no OTLP answer comes over {target.protocol}"
        todo = "check otlp.protocol (4317 is usual for grpc, 4318 for http/protobuf), http or https, and the receiver's log"
    return fail("collector", f"{name}: {said}", todo)


def _on_the_way(target: Destination) -> tuple[str, str] | None:
    """What keeps a request from arriving at all, and what to do; None where somebody listens there."""
    parts = urlsplit(target.url)
    number = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", number), timeout=ANSWER_SECONDS).close()
    except socket.gaierror:
        return "its host name is not known", "correct the endpoint, or see to the network's name service"
    except ConnectionRefusedError:
        return (
            f"nobody listens on its port {number}",
            "start the receiver, or correct the endpoint's port",
        )
    except TimeoutError:
        return (
            f"no connection within {ANSWER_SECONDS:.0f} s",
            "see to the network, a firewall, or the endpoint's address",
        )
    except OSError as error:
        return (
            f"it cannot be reached ({errno.errorcode.get(error.errno or 0, type(error).__name__)})",
            "see to the network",
        )
    return None


def ask(target: Destination) -> tuple[str, str, str]:
    """Send a request without any item: `answers` or `refused`, what to say of it, and the receiver's words, which may hold
    anything."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # or the library writes into the report, before it is asked
    from ccagent.export.otlp.sender import make_sender
    from ccagent.export.otlp.verdict import Kind

    try:
        sender = make_sender(replace(target, timeout_seconds=min(target.timeout_seconds, ANSWER_SECONDS)))
    except ConfigError:
        return "refused", "its address, headers or certificates cannot be used", "certificate"
    try:
        verdict = sender.send(target.signal, _empty(target.signal))
    finally:
        sender.close()
    if verdict.kind is Kind.ADVANCE:
        return "answers", "it answers", ""
    code = _CODE.match(verdict.message)
    if verdict.kind is Kind.POISON:
        # Some receivers refuse a request without items: they can be reached and know the sender.
        return "answers", f"it answers, and refuses an empty request ({code[0] if code else 'no reason given'})", ""
    reason = _REASON.search(verdict.message)
    why = code[0] if code else reason[1] if reason else "no OTLP answer"
    return "refused", f"it does not take requests ({why})", verdict.message


def _empty(signal: str) -> Any:
    """A request with one empty resource: some receivers take a body of no bytes for a mistake."""
    if signal == "traces":
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
        from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

        return ExportTraceServiceRequest(resource_spans=[ResourceSpans()])
    if signal == "logs":
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
        from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs

        return ExportLogsServiceRequest(resource_logs=[ResourceLogs()])
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics

    return ExportMetricsServiceRequest(resource_metrics=[ResourceMetrics()])


def channels(ground: Ground) -> Iterator[Finding]:
    """Whether the channels that alerts go to can be used; nothing is sent on them."""
    alerts = ground.config.alerts
    named = {*alerts.default_channels, *(name for rule in alerts.rules for name in rule.get("channels", ()))}
    used = [channel for name, channel in alerts.channels.items() if name in named or channel.set_keys]
    kinds: list[str] = []
    for number, channel in enumerate(used, 1):
        wrong = _unusable(ground, channel)
        if wrong is None:
            kinds.append(channel.type)
        else:
            yield fail("alerts", f"channel {number} ({channel.type}): {wrong[0]}", wrong[1])
    told = sum(str(where).startswith("alerts.channels.") for where in (ground.live or {}).get("problems") or ())
    if told:
        said = f"{counted(told, 'channel')} of the daemon's cannot deliver"
        yield warn("alerts", said, "`ccagent status` says why; what waits is tried for a day")
    elif len(kinds) == len(used):
        yield ok("alerts", f"usable: {', '.join(kinds)}" if kinds else "no channel is named")


def _unusable(ground: Ground, channel: ChannelConfig) -> tuple[str, str] | None:
    """What is wrong with a channel and what to do, None where nothing is."""
    from ccagent.service.channels import check_channel

    try:
        check_channel(channel)
    except ConfigError:
        return "it is not set up as it must be", "`ccagent config check` says why"
    path = ground.env.get("PATH")
    if channel.type == "desktop":
        name = "osascript" if sys.platform == "darwin" else "notify-send"
        if shutil.which(name, path=path) is None:
            return f"there is no program {name}", "install libnotify, or take the desktop out of alerts' channels"
    if channel.type == "command" and shutil.which(channel.command[0], path=path or os.defpath) is None:
        return "its program is not found or may not be run", "correct the channel's command"
    if channel.type in ("webhook", "slack") and ground.network and not _reachable(channel.url or ""):
        return (
            "its receiver cannot be reached",
            "check the address and the network; `ccagent alerts history` shows more",
        )
    return None


def _reachable(url: str) -> bool:
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    try:
        with socket.create_connection((parts.hostname or "", parts.port or default), timeout=ANSWER_SECONDS):
            return True
    except OSError:
        return False
