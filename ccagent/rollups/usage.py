"""The families of rollup rows that usage is answered from, beside those of the event types.

A row of an event type holds every amount of that kind of fact, but not whose session it was. Usage asks for few
amounts, for the number of sessions in whatever was asked, and for what a call owes to its request. So there are three
families more, a row each session, whose columns mean what `USAGE_COLUMNS` says:

- `PLACE`: what was spent, by project, branch, skill and agent. Every fact of the hour is in a row, if only with zeros:
  a session is there when one of its facts is;
- `TOOL`: requests split evenly over the calls they make, by the tool of the call (in column `ITEM`). The remainder, and
  the request itself, go to the first call by its own id; a request without calls stands under 0. Calls stand in the
  hour in which they began, their requests' shares in the hour of the request;
- `MODEL`: requests by model and calls by the model of their request (in column `ITEM`), apart for each provider that a
  transcript names itself (in column `SAID`).

They exist by hour and by day. Whatever is not known is 0.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ccagent.rollups.metrics import TOKEN_COLUMNS

ITEM: Final = "skill"
"""The column of a row of `TOOL` or `MODEL` that holds the name id of the tool or model; `project` keeps its meaning."""


SAID: Final = "branch"
"""The column of a row of `MODEL` that holds the name id of the provider where the transcript names it."""


class UsageFamily(IntEnum):
    """Numbers of the families; event types lie below 100."""

    PLACE = 101
    TOOL = 102
    MODEL = 103


USAGE_COLUMNS: Final[dict[str, str]] = {
    "requests": "count",
    "tool_calls": "results",
    "tool_calls_relayed": "relayed",
    "tool_errors": "errors",
    "compactions": "timed",
    **{column: column for column in TOKEN_COLUMNS},
    "cost": "cost",
    "unpriced": "unpriced",
    "placeholder": "placeholder",
    "partial": "partial",
    "estimated": "estimated",
}
"""Amount → column of the rollup row that holds it. Requests that are in none of the last three are final."""
