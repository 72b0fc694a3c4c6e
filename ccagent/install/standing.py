"""How the service stands, whoever manages it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ccagent.paths import display

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the manager says of the service; None is what it does not tell."""

    manager: str
    file: Path
    installed: bool
    running: bool
    state: str
    pid: int | None = None
    restarts: int | None = None
    enabled: bool | None = None
    says: str = ""
    hardening: str | None = None
    """`full`, or `light` where the host forbids user namespaces."""
    memory_bytes: int | None = None

    def document(self) -> dict[str, Any]:
        """The JSON document."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self), "file": display(self.file)}

    def lines(self) -> list[str]:
        """One line for each thing that is known."""
        if not self.installed:
            return ["not installed; `ccagent service install` does that"]
        rows = {
            "service": f"{self.state}" + (f", pid {self.pid}" if self.pid else ""),
            "says": self.says,
            "restarts": "" if self.restarts is None else str(self.restarts),
            "at login": "" if self.enabled is None else ("starts" if self.enabled else "does not start"),
            "hardening": self.hardening or "",
            "file": display(self.file),
        }
        return [f"{name:<10} {value}" for name, value in rows.items() if value]
