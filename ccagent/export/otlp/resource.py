"""Who speaks: the resource that stands on every request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ccagent.export.privacy import cut

SERVICE_NAME: Final = "ccagent"
"""Never `claude-code`: that is the client's own telemetry, and both would be mixed."""

SOURCE: Final = "transcript"


def resource_attributes(
    version: str, instance_id: str, *, service_name: str | None = None, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The resource's attributes. `instance_id` is the store's own and stays the same for ever: a new one a start would
    make every counter a new series. `extra` are the owner's (OTEL_RESOURCE_ATTRIBUTES); they may name the service but
    not the instance; `service_name` (OTEL_SERVICE_NAME) wins over them.
    """
    attributes = {key: cut(value) for key, value in (extra or {}).items()}
    attributes["service.name"] = service_name or attributes.get("service.name") or SERVICE_NAME
    attributes["service.version"] = version
    attributes["service.instance.id"] = instance_id
    attributes["ccagent.source"] = SOURCE
    return dict(sorted(attributes.items()))
