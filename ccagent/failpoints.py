"""Places where a test may make the process die, fail or wait: `hit(name)` stands in the code, the environment arms it.

`CCAGENT_FAILPOINT=name:action[:count]` arms one point. The action is taken once, at the `count`-th time the point is
reached (default 1):

- `kill`: SIGKILL to the own process, so that no handler, no `finally` and no database close runs;
- `raise`: `InjectedFaultError`, as an unexpected fault of the code around it;
- `sleep`: `SLEEP_SECONDS` of waiting, so that a test can act in the middle;
- `hang`: waiting without end, as a thread that is stuck.

Not armed, a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import Final, Literal

from ccagent.errors import ConfigError

VARIABLE: Final = "CCAGENT_FAILPOINT"

POINTS: Final = (
    "before_begin",  # records are parsed, the transaction has not begun
    "after_facts",  # facts and totals are written, the file rows are not
    "after_files",  # offsets and carried state are written too
    "before_commit",  # all is written, nothing is durable
    "after_commit",  # all is durable, the follower does not know it yet
    "after_post",  # a collector has answered
    "before_cursor",  # the answer is judged, the export cursor stands still
    "after_notification",  # a channel has taken a message, its deliveries are not settled
    "after_standing",  # where a subject of an alert rule stands is written, its history is not
    "after_history",  # an alert's transition is written, what is to be told of it is not
    "after_archive",  # facts that retention removes are archived, and still there
    "migration",  # a statement of a schema migration was run, its transaction goes on
    "rebuild_filled",  # the fresh tables of a rebuild hold all that the transcripts give
    "rebuild_before_swap",  # its swap has not begun
    "rebuild_in_swap",  # facts are exchanged, the counters are not, and nothing is durable
    "rebuild_after_swap",  # all is durable, the fresh tables are still there
    "recompute_slice",  # some facts have their new cost, what is booked of it stands still
    "recompute_end",  # the new costs are booked, nothing of that is durable
)
"""Every point there is; a name that is not here would never fire, so it is refused."""

ACTIONS: Final = ("kill", "raise", "sleep", "hang")

SLEEP_SECONDS: Final = 2.0
"""Long enough for a test to see the process waiting, short enough for one that does not care."""

Action = Literal["kill", "raise", "sleep", "hang"]


class InjectedFaultError(RuntimeError):
    """Raised by an armed point with the action `raise`; nothing catches it by name."""


@dataclass(slots=True, kw_only=True)
class Failpoint:
    """One armed point; `remaining` counts down to the hit that acts."""

    name: str
    action: Action
    remaining: int


def parse(text: str) -> Failpoint:
    """The point that `name:action[:count]` describes; raises ConfigError that names the right words."""
    name, _, rest = text.partition(":")
    action, _, count = rest.partition(":")
    if name not in POINTS:
        raise ConfigError(f"{VARIABLE}={text!r}: unknown point {name!r}; choose one of {', '.join(POINTS)}")
    if action not in ACTIONS:
        raise ConfigError(f"{VARIABLE}={text!r}: unknown action {action!r}; choose one of {', '.join(ACTIONS)}")
    if count and (not count.isascii() or not count.isdigit() or int(count) < 1):
        raise ConfigError(f"{VARIABLE}={text!r}: the count must be a whole number from 1, not {count!r}")
    return Failpoint(name=name, action=action, remaining=int(count or 1))  # type: ignore[arg-type]  # checked above


def arm(point: Failpoint | None) -> None:
    """Arm `point` in this process, in place of the one armed before; None disarms."""
    global _armed
    _armed = point


def hit(name: str) -> None:
    """Take the armed action if `name` is the armed point and its count is reached; else nothing."""
    if _armed is not None and _armed.name == name:
        _act(_armed)


def _act(point: Failpoint) -> None:
    point.remaining -= 1
    if point.remaining != 0:
        return
    if point.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif point.action == "raise":
        raise InjectedFaultError(f"failpoint {point.name} ({VARIABLE})")
    elif point.action == "hang":
        while True:
            time.sleep(SLEEP_SECONDS)
    else:
        time.sleep(SLEEP_SECONDS)


_text = os.environ.get(VARIABLE)
_armed: Failpoint | None = parse(_text) if _text else None
