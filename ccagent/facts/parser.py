"""The version of the rules by which lines become facts."""

from __future__ import annotations

from typing import Final

PARSER_VERSION: Final = 3
"""Raised when a rule that makes facts changes: by it `status` knows that a rebuild is worth while."""
