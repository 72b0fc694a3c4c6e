"""The kinds of quality runs."""

from __future__ import annotations

from typing import Final

TEST: Final = "test"
LINT: Final = "lint"
TYPE_CHECK: Final = "type_check"
BUILD: Final = "build"
DEPLOY: Final = "deploy"
KINDS: Final = (TEST, LINT, TYPE_CHECK, BUILD, DEPLOY)
"""A closed set: `quality_kind` of a quality.run fact."""
