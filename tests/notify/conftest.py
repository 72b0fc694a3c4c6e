"""What the tests of channels share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.notify.desk import Desk, Turned, desk
from tests.notify.hooks import Hooks, receiving


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    """A receiver of webhooks."""
    with receiving() as running:
        yield running


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    """A store with a rule, at noon."""
    with desk(tmp_path) as made:
        yield made


@pytest.fixture
def telling_of(at: Desk) -> Iterator[Any]:
    with ExitStack() as stack:

        def make(text: str, **more: Any) -> Turned:
            turned = Turned(at, text, **more)
            stack.callback(turned.notifying.stop, 0.1)
            return turned

        yield make
