"""What links lead to, and from."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Target(IntEnum):
    """What links lead to, and from; the number is what the store keeps, `TARGET_NAMES` what a user sees."""

    SESSION = 1
    PROJECT = 2
    FEATURE = 3
    TASK = 4
    PHASE = 5
    COMMIT = 6
    PULL_REQUEST = 7
    BRANCH = 8


TARGET_NAMES: Final[dict[int, str]] = {target: target.name.lower() for target in Target}
TARGETS: Final[dict[str, Target]] = {name: Target(number) for number, name in TARGET_NAMES.items()}
