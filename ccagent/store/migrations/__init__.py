"""From every released schema to the present one, a step a version, each in one transaction."""

from __future__ import annotations

from ccagent.store.migrations.runner import (
    Prepared,
    create,
    migrate,
    prepare,
    read_version,
    refuse_others,
    require_current,
    stored_version,
)
from ccagent.store.migrations.steps import STEPS, Migration

__all__ = [
    "STEPS",
    "Migration",
    "Prepared",
    "create",
    "migrate",
    "prepare",
    "read_version",
    "refuse_others",
    "require_current",
    "stored_version",
]
