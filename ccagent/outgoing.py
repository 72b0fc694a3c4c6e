"""What leaves for one destination, put together: its encoding under its settings, the resource, this machine's host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ccagent import __version__
from ccagent.config import Config
from ccagent.errors import NoDataError
from ccagent.follow.roots import default_roots
from ccagent.native_telemetry import Choice, beside, choose, detect
from ccagent.otlp_settings import resolve
from ccagent.store.connection import Connection
from ccagent.store.hosts import Host, local_host_id, read_host

if TYPE_CHECKING:
    from ccagent.export.otlp.encoding import Encoding
    from ccagent.otlp_destination import Destination
    from ccagent.otlp_settings import OtlpSettings

DAY_MS: Final = 24 * 3_600 * 1_000


def settle(config: Config, env: Mapping[str, str]) -> tuple[OtlpSettings, Choice]:
    """Where telemetry goes, and whether the compatible set is made; Claude Code's own telemetry is looked for."""
    choice = choose(config.compat, detect(env, list(config.sources) or default_roots(env, Path.home())))
    return beside(resolve(config, env), config.compat, choice.native), choice


def encoding_of(target: Destination, settings: OtlpSettings, *, aged: bool = True) -> Encoding:
    """How facts become items of the destination's signal; without `aged` nothing is too old for it."""
    from ccagent.export.otlp.configured import Configured

    plain: Encoding
    if target.signal == "logs":
        from ccagent.export.otlp.logs import Logs

        plain = Logs(native=target.native_events)
    else:
        from ccagent.export.otlp.encoding import Traces

        plain = Traces(native_names=target.native_names)
    age = round(target.max_age_days * DAY_MS) if aged and target.max_age_days is not None else None
    return Configured(plain, limits=settings.limits.get(target.signal), max_age_ms=age)


def resource_of(settings: OtlpSettings, instance_id: str) -> dict[str, str]:
    """The resource that stands on every request of this database."""
    from ccagent.export.otlp.resource import resource_attributes

    return resource_attributes(
        version=__version__, instance_id=instance_id, service_name=settings.service_name,
        extra=settings.resource_attributes,
    )  # fmt: skip


def own_host(conn: Connection, config: Config, *, shared: bool) -> Host:
    """This machine in the database. NoDataError where it has written nothing yet."""
    name = (config.host_id or local_host_id(config.paths.data_dir)) if shared else None
    host = read_host(conn, name)
    if host is None:
        raise NoDataError("this machine has written nothing into the database yet; start `ccagent run`")
    return host
