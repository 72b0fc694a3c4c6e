"""What the tests of channels share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.notify.hooks import Hooks, receiving


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    """A receiver of webhooks."""
    with receiving() as running:
        yield running
